"""Masks of several findings in one NIfTI file of four dimensions, the findings first, as ReXGroundingCT keeps them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltzformer.atomic import replacing
from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io.checks import truncated
from boltzformer.io.nifti import GZIP_LEVEL, TYPES, RawHeader, head, place_fields
from boltzformer.io.stream import Inflated, demand_room, read_into

Findings = NDArray[np.uint8]
"""(findings, z, y, x): 0 is outside; numbers may tell objects apart."""
MOST = 255
UNSIGNED = 2
"""NIfTI's word for bytes."""


def read_findings(path: Path) -> Findings:
    """All of them; a file of three dimensions holds one."""
    try:
        array = _read(path)
    except OSError as error:
        raise ImageError(
            f"{path} could not be read ({error.strerror or error}): check the file and your rights."
        ) from error
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        raise ImageError(f"{path} holds no whole numbers: write masks of 0 and 1, or a number for each object.")
    if array.min() < 0 or array.max() > MOST:
        raise ImageError(f"{path} holds values from {array.min():g} to {array.max():g}: masks go from 0 to {MOST}.")
    return np.ascontiguousarray(np.moveaxis(array.astype(np.uint8), -1, 0))


def _read(path: Path) -> Array:
    """(z, y, x, findings), as they lie in the file."""
    header = RawHeader.of(path)
    count, *sizes = (int(n) for n in header["dim"])
    if not 1 <= count <= 7 or min(sizes[:count]) < 1:
        raise ImageError(f"{path} has the impossible size {sizes[: max(count, 1)]} in its header: export it again.")
    sizes = sizes[:count]
    while len(sizes) > 4 and sizes[-1] == 1:
        sizes.pop()
    sizes = [1, *sizes] if len(sizes) == 3 else sizes
    code, (slope, intercept), (offset,) = int(header["datatype"][0]), header["scaling"], header["offset"]
    if len(sizes) != 4:
        raise ImageError(f"{path} has {len(sizes)} dimensions: masks of findings have four, the findings first.")
    if code not in TYPES or ((slope, intercept) not in ((1, 0), (0, 0)) and np.isfinite(slope)):
        raise ImageError(f"{path} is no mask (NIfTI type {code}, scaled by {slope:g}): write it as plain integers.")
    if not 0 <= offset < 1 << 40:
        raise truncated(path)
    dtype, begin = np.dtype(header.order + TYPES[code]), max(int(offset), 352)
    demand_room(path, begin + int(np.prod(sizes, dtype=object)) * dtype.itemsize, packed=header.packed)
    with path.open("rb") as raw:
        file = Inflated(path, raw, gzip=True) if header.packed else raw
        if isinstance(file, Inflated):
            file.skip(begin)
        else:
            raw.seek(begin)
        return read_into(path, file, sizes[::-1], dtype)


def write_findings(path: Path, findings: Findings, grid: Grid) -> Path:
    """Packed; with the place of the image that they belong to."""
    shape = (4, len(findings), *grid.shape[::-1], 1, 1, 1)
    stored = np.ascontiguousarray(np.moveaxis(findings, 0, -1))
    with (
        replacing(path) as part,
        part.open("wb") as file,
        gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed,
    ):
        packed.write(head(shape, UNSIGNED, None, place_fields(grid)))
        for plane in stored:
            packed.write(plane.data)
    return path
