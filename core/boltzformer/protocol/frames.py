"""A frame carries one value: two lengths, a JSON header, the arrays' raw bytes. Events have a number each."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from boltzformer.errors import BackendError
from boltzformer.image.geometry import Grid
from boltzformer.image.packing import Packed
from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.lessons import Adapted, Adapter, Fit, Learning
from boltzformer.types import (
    Adjusted,
    Cancelled,
    Failed,
    LabelMap,
    Lesson,
    LookTrace,
    Prediction,
    Prompt,
    Queued,
    SamplingTrace,
    SliceResult,
    Started,
    TileDone,
    Volume,
)

_CARRIED = (
    Adapted,
    Adapter,
    Adjusted,
    Cancelled,
    Failed,
    Fit,
    Grid,
    LabelMap,
    Learning,
    Lesson,
    LookTrace,
    Packed,
    Prediction,
    Prompt,
    Queued,
    SamplingTrace,
    SliceResult,
    SlicePlan,
    Started,
    TileDone,
    Volume,
)
_CLASSES: Mapping[str, type[Any]] = {cls.__name__: cls for cls in _CARRIED}
_PREFIX = struct.Struct("<IQ")  # bytes of the header, bytes of the arrays


def encode(value: object, number: int = 0) -> bytes:
    """One of our types → a frame; an event's number, from 1, goes with it."""
    arrays: list[bytes] = []
    header = json.dumps([number, _flatten(value, arrays)]).encode()
    body = b"".join(arrays)
    return _PREFIX.pack(len(header), len(body)) + header + body


def decode(frame: bytes) -> Any:
    """A whole frame → the value."""
    return decode_event(frame)[1]


def decode_event(frame: bytes) -> tuple[int, Any]:
    """A whole frame → its number and the value."""
    try:
        head, body = _PREFIX.unpack_from(frame)
        start = _PREFIX.size + head
        if len(frame) != start + body:
            raise ValueError(f"{len(frame)} bytes instead of {start + body}")
        number, value = json.loads(frame[_PREFIX.size : start])
        return number, _build(value, memoryview(frame)[start:])
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise BackendError(f"A message between viewer and engine is damaged ({error}): run again.") from error


def frames(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cuts a byte stream into frames, however it was chopped on the way."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= _PREFIX.size:
            end = _PREFIX.size + sum(_PREFIX.unpack_from(held))
            if len(held) < end:
                break
            yield bytes(held[:end])
            del held[:end]


def _flatten(value: object, arrays: list[bytes]) -> Any:
    if isinstance(value, np.ndarray | bytes):
        start = sum(map(len, arrays))
        arrays.append(value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes())
        if isinstance(value, bytes):
            return {"#": "bytes", "size": len(value), "at": start}
        return {"#": "array", "dtype": value.dtype.str, "shape": value.shape, "at": start}
    if is_dataclass(value) and not isinstance(value, type):
        kept = vars(value)  # not by attribute: what is packed travels packed
        content = {field.name: _flatten(kept[field.name], arrays) for field in fields(value)}
        return {"#": type(value).__name__, **content}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _flatten(item, arrays) for key, item in value.items()}
        return {"#": "pairs", "items": [[key, _flatten(item, arrays)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return [_flatten(item, arrays) for item in value]
    if isinstance(value, list):
        return {"#": "list", "items": [_flatten(item, arrays) for item in value]}
    return value


def _build(value: Any, body: memoryview) -> Any:
    if isinstance(value, list):
        return tuple(_build(item, body) for item in value)
    if not isinstance(value, dict):
        return value
    kind = value.pop("#", "")
    if kind == "bytes":
        return bytes(body[value["at"] : value["at"] + value["size"]])
    if kind == "array":
        count = int(np.prod(value["shape"], dtype=np.int64))
        flat = np.frombuffer(body, np.dtype(value["dtype"]), count, value["at"])
        return flat.reshape(value["shape"])
    if kind == "list":
        return [_build(item, body) for item in value["items"]]
    if kind == "pairs":
        return {key: _build(item, body) for key, item in value["items"]}
    content = {key: _build(item, body) for key, item in value.items()}
    return _CLASSES[kind](**content) if kind else content
