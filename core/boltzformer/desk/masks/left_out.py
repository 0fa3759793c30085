"""Objects that a person left out: they stay on screen, and are in no number, no export, nothing that is accepted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.objects import pieces
from boltzformer.masks.strands import Strands

Voxel = tuple[int, ...]
"""Slice, row and column, as the viewer counts them."""


def left_out(rows: NDArray[Any], voxels: Collection[Sequence[int]]) -> tuple[NDArray[np.bool_], int]:
    """(slices, rows, columns): the objects that hold one of these voxels, and how many they are; what was erased
    meanwhile needs no leaving out."""
    if not voxels:
        return np.zeros(rows.shape, bool), 0
    found, marks = Strands.of(rows), np.zeros(rows.shape, bool)
    marks[tuple(np.array(list(voxels)).T)] = True
    out = np.zeros(found.count + 1, bool)
    out[found.under(marks)] = True
    return found.mask(out), int(np.count_nonzero(out))


def without(rows: NDArray[np.uint8], voxels: Collection[Sequence[int]]) -> NDArray[np.uint8]:
    """What counts."""
    return np.where(left_out(rows, voxels)[0], 0, rows).astype(np.uint8) if voxels else rows


def parts_of(before: NDArray[np.bool_], after: NDArray[np.bool_], voxels: Collection[Voxel]) -> set[Voxel]:
    """A voxel of each part of a picture's objects that were left out before they were cut: all of them are left out."""
    if not voxels:
        return set()
    found = pieces(left_out(before[None], voxels)[0][0] & after)
    _, first = np.unique(found, return_index=True)
    places = [divmod(int(one), found.shape[1]) for one in first if found.flat[one]]
    return {(0, y, x) for y, x in places}


def stored(voxels: Collection[Voxel], plan: SlicePlan) -> list[list[int]]:
    """i, j, k of the stored array, in which they are kept."""
    view, shape, found = plan.view, plan.grid.shape, []
    for voxel in voxels:
        ijk = [0, 0, 0]
        for place, axis, flip in zip(voxel, view.order, view.flips, strict=True):
            ijk[2 - axis] = int(shape[axis] - 1 - place if flip else place)
        found.append(ijk)
    return sorted(found)


def seen(places: Collection[Sequence[int]], plan: SlicePlan) -> set[Voxel]:
    """The other way; what lies outside of the image is none of its voxels."""
    view, shape = plan.view, plan.grid.shape
    inside = [one for one in places if all(0 <= int(at) < n for at, n in zip(one, shape[::-1], strict=True))]
    return {
        tuple(
            shape[axis] - 1 - int(one[2 - axis]) if flip else int(one[2 - axis])
            for axis, flip in zip(view.order, view.flips, strict=True)
        )
        for one in inside
    }
