"""Weights as they lie in files of PyTorch (also of before version 1.6) or safetensors: mapped into memory, not read,
and nothing is run."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from boltzformer.errors import CheckpointError
from boltzformer.io.pickles import LARGEST, Malformed, Stored, decoded

DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
PLACES = ("state_dict", "model")
"""Where programs keep the weights among other things: Lightning; SAM 2."""
DAMAGE = (
    ValueError,
    KeyError,
    EOFError,
    OSError,
    RuntimeError,
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
"""What Python's own zip reader raises at one damage or another; ours is a ValueError."""
AGAIN = "download or copy it again"


@dataclass(frozen=True)
class Contents:
    """What a file of weights holds."""

    tensors: Mapping[str, Tensor]
    """By the names of the file. Their numbers are still on the disk."""
    beside: tuple[str, ...]
    """Names of all else: optimizer states, counters, configurations."""
    strange: tuple[str, ...] = ()
    """Names among the weights whose values are no tensors."""


def opened(path: Path) -> Contents:
    """The weights in a file, whichever of the usual kinds it is; else one sentence on what it is instead."""
    if not path.is_file():
        raise CheckpointError(f"There is no model at {path}: give the path of downloaded weights.")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror}): check its permissions.") from error
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is only a Git-LFS pointer, not the weights: run `git lfs pull` in its folder.")
    if start.lstrip()[:1] == b"<":
        raise CheckpointError(f"{path} is a web page, not weights: sign in where you got it, and download it again.")
    if start.startswith(b"PK\x03\x04"):
        return _torch_file(path)
    if start[8:9] == b"{":
        return _safetensors(path)
    if start.startswith(b"\x80"):
        raise CheckpointError(
            f"{path} is a bare pickle, as PyTorch wrote them before 1.6, and those can't be read without running them: "
            "load and save it once with a current PyTorch, on a computer where you trust it."
        )
    raise CheckpointError(f"{path} holds neither a PyTorch checkpoint nor safetensors: {AGAIN}, or give another file.")


def _safetensors(path: Path) -> Contents:
    try:
        with safe_open(path, framework="pt") as file:
            return Contents({name: file.get_tensor(name) for name in file.keys()}, ())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}): {AGAIN}.") from error


def _torch_file(path: Path) -> Contents:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            described, entries = _entries(archive, file, path.stat().st_size)
        root = decoded(described)
    except DAMAGE as error:
        raise CheckpointError(f"{path} is not a whole PyTorch checkpoint ({error}): {AGAIN}.") from error
    if not isinstance(root, dict):
        root = {}
    place = next((name for name in PLACES if isinstance(root.get(name), dict)), None)
    state = root if place is None else root[place]
    beside = () if place is None else tuple(str(name) for name in root if name != place)
    stored = {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Stored)}
    strange = tuple(str(name) for name in state if name not in stored)
    if not stored:
        raise CheckpointError(f"{path} holds no weights: give the checkpoint of a model.")
    try:
        # Private pages: only what is written to takes memory, and nothing is.
        whole: Any = torch.UntypedStorage.from_file(str(path), shared=False, nbytes=path.stat().st_size)
        tensors = {name: _mapped(whole, value, entries) for name, value in stored.items()}
    except DAMAGE as error:
        raise CheckpointError(f"{path} is not a whole PyTorch checkpoint ({error}): {AGAIN}.") from error
    return Contents(tensors, beside, strange)


@dataclass
class _Entry:
    """One file within the archive."""

    start: int
    size: int
    crc: int
    checked: bool = False


