"""Evaluation: every row of a manifest asked as a user would, answered, and scored on the image's own grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.engine.engine import Engine
from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.metrics import Border, InVolume, Objects, border, dice, in_volume, objects
from boltzformer.image.geometry import Array, Grid
from boltzformer.io.kinds import kind_of
from boltzformer.knowledge.absent import Absent, Candidate, Listed, draw
from boltzformer.knowledge.absent import Window as Cut
from boltzformer.knowledge.manifest import Row
from boltzformer.types import LabelMap, Prediction, Volume

Kind = Literal["present", "empty", "easy", "hard"]
"""Of a case: the object is there; it is listed but its mask is empty; it is absent by the easy or the hard rule."""


@dataclass(frozen=True)
class Asked:
    """One question about an image. A model reads the prompt; a baseline may know the target."""

    prompt: str
    target: str


@dataclass(frozen=True)
class Given:
    """The answer to it."""

    mask: NDArray[np.bool_]
    """(z, y, x), after threshold and gate."""
    existence: float
    """The highest among the slices."""
    by_slice: NDArray[np.float32] | None = None
    """(slices that were asked,): the existence in each, where whoever answers has a word on it."""


class Answers(Protocol):
    """Whatever can be evaluated. `index` asks about one slice only."""

    def __call__(self, volume: Volume, asked: Sequence[Asked], index: int | None = None) -> Sequence[Given]: ...


@dataclass(frozen=True)
class Scored:
    """One question, answered and compared with the truth."""

    row: Row
    target: str
    prompt: str
    kind: Kind
    existence: float
    usual: bool = True
    """Asked in the row's first phrasing."""
    area: float = 0.0
    """True pixels, as a share of the image."""
    dice: float | None = None
    """None where nothing is there."""
    border: Border | None = None
    """None where nothing is there or nothing was found."""
    in_mm: bool = False
    """Whether the border's distances are millimetres; else pixels."""
    objects: Objects | None = None
    claimed: bool = False
    """Whether anything was marked."""
    saved: str | None = None
    """Where its mask lies, relative to the output folder."""
    volume: InVolume | None = None
    """What it does slice by slice, where the image is a volume."""
    absent: Absent | None = None
    """Where it was drawn and is no row of the manifest."""


def answers_of(engine: Engine, seed: int = 0) -> Answers:
    """A model as a user gets it: default threshold, default gate."""

    def answer(volume: Volume, asked: Sequence[Asked], index: int | None = None) -> Sequence[Given]:
        texts, slices = list(dict.fromkeys(one.prompt for one in asked)), None if index is None else [index]
        # Whole pictures, as every recorded number was measured: what tiles would change is not known yet.
        *_, last = engine.segment(volume, texts, seed=seed, slices=slices, cache_bytes=0, tiles=False)
        assert isinstance(last, Prediction)
        labels, sure = last.labels(), last.existence
        given = {text: Given(labels.mask(p + 1), float(sure[p].max()), sure[p]) for p, text in enumerate(texts)}
        return [given[one.prompt] for one in asked]

    return answer


def by_image(rows: Sequence[Row]) -> dict[Path, list[Row]]:
    """Rows of one image together: it is read and encoded once for all its prompts."""
    images: dict[Path, list[Row]] = {}
    for row in rows:
        images.setdefault(row.image, []).append(row)
    return images


def check_files(rows: Sequence[Row]) -> None:
    """Before hours are spent: is everything there?"""
    for row in rows:
        for path in (row.image, row.mask):
            if path is not None and not path.exists():
                raise BoltzFormerError(
                    f"Row {row.number} of the manifest names {path}, which is not there: "
                    "paths are relative to the manifest's folder."
                )


def draw_absent(rows: Sequence[Row], listed: Listed, taught: Sequence[Candidate], seed: int) -> list[Absent]:
    """Absent prompts for the images of these rows: candidates from the rows, else what the model was taught."""
    images = by_image([row for row in rows if not row.centred])
    own = Listed.of(rows).candidates

    def mask_of(row: Row) -> Array | None:
        if row.mask is None or not _picture(row.image):
            return None
        layers = io.read_labels(row.mask).layers
        return layers[:, 0].max(axis=0) > 0 if layers.shape[1] == 1 else None

    return draw(images, listed, own, taught, mask_of, seed)


