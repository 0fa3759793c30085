"""NIfTI-1 and NIfTI-2 files. Read and written here because SimpleITK coerces or refuses sheared and oblique affines.

Which affine counts: the sform if it is set and spans a volume, else the qform, else spacings alone (as ITK reads
them). When sform and qform disagree, the user is warned.
"""

from __future__ import annotations

import gzip
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import GeometryError, ImageError
from boltzformer.geometry import LPS_FROM_RAS, Array, Grid
from boltzformer.io.checks import ImageWarning, Inflated, demand_room, grid_of, pick_frame, read_into, truncated
from boltzformer.types import Volume

# Datatype code → element type. 128 and 2304 are colours (three or four bytes a voxel).
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_COLOURS = {128: 3, 2304: 4}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in _TYPES.items()}
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_DISAGREE_MM = 0.1

GZIP_LEVEL = 1
"""Masks pack well at any level; the first is several times faster than the usual ninth."""

# Where the fields lie, as (offset, struct format), in version 1 and 2.
_FIELDS = {
    1: {
        "dim": (40, "8h"),
        "datatype": (70, "h"),
        "pixdim": (76, "8f"),
        "offset": (108, "f"),
        "scaling": (112, "2f"),
        "units": (123, "B"),
        "codes": (252, "2h"),
        "quaternion": (256, "3f"),
        "shift": (268, "3f"),
        "rows": (280, "12f"),
    },
    2: {
        "dim": (16, "8q"),
        "datatype": (12, "h"),
        "pixdim": (104, "8d"),
        "offset": (168, "q"),
        "scaling": (176, "2d"),
        "units": (500, "i"),
        "codes": (344, "2i"),
        "quaternion": (352, "3d"),
        "shift": (376, "3d"),
        "rows": (400, "12d"),
    },
}


_Field = Callable[[str], tuple[float, ...]]
"""Gives the numbers of one header field by its name."""


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


