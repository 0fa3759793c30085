"""The bytes of a file → an array, packed or not: one copy in memory, and no trust in what a header promises."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array
from boltzformer.io.checks import truncated

DEFLATE_LIMIT = 1032
"""No deflate stream grows more than this when it is unpacked, so a header that promises more is damaged."""
CHUNK = 1 << 20


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


def demand_room(path: Path, needed: int, *, packed: bool = False, ratio: int | None = None) -> None:
    """Refuse a header that promises more data than the file can hold, before memory is taken for it."""
    most = ratio or (DEFLATE_LIMIT if packed else 1)
    if needed > os.path.getsize(path) * most:
        raise truncated(path)


def demand_memory(path: Path, needed: int) -> None:
    """Refuse what this computer has no memory for, before the system stops somebody at random."""
    free = free_memory()
    if free is not None and needed > free:
        raise ImageError(
            f"{path} needs {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free: "
            "close other programs, or cut out the part you need."
        )


def free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo", "rb") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(b"MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
