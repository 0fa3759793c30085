"""`Told`: the runs that answered in one mask, as the file beside its export tells of them; some can be taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count
from typing import Any

from boltzformer.desk.masks.known import Known

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
        self._parts: dict[int, Sequence[int]] = {}
        """By the last of runs that are taken back as one, all of them."""
        self._records: dict[int, dict[str, Any]] = {}

    def begin(self, run: int | None) -> list[int]:
        """`run`: its number, where several masks share it → those that are too long ago to be taken back."""
        self.last = next(NUMBERS) if run is None else run
        self._begun.append(self.last)
        ended = [one for one in self._begun if self._records.get(one, {}).get("state", RUNNING) != RUNNING]
        return ended[:-MOST_REVERTS]

    def begin_together(self, asked: Sequence[tuple[Mapping[str, Any], int]]) -> list[int]:
        """Runs that have ended, each with its number, to be taken back as one, the last → those that are too long
        ago."""
        for made, number in asked:
            self.note(made, number)
        last = asked[-1][1]
        self._parts[last] = [number for _, number in asked]
        return self.begin(last)

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
        for part in self._parts.get(run, (run,)):
            record = self._records.get(part, {})
            own = set(record.get("slices", ()))
            gone = own & {*slices, *record.get("taken back", ())}
            if own <= gone:
                self.runs[:] = [one for one in self.runs if one is not record]
            elif gone:
                record["taken back"] = sorted(gone)

    def standing(
        self,
        before: Mapping[int, Mapping[int, Known]],
        is_theirs: Callable[[int], bool],
        index: Callable[[int], int],
    ) -> list[dict[str, Any]]:
        """All but those by which a mask was followed into slices where an undo has left nothing of it, or where it was
        followed once more since. `before`: by row, then by run; `index` of a row: as runs tell of it."""
        gone: set[tuple[int, int]] = set()
        for row, known in before.items():
            led = [run for run, one in known.items() if one.led is not None]
            gone.update((run, index(row)) for run in (led[:-1] if led and is_theirs(row) else led))
        parts = ((run, self._records.get(part, {})) for run, parts in self._parts.items() for part in parts)
        left = [one for run, one in parts if one.get("slices") and all((run, at) in gone for at in one["slices"])]
        return [one for one in self.runs if not any(one is other for other in left)]

    def forget(self, run: int) -> None:
        """It can't be taken back any more."""
        for part in self._parts.pop(run, (run,)):
            self._records.pop(part, None)
        self._begun = [one for one in self._begun if one != run]
