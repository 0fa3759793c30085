"""Where voxels are: `Grid` (LPS millimetres) and the canonical view in which people and the network see a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from boltzformer.errors import GeometryError

Array = NDArray[Any]
"""An array whose dtype is not known beforehand."""

Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
PLANES = ("sagittal", "coronal", "axial")
"""Name of the slices that are stacked along world x, y, z."""

# For each plane (sagittal, coronal, axial): world axis and sign of slices, rows and columns (design, section 6).
_CANONICAL = {
    0: ((0, 1), (2, -1), (1, 1)),  # slices → left, rows → inferior, columns → posterior
    1: ((1, 1), (2, -1), (0, 1)),  # slices → posterior, rows → inferior, columns → left
    2: ((2, 1), (1, 1), (0, 1)),  # slices → superior, rows → posterior, columns → left
}


@dataclass(frozen=True)
class CanonicalView:
    """Transposes and flips (no copy) that take a stored (z, y, x) array to (slice, row, column), and back."""

    order: tuple[int, int, int]
    """Stored array axis that becomes the slice, row and column axis."""
    flips: tuple[bool, bool, bool]
    """Whether the slice, row and column axis runs against the stored one."""

    def apply(self, array: Array) -> Array:
        """The view of an array (z, y, x) or (z, y, x, channels)."""
        extra = tuple(range(3, array.ndim))
        return array.transpose(*self.order, *extra)[self._steps]

    def undo(self, array: Array) -> Array:
        """From the view back to the stored axes."""
        back = tuple(int(axis) for axis in np.argsort(self.order))
        extra = tuple(range(3, array.ndim))
        return array[self._steps].transpose(*back, *extra)

    @property
    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)


@dataclass(frozen=True)
class Grid:
    """The place of a (z, y, x) array in the world: LPS, millimetres."""

    shape: tuple[int, int, int]
    """Number of voxels (z, y, x), like the array."""
    axes: Matrix
    """3×3; column n is the step in LPS mm from one voxel to the next along i, j, k (the array's x, y, z)."""
    origin: tuple[float, float, float]
    """LPS mm of the centre of voxel i = j = k = 0."""

    def __post_init__(self) -> None:
        determinant = float(np.linalg.det(np.array(self.axes)))
        if not np.isfinite(determinant) or not np.isfinite(self.origin).all() or abs(determinant) < 1e-12:
            raise GeometryError(
                f"The voxel axes {self.axes} with origin {self.origin} span no volume: "
                "a spacing is zero or a direction is impossible. Repair the header of the image."
            )

    @staticmethod
    def from_lps(shape: Sequence[int], affine: ArrayLike) -> Grid:
        """From a 4×4 that takes (i, j, k, 1) to LPS mm."""
        a = np.asarray(affine, dtype=float)
        z, y, x = (int(n) for n in shape)
        rows = [tuple(float(v) for v in a[r, :3]) for r in range(3)]
        origin = (float(a[0, 3]), float(a[1, 3]), float(a[2, 3]))
        return Grid((z, y, x), (rows[0], rows[1], rows[2]), origin)  # type: ignore[arg-type]

    @staticmethod
    def pixels(shape: Sequence[int]) -> Grid:
        """A grid of 1 mm at the origin, for images that carry no geometry: taken as they are."""
        return Grid.from_lps(shape, np.eye(4))

    @cached_property
    def lps(self) -> NDArray[np.float64]:
        """4×4: (i, j, k, 1) → LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.axes
        matrix[:3, 3] = self.origin
        return matrix

    @cached_property
    def ras(self) -> NDArray[np.float64]:
        """4×4: (i, j, k, 1) → RAS mm, as NIfTI and Slicer count."""
        return LPS_FROM_RAS @ self.lps

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Length of one step along i, j, k."""
        i, j, k = np.linalg.norm(np.array(self.axes), axis=0)
        return float(i), float(j), float(k)

    @cached_property
    def direction(self) -> NDArray[np.float64]:
        """3×3; column n is the unit vector of i, j, k in LPS."""
        return np.array(self.axes) / np.array(self.spacing_mm)

    def world(self, ijk: ArrayLike) -> NDArray[np.float64]:
        """Voxel indices (…, 3) as i, j, k → LPS mm."""
        return np.asarray(ijk, dtype=float) @ np.array(self.axes).T + np.array(self.origin)

    def voxel(self, lps_mm: ArrayLike) -> NDArray[np.float64]:
        """LPS mm (…, 3) → fractional voxel indices i, j, k."""
        return (np.asarray(lps_mm, dtype=float) - np.array(self.origin)) @ np.linalg.inv(np.array(self.axes)).T

    def same_as(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """Same shape, and no corner lies further than the tolerance from its twin."""
        if self.shape != other.shape:
            return False
        z, y, x = self.shape
        corners = np.array([(i, j, k) for i in (0, x - 1) for j in (0, y - 1) for k in (0, z - 1)])
        return bool(np.abs(self.world(corners) - other.world(corners)).max() <= tolerance_mm)

    @cached_property
    def world_axes(self) -> tuple[int, int, int]:
        """For each array axis (z, y, x): the world axis (0 = x, 1 = y, 2 = z) that it follows most."""
        cosines = np.abs(self.direction)[:, ::-1]  # columns: array axes z, y, x
        best = max(permutations(range(3)), key=lambda world: sum(cosines[w, a] for a, w in enumerate(world)))
        return best[0], best[1], best[2]

    @cached_property
    def acquisition_axis(self) -> int:
        """Array axis along which the slices are stacked: the odd spacing out, else the one nearest to axial."""
        spacing = self.spacing_mm[::-1]  # of the array axes z, y, x
        if 1 in self.shape:
            return self.shape.index(1)
        for axis in range(3):
            a, b = (spacing[other] for other in range(3) if other != axis)
            if abs(a - b) <= 0.01 * max(a, b) < abs(spacing[axis] - a):
                return axis
        return self.world_axes.index(2)

    def canonical(self, axis: int | None = None) -> CanonicalView:
        """The view with slices along this array axis (default: the acquisition axis), as a radiologist hangs it."""
        axis = self.acquisition_axis if axis is None else axis
        order: list[int] = []
        flips: list[bool] = []
        for world, sign in _CANONICAL[self.world_axes[axis]]:
            stored = self.world_axes.index(world)
            order.append(stored)
            flips.append(bool(self.direction[world, 2 - stored] * sign < 0))
        return CanonicalView((order[0], order[1], order[2]), (flips[0], flips[1], flips[2]))

    def canonical_scale_translate(self, axis: int | None = None) -> tuple[list[float], list[float]]:
        """Spacing and position of the canonical view's first voxel, in mm along its own three axes."""
        axis = self.acquisition_axis if axis is None else axis
        view, first = self.canonical(axis), np.zeros(3)
        for stored, flip in zip(view.order, view.flips, strict=True):
            first[2 - stored] = self.shape[stored] - 1 if flip else 0
        corner = self.world(first)
        placed = [float(corner[world] * sign) for world, sign in _CANONICAL[self.world_axes[axis]]]
        return [self.spacing_mm[2 - stored] for stored in view.order], placed
