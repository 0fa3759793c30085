"""Objects that a person left out: they stay on screen, and are in no number, no export, nothing that is accepted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.slicing import LOGIT_STEP, SlicePlan
from boltzformer.masks.objects import pieces
from boltzformer.masks.strands import Strands

LEFT_OUT = "left out, as i, j, k"
"""Where the provenance says which voxels those are."""
TOGETHER = "of these, of one object"
"""Each a list of such voxels."""
Voxel = tuple[int, ...]
"""Slice, row and column, as the viewer counts them."""


class LeftOut(set[Voxel]):
    """Voxels of the objects that a person left out. What a threshold hides of an object needs no mark there to be left
    out again when it comes back: its voxels stay here, whatever is shown."""

    def __init__(self) -> None:
        super().__init__()
        self._together: list[frozenset[Voxel]] = []

    def leave(self, voxels: Iterable[Sequence[int]]) -> None:
        """One object, by voxels of it."""
        one = frozenset(map(_voxel, voxels))
        self.update(one)
        self._together.append(one)

    @property
    def together(self) -> list[frozenset[Voxel]]:
        """Of several voxels those that are of one object."""
        return [one for each in self._together if len(one := each & self) > 1]

    def belong(self, groups: Iterable[frozenset[Voxel]]) -> None:
        """These are of one object each, as far as they are left out."""
        self._together += [group for group in groups if len(group & self) > 1]

    def take_in(self, voxels: Iterable[Sequence[int]]) -> None:
        """It counts again, with all by which it was left out, also where it is hidden at present."""
        one = frozenset(map(_voxel, voxels))
        known = [each for each in self._together if not each.isdisjoint(one)]
        self._together = [each for each in self._together if each.isdisjoint(one)]
        self.difference_update(one.union(*known))


def _voxel(place: Sequence[int]) -> Voxel:
    return tuple(place)


def cores(objects: NDArray[Any], sure: Callable[[int], NDArray[np.float32] | None]) -> dict[int, list[Voxel]]:
    """(slices, rows, columns) of numbers → of each, one voxel in every slice of it: the one that is the last to go
    where its outline is drawn closer. `sure`: the model's logits in a slice, if they are known; of voxels as sure as
    each other it is the one farthest inside."""
    from scipy.ndimage import distance_transform_edt, maximum_position

    found: dict[int, list[Voxel]] = {}
    for row, plane in enumerate(objects):
        down, across = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
        if not len(down):
            continue
        top, left = int(down[0]), int(across[0])
        box = slice(top, int(down[-1]) + 1), slice(left, int(across[-1]) + 1)
        here, known = plane[box], sure(row)
        depth: NDArray[np.float64] = distance_transform_edt(np.pad(here > 0, 1))[1:-1, 1:-1]
        last = LOGIT_STEP * depth / (1 + depth)
        if known is not None:
            last = last + np.maximum(known[box], np.iinfo(np.int8).min * LOGIT_STEP)
        numbers = np.unique(here[here > 0])
        for number, (y, x) in zip(numbers.tolist(), maximum_position(last, here, numbers), strict=True):
            found.setdefault(number, []).append((row, top + int(y), left + int(x)))
    return found


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


def for_file(voxels: Collection[Voxel], together: Sequence[Collection[Voxel]], plan: SlicePlan) -> dict[str, Any]:
    """What is kept of them; nothing where there are none."""
    groups = {TOGETHER: [stored(one, plan) for one in together]} if together else {}
    return {LEFT_OUT: stored(voxels, plan), **groups} if voxels else {}


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
