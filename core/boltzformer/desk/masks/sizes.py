"""Which objects are shown: the model's that are too small are hidden, in a picture those that touch are parted; what a
person drew or accepted stays. No model is asked, and what is hidden comes back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.masks.kept import Kept, Thresholds
from boltzformer.desk.masks.thresholds import PORTION_S
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.masks.whose import Bits, Drawn, Whose, unpacked
from boltzformer.desk.ports import Stage, Timers
from boltzformer.desk.work import Work
from boltzformer.masks.cells import parted
from boltzformer.masks.objects import staying
from boltzformer.masks.strands import Strands
from boltzformer.types import SliceState

REST_MS = 300
"""So long after the last stroke or answer the objects are judged anew."""
RUN_MS = 1000
"""While a run answers, no more often than this."""
LONG_MS = 300
"""Who waits longer for objects to be parted is told why: a picture of 2400² takes seconds."""


@dataclass(frozen=True)
class Whole:
    """One mask with what is hidden of it, copied: to be judged beside the viewer."""

    rows: NDArray[np.bool_]
    """(slices, rows, columns)."""
    fixed: frozenset[int]
    """Rows that are a person's: they stay, and so do all objects of theirs."""
    at: Thresholds
    voxel_mm3: float
    answer: Kept | None = None
    """Of a picture."""
    drawn: Drawn | None = None
    """A person's strokes on a picture, in `rows` only the model's: what they drew stays, and so do its objects."""
    lines: Bits | None = None
    """Of a picture that was parted on an earlier day."""
    beside: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict[int, NDArray[np.bool_]])
    """Of those rows: what has been hidden in them since before a person changed them, and may come back."""

    @staticmethod
    def of(
        shown: NDArray[np.uint8],
        whose: Whose,
        fixed: frozenset[int],
        said: frozenset[int],
        at: Thresholds,
        voxel_mm3: float,
        answer: Kept | None = None,
    ) -> Whole:
        """`shown` is its own copy; where a person said something (`said`) nothing comes back."""
        rows, beside = shown > 0, dict[int, NDArray[np.bool_]]()
        for row, bits in whose.hidden.items():
            if row not in said:
                less = unpacked(bits, rows.shape[1:]) > 0
                if row in fixed:
                    beside[row] = less & ~rows[row]
                rows[row] |= less
        drawn, model = whose.drawn, whose.answered(0)
        if drawn is None or model is None or 0 in fixed:
            drawn = None
        else:
            rows = unpacked(model, rows.shape[1:])[None] > 0
        return Whole(rows, fixed, at, voxel_mm3, answer, drawn, whose.lines.get(0), beside)

    @property
    def closed(self) -> frozenset[int]:
        """Rows in which nothing is hidden, and nothing comes back."""
        return self.fixed - self.beside.keys()

    def gone(self) -> tuple[NDArray[np.bool_], int]:
        """(slices, rows, columns): what of the rows is too small, and how many objects that is; of a picture also the
        lines between objects."""
        if not self.at.of_objects or not self.rows.any():
            return np.zeros_like(self.rows), 0
        apart = self.apart
        found = Strands.of(apart)  # the model's alone: no stroke changes which of its objects are the largest
        stay = staying(found.sizes, self.voxel_mm3, self.at.smallest_mm3, self.at.largest)
        for row in self.closed:
            stay[found.in_slice(row)] = True
        if self.beside:
            theirs = np.zeros_like(self.rows)
            for row, less in self.beside.items():
                theirs[row] = self.rows[row] & ~less
            stay[found.under(theirs)] = True
        small = ~stay
        if self.drawn is not None:
            stay[found.under(self._in_hand(apart))] = True
            left = np.zeros_like(stay)
            left[found.under(self.with_strokes(apart))] = True
            small = ~stay & left
        gone = found.mask(~stay)
        if apart is not self.rows:
            gone |= self.rows & ~apart
        return gone, int(np.count_nonzero(small))

    def _in_hand(self, apart: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(1, rows, columns): of a picture, the objects that a person drew on or cut."""
        from scipy.ndimage import binary_dilation

        assert self.drawn is not None
        added, erased = (unpacked(bits, apart.shape[1:]) > 0 for bits in (self.drawn.added, self.drawn.erased))
        shown = Strands.of(self.with_strokes(apart))
        theirs = np.zeros(shown.count + 1, bool)
        theirs[shown.under((added | binary_dilation(erased, np.ones((3, 3))))[None])] = True
        return shown.mask(theirs)

    @cached_property
    def apart(self) -> NDArray[np.bool_]:
        """Each object by itself, if they are to be. Of an answer of an earlier day the logits are gone."""
        if not self.at.apart or len(self.rows) > 1 or 0 in self.fixed:
            return self.rows
        if self.answer is not None:
            return parted(self.rows[0], self.answer.logits())[None]
        return self.rows if self.lines is None else self.rows & ~(unpacked(self.lines, self.rows.shape[1:]) > 0)

    def remaining(self) -> NDArray[np.bool_]:
        """(slices, rows, columns): as it is to be shown."""
        return self.with_strokes(self.rows & ~self.gone()[0])

    def with_strokes(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What a person drew on a picture, on top."""
        if self.drawn is None:
            return rows
        return unpacked(self.drawn.over(np.packbits(rows[0])), rows.shape[1:])[None] > 0


def whole_of(track: Track, taken: int | None = None) -> Callable[[], Whole]:
    """Copies a mask now; what takes longer is done where it is called. `taken`: as it will be once the answer that is
    offered for this row is taken."""
    fixed, rows, whose = track.fixed, track.surface.copy(), track.whose.copy()
    said = closed(track)
    if taken is not None:
        fixed, said = fixed - {taken}, said - {taken}
        rows[taken], whose.drawn = track.proposed(taken), None
        whose.wrote(taken, rows[taken] > 0)
    args = rows, whose, fixed, said, track.kept.thresholds
    return partial(Whole.of, *args, track.image.scale.voxel_mm3, answer_of(track))


def answer_of(track: Track) -> Kept | None:
    """By which a picture's objects are parted."""
    return track.kept.of(0) if track.count == 1 else None


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

    @property
    def count(self) -> int:
        """So many objects of the chosen image are hidden."""
        return sum(track.too_small for track in self._tracks.chosen())

    @property
    def busy(self) -> bool:
        """Whether masks wait for being judged or shown."""
        return bool(self._judging or self._pending)

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
        for track in self._tracks.chosen():
            if concerns(track):
                self._judging.add(track.key)
                if track.kept.thresholds.apart and answer_of(track) is not None:
                    self._slow.start()
                self._work.do(
                    partial(_judged, whole_of(track), dict(track.whose.hidden)),
                    partial(self._apply, track),
                    partial(self._failed, track.key),
                    topic=f"sizes of {track.key}",
                )
            else:
                track.too_small = 0

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
        self._tell_done()
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

    def _tell_done(self) -> None:
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
        self._tell_done()
        if one.missed:
            self._rest.start()  # judged again
        if one.track.surface.alive:
            one.track.surface.draw()
            for heard in self.changed:
                heard(one.track)


def closed(track: Track) -> frozenset[int]:
    """Rows that a person called right, or in which an answer waits for them: nothing comes back there."""
    return frozenset(row for row in track.fixed if _is_closed(track, row))


def _is_closed(track: Track, row: int) -> bool:
    said = track.state(row) is not SliceState.UNSEEN
    return said or row in track.whose.whole or row in track.proposals


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
    shape = whole.rows.shape[1:]
    less = {row: unpacked(hidden[row], shape) > 0 for row in others if row in hidden} | dict(whole.beside)
    before = {row: np.packbits(whole.rows[row] & ~less[row] if row in less else whole.rows[row]) for row in others}
    if whole.drawn is not None:
        before = {row: whole.drawn.over(bits) for row, bits in before.items()}
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
    """What was hidden in a slice that a person changed comes back beside what is theirs, but for `hides`."""
    if _is_closed(track, row) or row not in track.whose.hidden:
        return False
    whose, hidden = track.whose, track.whose.hidden.pop(row)
    more = hidden if hides is None else hidden & ~hides
    track.surface.write({row: track.mask(row) | (unpacked(more, track.shape[1:]) > 0)}, beneath=True)
    if row in whose.written:
        whose.written[row] = whose.written[row] | more
    if hides is not None:
        whose.hidden[row] = hides
    track.sums.note((row,), track.row)
    return True
