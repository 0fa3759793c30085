"""`Tiling`: a picture much larger than the network's input, cut into overlapping tiles at native scale, and the answers
put together again. One object, both ways."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array
from boltzformer.image.region import Box, Region
from boltzformer.image.slicing import SlicePlan

LARGER = 1.5
"""A picture with a side that is so many times the network's is cut; a smaller one loses little when it is shrunk."""
OVERLAP = 0.25
"""Of a tile's side, at least, is a neighbour's, too: objects of up to this size are whole in one of them."""
BLIND = 0.25
"""Of the overlap at a tile's edge counts for nothing: what lies there is cut off. As much of it counts in full, and in
between one tile fades into the other."""


@dataclass(frozen=True)
class Tiling:
    """Of the one slice of a picture."""

    plan: SlicePlan
    """Of the whole picture; its size is the side of a tile."""

    @staticmethod
    def of(plan: SlicePlan) -> Tiling | None:
        """None where a picture is asked as a whole: it is not much larger, or only a box of it is looked at; and for
        volumes."""
        pays = plan.count == 1 and plan.box is None and max(plan.slice_shape) > LARGER * plan.size
        return Tiling(plan) if pays else None

    @cached_property
    def tiles(self) -> tuple[SlicePlan, ...]:
        """Row by row: what the network sees of each, one pixel of the picture to one of its own."""
        return tuple(
            replace(self.plan, box=self._box(rows, columns)) for rows in self._rows for columns in self._columns
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return len(self._rows), len(self._columns)

    def __len__(self) -> int:
        return len(self._rows) * len(self._columns)

    def fullest(self, mask: Array) -> SlicePlan:
        """The tile that holds most of a mask of the picture, the first of equals."""
        return max(self.tiles, key=lambda tile: int(np.count_nonzero(mask[tile.crop])))

    def region(self, tile: SlicePlan) -> Region:
        """What to look at to see a tile as it was seen."""
        assert tile.box is not None
        (z, z_end), (y, y_end), (x, x_end) = tile.box
        return Region.of_voxels(tile.grid, (x, y, z), (x_end - 1, y_end - 1, z_end - 1))

    def together(self, planes: Mapping[int, Array], outside: float) -> NDArray[np.float32]:
        """(side, side): values of the tiles (by number; pixels of the picture) as one plane, as answers lie.

        Always summed in the order of the tiles, so that the order in which they were asked changes no bit.
        """
        whole = np.zeros(self.plan.slice_shape, np.float32)
        for number, (down, across) in enumerate(self._weights()):
            crop = self.tiles[number].crop
            whole[crop] += planes[number].astype(np.float32) * down[:, None] * across
        made: NDArray[np.float32] = self.plan.to_answer(whole, max(self.plan.crop_shape), outside)
        return made

    def _weights(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        rows = shares(self._rows, self.plan.slice_shape[0], self.plan.size)
        columns = shares(self._columns, self.plan.slice_shape[1], self.plan.size)
        return ((down, across) for down in rows for across in columns)

    @cached_property
    def _rows(self) -> tuple[slice, ...]:
        return parts(self.plan.slice_shape[0], self.plan.size)

    @cached_property
    def _columns(self) -> tuple[slice, ...]:
        return parts(self.plan.slice_shape[1], self.plan.size)

    def _box(self, *parts: slice) -> Box:
        """Rows and columns of the canonical slice → voxels of the stored array."""
        view, shape = self.plan.view, self.plan.grid.shape
        ends = [(0, n) for n in shape]
        for stored, flip, part in zip(view.order[1:], view.flips[1:], parts, strict=True):
            n = shape[stored]
            ends[stored] = (n - part.stop, n - part.start) if flip else (part.start, part.stop)
        z, y, x = ends
        return z, y, x


def parts(length: int, side: int) -> tuple[slice, ...]:
    """As few as overlap enough, evenly spread; one where the side holds it all."""
    if length <= side:
        return (slice(0, length),)
    count = math.ceil((length - side) / (side * (1 - OVERLAP))) + 1
    starts = [round(number * (length - side) / (count - 1)) for number in range(count)]
    return tuple(slice(start, start + side) for start in starts)


def shares(tiles: Sequence[slice], length: int, side: int) -> list[NDArray[np.float32]]:
    """How much each counts at each of its pixels; together they are one everywhere."""
    overlap = OVERLAP * side
    raw = []
    for number, part in enumerate(tiles):
        place = np.arange(part.start, part.stop) + 0.5
        before = np.inf if number == 0 else place - part.start
        behind = np.inf if number == len(tiles) - 1 else part.stop - place
        inside = (np.minimum(before, behind) - BLIND * overlap) / ((1 - 2 * BLIND) * overlap)
        raw.append(np.broadcast_to(np.clip(inside, 0, 1), place.shape))
    total = np.zeros(length)
    for part, weights in zip(tiles, raw, strict=True):
        total[part] += weights
    return [(weights / total[part]).astype(np.float32) for part, weights in zip(tiles, raw, strict=True)]
