"""Masks on another grid than that of their image, when somebody asks: a tilted series made straight."""

from __future__ import annotations

import numpy as np

from boltzformer.image.geometry import Grid
from boltzformer.types import LabelMap


def resample(labels: LabelMap, grid: Grid) -> LabelMap:
    """The masks as they fall on `grid`: each new voxel takes the old one nearest to its centre, or nothing outside."""
    if labels.grid.same_as(grid):
        return labels
    z, y, x = grid.shape
    to_old = np.linalg.solve(labels.grid.lps, grid.lps)  # new (i, j, k, 1) → old (i, j, k, 1)
    j, i = np.meshgrid(np.arange(y), np.arange(x), indexing="ij")
    within = to_old[:3, 0] * i[..., None] + to_old[:3, 1] * j[..., None] + to_old[:3, 3]  # (y, x, 3)
    limit = np.array(labels.grid.shape[::-1])
    layers = np.zeros((len(labels.layers), z, y, x), np.uint8)
    for k in range(z):  # slice by slice: the positions of a whole volume would need many times its memory
        old = np.rint(within + to_old[:3, 2] * k).astype(int)
        inside = ((old >= 0) & (old < limit)).all(axis=-1)
        ijk = old[inside]
        layers[:, k, inside] = labels.layers[:, ijk[:, 2], ijk[:, 1], ijk[:, 0]]
    return LabelMap(layers, grid, labels.names)


def straightened(grid: Grid) -> Grid:
    """The smallest grid without shear that covers a sheared one: same rows and spacing, slices at right angles."""
    i, j, k = np.array(grid.axes).T
    rows = i / np.linalg.norm(i)
    columns = j - (j @ rows) * rows
    columns /= np.linalg.norm(columns)
    normal = np.cross(rows, columns)
    normal *= np.sign(normal @ k)
    turn = np.stack([rows, columns, normal], axis=1)
    spacing = np.array([np.linalg.norm(i), j @ columns, abs(k @ normal)])
    z, y, x = grid.shape
    corners = grid.world([(a, b, c) for a in (0, x - 1) for b in (0, y - 1) for c in (0, z - 1)])
    along = (corners - np.array(grid.origin)) @ turn / spacing  # in new steps from the old origin
    first = np.floor(along.min(axis=0) + 1e-6)
    count = np.ceil(along.max(axis=0) - 1e-6) - first + 1
    lps = np.eye(4)
    lps[:3, :3] = turn * spacing
    lps[:3, 3] = np.array(grid.origin) + turn @ (first * spacing)
    return Grid.from_lps(count[::-1].astype(int), lps)
