"""`.npz` files: named arrays, and plain values that lie pickled among them. Read without running anything; written."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from boltzformer.atomic import replacing
from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array
from boltzformer.io.checks import truncated
from boltzformer.io.pickles import LARGEST, Inert, Kind, Malformed, Objects, decoded

DAMAGE = (ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error, SyntaxError)
"""What zip and numpy raise at one damage or another."""


def names_in(path: Path) -> frozenset[str]:
    """Of all that the file holds."""
    with _opened(path) as archive:
        return frozenset(name.removesuffix(".npy") for name in archive.namelist())


def read_array(path: Path, name: str) -> Array:
    """The numbers or texts of that name."""
    with _member(path, name) as (file, (shape, fortran, dtype), size):
        if dtype.hasobject:
            raise ImageError(f"{path} holds objects as `{name}`, where an array of numbers should be: write it anew.")
        if math.prod(shape) * dtype.itemsize != size:
            raise truncated(path)
        flat = np.frombuffer(file.read(size), dtype)
        array: Array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
        return array


def read_plain(path: Path, name: str) -> Any:
    """What was pickled under that name: texts, numbers, lists and dictionaries. Arrays come as nested lists.

    Anything else is refused, as far as the upper two levels show it; nothing in the file is ever run.
    """
    with _member(path, name) as (file, (shape, _, dtype), size):
        if not dtype.hasobject:
            return read_array(path, name).tolist()
        if size > LARGEST:
            raise ImageError(f"{path} holds {size >> 20} MB of objects as `{name}`: nothing reads so much.")
        found = decoded(file.read(size))
    strange = next((one for one in _upper(found) if isinstance(one, Inert | Kind)), None)
    if strange is not None or not isinstance(found, Objects) or found.shape != shape:
        raise ImageError(
            f"{path} holds something else than texts, numbers, lists and tables of them as `{name}`"
            + (f" ({strange.name})" if isinstance(strange, Inert) else "")
            + ": nothing of it was run; get the file from where you trust it."
        )
    return found.items[0] if shape == () else found.items


def write_npz(path: Path, **arrays: Any) -> Path:
    """Compressed, whole or not at all; dictionaries and lists of them are pickled, as numpy does."""
    stored: dict[str, Any] = {name: _storable(value) for name, value in arrays.items()}
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **stored)
    return path


def _storable(value: Any) -> Array:
    if isinstance(value, Mapping):
        one = np.empty((), object)
        one[()] = value
        return one
    if isinstance(value, list):
        several = np.empty(len(value), object)
        several[:] = value
        return several
    return np.asarray(value)


def _upper(found: Any) -> Iterator[Any]:
    """What a value holds, two levels down: more would let a file that refers to itself keep us busy."""
    yield found
    for one in found.items if isinstance(found, Objects) else ():
        yield one
        yield from one.values() if isinstance(one, dict) else one if isinstance(one, list | tuple) else ()


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except Malformed as error:
        raise ImageError(f"{path} holds objects that can't be read ({error}): write it anew.") from error
    except OSError as error:
        raise ImageError(
            f"{path} could not be read ({error.strerror or error}): check the file and your rights."
        ) from error
    except MemoryError as error:
        raise ImageError(f"{path} does not fit into this computer's memory.") from error
    except DAMAGE as error:
        raise truncated(path) from error


@contextmanager
def _member(path: Path, name: str) -> Iterator[tuple[Any, tuple[tuple[int, ...], bool, np.dtype[Any]], int]]:
    """One array: its file behind the header, the header, and how many bytes follow."""
    with _opened(path) as archive:
        if f"{name}.npy" not in archive.namelist():
            kept = ", ".join(sorted(one.removesuffix(".npy") for one in archive.namelist())[:8]) or "nothing"
            raise ImageError(f"{path} lacks `{name}` (it holds {kept}): write it with that name.")
        info = archive.getinfo(f"{name}.npy")
        with archive.open(info) as file:
            version = npy.read_magic(file)
            reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            header = reader(file)
            yield file, header, info.file_size - file.tell()