def evaluate(
    answers: Answers,
    rows: Sequence[Row],
    listed: Listed,
    drawn: Sequence[Absent] = (),
    *,
    seed: int = 0,
    masks: Path | None = None,
) -> Iterator[Scored]:
    """Image by image, in the order of the rows' first. With `masks`, what is found for the rows is saved there."""
    extra: dict[Path, list[Absent]] = {}
    for one in drawn:
        extra.setdefault(one.row.image, []).append(one)
    for image, mine in by_image(rows).items():
        volume = io.read(image)
        beside = [one for one in extra.get(image, ()) if one.window is None]
        asked = [Asked(row.prompts[0], row.target) for row in mine]
        other = [(row, _other_phrasing(row, seed)) for row in mine if row.mask is not None and len(row.prompts) > 1]
        asked += [Asked(prompt, row.target) for row, prompt in other]
        asked += [Asked(one.prompts[0], one.target) for one in beside]
        given = iter(answers(volume, asked))
        truths = {row.number: truth_of(row, volume.grid) for row in mine}
        for row in mine:
            yield _scored(row, row.prompts[0], truths[row.number], next(given), volume, listed, masks=masks)
        for row, prompt in other:
            yield _scored(row, prompt, truths[row.number], next(given), volume, listed, usual=False)
        for one in beside:
            yield _not_there(one, next(given), volume)
        for one in extra.get(image, ()):
            if one.window is not None:
                window = cut(volume, one.window)
                (seen,) = answers(window, [Asked(one.prompts[0], one.target)])
                yield _not_there(one, seen, window)


def cut(volume: Volume, window: Cut) -> Volume:
    """A window of a picture, as a picture of its own."""
    x, y, width, height = window
    array = np.ascontiguousarray(volume.array[:, y : y + height, x : x + width])
    return Volume(array, Grid.pixels(array.shape[:3]), volume.modality, volume.name)


def _other_phrasing(row: Row, seed: int) -> str:
    """One of them, so that an evaluation takes no longer for sets that list many."""
    return row.prompts[1 + (seed + row.number) % (len(row.prompts) - 1)]


def truth_of(row: Row, grid: Grid) -> NDArray[np.bool_] | None:
    """The row's mask (z, y, x) on the grid of its image; None for an absent prompt."""
    if row.mask is None:
        return None
    labels = io.read_labels(row.mask, grid=grid)
    return labels.layers.max(axis=0) > 0 if row.label is None else labels.mask(row.label)


def _scored(
    row: Row,
    prompt: str,
    truth: NDArray[np.bool_] | None,
    given: Given,
    volume: Volume,
    listed: Listed,
    *,
    usual: bool = True,
    masks: Path | None = None,
) -> Scored:
    saved = None if masks is None else _save(given.mask, volume.grid, masks, row)
    claimed = bool(given.mask.any())
    slices = in_volume(given.mask, truth, volume.grid, volume.slice_axis, given.by_slice)
    told: dict[str, Any] = {"claimed": claimed, "saved": saved, "volume": slices}
    if truth is None or not truth.any():
        kind: Kind = "empty" if truth is not None else listed.kind(row)
        return Scored(row, row.target, prompt, kind, given.existence, usual, **told)
    flat = len(truth) == 1
    mask, true = (given.mask[0], truth[0]) if flat else (given.mask, truth)
    spacing = volume.grid.spacing_mm[::-1][flat:]
    return Scored(
        row,
        row.target,
        prompt,
        "present",
        given.existence,
        usual,
        area=float(truth.mean()),
        dice=dice(mask, true),
        border=border(mask, true, spacing) if usual else None,
        in_mm=not _picture(row.image),
        objects=objects(mask, true) if usual else None,
        **told,
    )


def _not_there(one: Absent, given: Given, volume: Volume) -> Scored:
    slices = in_volume(given.mask, None, volume.grid, volume.slice_axis, given.by_slice)
    claimed = bool(given.mask.any())
    return Scored(
        one.row, one.target, one.prompts[0], one.kind, given.existence, claimed=claimed, volume=slices, absent=one
    )


def _picture(path: Path) -> bool:
    """Whether the file does not say how large a pixel is."""
    return not path.is_dir() and kind_of(path) in ("PNG", "JPEG", "TIFF")


def _save(mask: NDArray[np.bool_], grid: Grid, folder: Path, row: Row) -> str:
    """0/255 on the image's grid: a picture, or a volume where the image is one."""
    folder.mkdir(exist_ok=True)
    name = f"{row.number:06d}" + (".png" if len(mask) == 1 else ".nii.gz")
    io.write(LabelMap(mask[np.newaxis].astype(np.uint8) * np.uint8(255), grid, {255: row.target}), folder / name)
    return f"{folder.name}/{name}"
