"""Whose is a slice? What the model wrote and what a person said of it, held against the voxels as they are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from boltzformer.types import SliceState

Bits = NDArray[np.uint8]
"""A slice's mask, packed."""


@dataclass
class Whose:
    """By row. It holds no voxels of the viewer's, so that a copy of it can be asked beside the viewer."""

    written: dict[int, Bits] = field(default_factory=dict[int, Bits])
    """What the model wrote, wherever that is known."""
    said: dict[int, tuple[SliceState, Bits]] = field(default_factory=dict[int, tuple[SliceState, Bits]])
    """What a person said, and of which voxels."""
    hand: set[int] = field(default_factory=set[int])
    """A person's of an earlier day: what the model had written there is not known any more."""

    def edited(self, row: int, voxels: NDArray[np.uint8]) -> bool:
        """Whether it differs from what the model wrote."""
        written = self.written.get(row)
        if written is None:
            return row in self.hand or bool(voxels.any())
        return not np.array_equal(voxels, unpacked(written, voxels.shape))

    def state(self, row: int, voxels: NDArray[np.uint8]) -> SliceState:
        """What a person said of it; changing it afterwards takes the word back."""
        state, then = self.said.get(row, (SliceState.UNSEEN, None))
        if then is not None and not np.array_equal(then, np.packbits(voxels > 0)):
            return SliceState.UNSEEN
        return state

    def copy(self) -> Whose:
        """For another thread: the packed slices are never changed, only replaced."""
        return Whose(dict(self.written), dict(self.said), set(self.hand))


def unpacked(bits: Bits, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """(rows, columns): a slice that was packed."""
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape)
