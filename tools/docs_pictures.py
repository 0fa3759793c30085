"""Pictures of the documentation that need no viewer: made with the site, so none is older than its code."""

from __future__ import annotations

from io import BytesIO
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from boltzformer.image.geometry import Grid
from boltzformer.io.phantom import sample

SIDE, GAP, COLUMNS = 60, 4, 12
WAYS = [(order, flips) for order in permutations(range(3)) for flips in product((False, True), repeat=3)]
"""The 48 ways to store a volume: six orders of its axes, each axis forwards or backwards."""


def orders() -> bytes:
    """The sample case in all its storage orders: the first picture of each as stored, and as the model sees it."""
    volume = sample().volume
    shown = volume.window().apply(volume.array)
    stored, seen = [], []
    for order, flips in WAYS:
        array, grid = in_order(shown, volume.grid, order, flips)
        stored.append(array[array.shape[0] // 2])
        upright = grid.canonical().apply(array)
        seen.append(upright[upright.shape[0] // 2])
    sheets = [_sheet(stored, "48 ways to store one volume"), _sheet(seen, "as the model sees each of them")]
    target = BytesIO()
    Image.fromarray(np.concatenate(sheets)).save(target, "PNG", optimize=True)
    return target.getvalue()


def in_order(
    array: NDArray[np.uint8], grid: Grid, order: tuple[int, ...], flips: tuple[bool, ...]
) -> tuple[NDArray[np.uint8], Grid]:
    """The same volume stored otherwise: axis n of the result is the given axis `order[n]`, turned or not."""
    steps = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    columns, origin = [], np.array(grid.origin)
    for axis, flip in zip(order, flips, strict=True):
        step = np.array(grid.axes)[:, 2 - axis]
        origin = origin + step * (array.shape[axis] - 1) if flip else origin
        columns.append(-step if flip else step)
    moved = np.ascontiguousarray(array.transpose(order)[steps])
    return moved, Grid(moved.shape, np.stack(columns[::-1], axis=1), tuple(origin))


def _sheet(tiles: list[NDArray[np.uint8]], title: str) -> NDArray[np.uint8]:
    """Small squares in rows, below a line of words."""
    step, rows = SIDE + GAP, -(-len(tiles) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * step + GAP, rows * step + 20))
    ImageDraw.Draw(sheet).text((GAP, 4), title, 255)
    for place, tile in enumerate(tiles):
        small = Image.fromarray(tile).resize((SIDE, SIDE), Image.Resampling.BOX)
        sheet.paste(small, (GAP + place % COLUMNS * step, 20 + place // COLUMNS * step))
    return np.asarray(sheet)
