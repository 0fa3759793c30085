"""The header of NIfTI-1 and NIfTI-2 files: where its fields lie, and what they say about the place of the image.

Which affine counts: the sform if it is set and spans a volume, else the qform, else the spacings alone (as ITK reads
them). When sform and qform disagree by more than half a voxel, the user is warned.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import GeometryError, ImageError
from boltzformer.image.geometry import LPS_FROM_RAS, Grid
from boltzformer.io.checks import ImageWarning, grid_of, truncated

PLACE = ("pixdim", "units", "codes", "quaternion", "shift", "rows")
"""The fields that say where the image lies."""

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
