"""The header of NRRD files: fields, words of 3D Slicer, which axis is what, and where the image lies in millimetres."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Grid
from boltzformer.io.checks import ImageWarning, grid_of, said_twice, truncated

HEADER_LIMIT = 4 << 20
"""Words of a segmentation with hundreds of labels fit several times."""
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_CODES = {name: code for code, names in _TYPES.items() for name in names}
_TO_LPS = {"right-anterior": (-1.0, -1.0), "left-anterior": (1.0, -1.0), "left-posterior": (1.0, 1.0)}
_SHORT = {"ras": "right-anterior", "las": "left-anterior", "lps": "left-posterior"}
_UNITS = {
    "": 1.0,
    "mm": 1.0,
    "millimeter": 1.0,
    "millimeters": 1.0,
    "um": 1e-3,
    "µm": 1e-3,
    "μm": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "micrometer": 1e-3,
    "nm": 1e-6,
    "cm": 10.0,
    "m": 1000.0,
    "meter": 1000.0,
}
_COLOURS = ("rgb-color", "rgba-color", "3-color", "4-color", "vector", "3-vector", "4-vector")
_SPATIAL = ("domain", "space", "", "???")
_AXES_MOST = 16


@dataclass(frozen=True)
class Header:
    """What a header says, checked."""

    path: Path
    fields: dict[str, str]
    words: dict[str, str]
    """Key and value pairs: what 3D Slicer says about segments."""
    length: int
    """Bytes up to where data of the same file begin."""
    sizes: tuple[int, ...]
    """As in the file: the fastest axis first."""
    dtype: np.dtype[np.generic]
    space: tuple[int, ...]
    """The axes that are x, y, z."""
    others: tuple[int, ...]
    """The other axes: samples of a voxel, or times."""
    colour: bool
    """Whether the samples of a voxel may be a colour."""


def header_of(path: Path) -> Header:
    """Read and check it."""
    with path.open("rb") as file:
        start = file.read(HEADER_LIMIT)
    if start[:5] != b"NRRD0":
        raise ImageError(f"{path} is no NRRD file in spite of its name: rename it, or export it again.")
    fields, words, length = _lines(path, start)
    try:
        dimension = int(fields["dimension"])
        sizes = tuple(int(size) for size in fields["sizes"].split())
        kind = " ".join(fields["type"].lower().split())
        if not 1 <= dimension <= _AXES_MOST or len(sizes) != dimension or min(sizes) < 1:
            raise ValueError
        dtype = np.dtype(_CODES[kind])
    except (KeyError, ValueError) as error:
        raise damaged(path) from error
    order = fields.get("endian", "").lower()
    if dtype.itemsize > 1 and order not in ("little", "big"):
        raise damaged(path)
    space, others, colour = _axes(path, fields, sizes)
    dtype = dtype.newbyteorder(">" if order == "big" else "<")
    return Header(path, fields, words, length, sizes, dtype, space, others, colour)


def damaged(path: Path) -> ImageError:
    """The error for a header that can't be understood."""
    return ImageError(f"{path} has a damaged NRRD header or no data file beside it: export it again.")


def _lines(path: Path, start: bytes) -> tuple[dict[str, str], dict[str, str], int]:
    fields: dict[str, str] = {}
    words: dict[str, str] = {}
    position = start.find(b"\n") + 1
    if not position:
        raise truncated(path)
    while position < len(start):
        end = start.find(b"\n", position)
        end = len(start) if end < 0 else end
        line = start[position:end].decode("utf-8", "replace").rstrip("\r")
        position = end + 1
        if not line.strip():
            return fields, words, min(position, len(start))
        if line.startswith("#"):
            continue
        key, separator, value = _split(line)
        if separator == ":=":
            words[key] = value.replace("\\n", "\n").replace("\\\\", "\\")
        elif separator:
            key, value = key.strip().lower(), value.strip()
            if fields.setdefault(key, value) != value:
                raise said_twice(path, key)
        elif "list" in fields.get("data file", fields.get("datafile", "")).lower():
            break  # the names of its data files
        else:
            raise damaged(path)
    if "data file" not in fields and "datafile" not in fields:
        raise truncated(path)
    return fields, words, len(start)


def _split(line: str) -> tuple[str, str, str]:
    """'type: short' and 'Segment0_Name:=liver' → name, separator, value."""
    found = re.match(r"([^:]+)(:=|: |:$|:)(.*)", line)
    return (found[1], ":=" if found[2] == ":=" else ":", found[3]) if found else (line, "", "")


