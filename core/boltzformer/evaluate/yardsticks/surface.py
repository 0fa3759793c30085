"""Surface Dice as DeepMind's surface distances define it: surfaces between voxels, weighted by their area."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array

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
