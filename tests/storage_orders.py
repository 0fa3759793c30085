"""The 48 ways to store one volume: six orders of its axes, each axis forwards or backwards."""

from itertools import permutations, product

import numpy as np

from boltzformer import Grid
from boltzformer.image.geometry import Array

ORDERS = [(order, flips) for order in permutations(range(3)) for flips in product((False, True), repeat=3)]


def stored(array: Array, grid: Grid, order: tuple[int, ...], flips: tuple[bool, ...]) -> tuple[Array, Grid]:
    """The same volume in another order: array axis n of the result is axis `order[n]` of the given one."""
    extra = tuple(range(3, array.ndim))
    moved = array.transpose(*order, *extra)[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)]
    axes, origin = np.array(grid.axes), np.array(grid.origin)
    columns = []
    for axis, flip in zip(order, flips, strict=True):
        step = axes[:, 2 - axis]
        origin = origin + step * (array.shape[axis] - 1) if flip else origin
        columns.append(-step if flip else step)
    return np.ascontiguousarray(moved), Grid(moved.shape[:3], np.stack(columns[::-1], axis=1), tuple(origin))


def rotation(*degrees_xyz: float) -> Array:
    """3×3, turning about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians(degrees_xyz)), np.sin(np.radians(degrees_xyz))
    about_x = np.array([(1, 0, 0), (0, cx, -sx), (0, sx, cx)])
    about_y = np.array([(cy, 0, sy), (0, 1, 0), (-sy, 0, cy)])
    about_z = np.array([(cz, -sz, 0), (sz, cz, 0), (0, 0, 1)])
    return about_z @ about_y @ about_x


UNTURNED = np.eye(3)


def grid_of(shape_zyx, spacing_zyx, turned: Array = UNTURNED, origin=(-31.0, 17.5, 250.0)) -> Grid:
    """i, j, k run along x, y, z before they are turned."""
    return Grid(shape_zyx, turned * np.array(spacing_zyx)[::-1], origin)
