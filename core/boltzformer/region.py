"""`Region`: a box in the world that is looked at enlarged, for objects too small to be seen in a whole slice."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from boltzformer.errors import GeometryError
from boltzformer.geometry import Array, Grid

Point = tuple[float, float, float]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First and last-but-one voxel along each array axis (z, y, x)."""


@dataclass(frozen=True)
class Region:
    """Two corners in LPS millimetres; any two that face each other will do."""

    low_lps_mm: Point
    high_lps_mm: Point

    def __post_init__(self) -> None:
        corners = np.array([self.low_lps_mm, self.high_lps_mm], np.float64)
        if corners.shape != (2, 3) or not np.isfinite(corners).all():
            raise GeometryError(f"A region needs two corners x, y, z in mm, not {self.low_lps_mm}, {self.high_lps_mm}.")
        for name, corner in (("low_lps_mm", corners.min(0)), ("high_lps_mm", corners.max(0))):
            object.__setattr__(self, name, tuple(corner.tolist()))

    @staticmethod
    def of_voxels(grid: Grid, first: tuple[int, int, int], last: tuple[int, int, int]) -> Region:
        """Around the centres of two voxels i, j, k of a grid and all between them."""
        corners = np.array([grid.world(corner) for corner in product(*zip(first, last, strict=True))])
        low, high = corners.min(0).tolist(), corners.max(0).tolist()
        return Region((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    @staticmethod
    def around(grid: Grid, mask: Array, margin_mm: float = 10.0) -> Region:
        """Around what a first pass found (an array on the grid, not 0 where something is), with a margin."""
        if mask.shape != grid.shape:
            raise GeometryError(f"The mask has shape {mask.shape}, its grid {grid.shape}: give the grid of the mask.")
        found = np.argwhere(mask)[:, ::-1]  # (n, 3) i, j, k
        if not len(found):
            raise GeometryError("The first pass found nothing, so there is no region to look at: give a box instead.")
        first, last = found.min(0).tolist(), found.max(0).tolist()
        tight = Region.of_voxels(grid, (first[0], first[1], first[2]), (last[0], last[1], last[2]))
        low, high = np.array(tight.low_lps_mm) - margin_mm, np.array(tight.high_lps_mm) + margin_mm
        return Region((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    def box(self, grid: Grid, axis: int) -> Box:
        """The voxels of a grid in it, made square in the slices along an axis as far as the image reaches.

        Square, because the network sees squares: better filled with what is there than padded with black.
        """
        corners = np.array(list(product(*zip(self.low_lps_mm, self.high_lps_mm, strict=True))))  # (8, 3) x, y, z
        places = np.linalg.solve(np.array(grid.axes), (corners - np.array(grid.origin)).T).T[:, ::-1]  # z, y, x
        # A voxel reaches half a step beyond its centre; rounding errors must not add a row.
        low = np.maximum(np.ceil(places.min(0) - 0.5 - 1e-6), 0).astype(int)
        high = np.minimum(np.floor(places.max(0) + 0.5 + 1e-6) + 1, grid.shape).astype(int)
        if (low >= high).any():
            raise GeometryError(
                f"The region from {self.low_lps_mm} to {self.high_lps_mm} mm (LPS) lies outside the image: "
                "give a box within it."
            )
        plane = [other for other in range(3) if other != axis]
        side = max(int(high[other] - low[other]) for other in plane)
        for other in plane:
            wide = min(side, grid.shape[other])
            start = int(low[other]) - (wide - int(high[other] - low[other])) // 2
            low[other] = min(max(start, 0), grid.shape[other] - wide)
            high[other] = low[other] + wide
        z, y, x = ((int(a), int(b)) for a, b in zip(low, high, strict=True))
        return z, y, x
