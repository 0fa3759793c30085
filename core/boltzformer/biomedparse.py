"""BiomedParse v2's own way from a volume to square slices and back, for numbers that compare with its publications.

The plugin itself cuts along the acquisition axis of the grid (`SlicePlan`); the reference guesses the axis from the
array's shape, as everything here does. Numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import ImageError
from boltzformer.geometry import Array
from boltzformer.slicing import resize


def slice_axis(shape: Sequence[int]) -> int:
    """The first axis if the two others are alike (within a factor of 5/3), else the shortest, the first in a tie."""
    _, b, c = shape
    return 0 if 2 * abs(b - c) / (b + c) < 0.5 else int(np.argmin(shape))


@dataclass(frozen=True)
class SquareSlices:
    """How a volume is cut, padded to a square and resized, and how labels go back."""

    axis: int
    padding: tuple[tuple[int, int], tuple[int, int]]
    """Zeros before and after the rows and the columns."""
    side: int
    """Of the padded square, before it is resized."""
    size: int
    """Of the network's input."""

    @staticmethod
    def of(shape: Sequence[int], size: int) -> SquareSlices:
        """The plan for a volume's shape."""
        axis = slice_axis(shape)
        plane = [n for index, n in enumerate(shape) if index != axis]
        side = max(plane)
        rows, columns = ((side - n) // 2 for n in plane)
        return SquareSlices(axis, ((rows, side - plane[0] - rows), (columns, side - plane[1] - columns)), side, size)

    def cut(self, volume: Array) -> Array:
        """(slices, size, size) in the volume's dtype. float32 may overshoot 0…255, as in the reference."""
        if volume.dtype not in (np.uint8, np.float32):
            raise ImageError(f"The reference resizes uint8 or float32 volumes, not {volume.dtype}: convert it first.")
        square = np.pad(np.moveaxis(volume, self.axis, 0), ((0, 0), *self.padding))
        if self.size == self.side:
            return square
        if volume.dtype == np.uint8:
            return np.stack([_resize_bytes(plane, self.size) for plane in square])
        return np.stack([resize(plane, (self.size, self.size), a=-0.75, antialias=False) for plane in square])

    def back(self, labels: NDArray[np.int64]) -> Array:
        """(slices, size, size) label values → the volume's own shape, by the nearest pixel."""
        square: Array = labels
        if self.size != self.side:
            scale = np.float32(self.size) / np.float32(self.side)  # in float32, or some pixels pick another neighbour
            nearest = np.minimum(np.floor(np.arange(self.side, dtype=np.float32) * scale), self.size - 1).astype(int)
            square = labels[:, nearest][:, :, nearest].astype(np.int32)
        (top, bottom), (left, right) = self.padding
        inner = square[:, top : self.side - bottom, left : self.side - right]
        return np.moveaxis(inner, 0, self.axis)


def pack(volume: Array) -> NDArray[np.float32]:
    """(D, H, W) → (D, 3, H, W): each slice with the one before and the one after it; the ends mirror."""
    depth = len(volume)
    here = np.arange(depth)
    before, after = np.abs(here - 1), depth - 1 - np.abs(depth - 2 - here)
    if depth == 1:
        before = after = here
    return np.stack([volume, volume[before], volume[after]], axis=1).astype(np.float32)


def _resize_bytes(plane: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bicubic in integers, columns first, rounded and clipped after each pass, as torch does with bytes."""
    columns = _integer_pass(plane, size)
    return _integer_pass(columns.T, size).T


def _integer_pass(rows: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    source = rows.shape[1]
    # What a linear resize makes of the identity are its weights.
    weights = resize(np.eye(source, dtype=np.float32), (size, source), a=-0.75, antialias=False).astype(np.float64)
    # The largest power of two with which every weight still fits 16 bits.
    bits = next(n for n in range(23) if n == 22 or int(0.5 + weights.max() * 2 ** (n + 1)) >= 2**15)
    whole = np.trunc(weights * 2**bits + np.copysign(0.5, weights)).astype(np.int64)
    return np.clip((rows.astype(np.int64) @ whole.T + (1 << (bits - 1))) >> bits, 0, 255).astype(np.uint8)
