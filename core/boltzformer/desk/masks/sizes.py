"""Which objects are shown: the model's that are too small are hidden, in a picture those that touch are parted; what a
person drew or accepted stays. No model is asked, and what is hidden comes back."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.thresholds import PORTION_S
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.masks.whole import Whole, answer_of, is_closed, whole_of
from boltzformer.desk.masks.whose import Bits, unpacked
from boltzformer.desk.ports import Stage, Timers
from boltzformer.desk.work import Work

REST_MS = 300
"""So long after the last stroke or answer the objects are judged anew."""
RUN_MS = 1000
"""While a run answers, no more often than this."""
LONG_MS = 300
"""Who waits longer for objects to be parted is told why: a picture of 2400² takes seconds."""


AT_ONCE = 1 << 20
"""Voxels up to which objects are judged while the viewer waits: more than about a second is too long."""


_Waiter = tuple[Sequence[Track], Callable[[], None], Callable[[], None]]


@dataclass(frozen=True)
class _Judged:
    """By row, packed, where anything is to be another than it was: what was shown, and what is hidden now."""

    before: Mapping[int, Bits]
    hides: Mapping[int, Bits]
    objects: int
    lines: Bits | None
    """Of a picture whose objects are parted."""


@dataclass
class _Pending:
    """What was judged and is still to be shown."""

    track: Track
    judged: _Judged
    rows: deque[int]
    """The one on screen first."""
    missed: bool = False
    """Some were painted or answered meanwhile."""


class Sizes:
    """Keeps the masks of the chosen image true to what was chosen for its objects."""

    def __init__(self, stage: Stage, tracks: Tracks, work: Work, timers: Timers) -> None:
        self.changed: list[Callable[[Track], None]] = []
        """Other objects of this mask are shown than before."""
        self.parting: list[Callable[[bool], None]] = []
        """Objects that touch are being parted, which takes long; or no more."""
        self._stage, self._tracks, self._work, self._timers = stage, tracks, work, timers
        self._rest, self._timer = timers.after(REST_MS, self.now), timers.every(0, self._portion)
        self._run, self._waits = timers.after(RUN_MS, self.now), False
        self._slow, self._told = timers.after(LONG_MS, self._tell_slow), False
        self._judging: set[str] = set()
        self._pending: dict[str, _Pending] = {}
        self._again: set[str] = set()
        """Painted or answered while they were judged: they wait to be judged once more."""
        self._waiting: dict[Hashable, _Waiter] = {}
        """By what they wait to do: once each."""

    @property
    def count(self) -> int:
        """So many objects of the chosen image are hidden."""
        return sum(track.too_small for track in self._tracks.chosen())

    @property
    def busy(self) -> bool:
        """Whether masks wait for being judged or shown."""
        return bool(self._judging or self._pending)

    def is_under_way(self, track: Track) -> bool:
        """Whether it waits for being judged or shown."""
        judged = any(one == track.key or one.endswith(f" of {track.key}") for one in self._judging)
        return judged or track.key in self._pending or track.key in self._again

    def once_shown(
        self, what: Hashable, tracks: Sequence[Track], then: Callable[[], None], late: Callable[[], None]
    ) -> bool:
        """Calls `then` when none of these waits any more, or `late` where their image goes before that; False where
        that is now. Asked for the same again, it waits once."""
        waits = any(map(self.is_under_way, tracks))
        if waits:
            self._waiting[what] = (tracks, then, late)
        else:
            then()
        return waits

    def hurry(self, image: OpenImage) -> None:
        """It may be about to leave the screen: whoever waits for its masks waits no longer, as they are shown at once;
        a large one takes seconds, and they wait on until it is shown, or gone (`left`)."""
        mine = self._waiting_for(image)
        if mine and image.count * math.prod(image.plan.slice_shape) > AT_ONCE:
            return
        waiters = [self._waiting.pop(what) for what in mine]
        for track in {track.key: track for tracks, *_ in waiters for track in tracks}.values():
            if track.key in self._judging | self._again:
                self._work.drop(_topic(track))
                self._again.discard(track.key)
                self._apply(track, _judged(whole_of(track), dict(track.whose.hidden)))
            if (one := self._pending.pop(track.key, None)) is not None:
                while one.rows:
                    _hide(track, one.judged, one.rows.popleft())
                self._finish(one)
        for _, then, _ in waiters:
            then()

    def left(self, image: OpenImage) -> None:
        """It is gone: nobody waits for its masks any longer."""
        self._too_late(self._waiting_for(image))

    def _waiting_for(self, image: OpenImage) -> list[Hashable]:
        return [what for what, one in self._waiting.items() if any(track.image is image for track in one[0])]

    def _too_late(self, those: Sequence[Hashable]) -> None:
        for *_, late in [self._waiting.pop(what) for what in those]:
            late()

    def later(self, track: Track) -> None:
        """It changed: neighbours that were found since make its objects larger."""
        if concerns(track):
            self._rest.start()

    def meanwhile(self, track: Track) -> None:
        """A run answered, and will again: who waited for it to rest would wait to its end."""
        if concerns(track) and not self._waits and not self.busy:
            self._waits = True
            self._run.start()

    def now(self) -> None:
        """All masks of the chosen image; the viewer does not wait."""
        self._waits = False
        self._run.stop()
        self._again.clear()
        for track in self._tracks.chosen():
            if concerns(track):
                self._judging.add(track.key)
                if track.kept.thresholds.apart and answer_of(track) is not None:
                    self._slow.start()
                self._work.do(
                    partial(_judged, whole_of(track), dict(track.whose.hidden)),
                    partial(self._apply, track),
                    partial(self._failed, track.key),
                    topic=_topic(track),
                )
            else:
                track.too_small = 0
        self._tell_waiting()

    def take(self, track: Track, row: int, then: Callable[[], None]) -> None:
        """The answer that is offered for a slice, as it is shown: hiding or parting its objects later would be another
        step of undo. `then`: it is taken."""
        if not concerns(track) or track.looked_at(row) is not None:  # around a box it stays a person's
            track.take(row)
            then()
            return
        name, before = f"taking of {row} of {track.key}", np.packbits(track.mask(row))
        self._judging.add(name)
        if track.kept.thresholds.apart and answer_of(track) is not None:
            self._slow.start()
        hidden = {one: bits for one, bits in track.whose.hidden.items() if one != row}
        self._work.do(
            partial(_judged, whole_of(track, row), hidden),
            partial(self._taken, track, row, (before, track.proposals[row]), then),
            partial(self._failed, name),
            topic=name,
        )

    def _taken(
        self, track: Track, row: int, known: tuple[Bits, Bits], then: Callable[[], None], judged: _Judged
    ) -> None:
        self._judging.discard(f"taking of {row} of {track.key}")
        try:
            self._take(track, row, known, then, judged)
        finally:
            self._tell_done()

    def _take(
        self, track: Track, row: int, known: tuple[Bits, Bits], then: Callable[[], None], judged: _Judged
    ) -> None:
        painted = not np.array_equal(known[0], np.packbits(track.mask(row))) or self._timers.under_stroke()
        if not track.surface.alive or row not in track.proposals or painted:
            return  # what was painted meanwhile is newer than the answer, which stays offered
        if track.proposals[row] is not known[1]:  # a threshold was moved meanwhile
            self.take(track, row, then)
            return
        hides = judged.hides.get(row)
        track.take(row, hides)
        track.kept.remains(row, int(np.count_nonzero(track.row(row))), cut=hides is not None)
        others = {one: bits for one, bits in judged.before.items() if one != row}
        self._apply(track, replace(judged, before=others))
        then()

    def _tell_slow(self) -> None:
        if self.busy:
            self._told = True
            for heard in self.parting:
                heard(True)

    def _tell_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for what, one in waiting.items():
            self.once_shown(what, *one)

    def _tell_done(self) -> None:
        self._tell_waiting()
        if self.busy:
            return
        self._slow.stop()
        if self._told:
            self._told = False
            for heard in self.parting:
                heard(False)

    def _failed(self, key: str) -> None:
        """Why has been said."""
        self._judging.discard(key)
        self._tell_done()

    def _apply(self, track: Track, judged: _Judged) -> None:
        self._judging.discard(track.key)
        track.too_small = judged.objects
        if judged.lines is not None:
            track.whose.lines[0] = judged.lines
        here = self._stage.row(track.image) if track.surface.alive else 0
        rows = deque(sorted(judged.before, key=lambda row: abs(row - here)))
        self._pending[track.key] = _Pending(track, judged, rows)
        self._timer.start()

    def _portion(self) -> None:
        """Slice by slice, as long as the viewer may wait; what is on screen is drawn at once."""
        if self._timers.under_stroke():
            return
        until = time.perf_counter() + PORTION_S
        for key, one in list(self._pending.items()):
            alive = one.track.surface.alive
            while alive and one.rows and time.perf_counter() < until:
                row = one.rows.popleft()
                one.missed |= not _hide(one.track, one.judged, row)
                if self._stage.sees(one.track.image, row):
                    one.track.surface.draw()
            if not alive or not one.rows:
                del self._pending[key]
                self._finish(one)
        if not self._pending:
            self._timer.stop()

    def _finish(self, one: _Pending) -> None:
        if one.missed:
            self._again.add(one.track.key)
            self._rest.start()
        self._tell_done()
        if one.track.surface.alive:
            one.track.surface.draw()
            for heard in self.changed:
                heard(one.track)


def _topic(track: Track) -> str:
    return f"sizes of {track.key}"


def concerns(track: Track) -> bool:
    """Whether sizes were chosen for it, or something is hidden still."""
    return track.kept.thresholds.of_objects or bool(track.whose.hidden)


def _judged(make: Callable[[], Whole], hidden: Mapping[int, Bits]) -> _Judged:
    whole = make()
    gone, objects = whole.gone()
    hides = {
        int(row): np.packbits(gone[row]) for row in np.flatnonzero(gone.any(axis=(1, 2))) if row not in whole.closed
    }
    others = [
        row
        for row in hides.keys() | hidden.keys() - whole.closed
        if row not in hides or row not in hidden or not np.array_equal(hides[row], hidden[row])
    ]
    before = {row: np.packbits(whole.shown[row]) for row in others}
    lines = None if whole.apart is whole.rows else np.packbits(whole.rows[0] & ~whole.apart[0])
    return _Judged(before, hides, objects, lines)


def _hide(track: Track, judged: _Judged, row: int) -> bool:
    """In one row; False where it was painted or answered meanwhile: then it stays as it is."""
    before = judged.before[row]
    gone = judged.hides.get(row)
    if not np.array_equal(np.packbits(track.mask(row)), before):
        return False
    if track.is_fixed(row):
        return _show_beside(track, row, gone)
    whole = track.whose.answered(row)
    shown = before if whole is None else whole
    mask = unpacked(shown if gone is None else shown & ~gone, track.shape[1:]) > 0
    track.show_again(row, mask)
    track.kept.remains(row, int(np.count_nonzero(mask)), cut=gone is not None)
    if gone is not None:
        track.whose.hidden[row] = gone
    return True


def _show_beside(track: Track, row: int, hides: Bits | None) -> bool:
    """What was hidden in a slice that a person changed comes back beside what is theirs, but for `hides`; where they
    only deleted objects, more may be hidden."""
    if is_closed(track, row):
        return False
    whose, mask = track.whose, np.packbits(track.mask(row))
    none = np.zeros_like(mask)
    less, hidden = none if hides is None else hides, whose.hidden.pop(row, none)
    more = hidden & ~less
    shown = unpacked((mask | more) & ~less, track.shape[1:]) > 0
    track.surface.write({row: shown}, beneath=True, again=True)
    if row in whose.written:
        track.taken.shows(row, again=True)  # where an undo may lead that is of all voxels
        whose.written[row] = (whose.written[row] | more) & ~less
    if hides is not None:
        whose.hidden[row] = hides
    track.sums.note((row,), track.row)
    return True
