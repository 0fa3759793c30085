"""TIFF: gray or colour, any number type and packing, one page or a stack (several are offered, never mixed), with the
size of its pixels by OME's words, ImageJ's, or the format's own tags."""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io import tiff_pages
from boltzformer.io.checks import ImageWarning, pick_frame, truncated
from boltzformer.io.pictures import is_turned, swaps, upright
from boltzformer.io.tiff_pages import Stack, orientation
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


Sizes = tuple[float, float, float | None]
"""Millimetres along x, y and, where it is known, z."""

_MM = {
    "nm": 1e-6,
    "nanometer": 1e-6,
    "um": 1e-3,
    "µm": 1e-3,
    "μm": 1e-3,
    "\\u00b5m": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "micrometer": 1e-3,
    "mm": 1.0,
    "millimeter": 1.0,
    "cm": 10.0,
    "centimeter": 10.0,
    "m": 1000.0,
    "meter": 1000.0,
    "in": 25.4,
    "inch": 25.4,
    "inches": 25.4,
    "pt": 25.4 / 72,
    "å": 1e-7,
}
_INCH, _CENTIMETRE, _NO_UNIT = 2, 3, 1
_RANGE = (1e-9, 1e4)
"""Millimetres that a pixel can measure; anything else is a wrong entry."""


def place_of(path: Path, tiff: Any, stack: Stack, shape: tuple[int, int, int]) -> Grid:
    """The grid of a stack (z, y, x), upright."""
    sizes = _ome(tiff, stack) or _imagej(tiff, stack) or _tags(stack.first)
    if sizes is None:
        return Grid.pixels(shape)
    x, y, z = sizes
    if swaps(orientation(stack.first)):
        x, y = y, x
    if z is None and shape[0] > 1:
        message = f"{path} does not say how far apart its pages lie: {x:.4g} mm are taken, as its pixels are wide."
        warnings.warn(message, ImageWarning, stacklevel=5)
    return Grid.from_lps(shape, np.diag([x, y, x if z is None else z, 1.0]))


def _ome(tiff: Any, stack: Stack) -> Sizes | None:
    """PhysicalSizeX, Y, Z of the image in OME's description; micrometres where no unit is named."""
    if stack.series is None or stack.series.kind.lower() != "ome":
        return None
    try:
        root = ElementTree.fromstring(tiff.ome_metadata)
    except (ElementTree.ParseError, TypeError, ValueError):
        return None
    pixels = [element for element in root.iter() if element.tag.rsplit("}", 1)[-1] == "Pixels"]
    if stack.number >= len(pixels):
        return None
    words = pixels[stack.number].attrib
    found = [_mm(words.get(f"PhysicalSize{a}"), words.get(f"PhysicalSize{a}Unit", "µm")) for a in "XYZ"]
    return None if found[0] is None or found[1] is None else (found[0], found[1], found[2])


def _imagej(tiff: Any, stack: Stack) -> Sizes | None:
    """Pixels per unit in the tags, unit and slice distance in ImageJ's description."""
    words = tiff.imagej_metadata if tiff.is_imagej else None
    if not isinstance(words, dict):
        return None
    unit = str(words.get("unit", "")).strip()
    if unit.lower() not in _MM:
        return None
    x, y = (_ratio(stack.first, code) for code in (282, 283))
    if not x or not y:
        return None
    sizes = _mm(1 / x, unit), _mm(1 / y, unit), _mm(words.get("spacing"), unit)
    return None if sizes[0] is None or sizes[1] is None else (sizes[0], sizes[1], sizes[2])


def _tags(page: Any) -> Sizes | None:
    """XResolution and YResolution; without a unit they say only how wide a pixel is to its height."""
    x, y = (_ratio(page, code) for code in (282, 283))
    if not x or not y:
        return None
    unit = int(page.tags.valueof(296, _INCH))
    if unit in (_INCH, _CENTIMETRE):
        length = 25.4 if unit == _INCH else 10.0
        wide, high = _mm(length / x, "mm"), _mm(length / y, "mm")
        return None if wide is None or high is None else (wide, high, None)
    if math.isclose(x, y, rel_tol=1e-6) or not 1e-3 < x / y < 1e3:
        return None
    longest = max(x, y)
    return longest / x, longest / y, None


def _ratio(page: Any, code: int) -> float | None:
    value = page.tags.valueof(code)
    try:
        up, down = (float(v) for v in value) if isinstance(value, tuple) else (float(value), 1.0)
        return up / down if up > 0 and down > 0 else None
    except (TypeError, ValueError):
        return None


def _mm(value: Any, unit: str) -> float | None:
    try:
        length = float(f"{abs(float(value)) * _MM[unit.strip().lower()]:.7g}")  # more digits the tags do not hold
    except (TypeError, ValueError, KeyError):
        return None
    return length if _RANGE[0] <= length <= _RANGE[1] else None
