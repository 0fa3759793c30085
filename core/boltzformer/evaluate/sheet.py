"""The contact sheet of an evaluation: best, median and worst, pictures first, then whole volumes in three slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.evaluate.evaluate import Answers, Asked, Scored, truth_of
from boltzformer.masks import pictures
from boltzformer.types import Volume

SHOWN = 4
"""So many of the best, the median and the worst pictures are drawn; of volumes one each."""
THROUGH = (0.25, 0.5, 0.75)
"""Of a volume, the slices so far through the object."""
TILE = 300
"""Width of one of them in pixels."""


def contact_sheet(path: Path, scored: Sequence[Scored], answers: Answers) -> None:
    """By Dice, a row of tiles each: truth in cyan, the answer in orange. They are asked anew."""
    present = sorted(
        (one for one in scored if one.usual and one.dice is not None and not one.row.centred),
        key=lambda one: one.dice or 0,
    )
    flat, deep = ([one for one in present if (one.volume is not None) == whole] for whole in (False, True))
    sheet = [
        pictures.beside(*(tile for one in some for tile in _tiles(title, one, answers)))
        for kind, shown in ((flat, SHOWN), (deep, 1))
        for title, some in _chosen(kind, shown)
    ]
    if sheet:
        width = max(picture.shape[1] for picture in sheet)
        padded = [np.pad(picture, ((0, 8), (0, width - picture.shape[1]), (0, 0))) for picture in sheet]
        pictures.save(np.concatenate(padded), path)


def _chosen(present: Sequence[Scored], shown: int) -> list[tuple[str, Sequence[Scored]]]:
    """From the worst to the best."""
    count = min(shown, len(present))
    middle = (len(present) - count) // 2
    rows = [("best", present[::-1][:count]), ("median", present[middle : middle + count]), ("worst", present[:count])]
    return rows if present else []


def _tiles(title: str, one: Scored, answers: Answers) -> list[pictures.Picture]:
    volume = io.read(one.row.image)
    truth = truth_of(one.row, volume.grid)
    assert truth is not None
    return [_tile(title, one, answers, volume, truth, index) for index in _slices(truth, volume.slice_axis)]


def _slices(truth: NDArray[np.bool_], axis: int) -> list[int]:
    """A picture's only one; else through the object, by its extent."""
    hit = np.flatnonzero(truth.any(axis=tuple(other for other in range(3) if other != axis)))
    if truth.shape[axis] == 1:
        return [0]
    return [int(np.quantile(hit, share, method="nearest")) for share in THROUGH]


def _tile(
    title: str, one: Scored, answers: Answers, volume: Volume, truth: NDArray[np.bool_], index: int
) -> pictures.Picture:
    axis = volume.slice_axis
    (given,) = answers(volume, [Asked(one.prompt, one.target)], index)
    plane = volume.window().apply(np.ascontiguousarray(volume.array.take(index, axis)))
    picture = plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2)
    picture = pictures.outlined(picture, np.take(truth, index, axis), pictures.CYAN)
    picture = pictures.outlined(picture, np.take(given.mask, index, axis))
    where = "" if volume.array.shape[axis] == 1 else f", slice {index}"
    return pictures.captioned(
        picture,
        f"{title}: {one.prompt}"[:48],
        f"Dice {one.dice:.3f}, existence {given.existence:.2f}, row {one.row.number}{where}",
        "cyan: truth, orange: answer",
        width=TILE,
    )