def looks_like_nifti(start: bytes) -> bool:
    """Whether unpacked bytes begin a NIfTI file."""
    return (start[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and start[344:347] == b"n+1") or start[4:7] == b"n+2"


def read(path: Path, frame: int | None = None) -> Volume:
    """A .nii or .nii.gz file; whole-numbered scaling keeps integers."""
    packed, start = _start(path)
    header = _header(path, start)
    chosen = pick_frame(path, header.frames, frame)
    colours = (header.channels,) if header.channels > 1 else ()
    shape = (*colours, *header.shape) if header.planar else (*header.shape, *colours)
    size = int(np.prod(shape, dtype=object)) * header.dtype.itemsize
    begin = header.offset + chosen * size
    demand_room(path, begin + size, packed=packed)
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
    return _header(path, _start(path)[1], warn=False).grid


def _start(path: Path) -> tuple[bool, bytes]:
    """Whether the file is packed (the content decides, not the name), and its first unpacked bytes."""
    with path.open("rb") as file:
        start = file.read(65536)
    packed = start[:2] == b"\x1f\x8b"
    try:
        return packed, zlib.decompressobj(31).decompress(start, 540) if packed else start[:540]
    except zlib.error as error:
        raise truncated(path) from error


def _header(path: Path, raw: bytes, *, warn: bool = True) -> _Header:
    if not looks_like_nifti(raw):
        raise ImageError(f"{path} is no NIfTI file in spite of its name: rename it, or export it again.")
    version = 2 if raw[4:7] == b"n+2" else 1
    order = "<" if struct.unpack("<i", raw[:4])[0] in (348, 540) else ">"
    if len(raw) < (348, 540)[version - 1]:
        raise truncated(path)

    field = partial(_unpack, raw, order, _FIELDS[version])
    count, *sizes = (int(n) for n in field("dim"))
    if not 1 <= count <= 7 or min(sizes[:count]) < 1:
        raise ImageError(f"{path} has the impossible size {sizes[: max(count, 1)]} in its header: export it again.")
    sizes = sizes[:count] + [1] * (7 - count)
    if max(sizes[5:]) > 1 or min(sizes[3:5]) > 1:
        raise ImageError(f"{path} has {count} dimensions: save one 3-D volume of it as a file of its own.")
    code = int(field("datatype")[0])
    if code not in _TYPES and code not in _COLOURS:
        raise ImageError(
            f"{path} has values of an unusual kind (NIfTI type {code}): save it as integers or 32-bit float."
        )
    shape = (sizes[2], sizes[1], sizes[0])
    planar = sizes[4] in (3, 4) and code == 2
    slope, intercept = field("scaling")
    return _Header(
        shape=shape,
        frames=1 if planar else max(sizes[3:5]),
        channels=sizes[4] if planar else _COLOURS.get(code, 1),
        planar=planar,
        dtype=np.dtype(order + _TYPES.get(code, "u1")),
        offset=int(field("offset")[0]),
        slope=slope,
        intercept=intercept,
        grid=_grid(path, shape, field, warn=warn),
    )


def _unpack(raw: bytes, order: str, fields: dict[str, tuple[int, str]], name: str) -> tuple[float, ...]:
    where, form = fields[name]
    return struct.unpack_from(order + form, raw, where)


def _grid(path: Path, shape: tuple[int, int, int], field: _Field, *, warn: bool) -> Grid:
    units = int(field("units")[0]) & 7
    scale = np.diag([_MM_PER_UNIT.get(units, 1.0)] * 3 + [1.0])
    pixdim = np.array(field("pixdim"))
    qform_code, sform_code = (int(code) for code in field("codes"))
    candidates: list[NDArray[np.float64]] = []
    if sform_code > 0:
        candidates.append(np.vstack([np.array(field("rows"), float).reshape(3, 4), [0, 0, 0, 1]]))
    if qform_code > 0:
        candidates.append(_qform(path, pixdim, np.array(field("quaternion"), float), np.array(field("shift"), float)))
    if not candidates:
        if warn:
            message = f"{path} does not say how it lies in the patient: left and right may be swapped."
            warnings.warn(message, ImageWarning, stacklevel=5)
        candidates.append(LPS_FROM_RAS @ np.diag([*np.abs(pixdim[1:4]), 1.0]))
    grids = []
    for ras in candidates:
        try:
            grids.append(grid_of(path, shape, LPS_FROM_RAS @ scale @ ras))
        except GeometryError:
            if ras is candidates[-1] and not grids:
                raise
    if warn and len(grids) == 2 and not grids[0].same_as(grids[1], _DISAGREE_MM):
        message = (
            f"{path} says in two ways where it lies (sform and qform), and they disagree: the sform is used, "
            "other programs may use the other."
        )
        warnings.warn(message, ImageWarning, stacklevel=5)
    return grids[0]


def _qform(
    path: Path, pixdim: NDArray[np.float64], bcd: NDArray[np.float64], shift: NDArray[np.float64]
) -> NDArray[np.float64]:
    square = float(bcd @ bcd)
    if not square <= 1.001:
        raise GeometryError(f"{path} has an impossible direction in its header (qform): export the image again.")
    if square > 1 - 1e-7:  # a half turn: what rounding left of the fourth component would tilt the image
        bcd, a = bcd / np.sqrt(square), 0.0
    else:
        a = float(np.sqrt(1 - square))
    b, c, d = bcd
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handed = -1.0 if pixdim[0] < 0 else 1.0
    ras = np.eye(4)
    ras[:3, :3] = turn * np.abs(pixdim[1:4]) * [1, 1, handed]
    ras[:3, 3] = shift
    return ras


def _scaled(array: Array, header: _Header) -> Array:
    slope, intercept = header.slope, header.intercept
    plain = slope == 0 or not np.isfinite([slope, intercept]).all() or (slope, intercept) == (1, 0)
    if plain:
        return array
    if array.dtype.kind in "iu" and float(slope).is_integer() and float(intercept).is_integer():
        low, high = (int(v) * int(slope) + int(intercept) for v in (array.min(), array.max()))
        kind = np.result_type(np.min_scalar_type(min(low, high)), np.min_scalar_type(max(low, high)))
        if kind.kind in "iu":
            kind = np.result_type(kind, array.dtype) if array.dtype.kind == "i" else kind
            scaled = array.astype(kind)
            scaled *= kind.type(int(slope))
            scaled += kind.type(int(intercept))
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
    header = bytearray(352)
    colour = array.ndim == 4
    kind = array.dtype.newbyteorder("=")
    if (colour and kind != np.uint8) or kind not in _CODES:
        raise ImageError(f"NIfTI can't hold {'colours' if colour else 'values'} of type {kind}: write .nrrd instead.")
    fields: dict[str, tuple[float, ...]] = {
        "dim": (3, *grid.shape[::-1], 1, 1, 1, 1),
        "datatype": (128 if colour else _CODES[kind],),
        "offset": (352,),
        "scaling": (1, 0),
        **(_orientation_like(like) if like else _orientation(grid)),
    }
    for name, values in fields.items():
        where, form = _FIELDS[1][name]
        struct.pack_into("<" + form, header, where, *values)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<h", header, 72, 24 if colour else kind.itemsize * 8)
    header[344:348] = b"n+1\0"
    little = array.dtype.newbyteorder("<")
    target = gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) if packed else file
    target.write(header)
    for plane in array:
        target.write(np.ascontiguousarray(plane, little).data)
    if packed:
        target.close()


def _orientation(grid: Grid) -> dict[str, tuple[float, ...]]:
    spacing = grid.spacing_mm
    handed = float(np.sign(np.linalg.det(grid.ras[:3, :3])))
    turn = grid.ras[:3, :3] / spacing * [1, 1, handed]
    rigid = np.allclose(turn.T @ turn, np.eye(3), atol=1e-5)  # a sheared grid has no quaternion: sform alone
    return {
        "pixdim": (handed, *spacing, 0, 0, 0, 0),
        "units": (2,),
        "codes": (1 if rigid else 0, 1),
        "quaternion": _quaternion(turn) if rigid else (0, 0, 0),
        "shift": tuple(grid.ras[:3, 3]),
        "rows": tuple(grid.ras[:3].ravel()),
    }


def _quaternion(turn: NDArray[np.float64]) -> tuple[float, float, float]:
    """b, c, d of the unit quaternion (a ≥ 0) that turns like this matrix: Bar-Itzhack's eigenvector."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = turn
    k = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ]
    )
    a, b, c, d = np.linalg.eigh(k)[1][:, -1]
    sign = -1.0 if a < 0 else 1.0
    return float(b * sign), float(c * sign), float(d * sign)


def _orientation_like(path: Path) -> dict[str, tuple[float, ...]]:
    raw = _start(path)[1]
    version = 2 if raw[4:7] == b"n+2" else 1
    order = "<" if struct.unpack("<i", raw[:4])[0] in (348, 540) else ">"
    names = ("pixdim", "units", "codes", "quaternion", "shift", "rows")
    return {name: _unpack(raw, order, _FIELDS[version], name) for name in names}
