"""MetaImage files (.mha, .mhd). Read here because ITK's reader writes its complaints past us, to the terminal."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io.checks import companion, grid_of, is_colour, is_placed, pick_frame, said_twice, truncated
from boltzformer.io.stream import Inflated, demand_memory, demand_room, read_into
from boltzformer.types import Volume

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items() if name not in ("MET_LONG", "MET_ULONG")}
_MODALITIES = {"MET_MOD_CT": "CT", "MET_MOD_MR": "MR", "MET_MOD_US": "US"}
_MM = {"mm": 1.0, "um": 1e-3, "cm": 10.0, "m": 1000.0, "?": 1.0, "": 1.0}
_HEADER_LIMIT = 65536
_TURN, _STEP = ("TransformMatrix", "Rotation", "Orientation"), ("ElementSpacing", "ElementSize")


def looks_like_metaimage(start: bytes) -> bool:
    """Whether bytes begin a MetaImage header."""
    return start[:200].lstrip().startswith((b"ObjectType", b"NDims", b"Comment"))


def read(path: Path, frame: int | None = None) -> Volume:
    """One .mha file, or a .mhd header with its data file."""
    fields, header_length = _header(path)
    try:
        sizes = [int(n) for n in fields["DimSize"].split()]
        dtype = np.dtype(_TYPES[fields["ElementType"]])
        data_name = fields["ElementDataFile"]
        channels = int(fields.get("ElementNumberOfChannels", "1"))
        skip = int(fields.get("HeaderSize", "0"))
        lps = _lps(fields, len(sizes))
    except (KeyError, ValueError) as error:
        raise ImageError(f"{path} has a damaged or unusual MetaImage header ({error}): export it again.") from error
    counted = fields.get("NDims", str(len(sizes)))
    if not 2 <= len(sizes) <= 4 or min(sizes) < 1 or counted != str(len(sizes)):
        raise ImageError(f"{path} has the impossible size {sizes} in its header: export it again.")
    if channels < 1 or skip < -1 or (skip and data_name.upper() == "LOCAL"):
        raise ImageError(f"{path} has an impossible number of channels or bytes in its header: export it again.")
    if not _yes(path, fields, "BinaryData", default=True):
        raise ImageError(f"{path} holds its values as text: save it in the binary form.")
    if data_name.upper().split(" ")[0] == "LIST" or "%" in data_name:
        raise ImageError(f"{path} keeps its data in a list of several files: save it as one .mha file.")
    data, skip = (path, header_length) if data_name.upper() == "LOCAL" else (companion(path, data_name), skip)
    if data is None:
        raise ImageError(f"{path} names the data file {data_name!r}, which is not beside it: put both in one folder.")
    if _yes(path, fields, "BinaryDataByteOrderMSB") or _yes(path, fields, "ElementByteOrderMSB"):
        dtype = dtype.newbyteorder(">")

    x, y, z, frames = (*sizes, 1, 1)[:4]
    many = channels > 1 and not is_colour(channels, dtype)  # more values per voxel than a colour: as many images
    if many and frames > 1:
        raise ImageError(f"{path} has more than four dimensions: save one 3-D volume of it as a file of its own.")
    shape = (z, y, x) if channels == 1 else (z, y, x, channels)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    packed = _yes(path, fields, "CompressedData")
    demand_room(data, size, packed=packed)
    chosen = pick_frame(path, channels if many else frames, frame)
    with data.open("rb") as raw:
        if skip == -1:
            skip = max(data.stat().st_size - size * frames, 0)
        start = 0 if many else chosen * size
        demand_room(data, start + size + (0 if packed else skip), packed=packed)
        demand_memory(path, size)
        raw.seek(skip if packed else skip + start)
        file = Inflated(data, raw, gzip=False) if packed else raw
        if isinstance(file, Inflated):
            file.skip(start)
        array = read_into(data, file, shape, dtype)
    if channels > 1:
        array = np.ascontiguousarray(array[..., chosen]) if many else array[..., :3]
    modality = _MODALITIES.get(fields.get("Modality", ""), "")
    grid = grid_of(path, (z, y, x), lps)
    return Volume(array, grid, modality, placed=is_placed(any(name in fields for name in (*_TURN, *_STEP)), grid))


def shape_in(path: Path) -> tuple[int, int, int] | None:
    """(slices, rows, columns) of a file of one value per voxel."""
    fields, _ = _header(path)
    x, y, z, frames = [*(int(n) for n in fields.get("DimSize", "").split()), 1, 1, 1, 1][:4]
    return (z, y, x) if frames == 1 and fields.get("ElementNumberOfChannels", "1") == "1" else None


def write(file: BinaryIO, array: Array, grid: Grid) -> None:
    """One packed .mha. Its matrix may be sheared, and ITK reads it so."""
    raw = zlib.compress(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data, level=1)
    kind = array.dtype.newbyteorder("=")
    if kind not in _NAMES:
        raise ImageError(f"MetaImage can't hold values of type {kind}: convert them to integers or 32-bit float.")
    fields = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": True,
        "CompressedDataSize": len(raw),
        "TransformMatrix": _numbers(grid.direction.T.ravel()),
        "Offset": _numbers(grid.origin),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _numbers(grid.spacing_mm),
        "DimSize": _numbers(grid.shape[::-1]),
        **({"ElementNumberOfChannels": 3} if array.ndim == 4 else {}),
        "ElementType": _NAMES[kind],
        "ElementDataFile": "LOCAL",
    }
    file.write("".join(f"{name} = {value}\n" for name, value in fields.items()).encode())
    file.write(raw)


def _header(path: Path) -> tuple[dict[str, str], int]:
    with path.open("rb") as file:
        start = file.read(_HEADER_LIMIT)
    if not looks_like_metaimage(start):
        raise ImageError(f"{path} is no MetaImage file in spite of its name: rename it, or export it again.")
    fields: dict[str, str] = {}
    position = 0
    while position < len(start):
        end = start.find(b"\n", position)
        end = len(start) if end < 0 else end
        name, _, value = start[position:end].decode("latin-1").partition("=")
        name, value = name.strip(), value.strip()
        if fields.setdefault(name, value) != value and name != "Comment":
            raise said_twice(path, name)
        position = end + 1
        if name == "ElementDataFile":  # the last field; data may follow
            return fields, position
    raise truncated(path)


def _lps(fields: dict[str, str], dimensions: int) -> Any:
    def numbers(*names: str, default: list[float]) -> list[float]:
        return next(([float(v) for v in fields[name].split()] for name in names if name in fields), default)

    n = dimensions
    turn = np.array(numbers(*_TURN, default=list(np.eye(n).ravel())))
    origin = numbers("Offset", "Position", "Origin", default=[0.0] * n)
    spacing = numbers(*_STEP, default=[1.0] * n)
    lps = np.eye(4)
    used = min(n, 3)
    lps[:used, :used] = (turn.reshape(n, n).T * spacing)[:used, :used]
    lps[:used, 3] = origin[:used]
    lps[:3] *= _MM[fields.get("DistanceUnits", "mm").lower()]
    return lps


def _yes(path: Path, fields: dict[str, str], name: str, *, default: bool = False) -> bool:
    said = fields.get(name, str(default)).lower()
    if said not in ("true", "t", "1", "false", "f", "0"):  # others go by its first letter, and read chance
        raise ImageError(f"{path} says neither yes nor no with {name} = {said!r} in its header: export it again.")
    return said in ("true", "t", "1")


def _numbers(values: Any) -> str:
    return " ".join(f"{value:.17g}" for value in values)
