"""`Told`: the runs that answered in one mask, as the file beside its export tells of them; some can be taken back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import count
from typing import Any

MOST_REVERTS = 8
"""So many runs can be taken back, one after the other: each holds the answers that it replaced."""
RUNNING = "running"
"""The state of a run that may not have ended."""
NUMBERS = count(1)
"""Runs are numbered as they begin, over all masks."""


class Told:
    """By the number of a run."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        """What is told, in the order in which they began to answer."""
        self.last = 0
        """That began."""
        self._begun: list[int] = []
        self._records: dict[int, dict[str, Any]] = {}

    def begin(self, run: int | None) -> list[int]:
        """`run`: its number, where several masks share it → those that are too long ago to be taken back."""
        self.last = next(NUMBERS) if run is None else run
        self._begun.append(self.last)
        ended = [one for one in self._begun if self._records.get(one, {}).get("state", RUNNING) != RUNNING]
        return ended[:-MOST_REVERTS]

    def note(self, made: Mapping[str, Any], run: int | None) -> None:
        """How its answers came about, so far or to the end."""
        number = self.last if run is None else run
        if number not in self._records:
            self._records[number] = {}
            self.runs.append(self._records[number])
        self._records[number].clear()
        self._records[number].update(made)

    def took_back(self, run: int, slices: Collection[int]) -> None:
        """A run of which nothing is left has not made this mask."""
        record = self._records.get(run)
        if record is None:
            return
        if set(slices) >= set(record.get("slices", ())):
            self.runs[:] = [one for one in self.runs if one is not record]
        elif slices:
            record["taken back"] = sorted(slices)

    def forget(self, run: int) -> None:
        """It can't be taken back any more."""
        self._records.pop(run, None)
        self._begun = [one for one in self._begun if one != run]
