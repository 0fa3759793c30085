"""Labels → TIFF as ImageJ, QuPath and cellpose open it: whole numbers, a page per slice, and in ImageJ's words how
large a voxel is. Where in a patient it lies, such a file can't say."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Grid

EXTENSIONS = (".tif", ".tiff")
_LONGEST = 2**31 - 1
"""A resolution is two numbers, which some readers take for signed ones."""
_SMALLEST_MM = 1e-9
"""Less than an atom is no size but a wrong entry."""
_CLASSIC = 2**32 - 2**25
"""Bytes that fit into a file without 64-bit addresses, which not every program reads."""


def write(file: BinaryIO, labels: NDArray[np.integer[Any]], grid: Grid) -> None:
    """(z, y, x), voxel for voxel as the image is stored; in the fewest bits that hold every number, packed by deflate,
    which is lossless and which all of these programs unpack."""
    try:
        import tifffile
    except ImportError:  # a viewer's own Python may have only what the desk needs
        raise ImageError("TIFF is written by tifffile, which is missing here: choose .nii.gz or .seg.nrrd.") from None

    most = int(labels.max(initial=0))
    kind = np.min_scalar_type(most)
    sizes = _sizes_um(grid)
    how: dict[str, Any] = {
        "photometric": "minisblack",
        "compression": "zlib",
        "metadata": None,  # or it describes the arrays of Python
        "software": "boltzformer",
        "resolution": tuple(map(_per_unit, sizes[:2])) if sizes else None,
        "resolutionunit": "NONE",  # ImageJ's own words name it
    }
    words = _words(len(labels), most, sizes)
    with tifffile.TiffWriter(file, bigtiff=labels.size * kind.itemsize > _CLASSIC) as tiff:
        for number, page in enumerate(labels):
            tiff.write(np.ascontiguousarray(page, kind), description=words if number == 0 else None, **how)


def keeps_place(grid: Grid) -> bool:
    """Whether the size of a voxel is all that the grid says of its place."""
    return grid.same_as(Grid.from_lps(grid.shape, np.diag([*grid.spacing_mm, 1.0])))


def _sizes_um(grid: Grid) -> tuple[float, ...]:
    """Of a voxel along x, y, z; nothing where nobody knows more than that a voxel is a voxel."""
    if grid == Grid.pixels(grid.shape) or min(grid.spacing_mm) < _SMALLEST_MM:
        return ()
    return tuple(mm * 1000 for mm in grid.spacing_mm)


def _words(slices: int, most: int, sizes: Sequence[float]) -> str:
    """What ImageJ writes itself. The largest number is shown white: label 1 of 255 would look black."""
    told: dict[str, object] = {"ImageJ": "1.11a"}  # the first that knew these words
    if slices > 1:
        told |= {"images": slices, "slices": slices, "loop": "false"}
    if sizes:  # in µm, also what is measured in mm: Bio-Formats takes every spacing for µm
        told |= {"unit": "um", "spacing": f"{sizes[2]:.9g}"}
    if most:
        told |= {"min": "0.0", "max": f"{most}.0"}
    return "".join(f"{key}={value}\n" for key, value in told.items())


def _per_unit(size: float) -> tuple[int, int]:
    """Pixels per unit: the nearest to it of what the format can say."""
    found = 1 / Fraction(f"{size:.9g}")
    found = found.limit_denominator(_LONGEST // max(1, ceil(found)))
    return found.numerator, found.denominator
