"""NRRD files, read and written here: ITK takes whatever memory a header asks for, and masks need a layer axis."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io.checks import companion, is_colour, is_placed, pick_frame, truncated
from boltzformer.io.nrrd_header import Header, damaged, header_of, place_of
from boltzformer.io.stream import Inflated, demand_memory, demand_room, read_into
from boltzformer.types import Volume

_TYPES = {
    "i1": "int8",
    "u1": "uint8",
    "i2": "int16",
    "u2": "uint16",
    "i4": "int32",
    "u4": "uint32",
    "i8": "int64",
    "u8": "uint64",
    "f4": "float",
    "f8": "double",
}
_LINES_MOST, _LINE_MOST = 10_000, 1 << 20


def read(path: Path, frame: int | None = None) -> Volume:
    """A .nrrd file, or a .nhdr header with its data file."""
    header, array, grid = _loaded(path)
    words = header.words
    if any(key.startswith("Segment0_") for key in words) and array.shape[-1] > 1:
        raise ImageError(f"{path} holds overlapping masks and no image: open it as masks (boltzformer.io.read_labels).")
    colour = header.colour and is_colour(array.shape[-1], array.dtype)
    chosen = pick_frame(path, 1 if colour else array.shape[-1], frame)
    array = np.ascontiguousarray(array[..., :3] if colour else array[..., chosen])
    return Volume(array, grid, placed=is_placed("space" in header.fields, grid))


def load(path: Path) -> tuple[Array, Grid, dict[str, str]]:
    """Everything in the file: (z, y, x, samples or times), the grid, and the key/value pairs."""
    header, array, grid = _loaded(path)
    return array, grid, header.words


def _loaded(path: Path) -> tuple[Header, Array, Grid]:
    header = header_of(path)
    data, begin, packed = _data(header)
    size = int(np.prod(header.sizes, dtype=object)) * header.dtype.itemsize
    skip_lines, skip = _skips(header)
    if skip < 0 and not packed:
        begin, skip = max(data.stat().st_size - size, 0), 0
    demand_room(data, size + max(skip, 0) + (0 if packed else begin), packed=packed)
    demand_memory(path, size)
    grid = place_of(header)
    with data.open("rb") as raw:
        raw.seek(begin)
        for _ in range(skip_lines):
            if not raw.readline(_LINE_MOST).endswith(b"\n"):
                raise truncated(path)
        if packed:
            file = Inflated(data, raw, gzip=True)
            file.skip(max(skip, 0))
            array = read_into(data, file, header.sizes[::-1], header.dtype)
            file.readinto(memoryview(bytearray(8)))  # reaching the end makes zlib compare the checksum
        else:
            raw.seek(max(skip, 0), os.SEEK_CUR)
            array = read_into(data, raw, header.sizes[::-1], header.dtype)
    last = len(header.sizes) - 1  # axis n of the file is axis last − n of the array
    order = [last - n for n in (*header.space[::-1], *header.others[::-1])]
    array = array.transpose(order)
    spatial = array.shape[: len(header.space)]
    array = array.reshape(*(1,) * (3 - len(spatial)), *spatial, -1)
    return header, array, grid


def _data(header: Header) -> tuple[Path, int, bool]:
    """The file with the data, where they begin in it, and whether they are packed."""
    path, fields = header.path, header.fields
    encoding = fields.get("encoding", "").lower()
    if encoding in ("bzip2", "bz2"):
        raise ImageError(f"{path} is packed with bzip2: save it raw or packed with gzip.")
    if encoding in ("ascii", "text", "txt", "hex"):
        raise ImageError(f"{path} holds its values as text: save it in the binary form.")
    if encoding not in ("raw", "gzip", "gz"):
        raise damaged(path)
    name = fields.get("data file", fields.get("datafile"))
    if name is None:
        return path, header.length, encoding != "raw"
    if name.upper().split(" ")[0] == "LIST" or re.search(r"%0?\d*d", name):
        raise ImageError(f"{path} keeps its data in a list of several files: save it as one .nrrd file.")
    data = companion(path, name)
    if data is None:
        raise damaged(path)
    return data, 0, encoding != "raw"


def _skips(header: Header) -> tuple[int, int]:
    """Lines and bytes before the data; −1 bytes: the data are the end of the file."""
    fields = header.fields
    try:
        lines = int(fields.get("line skip", fields.get("lineskip", "0")))
        count = int(fields.get("byte skip", fields.get("byteskip", "0")))
    except ValueError as error:
        raise damaged(header.path) from error
    if not 0 <= lines <= _LINES_MOST or not -1 <= count < 1 << 62:
        raise damaged(header.path)
    return lines, count


def write(file: BinaryIO, array: Array, grid: Grid, words: Mapping[str, str] | None = None) -> None:
    """An image (z, y, x), a colour image (z, y, x, 3), or masks (z, y, x, layers) if `words` describe segments."""
    code = np.dtype(array.dtype.newbyteorder("=")).str[1:]
    if code not in _TYPES:
        raise ImageError(f"NRRD can't hold values of type {array.dtype}: convert them to integers or 32-bit float.")
    inner = ["list" if words else "RGB-color"] if array.ndim == 4 else []
    vectors = [_vector(column) for column in np.array(grid.axes).T]
    sizes = [*array.shape[3:], *array.shape[2::-1]]
    header = [
        "NRRD0004",
        f"type: {_TYPES[code]}",
        f"dimension: {array.ndim}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {' '.join(['none'] * len(inner) + vectors)}",
        f"kinds: {' '.join([*inner, 'domain', 'domain', 'domain'])}",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(grid.origin)}",
        *(f"{key}:={value}" for key, value in (words or {}).items()),
    ]
    file.write(("\n".join(header) + "\n\n").encode())
    with gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
        for plane in array:
            packed.write(np.ascontiguousarray(plane, array.dtype.newbyteorder("<")).data)


def _vector(values: Any) -> str:
    return "(" + ",".join(f"{value:.17g}" for value in values) + ")"
