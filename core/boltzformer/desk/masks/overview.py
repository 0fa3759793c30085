"""`Overview`: the bar and the rows of the chosen image, kept true while runs answer, people paint and thresholds
move."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np

from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.beginning import is_from_elsewhere
from boltzformer.desk.masks.by_hand import Counts
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.lanes import Bar, Lane
from boltzformer.desk.masks.pointing import in_box
from boltzformer.desk.masks.thresholds import Reapplying
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.ports import Mask, Stage, Timers
from boltzformer.desk.scale import Scale
from boltzformer.desk.words import counted
from boltzformer.errors import BoltzFormerError
from boltzformer.types import GATE, SliceState

SOON_MS = 50


class Overview:
    """One image at a time: thresholds and failures of others wait until those are chosen again."""

    def __init__(self, stage: Stage, tracks: Tracks, timers: Timers) -> None:
        self.bar = Bar()
        self.reapplying = Reapplying(self.bar, timers, self._write, self._draw)
        self.shown: list[Callable[[], None]] = []
        """There are masks to show, perhaps others than before."""
        self.changed: list[Callable[[Track], None]] = []
        """All slices of this mask have the thresholds that were chosen."""
        self.moved: list[Callable[[], None]] = []
        """Another slice, image or mask is on screen, or its mask is another one."""
        self.turned: list[Callable[[], None]] = []
        """Of these: somebody looks at another one."""
        self.apart: Callable[[], bool] = lambda: False
        """Whether pictures that come get one label per object."""
        self._gate = GATE
        """The model's own, until masks say by which they were made."""
        self._stage, self._every = stage, tracks
        self._tracks: list[Track] = []
        self._image: OpenImage | None = None
        self._what: tuple[object, ...] | None = None
        self._watched: tuple[object, ...] | None = None
        self._dirty: set[Track] = set()
        self._other: set[Track] = set()
        self._painted: set[Track] = set()
        self._failed: dict[OpenImage, dict[int, str]] = {}
        """Rows at which a run broke off, and why."""
        self._soon = timers.after(SOON_MS, self._show_states)
        self.reapplying.chosen.append(self._chosen)
        self.reapplying.done.append(self._reapplied)

    def show_tracks(self) -> None:
        """The masks of the chosen image as they are now: at a run's begin, and when what is known has changed."""
        image, tracks = self._stage.chosen(), self._every.chosen()
        self._image, self._tracks, self._what = image, tracks, self._what_is_shown()
        if image is None or not tracks:
            scale = Scale(flat=False)
            with suppress(BoltzFormerError):  # running says why
                scale = scale if image is None else image.scale
            self.reapplying.set_run((), 1, row=0, gate=self._gate, scale=scale)
            return
        self.reapplying.set_run(
            [Lane.of(one) for one in tracks],
            tracks[0].count,
            row=self._stage.row(image),
            gate=tracks[-1].gate,
            scale=image.scale,
            chosen=image.thresholds,
            apart=self.apart(),
        )
        self._show_states()
        self._show_failed()
        for heard in self.shown:
            heard()

    def expect(self, gate: float) -> None:
        """The next run's masks begin at this score: another model may be in use."""
        self._gate = gate
        self.look_again()

    def look_again(self) -> None:
        """Image or masks may be others than those that are shown."""
        if self._what_is_shown() != self._what:
            self.show_tracks()
        self.look()

    def look(self) -> None:
        """Another slice, image or mask is on screen, or may be."""
        image, track = self._stage.chosen(), self._every.active()
        row = 0 if image is None else self._stage.row(image)
        watched = image, row, None if track is None else track.key
        if watched != self._watched:
            if self._watched is not None and track is not None and track in self._tracks:
                self.painted(track)  # not every viewer tells of an undo
            self._watched = watched
            self.reapplying.set_row(row)
            self._move()
            for heard in self.turned:
                heard()

    def slice_finished(self, image: OpenImage, row: int) -> None:
        """A run wrote this row."""
        if self._failed.get(image, {}).pop(row, None) is not None:
            self._show_failed()
        if image is self._image:
            self.reapplying.slice_finished(row)
            if row == self._stage.row(image):
                self._move()

    def slice_failed(self, image: OpenImage, row: int, why: str) -> None:
        """A run broke off at this row."""
        self._failed.setdefault(image, {})[row] = why
        self._show_failed()

    def painted(self, track: Track) -> None:
        """A person painted, or said something of a slice: often many times in a row."""
        self._painted.add(track)
        self._soon.start()

    def resized(self, track: Track) -> None:
        """Objects of a mask are shown or hidden for their size."""
        if track in self._tracks:
            if track.touched:
                self.painted(track)  # beneath strokes, or where a person deleted others, which count with the rest
            self.bar.draw()
            self.reapplying.tell()
            self._move()

    # --- thresholds ---------------------------------------------------------------------------------------------

    def _write(self, lane: int, row: int, mask: Mask) -> int | None:
        track = self._tracks[lane]
        if not track.surface.alive:
            return None
        shown = track.show_again(row, mask)
        if shown:
            self._other.add(track)
            if self._stage.sees(track.image, row):
                self._dirty.add(track)
        if shown and (track.count > 1 or not track.belongs_to_a_person(row)):
            return None
        if shown:  # beneath strokes
            track.kept.showed(row, mask)
        return int(np.count_nonzero(track.row(row)))

    def _draw(self) -> None:
        for track in self._dirty:
            if track.surface.alive:
                track.surface.draw()
        self._dirty.clear()

    def _chosen(self, thresholds: Thresholds | None) -> None:
        if self._image is not None:
            self._image.thresholds = thresholds

    def _reapplied(self) -> None:
        """All slices have the new thresholds."""
        changed, self._other = self._other, set()
        for track in changed:
            track.surface.draw()
            for heard in self.changed:
                heard(track)
        if changed:
            self._move()

    # ------------------------------------------------------------------------------------------------------------

    def _show_states(self) -> None:
        """What people did: which rows they painted, and which they accepted in all masks."""
        for track in self._painted & set(self._tracks):
            number = self._tracks.index(track)
            lane = self.bar.lanes[number]
            lane.look_at(track)
            self.reapplying.set_edited(number, lane.painted, lane.edited)
            late = [row for row in track.kept.looked if track.kept.stale(row) and row not in track.proposals]
            self.reapplying.show_again(number, [row for row in late if not track.is_fixed(row)])
        self._painted.clear()
        said = set.intersection(*(one.touched for one in self._tracks)) if self._tracks else set[int]()
        self.bar.set_accepted(
            [row for row in said if all(one.state(row) is not SliceState.UNSEEN for one in self._tracks)]
        )

    def _show_failed(self) -> None:
        if self._image is not None:
            self.bar.set_failed(self._failed.get(self._image, {}))

    def _move(self) -> None:
        for heard in self.moved:
            heard()

    def _what_is_shown(self) -> tuple[object, ...]:
        image = self._stage.chosen()
        return (image, self._gate, *((one.key, one.name, one.gate, one.count) for one in self._every.chosen()))


