"""`Packed`: planes of small integers, kept compressed one by one and unpacked when read. Numpy only."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Packed:
    """(P, h, w) int8 or uint8. A plane that holds nothing but its type's lowest value takes no bytes at all."""

    dtype: str
    shape: tuple[int, ...]
    planes: tuple[bytes, ...]

    @staticmethod
    def of(array: Array) -> Packed:
        empty = np.iinfo(array.dtype).min
        # Level 1: logits of 256² pixels in 1 ms, only a few per cent larger than at the level that takes 10 ms.
        planes = (zlib.compress(plane.tobytes(), 1) if (plane != empty).any() else b"" for plane in array)
        return Packed(array.dtype.str, array.shape, tuple(planes))

    @property
    def array(self) -> NDArray[Any]:
        """All planes."""
        return np.stack([self.plane(number) for number in range(len(self.planes))]).reshape(self.shape)

    @property
    def nbytes(self) -> int:
        """Memory that the planes take."""
        return sum(map(len, self.planes))

    def plane(self, number: int) -> NDArray[Any]:
        """One of them."""
        dtype = np.dtype(self.dtype)
        if not self.planes[number]:
            return np.full(self.shape[1:], np.iinfo(dtype).min, dtype)
        return np.frombuffer(zlib.decompress(self.planes[number]), dtype).reshape(self.shape[1:])


def compressed(*names: str) -> Callable[[type[Kept]], type[Kept]]:
    """Makes a frozen data class keep these fields `Packed`; they are given and read as arrays."""

    def dress(cls: type[Kept]) -> type[Kept]:
        for name in names:
            setattr(cls, name, _Field(name))
        return cls

    return dress


class _Field:
    """Unpacks when read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        packed = vars(instance)[self._name]
        return packed.array if isinstance(packed, Packed) else packed

    def __set__(self, instance: object, value: Array | Packed | None) -> None:
        vars(instance)[self._name] = Packed.of(value) if isinstance(value, np.ndarray) else value
