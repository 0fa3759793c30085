"""What a person does to whole shapes of a mask: fills between two slices, deletes objects. No model is asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.masks.track import Track
from boltzformer.desk.ports import Mask
from boltzformer.desk.words import ViewerWords, counted, named, ranges
from boltzformer.errors import BoltzFormerError
from boltzformer.masks.objects import pieces
from boltzformer.masks.strands import Strands
from boltzformer.types import SliceState


def fill(track: Track, row: int, words: ViewerWords) -> str:
    """Adds to the slices between the two, those left out that a person spoke of → what was done."""
    own = {one for one in track.touched if track.belongs_to_a_person(one)}
    first, last = neighbours([one for one in own if track.row(one).any()], row, track.name)
    ends = track.mask(first), track.mask(last)
    spacing = track.image.row_spacing_mm
    shares = {one: (one - first) / (last - first) for one in range(first + 1, last) if one not in own}
    shapes = interpolated(*ends, list(shares.values()), spacing)
    filled = dict(zip(shares, shapes, strict=True))
    changed = track.change_all({one: track.mask(one) | shape for one, shape in filled.items()})
    if not changed:
        return f"Nothing to fill between slices {first} and {last}: the two shapes vanish on the way, or are there."
    between = f"slice {changed[0]}" if len(changed) == 1 else f"slices {changed[0]} to {changed[-1]}"
    rest = last - first - 1 - len(changed)
    left = f" {counted(rest)} between stayed untouched." if rest else ""
    return (
        f"Filled '{track.name}' in {between}, between {first} and {last}; nothing was taken away there.{left} "
        f"{words.undo}"
    )


def neighbours(own: Sequence[int], row: int, name: str) -> tuple[int, int]:
    """The two of a person's slices that the slice on screen lies between; if it is one itself, the nearest other."""
    below, above = [one for one in own if one < row], [one for one in own if one > row]
    if row in own:
        gaps = [(min(pair), max(pair)) for pair in ((row, max(below, default=row)), (row, min(above, default=row)))]
        gaps = [(a, b) for a, b in gaps if b - a > 1]
        if gaps:
            return min(gaps, key=lambda gap: gap[1] - gap[0])
    elif below and above:
        return max(below), min(above)
    raise BoltzFormerError(
        f"There is nothing to fill between: paint '{name}' on two slices with others between them, and stay on the "
        "second one or go between them."
    )


def interpolated(first: Mask, last: Mask, shares: Sequence[float], spacing: tuple[float, float]) -> list[Mask]:
    """Shapes on the way from one mask to another, at shares from 0 to 1. Single objects move as they change."""
    from scipy.ndimage import center_of_mass, shift

    inside = np.nonzero(first | last)
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in inside)
    ends = first[box], last[box]
    lone = all(int(pieces(mask).max(initial=0)) == 1 for mask in ends)
    way = np.subtract(center_of_mass(ends[1]), center_of_mass(ends[0])) if lone else np.zeros(2)
    margin = 1 + int(np.ceil(np.abs(way).max()))  # so that nothing moves in from beyond the edge
    start, end = (_signed_distance(np.pad(mask, margin), spacing) for mask in ends)
    found = []
    for share in shares:
        a, b = start, end
        if way.any():
            a, b = shift(a, share * way, order=1, mode="nearest"), shift(b, (share - 1) * way, order=1, mode="nearest")
        whole = np.zeros(first.shape, bool)
        whole[box] = ((1 - share) * a + share * b > 0)[margin:-margin, margin:-margin]
        found.append(whole)
    return found


def _signed_distance(mask: Mask, spacing: tuple[float, float]) -> NDArray[np.float64]:
    """To the mask's border, in mm; positive inside."""
    from scipy.ndimage import distance_transform_edt

    signed: NDArray[np.float64] = distance_transform_edt(mask, spacing) - distance_transform_edt(~mask, spacing)
    return signed


SMALL = 8
"""Pixels, in the slice: fewer are easily overlooked."""
Voxel = tuple[int, int, int]
"""Slice, row and column."""


@dataclass(frozen=True)
class Counts:
    """Of a mask: what is shown of it and not left out."""

    objects: int
    voxels: int
    left_out: int = 0
    """Objects that a person left out, and their voxels."""
    voxels_left_out: int = 0


def counts_of(rows: NDArray[np.uint8], left_out: Collection[Sequence[int]] = ()) -> Counts:
    """Connected objects; of one slice, within it. `left_out`: a voxel of each that does not count."""
    found, marks = Strands.of(rows), np.zeros(rows.shape, bool)
    for voxel in left_out:
        marks[tuple(voxel)] = True
    out = found.under(marks)
    gone = int(found.sizes[out].sum())
    return Counts(found.count - len(out), int(found.sizes.sum()) - gone, len(out), gone)


def picked(mask: NDArray[np.bool_], voxel: Voxel, only: bool) -> tuple[dict[int, Mask], int]:
    """What goes, by row: the object that a voxel belongs to, or all others; and how many others there are."""
    found = pieces(mask)
    gone = (found > 0) & (found != found[voxel]) if only else found == found[voxel]
    rows = np.nonzero(gone.any(axis=(1, 2)))[0].tolist()
    return {row: gone[row] for row in rows}, int(found.max()) - 1


def delete(track: Track, gone: dict[int, Mask], others: int, words: ViewerWords, *, only: bool) -> str:
    """Takes the picked ones out, as one step of undo → what was done, and how it is taken back."""
    said = [row for row in gone if track.state(row) is not SliceState.UNSEEN]
    changed = track.change_all({row: track.mask(row) & ~mask for row, mask in gone.items()})
    lost = [row for row in said if track.state(row) is SliceState.UNSEEN]
    if only and not changed:
        return f"'{track.name}' has no other object."
    count = counted(others if only else 1, "object")
    where = "" if track.count == 1 else f" in {counted(len(changed))}"
    return f"Deleted {count} of '{track.name}'{where}.{not_accepted(lost, track.count)} {words.undo}"


def not_accepted(rows: Sequence[int], count: int) -> str:
    """Most of them are out of sight."""
    if len(rows) > 1:
        return f" Slices {ranges(rows)} are no longer accepted."
    return f" {named(rows[0], count).capitalize()} is no longer accepted." if rows else ""


def middle_of(track: Track, voxel: Voxel) -> Voxel:
    """Of the object that a voxel belongs to, the voxel of that slice that lies nearest to its middle."""
    row, *place = voxel
    found = pieces(track.mask(row))
    if not found[tuple(place)]:  # erased meanwhile
        return voxel
    own = np.argwhere(found == found[tuple(place)])
    y, x = own[((own - own.mean(axis=0)) ** 2).sum(axis=1).argmin()].tolist()
    return row, y, x


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
