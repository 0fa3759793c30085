"""`Scout`: every few slices first, then outwards from those where something may be. What it passes over was not looked
at, and nobody is told that nothing is there."""

from __future__ import annotations

from collections.abc import Sequence

from boltzformer.errors import BoltzFormerError
from boltzformer.types import SliceResult

EVERY = 4
"""Of so many slices one is asked first, unless said otherwise."""
LIKELY = 0.2
"""Existence from which the slices beside it are asked, too: well below what shows a mask, for an object's ends are
less sure than its middle."""


class Scout:
    """Of one run; slices are named by their stored numbers."""

    def __init__(self, order: Sequence[int], every: int = EVERY) -> None:
        """`order`: all slices that may be asked, in the order wanted."""
        if every < 2:
            raise BoltzFormerError(f"Scouting every {every} slices passes none over: give 2 or more.")
        self.every, self._known = every, sorted(order)
        self._place = {index: number for number, index in enumerate(self._known)}
        first = order[0]
        away = self._place[first] % every
        ahead = [index for index in order if self._place[index] % every == away]
        ends = [index for index in (self._known[0], self._known[-1]) if index not in ahead]
        self.left = [*ahead, *ends]
        """What is still to be asked, as far as is known; others may put it into another order."""
        self._asked = set(self.left)

    @property
    def facts(self) -> dict[str, int]:
        """For a provenance."""
        return {"every": self.every, "of slices": len(self._known)}

    def next_index(self) -> int | None:
        """For the engine: None where, as far as is known, nothing is left to ask."""
        return self.left.pop(0) if self.left else None

    def heard(self, result: SliceResult) -> None:
        """Beside a slice where something may be, the neighbours are asked before all else."""
        if float(result.existence.max()) < LIKELY:
            return
        place = self._place[result.index]
        for beside in (place - 1, place + 1):
            if 0 <= beside < len(self._known) and self._known[beside] not in self._asked:
                self._asked.add(self._known[beside])
                self.left.insert(0, self._known[beside])