def _entries(archive: zipfile.ZipFile, file: Any, whole: int) -> tuple[bytes, dict[str, _Entry]]:
    """The description, and where each storage lies."""
    heads = [info for info in archive.infolist() if info.filename.endswith("data.pkl")]
    if len(heads) != 1:
        raise Malformed("it holds no description of tensors")
    folder = heads[0].filename.removesuffix("data.pkl")
    if heads[0].file_size > LARGEST:
        raise Malformed(f"its description has {heads[0].file_size >> 20} MB, which no model's has")
    order = f"{folder}byteorder"
    if order in archive.namelist() and archive.open(order).read(16).strip() != b"little":
        raise Malformed("it was written on a big-endian computer")
    entries: dict[str, _Entry] = {}
    for info in archive.infolist():
        if info.filename.startswith(f"{folder}data/"):
            file.seek(info.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4).ljust(4, b"\0"))
            start = info.header_offset + 30 + name + extra
            if info.compress_type != zipfile.ZIP_STORED or start + info.file_size > whole:
                raise Malformed(f"{info.filename} is not stored in it as it should be")
            entries[info.filename.removeprefix(f"{folder}data/")] = _Entry(start, info.file_size, info.CRC)
    with archive.open(heads[0]) as head:
        return head.read(LARGEST), entries


def _mapped(whole: Any, stored: Stored, entries: Mapping[str, _Entry]) -> Tensor:
    """A tensor whose numbers stay in the file. Its bytes are held against the archive's own checksum once."""
    dtype, entry = DTYPES.get(stored.storage.kind), entries.get(stored.storage.key)
    if dtype is None or entry is None:
        raise Malformed(f"storage {stored.storage.key} of kind {stored.storage.kind} is unknown or missing")
    last = sum((size - 1) * step for size, step in zip(stored.shape, stored.stride, strict=True))
    reaches = 0 if 0 in stored.shape else stored.offset + last + 1
    largest = max((math.prod(stored.shape), *stored.shape, *stored.stride, stored.offset))
    if stored.offset < 0 or reaches * dtype.itemsize > entry.size or largest >= 2**62:
        raise Malformed(f"a tensor of {stored.shape} reaches beyond storage {stored.storage.key}")
    part = whole[entry.start : entry.start + entry.size] if entry.size else torch.UntypedStorage(0)
    if not entry.checked:
        if zlib.crc32(torch.tensor([], dtype=torch.uint8).set_(part).numpy().data) != entry.crc:
            raise Malformed(f"storage {stored.storage.key} differs from its checksum")
        entry.checked = True
    base = torch.tensor([], dtype=dtype)
    return base.set_(part, stored.offset, stored.shape, stored.stride)


MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
"""What the first two pickles of such a file say."""


def old_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dictionary, by name, copied out of the file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} can't be read ({error.strerror}): give the path of downloaded weights."
        ) from error
    try:
        return _tensors(data)
    except DAMAGE as error:
        raise CheckpointError(f"{path} is no whole PyTorch checkpoint of before 1.6 ({error}): {AGAIN}.") from error


def _tensors(data: bytes) -> dict[str, Tensor]:
    stream = io.BytesIO(data[:LARGEST])
    if (decoded(stream), decoded(stream)) != (MAGIC, VERSION):
        raise Malformed("it begins otherwise")
    if decoded(stream).get("little_endian") is not True:
        raise Malformed("it was written on a big-endian computer")
    state, keys = decoded(stream), decoded(stream)
    stored = {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Stored)}
    if not stored or len(stored) != len(state) or not isinstance(keys, list):
        raise Malformed("it is more than a table of tensors")
    kinds = {one.storage.key: DTYPES[one.storage.kind] for one in stored.values()}
    flat, at, whole = {}, stream.tell(), bytearray(data)
    for key in keys:
        count = int.from_bytes(data[at : at + 8], "little")
        at += 8
        if count * kinds[key].itemsize > len(data) - at:
            raise Malformed(f"storage {key} is cut off")
        flat[key] = torch.frombuffer(whole, dtype=kinds[key], count=count, offset=at) if count else None
        at += count * kinds[key].itemsize
    return {name: _viewed(flat[one.storage.key], one) for name, one in stored.items()}


def _viewed(flat: Tensor | None, stored: Stored) -> Tensor:
    if flat is None or 0 in stored.shape:
        raise Malformed("a tensor of it is empty")
    last = stored.offset + sum((n - 1) * step for n, step in zip(stored.shape, stored.stride, strict=True))
    if last >= len(flat):
        raise Malformed(f"a tensor of {stored.shape} reaches beyond storage {stored.storage.key}")
    return flat.as_strided(stored.shape, stored.stride, stored.offset).clone()
