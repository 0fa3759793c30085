"""How large the pixels of a TIFF file are: OME's words, ImageJ's, or the resolution tags of the format itself."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from boltzformer.image.geometry import Grid
from boltzformer.io.checks import ImageWarning
from boltzformer.io.tiff_pages import Stack, orientation
from boltzformer.io.upright import swaps

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
