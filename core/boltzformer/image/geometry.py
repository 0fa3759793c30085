"""Where voxels are: `Grid` (LPS millimetres) and the canonical view in which people and the network see a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from boltzformer.errors import GeometryError

Array = NDArray[Any]
"""An array whose dtype is not known beforehand."""

Row = tuple[float, float, float]
Matrix = tuple[Row, Row, Row]

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
PLANES = ("sagittal", "coronal", "axial")
"""Name of the slices that are stacked along world x, y, z."""
FLATTEST = 1e-3
"""Volume that the three unit steps must span: 1 when they are at right angles, 0.87 in a gantry tilted by 30°."""

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

    @cached_property
    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)


@dataclass(frozen=True)
class Grid:
    """The place of a (z, y, x) array in the world: LPS, millimetres."""

    shape: tuple[int, int, int]
    """Number of voxels (z, y, x), like the array."""
    axes: Matrix
    """3×3; column n is the step in LPS mm from one voxel to the next along i, j, k (the array's x, y, z); may shear."""
    origin: Row
    """LPS mm of the centre of voxel i = j = k = 0."""

    def __post_init__(self) -> None:
        shape, axes = tuple(int(n) for n in self.shape), np.asarray(self.axes, dtype=float)
        origin = np.asarray(self.origin, dtype=float)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(
                f"A grid of shape {shape} holds no voxels: give three lengths (z, y, x), each at least 1."
            )
        if axes.shape != (3, 3) or origin.shape != (3,) or not (np.isfinite(axes).all() and np.isfinite(origin).all()):
            raise GeometryError(
                f"The voxel axes {axes.tolist()} with origin {origin.tolist()} are not 3×3 and 3 finite numbers: "
                "repair the header of the image."
            )
        # Plain numbers, so that grids hash and compare however they were made.
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "axes", tuple(tuple(row) for row in axes.tolist()))
        object.__setattr__(self, "origin", tuple(origin.tolist()))
        if not 0 < min(self.spacing_mm) <= max(self.spacing_mm) < np.inf:
            raise GeometryError(
                f"The spacing {self.spacing_mm} mm along i, j, k is impossible: repair the header of the image."
            )
        if not abs(np.linalg.det(self.direction)) >= FLATTEST:
            raise GeometryError(
                f"The voxel directions {self.direction.tolist()} lie in one plane and span no volume: "
                "repair the header of the image."
            )

    @staticmethod
    def from_lps(shape: Sequence[int], affine: ArrayLike) -> Grid:
        """From a 4×4 that takes (i, j, k, 1) to LPS mm."""
        a = np.asarray(affine, dtype=float)
        if a.shape != (4, 4):
            raise GeometryError(f"An affine of shape {a.shape} can't place an image: give a 4×4.")
        return Grid(shape, a[:3, :3], a[:3, 3])  # type: ignore[arg-type]  # made plain tuples above

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
        return _read_only(matrix)

    @cached_property
    def ras(self) -> NDArray[np.float64]:
        """4×4: (i, j, k, 1) → RAS mm, as NIfTI and Slicer count."""
        return _read_only(LPS_FROM_RAS @ self.lps)

    @cached_property
    def spacing_mm(self) -> Row:
        """Length of one step along i, j, k."""
        i, j, k = np.linalg.norm(np.array(self.axes), axis=0).tolist()
        return i, j, k

    @cached_property
    def direction(self) -> NDArray[np.float64]:
        """3×3; column n is the unit vector of i, j, k in LPS."""
        return _read_only(np.array(self.axes) / np.array(self.spacing_mm))

    @cached_property
    def sheared(self) -> bool:
        """Whether the steps miss their right angles by a tenth of a voxel at the far end: more than headers round."""
        off = np.abs(self.direction.T @ self.direction - np.eye(3)).max()
        return bool(off * np.multiply(self.spacing_mm, self.shape[::-1]).max() > 0.1 * min(self.spacing_mm))

    @cached_property
    def corners_lps(self) -> NDArray[np.float64]:
        """(8, 3): LPS mm of the centres of the corner voxels."""
        z, y, x = self.shape
        return _read_only(self.world(list(product((0, x - 1), (0, y - 1), (0, z - 1)))))

    def world(self, ijk: ArrayLike) -> NDArray[np.float64]:
        """Voxel indices (…, 3) as i, j, k → LPS mm."""
        return np.asarray(ijk, dtype=float) @ self.lps[:3, :3].T + self.lps[:3, 3]

    def voxel(self, lps_mm: ArrayLike) -> NDArray[np.float64]:
        """LPS mm (…, 3) → fractional voxel indices i, j, k."""
        return (np.asarray(lps_mm, dtype=float) - self.lps[:3, 3]) @ self._to_ijk.T

    def same_as(self, other: Grid, tolerance_mm: float | None = None) -> bool:
        """Same shape, and every corner within the tolerance of its twin.

        The tolerance is by default 1 % of the smallest spacing, or the resolution that float32 headers have so far
        from the origin, if that is coarser.
        """
        if self.shape != other.shape:
            return False
        if tolerance_mm is None:
            float32_mm = float(np.finfo(np.float32).eps) * float(np.abs(self.corners_lps).max())
            tolerance_mm = max(0.01 * min(self.spacing_mm), float32_mm)
        apart = np.linalg.norm(self.corners_lps - other.corners_lps, axis=1)
        return bool(apart.max() <= tolerance_mm)

    @cached_property
    def world_axes(self) -> tuple[int, int, int]:
        """For each array axis (z, y, x): the world axis (0 = x, 1 = y, 2 = z) that it follows most."""
        steps = self.direction.T[::-1]  # unit steps of the array axes z, y, x

        # Multiplied in world order and with signs removed, so that it comes out the same for all 48 ways to store a
        # volume, even at 45°. A product, because it can't give an axis a world direction in which it does not move.
        def fit(stored: tuple[int, ...]) -> tuple[float, list[list[float]]]:
            chosen = [steps[axis] for axis in stored]  # of world x, y, z
            share = float(abs(chosen[0][0])) * float(abs(chosen[1][1])) * float(abs(chosen[2][2]))
            unsigned = [np.round(step * np.sign(step[w]), 5).tolist() for w, step in enumerate(chosen)]
            return round(share, 5), unsigned

        best = max(permutations(range(3)), key=fit)
        return best.index(0), best.index(1), best.index(2)

    def axis_of(self, plane: str) -> int:
        """Array axis along which 'axial', 'coronal' or 'sagittal' slices are stacked."""
        if plane not in PLANES:
            raise GeometryError(f"There is no plane '{plane}': choose one of {', '.join(reversed(PLANES))}.")
        return self.world_axes.index(PLANES.index(plane))

    @cached_property
    def acquisition_axis(self) -> int:
        """Array axis along which the slices are stacked, judged from the grid alone.

        A single slice; else the spacing that differs by more than 1 % from two equal ones; else slices at least half
        as thick again as the longer side of their (not square) pixels; else the axis nearest to axial.
        """
        spacing = self.spacing_mm[::-1]  # of the array axes z, y, x
        by_plane = [self.world_axes.index(world) for world in (2, 1, 0)]  # axial first
        for axis in by_plane:
            if self.shape[axis] == 1:
                return axis
        for axis in by_plane:
            a, b = (spacing[other] for other in range(3) if other != axis)
            if _alike(a, b) and not _alike(a, spacing[axis]) and not _alike(b, spacing[axis]):
                return axis
        for axis in by_plane:
            if spacing[axis] >= 1.5 * max(spacing[other] for other in range(3) if other != axis):
                return axis
        return by_plane[0]

    def canonical(self, axis: int | None = None) -> CanonicalView:
        """The view with slices along this array axis (default: the acquisition axis), as a radiologist hangs it."""
        return self._views[self.acquisition_axis if axis is None else axis]

    def canonical_directions(self, axis: int | None = None) -> NDArray[np.float64]:
        """3×3; columns are the unit steps of the canonical view's slices, rows and columns in LPS."""
        view = self.canonical(axis)
        signs = np.where(view.flips, -1.0, 1.0)
        return self.direction[:, [2 - stored for stored in view.order]] * signs

    def canonical_scale_translate(self, axis: int | None = None) -> tuple[Row, Row]:
        """Where a viewer without rotations shows the canonical view: scale (always positive) and first voxel.

        The rule: its coordinates w are LPS millimetres counted along the view's own axes, lps = D·w with
        D = `canonical_directions(axis)`. So grids of one orientation lie right upon each other, whatever their
        spacing or extent, and an unrotated grid shows its true LPS coordinates (in rows and slices perhaps negated).
        """
        view = self.canonical(axis)
        first = [0.0, 0.0, 0.0]  # i, j, k of the voxel that the view shows first
        for stored, flip in zip(view.order, view.flips, strict=True):
            first[2 - stored] = self.shape[stored] - 1.0 if flip else 0.0
        s, r, c = (self.spacing_mm[2 - stored] for stored in view.order)
        at_s, at_r, at_c = np.linalg.solve(self.canonical_directions(axis), self.world(first)).tolist()
        return (s, r, c), (at_s, at_r, at_c)

    @cached_property
    def _views(self) -> tuple[CanonicalView, CanonicalView, CanonicalView]:
        return self._view_along(0), self._view_along(1), self._view_along(2)

    def _view_along(self, axis: int) -> CanonicalView:
        order: list[int] = []
        flips: list[bool] = []
        for world, sign in _CANONICAL[self.world_axes[axis]]:
            stored = self.world_axes.index(world)
            order.append(stored)
            flips.append(bool(self.direction[world, 2 - stored] * sign < 0))
        return CanonicalView((order[0], order[1], order[2]), (flips[0], flips[1], flips[2]))

    @cached_property
    def _to_ijk(self) -> NDArray[np.float64]:
        return np.linalg.inv(np.array(self.axes))


def _alike(a: float, b: float) -> bool:
    return abs(a - b) <= 0.01 * max(a, b)


def _read_only(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kept views are shared by everyone who asks."""
    array.flags.writeable = False
    return array
