"""`Scale`: what voxels measure, in the words of the image's own world: pixels, micrometres, or millimetres and mL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import floor, inf, log10

import numpy as np

from boltzformer.types import Volume

MICROSCOPIC_MM = 0.02
"""Pixels below this size are measured in µm: slide scanners and cameras have 0.1 to 10 µm, the finest CT has more."""
DECADES, MANTISSAS = 6, (1, 2, 3, 5, 7)
"""Steps of a slider of sizes."""


@dataclass(frozen=True)
class Scale:
    """A picture is measured in areas, everything else in volumes."""

    voxel_mm3: float = 1.0
    """As the grid counts it: what `smallest_mm3` is held against, here and on the command line."""
    pixel_mm: tuple[float, float] | None = None
    """Rows and columns of a slice; None: nobody knows."""
    flat: bool = True
    voxels: int | None = None
    """Of the whole image; None: nobody knows."""

    @staticmethod
    def of(volume: Volume) -> Scale:
        """What says nothing but 'one voxel is one' has no scale."""
        grid, axis = volume.grid, volume.slice_axis
        down, across = grid.canonical_scale_translate(axis)[0][-2:]
        voxel = abs(float(np.linalg.det(np.array(grid.axes))))
        sides = (abs(float(down)), abs(float(across))) if volume.has_place else None
        return Scale(voxel, sides, grid.shape[axis] == 1, int(np.prod(grid.shape)))

    @property
    def length_unit(self) -> str:
        """'px', 'µm' or 'mm'."""
        if self.pixel_mm is None:
            return "px"
        return "µm" if max(self.pixel_mm) < MICROSCOPIC_MM else "mm"

    @property
    def size_unit(self) -> str:
        """Of small objects: 'px', 'voxels', 'µm²', 'mm²', 'µm³' or 'mm³'."""
        if self.length_unit == "px":
            return "px" if self.flat else "voxels"
        return self.length_unit + ("²" if self.flat else "³")

    def length(self, mm: float) -> float:
        """In `length_unit`; a grid without a scale has steps of 1 mm."""
        return mm * 1000 if self.length_unit == "µm" else mm

    def size(self, voxels: float) -> float:
        """In `size_unit`."""
        return voxels * self._per_voxel

    def amount(self, voxels: int) -> str:
        """'1.2 mL', '340 µm²', '1,234 px'."""
        if self.size_unit != "mm³":
            return f"{_short(self.size(voxels))} {self.size_unit}"
        ml = voxels * self.voxel_mm3 / 1000
        return f"{ml:.1f} mL" if ml >= 0.95 else f"{ml:.2g} mL"

    def small(self, mm3: float) -> str:
        """A least size as the grid counts it, for a sentence: '20 mm³', '50 px'."""
        return f"{_short(self.size(mm3 / self.voxel_mm3))} {self.size_unit}"

    def density(self, objects: int, pixels: int) -> str:
        """So many in a picture of so many pixels: '250 per mm²'; without a scale, per million pixels."""
        if self.pixel_mm is None:
            return f"{_short(objects / pixels * 1e6)} per megapixel"
        return f"{_short(objects / (pixels * self._area_mm2))} per mm²"

    @cached_property
    def steps_mm3(self) -> Sequence[float]:
        """Round sizes for a slider, as the grid counts them: nothing first, then from below one voxel upwards, none
        larger than the whole image."""
        most = inf if self.voxels is None else self.size(self.voxels)
        least = floor(log10(self._per_voxel))
        sizes = (m * 10.0**e for e, m in product(range(least, least + DECADES), MANTISSAS))
        return 0.0, *(size / self._per_voxel * self.voxel_mm3 for size in sizes if size <= most)

    def least(self, mm3: float) -> float:
        """A least size that was chosen when this image had another scale, or none: larger than all of it, it was meant
        in voxels; else, or less than half of a voxel, there is no sense in it."""
        if mm3 < self.voxel_mm3 / 2:
            return 0.0
        if self.voxels is None or mm3 <= self.voxels * self.voxel_mm3:
            return mm3
        return mm3 * self.voxel_mm3 if mm3 <= self.voxels else 0.0

    @property
    def _area_mm2(self) -> float:
        down, across = self.pixel_mm or (1.0, 1.0)
        return down * across

    @property
    def _per_voxel(self) -> float:
        """`size_unit` of one."""
        if self.pixel_mm is None:
            return 1.0
        if self.flat:
            return self._area_mm2 * (1e6 if self.length_unit == "µm" else 1)
        return self.voxel_mm3 * (1e9 if self.length_unit == "µm" else 1)


def _short(number: float) -> str:
    """Three digits, and all of whole hundreds."""
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"
