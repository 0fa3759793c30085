"""`Recalled`: a slice's answer of an earlier day."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class At(Protocol):
    """What is asked of a slice that is to be shown."""

    @property
    def existence(self) -> float:
        """The least score."""

    @property
    def outline(self) -> float:
        """The least probability of a voxel."""


ROUNDED = 0.00005
"""A score is kept with four digits."""


@dataclass(frozen=True)
class Recalled:
    """A slice's answer of an earlier day: its logits are gone, so that its outline stays as it is."""

    score: float
    bits: NDArray[np.uint8]
    """Its mask, packed."""
    voxels: int
    shape: tuple[int, ...]
    shown: bool = True
    """Whether it had the score that was asked for."""
    lifted: bool = False
    """Or was shown whatever its score: a person had pointed at it."""
    lost: bool = False
    """There was an outline, which a threshold hid, and is not known any more."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Whatever its score."""
        return np.unpackbits(self.bits, count=math.prod(self.shape)).reshape(self.shape).astype(bool)

    @property
    def outlined(self) -> bool:
        """Whether there is something to show."""
        return bool(self.bits.any())

    def shows(self, at: At) -> bool:
        """Whether its score is high enough."""
        return self.lifted or self.score + ROUNDED >= at.existence

    def seen(self, at: At) -> NDArray[np.bool_]:
        """What is shown of it."""
        return self.mask if self.shows(at) else np.zeros(self.shape, bool)

    def veiled(self, at: At) -> bool:
        """Whether its outline is hidden for its score."""
        return self.outlined and not self.shows(at)

    def stays(self, at: At, then: float) -> bool:
        """Whether it can't be shown so: outlined at another probability than it was then, or where that is lost."""
        return at.outline != then or (self.lost and self.shows(at))

    def around(self, seen: NDArray[np.bool_], boxes: Iterable[tuple[slice, slice]], at: At) -> NDArray[np.bool_]:
        """The same, but for what was looked at since in boxes: their rows and columns."""
        whole = self.seen(at)
        for box in boxes:
            whole[box] = seen[box]
        return whole
