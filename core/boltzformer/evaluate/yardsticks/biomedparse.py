"""BiomedParse's own test: `test/IMG_MODALITY_SITE.png`, `test_mask/IMG_MODALITY_SITE_TARGET.png`; overlap by mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.yardsticks.scores import Case, Scores, rounded
from boltzformer.image.geometry import Array

COLUMNS = ("Dice", "IoU")
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the intersection over union: the share of masks that reach each."""
TINY = 1e-6
"""Added to every denominator, as officially."""
HALF = 127
"""Gray values above it are marked: probabilities above 0.5 of 255."""


@dataclass(frozen=True)
class Picture:
    """A mask, the image it belongs to, and what is asked."""

    name: str
    image: Path
    mask: Path
    target: str
    prompt: str


def score(truth: Path, answers: Path) -> Scores:
    """Every mask that has an answer of the same name."""
    pictures = pictures_in(truth)
    if not answers.is_dir():
        raise BoltzFormerError(f"There is no folder {answers}: give the one that holds the answers (.png).")
    given = {path.name: path for path in answers.glob("*.png")}
    both = [one for one in pictures if one.mask.name in given]
    if not both:
        raise BoltzFormerError(
            f"No answer in {answers} has the name of a mask in {truth}: name answers like the masks of test_mask."
        )
    pairs = [(one.name, mask_in(one.mask, 0), _answer(given[one.mask.name], one.mask)) for one in both]
    return scores(pairs, tuple(one.name for one in pictures if one.mask.name not in given))


Mask = NDArray[np.bool_]


def scores(pairs: list[tuple[str, Mask, Mask]], left: tuple[str, ...] = ()) -> Scores:
    """Of pictures: name, truth, answer."""
    shared = np.array([np.count_nonzero(true & claimed) for _, true, claimed in pairs], float)
    either = np.array([np.count_nonzero(true | claimed) for _, true, claimed in pairs], float)
    whole = np.array([np.count_nonzero(true) + np.count_nonzero(claimed) for _, true, claimed in pairs], float)
    dice, iou = 2 * shared / (whole + TINY), shared / (either + TINY)
    cases = [Case(name, {"Dice": rounded(dice[k]), "IoU": rounded(iou[k])}) for k, (name, *_) in enumerate(pairs)]
    reached = {f"IoU>={level}": float((iou >= level).mean()) for level in LEVELS}
    together = {
        "cDice": float(2 * shared.sum() / whole.sum()) if whole.any() else None,
        "cIoU": float(shared.sum() / either.sum()) if either.any() else None,
    }
    return Scores(COLUMNS, cases, {**reached, **together}, left)


def pictures_in(place: Path) -> list[Picture]:
    """All masks of the test part, by name."""
    images, masks = place / "test", place / "test_mask"
    for folder in (images, masks):
        if not folder.is_dir():
            raise BoltzFormerError(f"There is no folder {folder}: BiomedParse's layout has test and test_mask.")
    found = [_picture(path, images) for path in sorted(masks.glob("*.png"))]
    if not found:
        raise BoltzFormerError(f"{masks} holds no .png: name masks IMAGE_MODALITY_SITE_TARGET.png.")
    return found


def _picture(mask: Path, images: Path) -> Picture:
    *front, target = mask.stem.split("_")
    if len(front) < 3:
        raise BoltzFormerError(f"{mask} is not named IMAGE_MODALITY_SITE_TARGET.png: rename it.")
    image, target = images / f"{'_'.join(front)}.png", target.replace("+", " ")
    if not image.is_file():
        raise BoltzFormerError(f"{mask} belongs to {image}, which is not there: add it.")
    modality, site = (word.replace("+", " ") for word in front[-2:])
    return Picture(mask.stem, image, mask, target, f"{target} in {site} {modality}")


def mask_in(path: Path, above: int) -> Mask:
    """Pixels with more than this; of a coloured picture in any colour."""
    array: Array = io.read(path).array[0]
    return np.asarray((array.max(-1) if array.ndim == 3 else array) > above)


def _answer(path: Path, mask: Path) -> Mask:
    """A mask of 0 and 1, or gray values as probabilities."""
    array = io.read(path).array[0]
    found = mask_in(path, 0 if array.max(initial=0) <= 1 else HALF)
    if found.shape != (shape := mask_in(mask, 0).shape):
        raise BoltzFormerError(f"{path} has {found.shape} pixels, its truth {shape}: answer in the mask's own size.")
    return found
