"""`SlicePlan`: how a volume is cut into square network slices and how answers are put back. One object, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from boltzformer.geometry import PLANES, Array, CanonicalView, Grid
from boltzformer.intensity import Window

LOGIT_STEP = 1 / 16
"""Logits travel as int8 in steps of 1/16, so they reach ±8 (probability 0.0003…0.9997)."""


def to_int8(logits: Array) -> NDArray[np.int8]:
    """Logits as they cross the border between engine and viewers."""
    return np.clip(np.rint(np.asarray(logits) / LOGIT_STEP), -128, 127).astype(np.int8)


@dataclass(frozen=True)
class SlicePlan:
    """Slices of `grid` along one array axis, seen canonically, padded to a square and resized to `size`."""

    grid: Grid
    axis: int
    """Array axis (z, y, x) along which the volume is sliced."""
    size: int
    """Side of the network's input in pixels."""

    @staticmethod
    def of(grid: Grid, size: int, axis: int | None = None) -> SlicePlan:
        """The plan for a grid; slices along the acquisition axis unless told otherwise."""
        return SlicePlan(grid, grid.acquisition_axis if axis is None else axis, size)

    @cached_property
    def view(self) -> CanonicalView:
        """From the stored array to (slice, row, column)."""
        return self.grid.canonical(self.axis)

    @property
    def count(self) -> int:
        """Number of slices."""
        return self.grid.shape[self.axis]

    @property
    def plane(self) -> str:
        """'axial', 'coronal' or 'sagittal'."""
        return PLANES[self.grid.world_axes[self.axis]]

    @cached_property
    def slice_shape(self) -> tuple[int, int]:
        """Rows and columns of one slice in the canonical view."""
        return self.grid.shape[self.view.order[1]], self.grid.shape[self.view.order[2]]

    def canonical_index(self, index: int) -> int:
        """Slice number in the canonical view of the stored slice number, and the other way round."""
        return self.count - 1 - index if self.view.flips[0] else index

    def network_slice(self, array: Array, window: Window, index: int) -> NDArray[np.float32]:
        """(3, size, size) in 0…255: this slice and its two neighbours as channels, or the colours of an RGB image."""
        seen, middle = self.view.apply(array), self.canonical_index(index)
        if array.ndim == 4:
            planes = [seen[middle, ..., channel] for channel in range(3)]
        else:
            before, after = middle - 1, middle + 1
            before = min(after, self.count - 1) if before < 0 else before  # the edge mirrors, as in the reference
            after = max(self.count - 2, 0) if after >= self.count else after
            planes = [seen[middle], seen[before], seen[after]]
        return np.stack([self._to_network(window.apply(np.ascontiguousarray(plane))) for plane in planes])

    def expand(self, logits: NDArray[np.int8]) -> NDArray[np.float32]:
        """Logits (h, w) at model resolution → logits on the rows and columns of the canonical slice."""
        side = max(self.slice_shape)
        full = resize(logits.astype(np.float32) * LOGIT_STEP, (side, side), a=-0.5, antialias=True)
        return full[self._inside]

    def masks(self, slices: Iterable[tuple[int, NDArray[np.int8]]], threshold: float = 0.5) -> NDArray[np.uint8]:
        """(stored index, logits of one prompt) of every slice → a 0/1 array (z, y, x) on the stored grid."""
        stored = np.zeros(self.grid.shape, np.uint8)
        seen = self.view.apply(stored)
        for index, logits in slices:
            seen[self.canonical_index(index)] = self.mask(logits, threshold)
        return stored

    def mask(self, logits: NDArray[np.int8], threshold: float = 0.5) -> NDArray[np.bool_]:
        """One slice's mask in the canonical view. Logits are resized first and compared after: borders stay put."""
        return self.expand(logits) >= np.float32(np.log(threshold / (1 - threshold)))

    @cached_property
    def _inside(self) -> tuple[slice, slice]:
        """Where the slice lies in its padded square."""
        side, starts = max(self.slice_shape), [(max(self.slice_shape) - n) // 2 for n in self.slice_shape]
        assert side >= max(starts)
        return slice(starts[0], starts[0] + self.slice_shape[0]), slice(starts[1], starts[1] + self.slice_shape[1])

    def _to_network(self, plane: NDArray[np.uint8]) -> NDArray[np.float32]:
        square = np.zeros((max(plane.shape),) * 2, np.float32)
        square[self._inside] = plane
        return np.clip(resize(square, (self.size, self.size), a=-0.5, antialias=True), 0, 255)


def resize(plane: NDArray[np.float32], shape: tuple[int, int], *, a: float, antialias: bool) -> NDArray[np.float32]:
    """Separable bicubic resize. a = -0.5 with antialias is the reference's way with logits."""
    if plane.shape == shape:
        return plane
    rows = _weights(plane.shape[0], shape[0], a, antialias)
    columns = _weights(plane.shape[1], shape[1], a, antialias)
    return rows @ np.ascontiguousarray(plane) @ columns.T


@lru_cache(maxsize=64)
def _weights(source: int, target: int, a: float, antialias: bool) -> NDArray[np.float32]:
    """(target, source) weights of a bicubic resize, pixel centres aligned as areas."""
    scale = source / target
    support = max(scale, 1.0) if antialias else 1.0
    matrix = np.zeros((target, source))
    for row in range(target):
        centre = scale * (row + 0.5) - 0.5
        taps = np.arange(int(np.floor(centre - 2 * support)), int(np.ceil(centre + 2 * support)) + 1)
        weights = _cubic((taps - centre) / support, a)
        if antialias:  # taps outside are dropped and the rest re-normalised
            inside = (taps >= 0) & (taps < source)
            taps, weights = taps[inside], weights[inside]
        np.add.at(matrix[row], np.clip(taps, 0, source - 1), weights / weights.sum())
    return matrix.astype(np.float32)


def _cubic(x: Array, a: float) -> Array:
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
