"""NRRD files: read by SimpleITK, written here because masks need a layer axis and the words of 3D Slicer."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io.checks import grid_of, impossible, is_colour, pick_frame, truncated
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


def read(path: Path, frame: int | None = None) -> Volume:
    """A .nrrd file, or a .nhdr header with its data file."""
    array, grid, words = load(path)
    if any(key.startswith("Segment0_") for key in words) and array.shape[-1] > 1:
        raise ImageError(f"{path} holds overlapping masks and no image: open it as masks (boltzformer.io.read_labels).")
    colour = is_colour(array.shape[-1], array.dtype)
    channels = 1 if colour else array.shape[-1]
    if array.ndim == 5 and channels > 1:
        raise ImageError(f"{path} has more than four dimensions: save one 3-D volume of it as a file of its own.")
    if array.ndim == 5:  # (t, z, y, x, channels)
        array = array[pick_frame(path, len(array), frame)]
        frame = None
    array = array[..., :3] if colour else array[..., pick_frame(path, channels, frame)]
    return Volume(np.ascontiguousarray(array), grid)


def load(path: Path) -> tuple[Array, Grid, dict[str, str]]:
    """Everything in the file: (z, y, x, channels) or (t, z, y, x, channels), the grid, and the key/value pairs."""
    import SimpleITK

    with path.open("rb") as file:
        if file.read(5) != b"NRRD0":
            raise ImageError(f"{path} is no NRRD file in spite of its name: rename it, or export it again.")
    try:
        image = SimpleITK.ReadImage(str(path), imageIO="NrrdImageIO")
    except RuntimeError as error:
        reason = str(error)
        if "Zero-valued spacing" in reason or "Bad direction" in reason:
            raise impossible(path) from error
        if "fread got only" in reason or "expected" in reason or "trouble" not in reason:
            raise truncated(path) from error
        raise ImageError(f"{path} has a damaged NRRD header or no data file beside it: export it again.") from error
    array: Array = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        array = array[..., np.newaxis]
    n = image.GetDimension()
    if n > 4:
        raise ImageError(f"{path} has {n} dimensions: save one 3-D volume of it as a file of its own.")
    if n == 2:
        array = array[np.newaxis]
    used = min(n, 3)
    lps = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(n, n)
    lps[:used, :used] = (direction * image.GetSpacing())[:used, :used]
    lps[:used, 3] = image.GetOrigin()[:used]
    words: dict[str, str] = {}
    for key in image.GetMetaDataKeys():
        with suppress(TypeError, UnicodeError):  # SimpleITK gives up on words that are not UTF-8
            words[key] = str(image.GetMetaData(key))
    return array, grid_of(path, array.shape[-4:-1], lps), words


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
