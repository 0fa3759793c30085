"""Objects of a mask: one that is deleted, all others that are, and small ones that are easily overlooked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.masks.track import Track
from boltzformer.desk.ports import Mask
from boltzformer.desk.words import ViewerWords, counted
from boltzformer.masks.objects import pieces

SMALL = 8
"""Pixels, in the slice: fewer are easily overlooked."""
Voxel = tuple[int, int, int]
"""Slice, row and column."""


def objects_in(rows: NDArray[np.uint8]) -> int:
    """Connected objects; of one slice, within it."""
    return int(pieces(rows).max(initial=0))


def picked(mask: NDArray[np.bool_], voxel: Voxel, only: bool) -> tuple[dict[int, Mask], int]:
    """What goes, by row: the object that a voxel belongs to, or all others; and how many others there are."""
    found = pieces(mask)
    gone = (found > 0) & (found != found[voxel]) if only else found == found[voxel]
    rows = np.nonzero(gone.any(axis=(1, 2)))[0].tolist()
    return {row: gone[row] for row in rows}, int(found.max()) - 1


def delete(track: Track, gone: dict[int, Mask], others: int, words: ViewerWords, *, only: bool) -> str:
    """Takes the picked ones out, as one step of undo → what was done, and how it is taken back."""
    changed = track.change_all({row: track.mask(row) & ~mask for row, mask in gone.items()})
    if only and not changed:
        return f"'{track.name}' has no other object."
    count = counted(others if only else 1, "object")
    return f"Deleted {count} of '{track.name}' in {counted(len(changed))}. {words.undo}"


def small_objects(track: Track, row: int) -> list[tuple[float, float]]:
    """Middles (row, column) of the objects of a slice that have fewer than eight pixels."""
    if row >= track.count or not track.row(row).any():
        return []
    mask = track.mask(row)
    lines, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(lines[0]), int(across[0])
    found = pieces(mask[top : lines[-1] + 1, left : across[-1] + 1])
    y, x = np.nonzero(found)
    which = found[y, x]
    sizes = np.bincount(which)
    middles = [np.bincount(which, weights=place)[1:] / sizes[1:] for place in (y + top, x + left)]
    small = sizes[1:] < SMALL
    return list(zip(middles[0][small].tolist(), middles[1][small].tolist(), strict=True))
