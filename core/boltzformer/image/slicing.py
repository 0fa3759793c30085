"""`SlicePlan`: how a volume is cut into square network slices and how answers are put back. One object, both ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import BoltzFormerError, GeometryError
from boltzformer.image.geometry import PLANES, Array, CanonicalView, Grid
from boltzformer.image.intensity import Window
from boltzformer.image.region import Box
from boltzformer.image.resampling import Resampler, nearest, resize

Channels = Literal["neighbours", "repeat", "rgb"]

LOGIT_STEP = 1 / 16
"""Logits travel as int8 in steps of 1/16, so they reach ±8 (probability 0.0003…0.9997)."""


def to_int8(logits: Array) -> NDArray[np.int8]:
    """Logits as they cross the border between engine and viewers."""
    return np.clip(np.rint(np.asarray(logits) / LOGIT_STEP), -128, 127).astype(np.int8)


@dataclass(frozen=True)
class SlicePlan:
    """Slices of `grid` along one array axis, seen canonically, padded to a square with black and resized to `size`."""

    grid: Grid
    axis: int
    """Array axis (z, y, x) along which the volume is sliced."""
    size: int
    """Side of the network's input in pixels."""
    channels: Channels = "neighbours"
    """What the network's three channels hold: this slice, the one before and the one after it; this slice three times;
    or the three colours. A colour image becomes gray (its luma) unless the model wants rgb; there, gray is repeated."""
    resampler: Resampler = "antialiased"
    """How slices are resized; the public model was fed by plain 'bicubic'."""
    orient: bool = True
    """False leaves slices as they are stored, for comparison with the reference, which knows no orientation."""
    box: Box | None = None
    """Only these voxels are looked at, enlarged to the network's size; None is all of them."""

    def __post_init__(self) -> None:
        if self.axis not in (0, 1, 2) or self.size < 1:
            raise GeometryError(
                f"Slices of {self.size} pixels along axis {self.axis} can't be cut: "
                "choose axis 0, 1 or 2 of the array (z, y, x) and a size of at least 1."
            )
        for name, known in (("channels", get_args(Channels)), ("resampler", get_args(Resampler))):
            if getattr(self, name) not in known:
                raise BoltzFormerError(
                    f"The model asks for {name} '{getattr(self, name)}', which this version does not know "
                    f"({', '.join(known)}): update napari-boltzformer."
                )

    @staticmethod
    def of(
        grid: Grid,
        size: int,
        axis: int | None = None,
        *,
        channels: Channels = "neighbours",
        resampler: Resampler = "antialiased",
        orient: bool = True,
        box: Box | None = None,
    ) -> SlicePlan:
        """The plan for a grid; slices along the acquisition axis unless told otherwise (`Volume.slice_axis` knows)."""
        return SlicePlan(grid, grid.acquisition_axis if axis is None else axis, size, channels, resampler, orient, box)

    @cached_property
    def view(self) -> CanonicalView:
        """From the stored array to (slice, row, column)."""
        if self.orient:
            return self.grid.canonical(self.axis)
        row, column = (other for other in range(3) if other != self.axis)
        return CanonicalView((self.axis, row, column), (False, False, False))

    @property
    def count(self) -> int:
        """Number of slices."""
        return self.grid.shape[self.axis]

    @property
    def indices(self) -> range:
        """Stored numbers of the slices that can be looked at: all, or those in the box."""
        return range(self.count) if self.box is None else range(*self.box[self.axis])

    @cached_property
    def crop(self) -> tuple[slice, slice]:
        """Rows and columns of the canonical slice that the network sees: all, or those in the box."""
        if self.box is None:
            return slice(0, self.slice_shape[0]), slice(0, self.slice_shape[1])
        parts: list[slice] = []
        for stored, flip in zip(self.view.order[1:], self.view.flips[1:], strict=True):
            low, high = self.box[stored]
            n = self.grid.shape[stored]
            parts.append(slice(n - high, n - low) if flip else slice(low, high))
        return parts[0], parts[1]

    @cached_property
    def crop_shape(self) -> tuple[int, int]:
        """Number of rows and columns that the network sees."""
        rows, columns = self.crop
        return rows.stop - rows.start, columns.stop - columns.start

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
        """(3, size, size) in 0…255: what the network is shown of the stored slice `index`."""
        if array.shape[:3] != self.grid.shape:
            raise GeometryError(
                f"The image has shape {array.shape[:3]}, the plan was made for {self.grid.shape}: "
                "make a plan for the grid of this image."
            )
        seen, middle = self.view.apply(array), self.canonical_index(index)
        if self.channels == "rgb" and array.ndim == 4:
            colours = window.apply(seen[middle][self.crop])
            return np.stack([self.to_network(colours[..., channel]) for channel in range(3)]).astype(np.float32)
        numbers = self.neighbours(middle) if self.channels == "neighbours" else (middle,) * 3
        planes = {number: self.to_network(_gray(window.apply(seen[number][self.crop]))) for number in set(numbers)}
        return np.stack([planes[number] for number in numbers]).astype(np.float32)

    def neighbours(self, middle: int) -> tuple[int, int, int]:
        """Canonical numbers of a slice, the one before and the one after; the ends mirror, a single slice repeats."""
        before, after = middle - 1, middle + 1
        if before < 0:
            before = min(after, self.count - 1)
        if after >= self.count:
            after = max(self.count - 2, 0)
        return middle, before, after

    def to_pixels(self, voxel: Sequence[float]) -> tuple[float, float, float]:
        """Where a place i, j, k of the stored array lies: slice (stored number), row and column of the network's input.

        Slices and voxels are counted at their centres, pixels of the network from the image's edge.
        """
        side, seen = max(self.crop_shape), []
        for stored, flip, crop, inside in zip(
            self.view.order[1:], self.view.flips[1:], self.crop, self._inside, strict=True
        ):
            place = voxel[2 - stored]
            canonical = self.grid.shape[stored] - 1 - place if flip else place
            seen.append((canonical + 0.5 - crop.start + inside.start) * self.size / side)
        return voxel[2 - self.axis], seen[0], seen[1]

    def to_network(self, plane: Array) -> Array:
        """One canonical slice, padded and resized: uint8 stays uint8, decimals may overshoot."""
        square = np.zeros((max(plane.shape),) * 2, plane.dtype)
        square[self._inside] = plane
        return resize(square, (self.size, self.size), self.resampler)

    def to_answer(self, plane: Array, side: int, outside: float = 0.0) -> NDArray[np.float32]:
        """(side, side): a canonical plane as the model's answers lie, the square's padding filled with `outside`."""
        square = np.full((max(self.crop_shape),) * 2, outside, np.float32)
        square[self._inside] = plane[self.crop]
        made: NDArray[np.float32] = resize(square, (side, side), "antialiased")
        return made

    def expand(self, logits: NDArray[np.int8]) -> NDArray[np.float32]:
        """Logits (h, w) at model resolution → logits on the rows and columns of the canonical slice; −∞ off the box."""
        side = max(self.crop_shape)
        seen: NDArray[np.float32] = resize(
            logits.astype(np.float32) * LOGIT_STEP, (side, side), "antialiased", self._inside
        )
        if self.box is None:
            return seen
        whole = np.full(self.slice_shape, -np.inf, np.float32)
        whole[self.crop] = seen
        return whole

    def mask(self, logits: NDArray[np.int8], threshold: float = 0.5) -> NDArray[np.bool_]:
        """One slice's mask in the canonical view. Logits are resized first and compared after: borders stay put."""
        return self.expand(logits) >= _logit(threshold)

    def masks(self, slices: Iterable[tuple[int, NDArray[np.int8]]], threshold: float = 0.5) -> NDArray[np.uint8]:
        """(stored index, logits of one prompt) of every slice → a 0/1 array (z, y, x) on the stored grid."""
        stored = np.zeros(self.grid.shape, np.uint8)
        seen = self.view.apply(stored)
        for index, logits in slices:
            seen[self.canonical_index(index)] = self.mask(logits, threshold)
        return stored

    def restore(self, labels: Array) -> Array:
        """Finished label slices (count, size, size) in canonical order → stored axes, the way the reference goes back.

        Ours is `masks`: it resizes logits, not labels, and keeps small objects' borders.
        """
        side = max(self.slice_shape)
        return self.view.undo(nearest(labels, (side, side))[(slice(None), *self._inside)])

    @cached_property
    def _inside(self) -> tuple[slice, slice]:
        """Where the slice lies in its padded square; an odd pixel goes behind."""
        side = max(self.crop_shape)
        rows, columns = (slice((side - n) // 2, (side - n) // 2 + n) for n in self.crop_shape)
        return rows, columns


def axis_by_shape(shape: Sequence[int]) -> int:
    """The axis that the public model's scripts slice along: for comparison only, for it guesses and a `Grid` knows."""
    z, y, x = shape
    return 0 if 2 * abs(y - x) / (y + x) < 0.5 else int(np.argmin((z, y, x)))


def _gray(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma (ITU-R BT.601) of a colour plane (rows, columns, 3), in whole numbers so that it is the same everywhere."""
    if plane.ndim == 2:
        return plane
    return ((plane @ np.array((19595, 38470, 7471)) + 0x8000) >> 16).astype(np.uint8)


def _logit(probability: float) -> np.float32:
    if not 0 <= probability <= 1:
        raise BoltzFormerError(f"The threshold {probability} is no probability: give a number from 0 to 1.")
    with np.errstate(divide="ignore"):  # at 0 everything is inside, at 1 nothing
        return np.float32(np.log(np.float64(probability)) - np.log1p(-np.float64(probability)))
