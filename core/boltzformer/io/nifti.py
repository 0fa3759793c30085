"""NIfTI-1 and NIfTI-2 files. Read and written here because SimpleITK coerces or refuses sheared and oblique affines."""

from __future__ import annotations

import gzip
import struct
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import GeometryError, ImageError
from boltzformer.image.geometry import LPS_FROM_RAS, Array, Grid
from boltzformer.io.checks import ImageWarning, grid_of, is_placed, pick_frame, truncated
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
    placed: bool


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
        return Volume(np.ascontiguousarray(array[..., :3]), header.grid, placed=header.placed)
    return Volume(_scaled(array, header), header.grid, placed=header.placed)


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
    grid = place_of(raw, shape, warn=warn)
    return _Header(
        shape=shape,
        frames=1 if planar else max(sizes[3:5]),
        channels=sizes[4] if planar else _COLOURS.get(code, 1),
        planar=planar,
        dtype=np.dtype(raw.order + TYPES.get(code, "u1")),
        offset=int(offset) or least,
        slope=slope,
        intercept=intercept,
        grid=grid,
        placed=is_placed(max(raw["codes"]) > 0 and not raw.unplaced, grid),
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


def write(
    file: BinaryIO, array: Array, grid: Grid, *, packed: bool, like: Path | None = None, placed: bool = True
) -> None:
    """Version 1. With `like`, a NIfTI file on the same grid, its own words on orientation are kept byte for byte; what
    is not `placed` says so in its description."""
    if max(grid.shape) > 32767:
        raise ImageError(f"A NIfTI file holds at most 32767 voxels a side, not {max(grid.shape)}: write .nrrd instead.")
    colour = array.ndim == 4
    kind = array.dtype.newbyteorder("=")
    if (colour and kind != np.uint8) or kind not in _CODES:
        raise ImageError(f"NIfTI can't hold {'colours' if colour else 'values'} of type {kind}: write .nrrd instead.")
    place = {name: RawHeader.of(like)[name] for name in PLACE} if like else place_fields(grid)
    header = head((3, *grid.shape[::-1], 1, 1, 1, 1), 128 if colour else _CODES[kind], 24 if colour else None, place)
    if not placed:
        header = header[:_ABOUT] + _UNPLACED + header[_ABOUT + len(_UNPLACED) :]
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


PLACE = ("pixdim", "units", "codes", "quaternion", "shift", "rows")
"""The fields that say where the image lies."""

_ABOUT, _UNPLACED = 148, b"no scale: a voxel is a voxel"
"""Where version 1 has 80 bytes of description, and what we write there of an image that nobody measured: the format has
no way to leave a place open that all programs read alike."""
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}

# Where the fields lie, as (offset, struct format), in version 1 and 2.
FIELDS = {
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


def looks_like_nifti(start: bytes) -> bool:
    """Whether unpacked bytes begin a NIfTI file."""
    return (start[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and start[344:347] == b"n+1") or start[4:7] == b"n+2"


@dataclass(frozen=True)
class RawHeader:
    """The bytes of a header, to be asked for its fields."""

    path: Path
    packed: bool
    """Whether the file is compressed; the content decides, not the name."""
    start: bytes

    @staticmethod
    def of(path: Path) -> RawHeader:
        """Read it."""
        with path.open("rb") as file:
            start = file.read(65536)
        packed = start[:2] == b"\x1f\x8b"
        try:
            header = RawHeader(path, packed, zlib.decompressobj(31).decompress(start, 540) if packed else start[:540])
        except zlib.error as error:
            raise truncated(path) from error
        if not looks_like_nifti(header.start):
            raise ImageError(f"{path} is no NIfTI file in spite of its name: rename it, or export it again.")
        if len(header.start) < (348, 540)[header.version - 1]:
            raise truncated(path)
        return header

    @cached_property
    def version(self) -> int:
        """1 or 2."""
        return 2 if self.start[4:7] == b"n+2" else 1

    @cached_property
    def order(self) -> str:
        """'<' or '>', little or big endian."""
        return "<" if struct.unpack("<i", self.start[:4])[0] in (348, 540) else ">"

    @property
    def unplaced(self) -> bool:
        """Whether it was written here, of an image without a scale."""
        return self.version == 1 and self.start[_ABOUT:].startswith(_UNPLACED)

    def __getitem__(self, name: str) -> tuple[float, ...]:
        """The numbers of a field."""
        where, form = FIELDS[self.version][name]
        return struct.unpack_from(self.order + form, self.start, where)


def place_of(header: RawHeader, shape: tuple[int, int, int], *, warn: bool = True) -> Grid:
    """Where the header says that the image lies."""
    path = header.path
    units = int(header["units"][0]) & 7
    scale = np.diag([_MM_PER_UNIT.get(units, 1.0)] * 3 + [1.0])
    pixdim = np.array(header["pixdim"])
    qform_code, sform_code = (int(code) for code in header["codes"])
    candidates: list[NDArray[np.float64]] = []
    if sform_code > 0:
        candidates.append(np.vstack([np.array(header["rows"], float).reshape(3, 4), [0, 0, 0, 1]]))
    if qform_code > 0:
        candidates.append(_qform(path, pixdim, np.array(header["quaternion"], float), np.array(header["shift"], float)))
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
    if warn and len(grids) == 2 and not grids[0].same_as(grids[1], min(grids[0].spacing_mm) / 2):
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


def place_fields(grid: Grid) -> dict[str, tuple[float, ...]]:
    """What to write for a grid; one with shear has no quaternion and is said by the sform alone."""
    spacing = grid.spacing_mm
    handed = float(np.sign(np.linalg.det(grid.ras[:3, :3])))
    turn = grid.ras[:3, :3] / spacing * [1, 1, handed]
    rigid = not grid.sheared
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
