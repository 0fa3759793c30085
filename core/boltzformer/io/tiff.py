"""TIFF: gray or colour, any number type and packing, one page or a stack; several stacks are offered, never mixed."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array
from boltzformer.io import tiff_pages
from boltzformer.io.checks import ImageWarning, pick_frame, truncated
from boltzformer.io.tiff_pages import Stack
from boltzformer.io.tiff_place import place_of
from boltzformer.io.upright import is_turned, upright
from boltzformer.types import Volume

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # or its complaints go past us to the terminal

_LISTED = 20
_CHANNELS = 4
_DEPTH = "ZIQR"
"""Axes whose pages are slices: named so, or named by nobody."""


def read(path: Path, frame: int | None = None, series: int | str | None = None) -> Volume:
    """One stack of the file, chosen by `series` (from 1) where there are several; `frame` picks a time or channel."""
    import tifffile

    tiff_pages.demand_all_pages(path)
    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            stack = _chosen(path, tiff_pages.stacks(path, tiff), series)
            turn = tiff_pages.orientation(stack.first)
            array = _as_stack(path, *_values(path, stack), frame)
            array = upright(array, turn, rows=1)
            grid = place_of(path, tiff, stack, array.shape[:3])
    except (ImageError, OSError, MemoryError):
        raise
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise _reason(path, error) from error
    if is_turned(turn):
        message = f"{path} is stored turned (orientation {turn}): it is shown upright, and its masks lie on that."
        warnings.warn(message, ImageWarning, stacklevel=3)
    return Volume(np.ascontiguousarray(array), grid)


def _reason(path: Path, error: Exception) -> ImageError:
    said = str(error)
    if "imagecodecs" in said or "not supported" in said.lower():
        packing = said.split("COMPRESSION.")[-1].split(":")[0] if "COMPRESSION." in said else "an unusual way"
        return ImageError(
            f"{path} is packed in a way that can't be read here ({packing}): save it uncompressed or with LZW."
        )
    return truncated(path)


def _chosen(path: Path, found: list[Stack], series: int | str | None) -> Stack:
    if not found:
        raise truncated(path)
    listed = [f"{number}: {one.in_words}" for number, one in enumerate(found[:_LISTED], 1)]
    more = f"; and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    if series is None:
        if len(found) == 1:
            return found[0]
        raise ImageError(
            f"{path} holds {len(found)} series of pages that differ in size or kind: choose one with --series N "
            f"(in Python series=N). {'; '.join(listed)}{more}."
        )
    if str(series).isascii() and str(series).isdigit() and 1 <= int(series) <= len(found):
        return found[int(series) - 1]
    raise ImageError(f"{path} has no series {series}: choose one of these. {'; '.join(listed)}{more}.")


def _values(path: Path, stack: Stack) -> tuple[Array, str]:
    first = stack.first
    for page in stack.pages:
        tiff_pages.demand_page(path, page)
    if stack.series is not None:
        shape, axes = stack.series.shape, str(stack.series.axes)
        tiff_pages.demand_space(path, stack.pages, shape)
        if stack.series.kind.lower() == "imagej":
            axes = _of_imagej(axes, shape)
        return tiff_pages.true_values(path, first, np.asarray(stack.series.asarray(maxworkers=1)), axes)
    tiff_pages.demand_space(path, stack.pages, (len(stack.pages), *first.shape))
    pages = [
        tiff_pages.true_values(path, page, np.asarray(page.asarray(maxworkers=1)), str(page.axes))
        for page in stack.pages
    ]
    if len({(page.shape, axes) for page, axes in pages}) > 1:
        raise ImageError(f"{path} mixes gray and coloured palettes: save it in gray or RGB.")
    axes = pages[0][1]
    array = pages[0][0][np.newaxis] if len(pages) == 1 else np.stack([page for page, _ in pages])
    return array, "I" + axes


def _of_imagej(axes: str, shape: tuple[int, ...]) -> str:
    """Programs write plain stacks as ImageJ's times or, with more than a picture can show, channels."""
    others = [(axis, size) for axis, size in zip(axes, shape, strict=True) if axis not in "YXS"]
    if len(others) == 1 and (others[0][0] == "T" or (others[0][0] == "C" and others[0][1] > _CHANNELS)):
        return axes.replace(others[0][0], "Z")
    return axes


def _as_stack(path: Path, array: Array, axes: str, frame: int | None) -> Array:
    """To (z, y, x) or (z, y, x, 3), whatever axes the file names."""
    if array.ndim != len(axes) or not array.size:
        raise truncated(path)
    if "Y" not in axes or "X" not in axes:
        raise ImageError(f"{path} holds no picture of rows and columns: save one image of it as a file of its own.")
    long = [axis for axis, size in zip(axes, array.shape, strict=True) if axis in _DEPTH and size > 1]
    if len(long) > 1 or len(set(axes)) < len(axes):
        raise ImageError(f"{path} has {len(axes)} dimensions ({axes}): save one stack of it as a file of its own.")
    frames = [n for n, axis in enumerate(axes) if axis not in _DEPTH + "YXS"]
    depth = [n for n, axis in enumerate(axes) if axis in _DEPTH]
    plane = [axes.index(axis) for axis in "YXS" if axis in axes]
    array = array.transpose(*frames, *depth, *plane)
    tail = array.shape[-len(plane) :]
    several = int(np.prod(array.shape[: len(frames)], dtype=int))
    stack = array.reshape(several, -1, *tail)
    return stack[pick_frame(path, several, frame)]
