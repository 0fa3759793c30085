"""`Scouting`: where all slices of an image take long, a quicker way is offered, once for each run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from boltzformer.desk.notice import Notice
from boltzformer.desk.runs.run import Run
from boltzformer.desk.words import counted

SCOUT, EVERY = "a quicker way", 4
"""Topic of the offer to ask every so many slices first."""
LONG_S, ENOUGH_TO_TELL = 90.0, 3
"""Seconds that all slices take from which it is offered, and slices after which that is known."""


class Scouting:
    """It stands until it is answered or its own run is over: no other run takes it away."""

    def __init__(self, notice: Notice, again: Callable[[Run], None]) -> None:
        """`again`: asks once more what a run asks, every so many slices first."""
        self.long_s = LONG_S
        self._notice, self._again = notice, again
        self._run: Run | None = None
        """Whose time it would save."""
        self._told: set[int] = set()
        """Numbers of the runs that it was offered for."""

    def look(self, run: Run, *, alone: bool) -> None:
        """A slice further. `alone`: nothing else is asked about its image."""
        plain = run.whole and not run.scout and "adapter" not in run.how and alone and run.number not in self._told
        left = run.seconds_left or 0
        if plain and run.done >= ENOUGH_TO_TELL and left >= self.long_s:
            self._told.add(run.number)
            self._run = run
            self._notice.offer(
                SCOUT,
                f"All slices take about {counted(round(left / 60), 'minute')}. Quicker: every {EVERY}th slice first, "
                "then only where something may be.",
                (f"Every {EVERY}th first", partial(self._again, run)),
            )

    def ended(self, run: Run) -> None:
        """There is nothing left that could be quicker."""
        if run is self._run:
            self._run = None
            self._notice.withdraw(SCOUT)
