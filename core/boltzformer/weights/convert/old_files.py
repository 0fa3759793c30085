"""Weights as PyTorch wrote them before version 1.6: pickles one behind the other, then the numbers. Nothing is run."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor

from boltzformer.errors import CheckpointError
from boltzformer.io.pickles import LARGEST, Malformed, Stored, decoded
from boltzformer.weights.convert.archive import AGAIN, DAMAGE, DTYPES

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
