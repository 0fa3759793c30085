"""What the field's yardsticks share: objects met one to one by overlap in the best pairing of all, and surface Dice as
DeepMind's surface distances define it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Met:
    """True and claimed objects, and the pairs among them."""

    true: int
    claimed: int
    dices: tuple[float, ...]
    """Of every pair that counts."""

    @property
    def precision(self) -> float:
        return len(self.dices) / self.claimed if self.claimed else 0.0

    @property
    def recall(self) -> float:
        return len(self.dices) / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def in_sequence(labels: Array) -> Counts:
    """The same objects, numbered 1, 2, 3, … in the order of their numbers; 0 stays nothing."""
    there = values_in(labels)
    numbers = np.zeros(there[-1] + 1, np.int64)
    numbers[there] = np.arange(len(there)) + (0 if there[0] == 0 else 1)
    return numbers[labels]


def values_in(labels: Array) -> list[int]:
    """Which numbers there are, the lowest first; several times faster than sorting a volume."""
    return [int(value) for value in np.flatnonzero(np.bincount(labels.ravel()))]


def meet(claimed: Counts, true: Counts, least: float, by: Literal["iou", "dice"] = "iou") -> Met:
    """Pairs of objects (both numbered in sequence) from an overlap of `least` on.

    The pairing with the most such pairs, and among those the one with the highest overlaps (Hungarian method).
    """
    from scipy.optimize import linear_sum_assignment

    n, m = int(true.max()), int(claimed.max())
    if n == 0 or m == 0:
        return Met(n, m, ())
    shared = np.bincount((true * (m + 1) + claimed).ravel(), minlength=(n + 1) * (m + 1)).reshape(n + 1, m + 1)
    sizes, claims = shared.sum(1)[1:, None], shared.sum(0)[None, 1:]
    inside = shared[1:, 1:]
    dice = 2 * inside / (sizes + claims)
    overlap = dice if by == "dice" else inside / (sizes + claims - inside)
    costs = -(overlap >= least).astype(float) - overlap / (2 * min(n, m))
    rows, columns = linear_sum_assignment(costs)
    counts = overlap[rows, columns] >= least
    return Met(n, m, tuple(dice[rows, columns][counts].tolist()))


Cube = NDArray[np.int64]
"""(2, 2, 2): which of eight neighbouring voxels are in a mask."""
WEIGHTS: Cube = np.array([128, 64, 32, 16, 8, 4, 2, 1]).reshape(2, 2, 2)
"""Of the eight in a code: 0 is outside, 255 inside, all else surface."""
WHOLE = 255
# A surface passes between eight voxels as a few triangles (marching cubes, corners cut half way). Per arrangement: the
# voxels in the mask (weights summed), and along the three axes the size of each triangle in eighths of a cube's face.
# Turned, mirrored and inverted arrangements have the same triangles, turned likewise.
TRIANGLES: dict[int, tuple[tuple[int, int, int], ...]] = {
    0b1: ((1, 1, 1),),
    0b11: ((2, 2, 0), (2, 2, 0)),
    0b110: ((1, 1, 1), (1, 1, 1)),
    0b111: ((1, 1, 1), (2, 2, 2), (4, 0, 0)),
    0b1111: ((4, 0, 0), (4, 0, 0)),
    0b10110: ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    0b10111: ((1, 1, 1), (1, 1, 1), (2, 2, 2), (2, 2, 2)),
    0b11000: ((1, 1, 1), (1, 1, 1)),
    0b11001: ((0, 2, 2), (0, 2, 2), (1, 1, 1)),
    0b11011: ((0, 2, 2), (1, 1, 1), (2, 0, 2), (3, 3, 3)),
    0b11110: ((1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 0, 0)),
    0b111100: ((2, 2, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0)),
    0b1101001: ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
}


def surface_dice(mask: Array, truth: Array, spacing: Sequence[float], tolerance: float) -> float:
    """Share of both surfaces that lies within the tolerance of the other; NaN where both masks are empty.

    `spacing` is of the array's axes, in their order; 0 where only one mask is empty.
    """
    both = mask | truth
    if not both.any():
        return float("nan")
    inside = tuple(
        slice(int(hit[0]), int(hit[-1]) + 1)
        for axis in range(3)
        for hit in [np.flatnonzero(both.any(tuple(other for other in range(3) if other != axis)))]
    )
    areas = areas_by_code(tuple(float(step) for step in spacing))
    codes = [_codes(one[inside]) for one in (truth, mask)]
    borders = [(code != 0) & (code != WHOLE) for code in codes]
    apart = [_distances(border, spacing) for border in borders]
    of = [areas[code[border]] for code, border in zip(codes, borders, strict=True)]
    near = [apart[1 - k][borders[k]] <= tolerance for k in (0, 1)]
    met = float(of[0][near[0]].sum() + of[1][near[1]].sum())
    return met / float(of[0].sum() + of[1].sum())


def _codes(mask: Array) -> NDArray[np.uint8]:
    """Of the corners between voxels, the outer ones included."""
    padded = np.pad(mask, 1).astype(np.uint8)
    codes = np.zeros([length - 1 for length in padded.shape], np.uint8)
    for place in product((0, 1), repeat=3):
        part = tuple(slice(at, at + length) for at, length in zip(place, codes.shape, strict=True))
        codes += padded[part] * np.uint8(WEIGHTS[place])
    return codes


def _distances(border: Array, spacing: Sequence[float]) -> NDArray[np.float64]:
    from scipy.ndimage import distance_transform_edt

    if not border.any():
        return np.full(border.shape, np.inf)
    apart: NDArray[np.float64] = distance_transform_edt(~border, sampling=tuple(spacing))
    return apart


def areas_by_code(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """(256,): mm² of surface at a corner, for voxels of this size."""
    a, b, c = spacing
    faces = np.array([b * c, a * c, a * b])  # of the voxel, across its axes
    return np.sqrt(((_triangles() * faces) ** 2).sum(-1)).sum(-1)


@cache
def _triangles() -> NDArray[np.float64]:
    """(256, 4, 3): per code, up to four triangles as shares of the three faces."""
    table = np.zeros((WHOLE + 1, 4, 3))
    for code, triangles in TRIANGLES.items():
        cube = (WEIGHTS & code) > 0
        for order, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
            turned = cube.transpose(order)[tuple(slice(None, None, step) for step in flips)]
            other = int(WEIGHTS[turned].sum())
            for same in (other, WHOLE - other):
                table[same, : len(triangles)] = np.array(triangles)[:, order] / 8
    return table
