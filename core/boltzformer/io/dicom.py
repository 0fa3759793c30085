"""DICOM series → one volume: slices sorted by place, never by name; tilted gantries keep their shear; whole numbers
kept whole, missing slices dark."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import GeometryError, ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io.checks import ImageWarning, grid_of, pick_frame
from boltzformer.io.dicom_frames import stored_frames, undecodable
from boltzformer.io.dicom_headers import Series, choose, discreet, series_in, series_of
from boltzformer.io.dicom_slices import Slice, values_of
from boltzformer.io.stream import demand_memory
from boltzformer.types import Volume

SAME_PLACE_MM = 0.01
"""Slices nearer than this lie at the same place: they are frames (echoes, time points), not neighbours."""
UNEVEN = 0.1
"""A slice may lie this part of the slice distance beside its place; scanners round their positions."""
_PARALLEL = 1e-3
_PLACES_MOST = 4096
"""So many places a stack with gaps may have; what is farther away does not belong to it."""


@dataclass(frozen=True)
class Stack:
    """The slices of one volume in the order of its array."""

    slices: tuple[Slice | None, ...]
    """Per k index; None where a slice is missing."""
    grid: Grid
    series: Series


def read(path: Path, *, series: int | str | None = None, frame: int | None = None, allow_gaps: bool = False) -> Volume:
    """A folder, or one file together with its neighbours of the same series."""
    found = series_in(path) if path.is_dir() else [series_of(path)]
    if not found:
        raise ImageError(f"{path} holds no image: choose a folder of DICOM slices, or an image file.")
    chosen = choose(path, found, series)
    stack = stack_slices(path, chosen, frame=frame, allow_gaps=allow_gaps)
    first = next(one for one in stack.slices if one is not None)
    for note in chosen.notes:
        warnings.warn(note, ImageWarning, stacklevel=3)
    return Volume(
        read_pixels(stack.slices),
        stack.grid,
        modality=chosen.modality,
        name=chosen.description or (path.name if path.is_dir() else path.parent.name),
        source=str(first.path),
        stacking_axis=0,
        placed=first.position is not None and first.orientation is not None,
    )


def stack_of(path: Path) -> Stack:
    """The volume that a file belongs to, headers only; of several frames at one place, the one this file is of."""
    series = series_of(path)
    own = next(one for one in series.slices if one.path == path)
    levels = _levels(path, series) if own.position else []
    level = next((one for one in levels if own in one), [own])
    return stack_slices(path, series, frame=None if len(level) == 1 else level.index(own) + 1, allow_gaps=True)


def stack_slices(path: Path, series: Series, *, frame: int | None = None, allow_gaps: bool = False) -> Stack:
    """Sort the slices by place, and refuse what is no regular stack."""
    first = series.slices[0]
    if first.position is None or first.orientation is None:
        ordered = sorted(series.slices, key=lambda one: (one.number, one.frame))
        only = ordered[pick_frame(path, len(ordered), frame)]
        return Stack((only,), _one_slice_grid(path, only), series)
    levels = _levels(path, series)
    frames = len(levels[0])
    odd = next((level for level in levels if len(level) != frames), None)
    if odd is not None:
        raise GeometryError(
            f"{path} has {len(odd)} slices at one place (such as {odd[0].path.name}) and {frames} at another: "
            "keep one acquisition in the folder."
        )
    chosen = pick_frame(path, frames, frame)
    slices = [level[chosen] for level in levels]
    if frames > 1 and len({one.order for one in slices if one.order}) > 1:
        raise GeometryError(
            f"{path} holds other frames (echoes, times or directions) at one place than at another: "
            "export one of them as a series of its own."
        )
    if len(slices) == 1:
        return Stack(tuple(slices), _one_slice_grid(path, slices[0]), series)
    return _stacked(path, slices, series, allow_gaps)


def _levels(path: Path, series: Series) -> list[list[Slice]]:
    """The slices grouped by place along the normal; in a group, by the scanner's own count."""
    first = series.slices[0]
    normal = _normal(path, first)
    for one in series.slices:
        if (
            one.position is None
            or one.orientation is None
            or np.abs(np.subtract(one.orientation, first.orientation or ())).max() > _PARALLEL
        ):
            raise GeometryError(
                f"{path}: {one.path.name} does not lie in the same direction as {first.path.name} (a scout image?): "
                "keep the slices of one direction in the folder."
            )
        if one.size != first.size or not np.allclose(one.spacing, first.spacing, rtol=1e-3):
            raise GeometryError(
                f"{path}: {one.path.name} has another size or pixel spacing than {first.path.name}: "
                "keep slices of one size in the folder."
            )
    by_place = sorted(series.slices, key=lambda one: float(normal @ np.array(one.position)))
    levels = [[by_place[0]]]
    for before, one in pairwise(by_place):
        if normal @ np.subtract(one.position or (), before.position or ()) > SAME_PLACE_MM:
            levels.append([])
        levels[-1].append(one)
    return [sorted(level, key=lambda one: (one.number, one.order, one.frame, one.path)) for level in levels]


