"""What every reader asks of a file before it hands out a volume: one frame, finite values, a possible grid."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from boltzformer.errors import GeometryError, ImageError
from boltzformer.geometry import Array, Grid


class ImageWarning(UserWarning):
    """The file was read or written, but the user should know something about it."""


DEFLATE_LIMIT = 1032
"""No deflate stream grows more than this when it is unpacked, so a header that promises more is damaged."""


CHUNK = 1 << 20


def pick_frame(path: Path, frames: int, frame: int | None) -> int:
    """The 0-based frame that the user chose (from 1) among those in the file."""
    if frame is None:
        if frames == 1:
            return 0
        raise ImageError(
            f"{path} holds {frames} frames (time points or channels) and only one can be used at a time: "
            f"choose it with --frame 1 to --frame {frames} (in Python frame=1)."
        )
    if not 1 <= frame <= frames:
        raise ImageError(f"{path} has no frame {frame}: choose one from 1 to {frames}.")
    return frame - 1


def is_colour(channels: int, dtype: np.dtype[np.generic]) -> bool:
    """Whether several values per voxel are red, green, blue (and transparency, which is dropped) and not a vector."""
    return channels in (3, 4) and dtype.kind == "u" and dtype.itemsize <= 2


def grid_of(path: Path, shape: Sequence[int], lps: ArrayLike) -> Grid:
    """The grid, or a sentence that names the file whose header is impossible."""
    try:
        return Grid.from_lps(shape, lps)
    except GeometryError as error:
        raise impossible(path) from error


def is_sheared(grid: Grid) -> bool:
    """Whether the axes are not at right angles, as with a tilted gantry."""
    return bool(np.abs(grid.direction.T @ grid.direction - np.eye(3)).max() > 1e-4)


def impossible(path: Path) -> GeometryError:
    """The error for a header whose voxels span no volume."""
    return GeometryError(
        f"{path} has a zero spacing or an impossible direction in its header: repair the header, "
        "or export the image again from where it came from."
    )


def demand_finite(path: Path, array: Array) -> None:
    """Refuse NaN and infinity; slice by slice, so that a large volume needs no second copy."""
    if array.dtype.kind != "f":
        return
    broken = sum(int(np.size(plane) - np.isfinite(plane).sum()) for plane in array)
    if broken:
        raise ImageError(
            f"{path} has {broken} voxel{'s' if broken > 1 else ''} without a number (NaN or infinite): "
            "replace them, for instance by the background value, and read it again."
        )


def truncated(path: Path) -> ImageError:
    """The error for a file that ends too early or whose compressed data is damaged."""
    return ImageError(f"{path} is damaged or ends too early: copy or download it again.")


def read_into(path: Path, file: BufferedReader | Inflated, shape: Sequence[int], dtype: np.dtype[np.generic]) -> Array:
    """An array filled straight from the (unpacked) file, in the machine's byte order: one copy in memory."""
    array: Array = np.empty(shape, dtype)
    rest = array.reshape(-1).view(np.uint8).data
    while rest:
        got = file.readinto(rest)
        if not got:
            raise truncated(path)
        rest = rest[got:]
    if not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
    return array


class Inflated:
    """Reads a packed stream forward; several times faster than Python's gzip module on large volumes."""

    def __init__(self, path: Path, file: BinaryIO, *, gzip: bool) -> None:
        self._path, self._file, self._kind = path, file, 31 if gzip else 15  # zlib's window bits
        self._unpack = zlib.decompressobj(self._kind)

    def skip(self, count: int) -> None:
        """Go forward."""
        while count:
            got = self.readinto(memoryview(bytearray(min(count, CHUNK))))
            if not got:
                raise truncated(self._path)
            count -= got

    def readinto(self, target: memoryview) -> int:
        """Fill the beginning of the target; 0 at the end of the stream."""
        try:
            while True:
                packed = self._unpack.unconsumed_tail or self._unpack.unused_data or self._file.read(CHUNK)
                if self._unpack.eof:
                    if not packed.rstrip(b"\0"):
                        return 0
                    self._unpack = zlib.decompressobj(self._kind)  # gzip files may be joined (bgzip)
                got = self._unpack.decompress(packed, min(len(target), CHUNK))
                if got:
                    target[: len(got)] = got
                    return len(got)
                if not packed and not self._unpack.eof:
                    raise truncated(self._path)
        except zlib.error as error:
            raise truncated(self._path) from error


def demand_room(path: Path, needed: int, *, packed: bool) -> None:
    """Refuse a header that promises more data than the file can hold, before memory is taken for it."""
    size = os.path.getsize(path)
    if needed > size * (DEFLATE_LIMIT if packed else 1):
        raise truncated(path)
