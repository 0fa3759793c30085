"""`Reapplying`: an image's thresholds, which act at once on what is on screen and in portions on the rest."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from boltzformer.desk.masks.answers import Answers
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.lanes import Bar, Lane
from boltzformer.desk.ports import Mask, Timers
from boltzformer.desk.scale import Scale

PORTION_S = 0.010
"""So long the viewer may wait for slices that are not on screen."""
Write = Callable[[int, int, Mask], int | None]
"""(lane, row, mask) → None once it is written. A slice that a person changed stays: then the voxels that it holds."""


class Reapplying:
    """From kept logits: the model is never asked. Thresholds belong to an image, whose own they are until it goes."""

    def __init__(self, bar: Bar, timers: Timers, write: Write, refresh: Callable[[], None]) -> None:
        """`write` puts a mask into a lane's surface, `refresh` draws what changed."""
        self.bar = bar
        self.changed: list[Callable[[], None]] = []
        """Numbers and words may be others."""
        self.chosen: list[Callable[[Thresholds | None], None]] = []
        """Somebody chose other thresholds, None: the model's own; the slice on screen has them already."""
        self.done: list[Callable[[], None]] = []
        """All slices have them."""
        self._write, self._refresh = write, refresh
        self.scale = Scale(flat=False)
        """What the image's voxels measure."""
        self._own = self._now = Thresholds()
        self._left: deque[int] = deque()
        self._timer = timers.every(0, self._portion)

    @property
    def thresholds(self) -> Thresholds:
        """What is shown at present; slices that arrive later are shown at them, too."""
        return self._now

    @property
    def busy(self) -> bool:
        """Whether slices wait for the present ones."""
        return bool(self._left)

    # --- what it is told -----------------------------------------------------------------------------------------

    def set_run(
        self,
        lanes: Sequence[Lane],
        count: int,
        *,
        row: int,
        gate: float,
        scale: Scale,
        chosen: Thresholds | None = None,
        apart: bool = False,
    ) -> None:
        """An image of `count` slices: what its lanes hold is shown at what was `chosen` for it, else at the model's
        own `gate`, and if it is a picture with one label per object where that is usual (`apart`)."""
        self._timer.stop()
        self._left.clear()
        self.scale, self._own = scale, Thresholds(existence=gate, apart=apart and scale.flat)
        self._now = chosen or self._own
        self.bar.set_lanes(lanes, count)
        self.set_row(row)
        self._apply()

    def slice_finished(self, row: int) -> None:
        """The lanes' answers hold this row now, and their masks are written."""
        self.bar.draw(row)
        self.tell()

    def set_row(self, row: int) -> None:
        """The slice on screen."""
        self.bar.set_row(row)

    def set_edited(self, lane: int, painted: Mapping[int, int], edited: Collection[int]) -> None:
        """Rows that are a person's, with the voxels they hold: they are never written, and count as they are."""
        self.bar.lanes[lane].painted, self.bar.lanes[lane].edited = dict(painted), set(edited)
        self.bar.draw()
        self.tell()

    def show_again(self, lane: int, rows: Collection[int]) -> None:
        """Rows that were a person's when the thresholds moved, and are the model's again."""
        known = self.bar.lanes[lane]
        if left := [row for row in rows if self._follows(known, row) and row not in self._left]:
            self._left.extend(left)
            self._timer.start()

    # --- what the user chooses -----------------------------------------------------------------------------------

    def choose(self, *, existence: float | None = None, outline: float | None = None) -> None:
        """One of the two, or both."""
        now = self._now if existence is None else replace(self._now, existence=existence)
        self._choose(now if outline is None else replace(now, outline=outline))

    def choose_objects(self, *, smallest_mm3: float = 0.0, largest: int | None = None, apart: bool = False) -> None:
        """Which objects are shown: those of at least a size, and so many of the largest (None: all); in a picture each
        by itself, if they are to lie apart."""
        self._choose(replace(self._now, smallest_mm3=smallest_mm3, largest=largest, apart=apart))

    def reset(self) -> None:
        """Back to the model's own, which has no say in whether objects lie apart."""
        self._choose(replace(self._own, apart=self._now.apart))

    def _choose(self, thresholds: Thresholds) -> None:
        """The model's own are nobody's choice, however they were reached: another model's take their place."""
        self._now = thresholds
        self._apply()
        for heard in self.chosen:
            heard(None if thresholds == self._own else thresholds)

    def _apply(self) -> None:
        """The slice on screen at once, the rest from there outwards when the viewer is idle."""
        for lane in self.bar.lanes:
            lane.answers.thresholds = self._now
        here = self.bar.row
        rows = {row for lane in self.bar.lanes for row in lane.answers.looked if self._follows(lane, row)}
        self._left = deque(sorted(rows, key=lambda one: abs(one - here)))
        if here in rows:
            self._write_again(self._left.popleft())
            self._refresh()
        self.bar.set_gate(self._now.existence)
        self.tell()
        self._timer.start()

    def _portion(self) -> None:
        until = time.perf_counter() + PORTION_S
        while self._left and time.perf_counter() < until:
            self._write_again(self._left.popleft())
        self._refresh()
        self.tell()
        if not self._left:
            self._timer.stop()
            for heard in self.done:
                heard()

    def _write_again(self, row: int) -> None:
        for number, lane in enumerate(self.bar.lanes):
            if not self._follows(lane, row) or not lane.answers.stale(row):
                continue
            mask = lane.answers.at_present(row)
            painted = self._write(number, row, mask)
            if painted is not None:
                lane.painted[row] = painted
            else:
                lane.answers.showed(row, mask)
                lane.painted.pop(row, None)
                lane.edited.discard(row)
        self.bar.draw(row)

    def _follows(self, lane: Lane, row: int) -> bool:
        """Also a slice of an earlier day, of which the score is known; not a picture, which may be drawn on."""
        earlier = lane.answers.recalled(row) if self.bar.count > 1 else None
        return row in lane.answers.rows or (earlier is not None and earlier.outlined)

    # --- words ---------------------------------------------------------------------------------------------------

    @property
    def totals(self) -> list[str]:
        """A line for every prompt, and what does not follow the sliders."""
        lanes, at, count = self.bar.lanes, self._now, self.bar.count
        lines = [f"{one.name}: {one.total(count, self.scale)}" for one in lanes]
        lines += [f"{one.name}: {one.yours}" for one in lanes if one.yours]
        answers = [one.answers for one in lanes]
        earlier = {row for one in answers for row in set(one.looked) - set(one.rows)}
        if count > 1:  # their scores are known
            earlier = {row for one in answers for row in _as_then(one, at)}
        elif (at.existence, at.outline) == (self._own.existence, self._own.outline):
            earlier = set()
        if earlier:
            one = "The restored mask" if count == 1 else "1 restored slice"
            what = "its thresholds" if count == 1 else "its outline"
            lines.append(
                f"{one} stays as it was: run it again to move {what}"
                if len(earlier) == 1
                else f"{len(earlier):,} restored slices stay as they were: run them again to move their outline"
            )
        if at.apart and any(set(one.looked) - set(one.rows) and not one.came_apart for one in answers):
            lines.append("Restored objects stay as they were: run it again to part those that touch")
        return lines

    def tell(self) -> None:
        """Numbers and words are others."""
        for heard in self.changed:
            heard()


def _as_then(answers: Answers, at: Thresholds) -> list[int]:
    """Where the answer is of an earlier day and can't be shown so."""
    then = answers.outline_then
    earlier = answers.earlier(lambda _: True).items()
    return [row for row, one in earlier if one.stays(at, then.get(row, at.outline))]