def _stacked(path: Path, slices: list[Slice], series: Series, allow_gaps: bool) -> Stack:
    positions = np.array([one.position for one in slices])  # (n, 3)
    apart = np.diff(positions @ _normal(path, slices[0]))  # (n − 1,)
    step = float(np.median(apart[apart < 1.5 * apart.min()]))
    steps = np.maximum(np.rint(apart / step), 1)
    if np.abs(apart - steps * step).max() > UNEVEN * step:
        raise GeometryError(
            f"{path}: the slices lie unevenly, {apart.min():.3f} to {apart.max():.3f} mm apart: "
            "use an evenly spaced reconstruction, or resample the series first."
        )
    if steps.max() > 1 and not allow_gaps:
        raise GeometryError(f"{path}: {_missing(slices, steps)}: copy the series again, or read it with --allow-gaps.")
    if steps.sum() >= max(_PLACES_MOST, 2 * len(slices)):
        far = slices[int(steps.argmax()) + 1].path.name
        raise GeometryError(f"{path}: {far} lies {apart.max():.3g} mm from the slice before it: leave it out.")
    index = np.concatenate([[0], np.cumsum(steps)]).astype(int)
    step_lps = (positions[-1] - positions[0]) / index[-1]
    astray = np.linalg.norm(positions - (positions[0] + index[:, None] * step_lps), axis=1)
    if astray.max() > max(UNEVEN * step, 2 * SAME_PLACE_MM):
        raise GeometryError(
            f"{path}: {slices[int(astray.argmax())].path.name} lies {astray.max():.2f} mm beside the line of the other "
            "slices: keep one acquisition in the folder."
        )
    places: list[Slice | None] = [None] * int(index[-1] + 1)
    for k, one in zip(index, slices, strict=True):
        places[k] = one
    return Stack(tuple(places), _grid(path, slices[0], step_lps, len(places)), series)


def _missing(slices: Sequence[Slice], steps: NDArray[np.float64]) -> str:
    gaps = [n for n, count in enumerate(steps) if count > 1]
    total = int(steps.sum() - len(steps))
    place = int(steps[: gaps[0]].sum()) + 2  # counted from 1
    which = f"slice {place}" if steps[gaps[0]] == 2 else f"slices {place} to {place + int(steps[gaps[0]]) - 2}"
    between = f"between {slices[gaps[0]].path.name} and {slices[gaps[0] + 1].path.name}"
    if len(gaps) == 1:
        return f"{which} {between} {'is' if total == 1 else 'are'} missing"
    return f"{total} slices are missing in {len(gaps)} places, first {which} {between}"


def _one_slice_grid(path: Path, only: Slice) -> Grid:
    return _grid(path, only, _normal(path, only) * only.thickness, 1)


def _grid(path: Path, first: Slice, step_lps: NDArray[np.float64], depth: int) -> Grid:
    orientation = np.array(first.orientation or (1, 0, 0, 0, 1, 0), dtype=float)
    lps = np.eye(4)
    lps[:3, 0] = orientation[:3] * first.spacing[1]
    lps[:3, 1] = orientation[3:] * first.spacing[0]
    lps[:3, 2] = step_lps
    lps[:3, 3] = first.position or (0, 0, 0)
    if min(first.spacing) <= 0:
        raise GeometryError(f"{first.path} has a pixel spacing of zero: repair the header, or export the series again.")
    return grid_of(first.path, (depth, *first.size), lps)


def _normal(path: Path, one: Slice) -> NDArray[np.float64]:
    orientation = np.array(one.orientation or (1, 0, 0, 0, 1, 0), dtype=float)
    row, column = orientation[:3], orientation[3:]
    if not np.abs([row @ row - 1, column @ column - 1, row @ column]).max() <= 1e-2:
        raise GeometryError(
            f"{one.path} has an impossible direction (its rows and columns are not at right angles): "
            "export the series again."
        )
    normal = np.cross(row, column)
    return normal / np.linalg.norm(normal)


def read_pixels(slices: Sequence[Slice | None]) -> Array:
    """Every frame is unpacked once; whole numbers stay whole in the narrowest type that holds them."""
    wanted: dict[Path, dict[int, tuple[int, Slice]]] = {}
    for k, one in enumerate(slices):
        if one is not None:
            wanted.setdefault(one.path, {})[one.frame] = (k, one)
    (first, places), *others = wanted.items()
    with discreet():
        begun = _decoded(places)
        k, page = next(begun)
        demand_memory(first, len(slices) * page.nbytes)
        array: Array = np.zeros((len(slices), *page.shape), page.dtype)
        array[k] = page

        def place(pages: Iterator[tuple[int, Array]]) -> list[tuple[int, Array]]:
            """Put pages where they belong, unless they need a wider type: these are handed back."""
            wider = []
            for k, page in pages:
                if np.result_type(array, page) == array.dtype:
                    array[k] = page
                else:
                    wider.append((k, page))
            return wider

        left = place(begun)
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for several in pool.map(lambda item: place(_decoded(item[1])), others):
                left += several
    for k, page in left:
        array = array.astype(np.result_type(array, page), copy=False)
        array[k] = page
    missing = [k for k, one in enumerate(slices) if one is None]
    if missing:  # a missing slice shows nothing: the darkest value, such as air
        array[missing] = min(array[k].min() for k, one in enumerate(slices) if one is not None)
    return array


def _decoded(places: dict[int, tuple[int, Slice]]) -> Iterator[tuple[int, Array]]:
    """Place in the stack and values of each wanted frame of a file."""
    one = next(iter(places.values()))[1]
    if one.pixels is None:
        raise undecodable(one.path)
    for frame, stored in stored_frames(one.pixels, places):
        k, one = places[frame]
        yield k, _narrowed(values_of(one.pixels, one.meaning, one.rescale, stored))  # type: ignore[arg-type]


def _narrowed(page: Array) -> Array:
    """Rescaled numbers come in a wide type; nearly all CT fits 16 bit."""
    if page.dtype.kind in "iu" and page.dtype.itemsize > 2 and page.min() >= -32768 and page.max() <= 32767:
        return page.astype(np.int16)
    return page
