"""What a run says while it works: a live bar with the time left, or one JSON object per line."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from boltzformer.masks.lessons import Learning
from boltzformer.speaking import lost, shown
from boltzformer.types import SliceResult, Started, TileDone


class Show:
    """Words go to standard error, JSON to standard output."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.lost = ""
        """Why events could not be told, if they could not."""
        self._console, self._out = Console(stderr=True, quiet=as_json), sys.stdout
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        watched = self._console.is_terminal and not as_json
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not watched)
        self._cases: TaskID | None = None
        self._slices: TaskID | None = None
        self._lessons: TaskID | None = None
        self._tiled = False
        """Whether the bar counts tiles."""

    def __enter__(self) -> Show:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def cases(self, total: int, *, always: bool = False) -> None:
        """A bar over all cases, where there are several."""
        if total > 1 or always:
            self._cases = self._bar.add_task("cases", total=total)

    def totals(self, words: str) -> None:
        """What became of the cases so far."""
        if self._cases is not None:
            self._bar.update(self._cases, description=words)

    def learning(self, case: str, event: Learning) -> None:
        """A step of learning from lessons."""
        if self._lessons is None:
            self._lessons = self._bar.add_task(f"{case}: learning from lessons", total=None)
            self.event("learning", case=case, memory_bytes=event.memory)
        self._bar.update(self._lessons, completed=event.step, total=event.of or None)
        if event.step:
            self.event("learnt", case=case, step=event.step, of=event.of, loss=round(event.loss, 4))

    def started(self, case: str, event: Started) -> None:
        """A case begins."""
        if self._lessons is not None:
            self._bar.remove_task(self._lessons)
            self._lessons = None
        if self._slices is not None:  # a second pass, over a region
            self._bar.remove_task(self._slices)
        plane = event.plan.plane
        tiles = {"tiles": event.tiles} if event.tiles else {}
        what, total = ("tiles", event.tiles) if event.tiles else (f"{plane} slices", event.total)
        self._slices = self._bar.add_task(f"{shown(case)}: {what}", total=total)
        if event.tiles:
            self.say(f"{case}: much larger than the model's input, so it is asked in {event.tiles} overlapping tiles.")
        self._tiled = bool(event.tiles)
        self.event("started", case=case, plane=plane, slices=event.total, **tiles)

    def tile(self, case: str, event: TileDone) -> None:
        """A tile is done."""
        if self._slices is not None:
            self._bar.advance(self._slices)
        self.event("tile", case=case, done=event.done, total=event.total)

    def slice(self, case: str, event: SliceResult) -> None:
        """A slice is done."""
        if self._slices is not None and not self._tiled:
            self._bar.advance(self._slices)
        existence = [round(float(e), 4) for e in event.existence]
        self.event("slice", case=case, index=event.index, existence=existence)

    def adjusted(self, case: str, what: str, why: str) -> None:
        """Something is done otherwise than asked."""
        self.event("adjusted", case=case, what=what, why=why)
        self.say(f"{case}: {what}. {why}")

    def case_done(self) -> None:
        """Well or not."""
        if self._slices is not None:
            self._bar.remove_task(self._slices)
            self._slices = None
        if self._cases is not None:
            self._bar.advance(self._cases)

    def say(self, sentence: str) -> None:
        """For the person in front of it."""
        with suppress(OSError):  # that nobody can read it is no reason to stop
            self._console.print(shown(sentence), highlight=False, soft_wrap=True, markup=False, emoji=False)

    def note(self, sentence: str) -> None:
        """Something the user should know that stops nothing."""
        self.event("note", text=sentence)
        self.say(f"note: {sentence}")

    def event(self, kind: str, **facts: object) -> None:
        """For programs."""
        if not self.as_json or self.lost:
            return
        try:
            self._out.write(json.dumps({"event": kind, **facts}) + "\n")
            self._out.flush()
        except OSError as error:  # the work goes on: its files are what was asked for
            self.lost = lost(error, self._out)
