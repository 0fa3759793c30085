"""`Known`: what the model had said of a slice at one moment; a run that is taken back, or an answer that is dropped,
leads back to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boltzformer.desk.masks.answers import Answers
from boltzformer.desk.masks.kept import Kept
from boltzformer.desk.masks.recalled import Recalled
from boltzformer.desk.masks.whose import Bits


@dataclass(frozen=True)
class Known:
    """Of one slice."""

    written: Bits | None
    kept: Kept | None
    recalled: Recalled | None
    score: float | None
    spread: int | None
    how: Mapping[str, Any] | None
    led: Bits | None = None
    """What it has been since, where a mask was followed into it: a person's, that the model found."""


@dataclass(frozen=True)
class Facts:
    """Of one mask, by row: its own, which it goes on changing."""

    scores: dict[int, float]
    spread: dict[int, int]
    how: dict[int, Mapping[str, Any]]
    kept: Answers

    def at(self, row: int, written: Bits | None, led: Bits | None = None) -> Known:
        """As they are now."""
        held, score = (self.kept.of(row), self.kept.recalled(row)), self.scores.get(row)
        return Known(written, *held, score, self.spread.get(row), self.how.get(row), led)

    def back(self, row: int, before: Known) -> None:
        """As they were then."""
        for known, value in self._values(before):
            known.pop(row, None)
            if value is not None:
                known[row] = value
        self.kept.bring_back(row, before.kept, before.recalled)

    def _values(self, before: Known) -> list[tuple[dict[int, Any], Any]]:
        return [(self.scores, before.score), (self.spread, before.spread), (self.how, before.how)]
