"""How far a fine-tuning's questions are: to the parent before the first step, to what was learnt after the last."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Asking:
    """A model was asked about one picture more."""

    asked: int
    pictures: int
    judging: bool
    """After the last step what was learnt is asked; before the first its parent."""
    eta: float | None
    """Seconds, if all take as long as those so far did; nothing after one, which took longest."""


Asked = Generator[Asking, None, T]
"""Tells each picture; its value is what came of it."""


class Count:
    """Of one round of questions, which may have several parts."""

    def __init__(self, pictures: int, *, judging: bool = False) -> None:
        self.pictures, self.judging = pictures, judging
        self.asked, self._began = 0, time.monotonic()

    def one(self) -> Asking:
        """One more was asked."""
        self.asked += 1
        each = (time.monotonic() - self._began) / self.asked
        eta = each * (self.pictures - self.asked) if self.asked > 1 else None
        return Asking(self.asked, self.pictures, self.judging, eta)

    def spare(self, pictures: int) -> None:
        """So many need not be asked after all."""
        self.pictures -= pictures


def all_of(asking: Asked[T]) -> T:
    """What came of it, with nothing told on the way."""
    while True:
        try:
            next(asking)
        except StopIteration as ended:
            value: T = ended.value
            return value
