"""`Strands`: the objects of a large mask that is empty almost everywhere, by its runs of voxels along a row. Of
300 × 512² voxels a second is left of the eight that a label for each voxel takes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array


@dataclass(frozen=True)
class Strands:
    """In the order of the array; voxels that touch, also by a corner, are one object (as `objects.pieces` has it)."""

    shape: tuple[int, int, int]
    line: NDArray[np.int64]
    """Of all rows of all slices."""
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    """Behind the last voxel."""

    @staticmethod
    def of(mask: Array) -> Strands:
        """(slices, rows, columns), not 0 where something is."""
        lines, starts, stops = [], [], []
        count, width = mask.shape[1], mask.shape[2] + 1  # a blank voxel ends each row: strands begin and end by turns
        for number, plane in enumerate(mask):
            there = np.flatnonzero(plane.any(axis=1))
            if len(there):
                flat = np.zeros(len(there) * width + 1, bool)
                flat[1:].reshape(-1, width)[:, :-1] = plane[there] != 0
                ends = np.flatnonzero(flat[1:] != flat[:-1])
                row = ends[::2] // width
                lines.append(number * count + there[row])
                starts.append(ends[::2] - row * width)
                stops.append(ends[1::2] - row * width)
        none = [np.zeros(0, np.int64)]
        shape = mask.shape[0], mask.shape[1], mask.shape[2]
        return Strands(shape, *(np.concatenate(one or none).astype(np.int64) for one in (lines, starts, stops)))

    @cached_property
    def label(self) -> NDArray[np.int64]:
        """(n,): each strand's object, from 1."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n = len(self.line)
        if not n:
            return np.zeros(0, np.int64)
        pairs = [self._beside(down, below) for down, below in ((0, 1), (1, -1), (1, 0), (1, 1))]
        one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
        links = coo_array((np.ones(len(one), np.int8), (one, other)), (n, n))
        made: NDArray[np.int64] = connected_components(links, directed=False)[1].astype(np.int64) + 1
        return made

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Voxels of each object, behind a 0 for the background."""
        found: NDArray[np.int64] = np.bincount(self.label, self.stop - self.start).astype(np.int64)
        return found if len(found) else np.zeros(1, np.int64)

    @property
    def count(self) -> int:
        """Of objects."""
        return len(self.sizes) - 1

    def in_slice(self, number: int) -> NDArray[np.int64]:
        """The objects that reach into a slice."""
        return np.unique(self.label[self.line // self.shape[1] == number])

    def under(self, voxels: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(slices, rows, columns): the objects that hold at least one of these."""
        before = np.concatenate([[0], np.cumsum(voxels.reshape(-1))])
        first = self.line * self.shape[2]
        return np.unique(self.label[before[first + self.stop] > before[first + self.start]])

    def within(self, voxels: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(slices, rows, columns) → how many of these each object holds, behind a 0 for the background."""
        before = np.zeros(voxels.size + 1, np.int32 if voxels.size < 2**31 else np.int64)
        np.cumsum(voxels.reshape(-1), out=before[1:])
        first = self.line * self.shape[2]
        held = before[first + self.stop] - before[first + self.start]
        found: NDArray[np.int64] = np.bincount(self.label, held, self.count + 1).astype(np.int64)
        return found

    def mask(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(slices, rows, columns): the chosen objects, by number."""
        whole = np.zeros(self.shape, bool)
        these = chosen[self.label]
        length = (self.stop - self.start)[these]
        first = (self.line * self.shape[2] + self.start)[these]
        before = np.cumsum(length) - length
        whole.reshape(-1)[np.repeat(first - before, length) + np.arange(length.sum())] = True
        return whole

    def _beside(self, down: int, below: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of strands that touch, of which the second lies so many slices and rows further."""
        rows, width = self.shape[1], self.shape[2] + 2
        row = self.line % rows + below
        target = (self.line + down * rows + below) * width
        first = np.searchsorted(self.line * width + self.stop, target + self.start, "left")
        last = np.searchsorted(self.line * width + self.start, target + self.stop, "right")
        many = np.where((row >= 0) & (row < rows), np.maximum(last - first, 0), 0)
        one = np.repeat(np.arange(len(many)), many)
        before = np.cumsum(many) - many
        return one, np.repeat(first - before, many) + np.arange(many.sum())