def _axes(path: Path, fields: dict[str, str], sizes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    """Which axes are x, y, z, which are not, and whether these may be colours."""
    count = len(sizes)
    kinds = [kind.lower() for kind in fields.get("kinds", "").split()]
    if kinds and len(kinds) != count:
        raise damaged(path)
    kinds = kinds or [""] * count
    vectors = _vectors(path, fields, count)
    spatial = [
        n
        for n in range(count)
        if (vectors[n] is not None if vectors else kinds[n] in _SPATIAL) and kinds[n] not in ("time", "list", *_COLOURS)
    ]
    space = tuple(spatial[:3])
    others = tuple(n for n in range(count) if n not in space)
    if len(space) < 2:
        raise damaged(path)
    if len([n for n in others if sizes[n] > 1]) > 1:
        raise ImageError(f"{path} has {count} dimensions: save one 3-D volume of it as a file of its own.")
    long = [n for n in others if sizes[n] > 1]
    colour = bool(long) and (kinds[long[0]] in _COLOURS or (kinds[long[0]] in ("", "???") and long[0] == 0))
    return space, others, colour


def _vectors(path: Path, fields: dict[str, str], count: int) -> list[NDArray[np.float64] | None]:
    if "space directions" not in fields:
        return []
    found = [_vector(path, one) for one in re.findall(r"\([^)]*\)|none", fields["space directions"])]
    if len(found) != count:
        raise damaged(path)
    return found


def _vector(path: Path, text: str) -> NDArray[np.float64] | None:
    if text == "none":
        return None
    try:
        return np.array([float(value) for value in text.strip("() ").split(",")])
    except ValueError as error:
        raise damaged(path) from error


def shape_in(path: Path) -> tuple[int, int, int] | None:
    """(slices, rows, columns) of a file of one value per voxel."""
    header = header_of(path)
    return None if header.others else place_of(header).shape


def place_of(header: Header) -> Grid:
    """Where the header says that the image lies: in its space, else by spacings alone."""
    path, fields = header.path, header.fields
    sizes = [header.sizes[n] for n in header.space]
    shape = tuple([*sizes, 1][:3][::-1])
    vectors = _vectors(path, fields, len(header.sizes))
    lps = np.eye(4)
    if vectors:
        steps = [vectors[n] for n in header.space]
        wide = {len(step) for step in steps if step is not None}
        if len(wide) != 1 or not 2 <= min(wide) <= 4:
            raise damaged(path)
        world = min(min(wide), 3)
        for column, step in enumerate(steps):
            lps[:world, column] = step[:world] if step is not None else np.nan
        if len(steps) == 2 and world == 3:
            normal = np.cross(lps[:3, 0], lps[:3, 1])
            lps[:3, 2] = normal / max(float(np.linalg.norm(normal)), 1e-300)
        origin = _vector(path, fields["space origin"]) if "space origin" in fields else None
        if origin is not None:
            if len(origin) < world:
                raise damaged(path)
            lps[:world, 3] = origin[:world]
        lps[:3] *= _units(path, fields.get("space units", ""), world)[:, None]
        lps[:3] *= _signs(fields)[:, None]
    else:
        for axis, n in enumerate(header.space):
            lps[axis, axis], lps[axis, 3] = _along(path, fields, n, header.sizes[n], len(header.sizes))
    return grid_of(path, shape, lps)


def _signs(fields: dict[str, str]) -> NDArray[np.float64]:
    """What takes the file's world to LPS; worlds that know no patient are taken as they are."""
    space = fields.get("space", "").lower()
    space = space.removesuffix("-time").removesuffix("t") if space[:3] in _SHORT else space.removesuffix("-time")
    name = _SHORT.get(space, space.removesuffix("-superior"))
    return np.array([*_TO_LPS.get(name, (1.0, 1.0)), 1.0])


def _units(path: Path, text: str, world: int) -> NDArray[np.float64]:
    """Millimetres per unit of each world axis."""
    names = re.findall(r'"([^"]*)"|(\S+)', text)[:world]
    return np.array([*(_unit(path, quoted or bare) for quoted, bare in names), 1.0, 1.0, 1.0][:3])


def _unit(path: Path, name: str) -> float:
    known = _UNITS.get(name.strip().lower().replace("???", ""))
    if known is None:
        message = f"{path} measures in {name.strip()!r}, which is no length that we know: it is taken as millimetres."
        warnings.warn(message, ImageWarning, stacklevel=6)
    return 1.0 if known is None else known


def _along(path: Path, fields: dict[str, str], axis: int, size: int, count: int) -> tuple[float, float]:
    """Spacing and first position of an axis in a file without a space."""

    def number(name: str) -> float:
        values = fields.get(name, "").split()
        if values and len(values) != count:
            raise damaged(path)
        try:
            return float(values[axis]) if values else np.nan
        except ValueError as error:
            raise damaged(path) from error

    least, most = number("axis mins"), number("axis maxs")
    centers = fields.get("centers", fields.get("centerings", "")).split()
    cell = not (len(centers) == count and centers[axis] == "node")
    spacing = number("spacings")
    if np.isnan(spacing):
        spacing = abs(most - least) / max(size if cell else size - 1, 1)
    spacing = 1.0 if np.isnan(spacing) else spacing
    units = re.findall(r'"([^"]*)"|(\S+)', fields.get("units", ""))
    scale = _unit(path, units[axis][0] or units[axis][1]) if len(units) == count else 1.0
    first = 0.0 if np.isnan(least) else least + (spacing / 2 if cell else 0.0)
    return spacing * scale, first * scale
