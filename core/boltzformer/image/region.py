"""`Region`: a box in the world that is looked at enlarged, for objects too small to be seen in a whole slice."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import GeometryError
from boltzformer.image.geometry import FLATTEST, Array, Grid

Point = tuple[float, float, float]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First and last-but-one voxel along each array axis (z, y, x)."""


@dataclass(frozen=True)
class Region:
    """Two corners in LPS millimetres; any two that face each other will do."""

    low_lps_mm: Point
    high_lps_mm: Point
    axes: tuple[Point, Point, Point] | None = None
    """Unit vectors (LPS) along the box's edges, where those are not x, y and z."""

    def __post_init__(self) -> None:
        corners = np.array([self.low_lps_mm, self.high_lps_mm], np.float64)
        if corners.shape != (2, 3) or not np.isfinite(corners).all():
            raise GeometryError(f"A region needs two corners x, y, z in mm, not {self.low_lps_mm}, {self.high_lps_mm}.")
        if self.axes is not None:
            axes = np.array(self.axes, np.float64)
            if axes.shape != (3, 3) or not np.isfinite(axes).all() or abs(np.linalg.det(axes)) < FLATTEST:
                raise GeometryError(f"The axes {self.axes} span no region: give three directions x, y, z (LPS).")
            i, j, k = (tuple(axis) for axis in axes.tolist())
            object.__setattr__(self, "axes", (i, j, k))
        along = self._along(corners)
        if (along[0] > along[1]).any():
            corners = self._world(np.sort(along, axis=0))
        for name, corner in zip(("low_lps_mm", "high_lps_mm"), corners, strict=True):
            object.__setattr__(self, name, tuple(corner.tolist()))

    @staticmethod
    def of_voxels(grid: Grid, first: tuple[int, int, int], last: tuple[int, int, int]) -> Region:
        """Around the centres of two voxels i, j, k of a grid and all between them, along the grid's own axes."""
        (a, b, c), (d, e, f) = (np.array(grid.world(corner)).tolist() for corner in (first, last))
        return Region((a, b, c), (d, e, f), _axes_of(grid))

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
        low, high = tight._along(np.array([tight.low_lps_mm, tight.high_lps_mm]))
        (a, b, c), (d, e, f) = tight._world(np.array([low - margin_mm, high + margin_mm])).tolist()
        return Region((a, b, c), (d, e, f), tight.axes)

    def box(self, grid: Grid, axis: int) -> Box:
        """The voxels of a grid in it, made square in the slices along an axis as far as the image reaches.

        Square, because the network sees squares: better filled with what is there than padded with black.
        """
        low, high = self._along(np.array([self.low_lps_mm, self.high_lps_mm]))
        corners = self._world(np.array(list(product(*zip(low, high, strict=True)))))  # (8, 3) x, y, z
        places = np.linalg.solve(np.array(grid.axes), (corners - np.array(grid.origin)).T).T[:, ::-1]  # z, y, x
        # A voxel reaches half a step beyond its centre; rounding errors must not add a row.
        # Cut off before they become whole numbers: places that lie light-years away would turn into others.
        low = np.clip(np.ceil(places.min(0) - 0.5 - 1e-6), 0, grid.shape).astype(int)
        high = np.clip(np.floor(places.max(0) + 0.5 + 1e-6) + 1, 0, grid.shape).astype(int)
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

    def _along(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 3) x, y, z → mm along the box's edges."""
        return points if self.axes is None else np.linalg.solve(np.array(self.axes).T, points.T).T

    def _world(self, along: NDArray[np.float64]) -> NDArray[np.float64]:
        """And back."""
        return along if self.axes is None else along @ np.array(self.axes)


def _axes_of(grid: Grid) -> tuple[Point, Point, Point] | None:
    """The grid's, in the order and direction of the x, y and z they are nearest to: however an image is stored."""
    steps = grid.direction  # (3, 3): columns
    order = max(permutations(range(3)), key=lambda order: sum(abs(steps[n, one]) for n, one in enumerate(order)))
    axes = steps[:, order]
    axes = axes * np.where(np.diag(axes) < 0, -1, 1)
    if np.allclose(axes, np.eye(3), rtol=0, atol=1e-9):
        return None
    i, j, k = ((a, b, c) for a, b, c in axes.T.tolist())
    return i, j, k