def sentence(track: Track, on_screen: int, counts: Counts | None, *, warned: bool = False) -> str:
    """'MS lesion · score 0.83 here · all 64 slices · 2 objects, 1.2 mL', and what speaks against it, unless somebody
    is `warned` of that already; of a picture, how many objects there are comes first."""
    parts, number = [track.name], []
    if track.scores:
        parts += [*_score(track, on_screen), *where(track, on_screen), *in_box(track)]
    if not track.kept.looked and not track.touched:
        parts += ["not looked yet"]
    elif counts is not None:
        amount = track.image.scale.amount(counts.voxels)
        out = f", {counts.left_out} left out" if counts.left_out else ""
        number = [counted(counts.objects, "object") + (f", {amount}" if counts.objects else "") + out]
    parts[1 if track.count == 1 else len(parts) : 0] = number
    warning = "\n" + track.warning if track.warning and not warned else ""
    return " · ".join(parts) + warning


def _score(track: Track, on_screen: int) -> list[str]:
    """The model's, if it is one of the mask that is shown."""
    here = track.scores.get(on_screen)
    if here is not None and is_from_elsewhere(track, on_screen):  # its answer there may be offered
        return ["not the model's here"] if track.count > 1 else []
    if here is None:
        return ["no score here"] if track.count > 1 else []
    return [f"score {here:.2f}" + ("" if len(track.scores) == 1 else " here")]


def where(track: Track, on_screen: int) -> list[str]:
    """Which slices were looked at, or in how many a person marked something of their own; of a picture there is nothing
    to say."""
    looked, count = len(track.scores), track.count
    if count == 1:
        return []
    if own := held_unasked(track):
        return [counted(len(own) + sum(bool(track.row(row).any()) for row in track.scores))]
    if looked == count:
        return [f"all {count} slices"]
    if looked == 1:
        (row,) = track.scores
        return ["this slice" if row == on_screen else f"slice {row}"]
    return [f"{looked} of {count} slices"]


def held_unasked(track: Track) -> set[int]:
    """Rows that hold something though the model was not asked there."""
    return {row for row in track.touched - track.scores.keys() if track.row(row).any()}
