"""A model answers the questions of a yardstick, each case as a user would ask, each answer where it belongs:
ReXGroundingCT's sentences, BiomedParse's pictures, and what all share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.engine.engine import Engine
from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.yardsticks.biomedparse import Picture, pictures_in
from boltzformer.evaluate.yardsticks.rex import FOLDER, findings_in
from boltzformer.evaluate.yardsticks.scores import Scores
from boltzformer.image.geometry import Array, Grid
from boltzformer.image.intensity import Window
from boltzformer.io.findings import write_findings
from boltzformer.masks.objects import pieces
from boltzformer.masks.postprocess import probabilities
from boltzformer.types import LabelMap, Prediction, Volume

SHOWN = Window(0, 255, "as stored")
"""Of images that somebody brought to 0…255 before."""
MOST = 255
"""So many objects can have a number of their own."""


@dataclass(frozen=True)
class Question:
    """One case, not yet answered: `answer` does it and writes what it found."""

    name: str
    answer: Callable[[Engine, int], None]
    """With the seed."""


@dataclass(frozen=True)
class Yardstick:
    """One way of the field to ask and to score."""

    score: Callable[[Path, Path], Scores]
    """Truth and answers."""
    questions: Callable[[Path, Path, bool], Sequence[Question]]
    """Of the data; answers go to the second; whether blindly, with no look at a truth that lies beside the question.
    Whatever is wrong with a case is said before the first is asked."""
    has_truth: Callable[[Path], bool]
    timed: Callable[[Scores, Path], Scores] = lambda scores, _: scores
    """Takes points from answers that took too long, by their seconds."""


def answered(questions: Sequence[Question], engine: Engine, seed: int) -> Iterator[tuple[str, float]]:
    """Case by case: its name, and how many seconds it took."""
    for one in questions:
        began = time.perf_counter()
        one.answer(engine, seed)
        yield one.name, time.perf_counter() - began


def with_seconds(scores: Scores, seconds: dict[str, float]) -> Scores:
    """How long each case took; findings of one scan and masks of one picture share its time."""

    def took(name: str) -> float | None:
        asked = (name, name.rpartition("/")[0], name.rpartition("_")[0])
        return next((seconds[one] for one in asked if one in seconds), None)

    return replace(scores, cases=[replace(case, seconds=took(case.name)) for case in scores.cases])


def volume_of(imgs: Array, spacing: tuple[float, float, float], where: Path) -> Volume:
    """An image of 0…255 (z, y, x) that says how large its voxels are, x first, and nothing of how it lies."""
    if imgs.ndim not in (3, 4) or imgs.shape[3:] not in ((), (3,)) or imgs.dtype.kind not in "uif":
        raise BoltzFormerError(f"`imgs` of {where} has the shape {imgs.shape}: give a volume (z, y, x) of 0…255.")
    if not (np.isfinite(imgs).all() and imgs.min() >= 0 and imgs.max() <= MOST):
        raise BoltzFormerError(f"`imgs` of {where} leaves 0…255: bring its values there, as the challenge does.")
    array = imgs if imgs.dtype == np.uint8 else np.rint(imgs).astype(np.uint8)
    return Volume(array, Grid.from_lps(array.shape[:3], np.diag([*spacing, 1.0])), "", where.stem)


def masks_of(engine: Engine, volume: Volume, texts: Sequence[str], seed: int, window: Window | None) -> Prediction:
    """All slices, default thresholds; equal texts are asked once."""
    *_, last = engine.segment(volume, list(dict.fromkeys(texts)), seed=seed, window=window, cache_bytes=0, tiles=False)
    assert isinstance(last, Prediction)
    return last


def merged(prediction: Prediction, texts: Sequence[str], labels: Sequence[int]) -> NDArray[np.uint8]:
    """(z, y, x) of labels, one per text; where several claim a voxel the surest has it."""
    found, order = prediction.labels(), [prompt.text for prompt in prediction.prompts]
    masks = [found.mask(order.index(text) + 1) for text in texts]
    flat: NDArray[np.uint8] = np.zeros(masks[0].shape, np.uint8)
    several = np.sum(masks, axis=0) > 1
    best = np.zeros(masks[0].shape, np.float32)
    for text, label, mask in zip(texts, labels, masks, strict=True):
        mine = mask
        if several.any():
            sure = probabilities(prediction, order.index(text))
            mine = mask & (sure > best)
            best[mine] = sure[mine]
        flat[mine] = label
    return flat


def as_objects(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Every object with a number of its own, the largest first; those beyond the last number are left out."""
    found = pieces(mask)
    sizes = np.bincount(found.ravel())
    order = np.argsort(-sizes[1:], kind="stable") + 1
    numbers = np.zeros(len(sizes), np.uint8)
    numbers[order[:MOST]] = np.arange(1, min(len(order), MOST) + 1)
    return numbers[found]


IMAGES = "images"
"""Where the scans lie, if not beside the JSON file."""


def rex_questions(data: Path, output: Path, blind: bool) -> list[Question]:
    """Every scan of the JSON file that is there, or whose mask is."""
    told = findings_in(data)
    images = {name: _image(data, name) for name in told}
    known = {name: path for name, path in images.items() if path is not None}
    if not known:
        raise BoltzFormerError(f"{data} holds no scan that its JSON file names: put them into {data / IMAGES}.")
    return [Question(name, partial(_find, path, told[name], output / name)) for name, path in known.items()]


def _image(data: Path, name: str) -> Path | None:
    return next((path for path in (data / IMAGES / name, data / name) if path.is_file()), None)


def _find(image: Path, sentences: Mapping[int, str], target: Path, engine: Engine, seed: int) -> None:
    volume = io.read(image)
    texts = list(sentences.values())
    prediction = masks_of(engine, volume, texts, seed, None)
    labels, order = prediction.labels(), [prompt.text for prompt in prediction.prompts]
    masks = np.stack([labels.mask(order.index(text) + 1) for text in texts]).astype(np.uint8)
    write_findings(target, masks, volume.grid)


def rex_has_truth(data: Path) -> bool:
    """Whether any scan can be scored."""
    return (data / FOLDER).is_dir()


def biomedparse_questions(data: Path, output: Path, blind: bool) -> list[Question]:
    """Picture by picture, all its targets at once."""
    by_image: dict[Path, list[Picture]] = {}
    for one in pictures_in(data):
        by_image.setdefault(one.image, []).append(one)
    return [Question(image.stem, partial(_mark, image, mine, output)) for image, mine in by_image.items()]


def _mark(image: Path, asked: list[Picture], output: Path, engine: Engine, seed: int) -> None:
    volume = io.read(image)
    prediction = masks_of(engine, volume, [one.prompt for one in asked], seed, None)
    labels, order = prediction.labels(), [prompt.text for prompt in prediction.prompts]
    for one in asked:
        mask = labels.mask(order.index(one.prompt) + 1)
        shown = LabelMap(mask[np.newaxis].astype(np.uint8) * np.uint8(255), volume.grid, {255: one.target})
        io.write(shown, output / one.mask.name, overwrite=True)
