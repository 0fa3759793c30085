"""NIfTI files. Read and written here because SimpleITK coerces or refuses sheared and oblique affines."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io.checks import pick_frame, truncated
from boltzformer.io.nifti_header import FIELDS, PLACE, RawHeader, place_fields, place_of
from boltzformer.io.stream import Inflated, demand_memory, demand_room, read_into
from boltzformer.types import Volume

# Datatype code → element type. 128 and 2304 are colours (three or four bytes a voxel).
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_COLOURS = {128: 3, 2304: 4}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in TYPES.items()}

GZIP_LEVEL = 1
"""Masks pack well at any level; the first is several times faster than the usual ninth."""


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, int, int]  # z, y, x
    frames: int
    channels: int
    planar: bool
    """Colours one after the other, as ITK writes them, and not voxel by voxel."""
    dtype: np.dtype[np.generic]
    offset: int
    slope: float
    intercept: float
    grid: Grid


def read(path: Path, frame: int | None = None) -> Volume:
    """A .nii or .nii.gz file; whole-numbered scaling keeps integers."""
    raw_header = RawHeader.of(path)
    packed, header = raw_header.packed, _header(raw_header)
    chosen = pick_frame(path, header.frames, frame)
    colours = (header.channels,) if header.channels > 1 else ()
    shape = (*colours, *header.shape) if header.planar else (*header.shape, *colours)
    size = int(np.prod(shape, dtype=object)) * header.dtype.itemsize
    begin = header.offset + chosen * size
    demand_room(path, begin + size, packed=packed)
    demand_memory(path, size)
    with path.open("rb") as raw:
        raw.seek(0 if packed else begin)
        file = Inflated(path, raw, gzip=True) if packed else raw
        if isinstance(file, Inflated):
            file.skip(begin)
        array = read_into(path, file, shape, header.dtype)
        if chosen == header.frames - 1:
            file.readinto(memoryview(bytearray(8)))  # reaching the end makes zlib compare the checksum
    if header.planar:
        array = np.moveaxis(array, 0, -1)
    if header.channels > 1:
        return Volume(np.ascontiguousarray(array[..., :3]), header.grid)
    return Volume(_scaled(array, header), header.grid)


def grid_in(path: Path) -> Grid:
    """The grid alone, without a word about what is odd in it."""
    return _header(RawHeader.of(path), warn=False).grid


def _header(raw: RawHeader, *, warn: bool = True) -> _Header:
    path = raw.path
    count, *sizes = (int(n) for n in raw["dim"])
    if not 1 <= count <= 7 or min(sizes[:count]) < 1:
        raise ImageError(f"{path} has the impossible size {sizes[: max(count, 1)]} in its header: export it again.")
    sizes = sizes[:count] + [1] * (7 - count)
    if max(sizes[5:]) > 1 or min(sizes[3:5]) > 1:
        raise ImageError(f"{path} has {count} dimensions: save one 3-D volume of it as a file of its own.")
    code = int(raw["datatype"][0])
    if code not in TYPES and code not in _COLOURS:
        raise ImageError(
            f"{path} has values of an unusual kind (NIfTI type {code}): save it as integers or 32-bit float."
        )
    shape = (sizes[2], sizes[1], sizes[0])
    planar = sizes[4] in (3, 4) and code == 2
    slope, intercept = raw["scaling"]
    (offset,) = raw["offset"]
    least = (352, 544)[raw.version - 1]
    if offset != 0 and not least <= offset < 1 << 40:  # some leave it zero
        raise truncated(path)
    return _Header(
        shape=shape,
        frames=1 if planar else max(sizes[3:5]),
        channels=sizes[4] if planar else _COLOURS.get(code, 1),
        planar=planar,
        dtype=np.dtype(raw.order + TYPES.get(code, "u1")),
        offset=int(offset) or least,
        slope=slope,
        intercept=intercept,
        grid=place_of(raw, shape, warn=warn),
    )


def _scaled(array: Array, header: _Header) -> Array:
    slope, intercept = header.slope, header.intercept
    plain = slope == 0 or not np.isfinite([slope, intercept]).all() or (slope, intercept) == (1, 0)
    if plain:
        return array
    if array.dtype.kind in "iu" and float(slope).is_integer() and float(intercept).is_integer():
        factor, shift = int(slope), int(intercept)
        turned = [int(v) * factor for v in (array.min(), array.max())]
        kind = array.dtype  # wide enough for every number on the way
        for number in (factor, shift, *turned, *(v + shift for v in turned)):
            kind = np.result_type(kind, np.min_scalar_type(number))
        if kind.kind in "iu":
            scaled = array.astype(kind)
            scaled *= kind.type(factor)
            scaled += kind.type(shift)
            return scaled
    wide = array.dtype.itemsize > 2 and array.dtype != np.float32
    scaled = array.astype(np.float64 if wide else np.float32)
    scaled *= slope
    scaled += intercept
    return scaled


def write(file: BinaryIO, array: Array, grid: Grid, *, packed: bool, like: Path | None = None) -> None:
    """Version 1. With `like`, a NIfTI file on the same grid, its own words on orientation are kept byte for byte."""
    if max(grid.shape) > 32767:
        raise ImageError(f"A NIfTI file holds at most 32767 voxels a side, not {max(grid.shape)}: write .nrrd instead.")
    colour = array.ndim == 4
    kind = array.dtype.newbyteorder("=")
    if (colour and kind != np.uint8) or kind not in _CODES:
        raise ImageError(f"NIfTI can't hold {'colours' if colour else 'values'} of type {kind}: write .nrrd instead.")
    place = {name: RawHeader.of(like)[name] for name in PLACE} if like else place_fields(grid)
    header = head((3, *grid.shape[::-1], 1, 1, 1, 1), 128 if colour else _CODES[kind], 24 if colour else None, place)
    little = array.dtype.newbyteorder("<")
    target = gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) if packed else file
    target.write(header)
    for plane in array:
        target.write(np.ascontiguousarray(plane, little).data)
    if packed:
        target.close()


def head(dim: Sequence[int], code: int, bits: int | None, place: Mapping[str, tuple[float, ...]]) -> bytes:
    """The header of version 1 and what lies between it and the voxels; `bits` a voxel, None for one number."""
    header = bytearray(352)
    fields: dict[str, tuple[float, ...]] = {
        "dim": tuple(dim),
        "datatype": (code,),
        "offset": (352,),
        "scaling": (1, 0),
        **place,
    }
    for name, values in fields.items():
        where, form = FIELDS[1][name]
        struct.pack_into("<" + form, header, where, *values)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<h", header, 72, np.dtype(TYPES[code]).itemsize * 8 if bits is None else bits)
    header[344:348] = b"n+1\0"
    return bytes(header)
