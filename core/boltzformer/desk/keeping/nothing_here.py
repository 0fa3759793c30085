"""`NothingHere`: a person says that nothing is in a slice: stored a moment later, and offered to be taken back until
something else is done to that mask. What was accepted and is nobody's again is taken back in the same way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np

from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.said import Said, is_lost
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Mask, Stage
from boltzformer.desk.runs.running import Running
from boltzformer.desk.words import named, quoted
from boltzformer.types import SliceState

NOTHING, KEPT = "nothing in a slice", "what was kept"
"""Topics: of the offer to take such a word back, and of the sentence that tells of a revision."""


class NothingHere:
    """The word itself, and the way back from it: on screen, and on the disk where it has been stored meanwhile."""

    def __init__(
        self,
        stage: Stage,
        tracks: Tracks,
        notice: Notice,
        running: Running,
        settle: Callable[[], None],
        unstored: dict[OpenImage, Said],
    ) -> None:
        """`settle`: where it will be kept. `unstored`: what a person said that is stored a moment later."""
        self._stage, self._tracks, self._notice = stage, tracks, notice
        self._running, self._settle, self._unstored = running, settle, unstored
        self._stored: dict[OpenImage, set[tuple[Track, int]]] = {}
        """Of which that is on the disk."""
        self._back: dict[OpenImage, set[tuple[Track, int]]] = {}
        """Of which that was on the disk, and was taken back there; or it never got there, as something was painted."""
        self._lost: dict[OpenImage, set[tuple[Track, int]]] = {}
        """What was accepted, and is taken back."""
        self._offered: Said | None = None

    def say(self) -> None:
        """Of the slice on screen, of all prompts that are shown."""
        image, tracks = self._stage.chosen(), self._tracks.shown()
        if image is None or not tracks:
            self._notice.say("There is no mask on screen: run a prompt first.")
        elif self._running.can_be_asked(image):
            self._settle()
            row = self._stage.row(image)
            before = [(track, track.mask(row), track.state(row)) for track in tracks]
            for track in tracks:
                track.change(row, np.zeros(track.shape[1:], bool))
                track.say(row, SliceState.EMPTY)
            names = quoted([track.name for track in tracks])
            sentence = f"{named(row, image.count).capitalize()}: no {names} here."
            said = Said(tracks, row, sentence, empty=True, earlier=self._unstored.get(image))
            self._unstored[image] = self._offered = said
            self._notice.say("")
            self._notice.offer(NOTHING, sentence, ("Undo", partial(self._take_back, said, before)))

    def stored(self, image: OpenImage, said: Said) -> None:
        """It gets onto the disk now: what takes it back from here on has to take it back there, too."""
        words = [said]
        while (before := words[-1].earlier) is not None:
            words.append(before)
        kept = {(track, one.row) for one in words if one.empty for track in one.tracks}
        self._stored.setdefault(image, set()).update(one for one in kept if one[0].state(one[1]) is SliceState.EMPTY)
        self._back.setdefault(image, set()).difference_update(self._stored[image])
        lost = {(track, one.row) for one in words if one.lost and not one.empty for track in one.tracks}
        self._lost.setdefault(image, set()).update(one for one in lost if is_lost(*one))

    def passed_over(self, image: OpenImage, said: Said) -> None:
        """It stands no longer, and is not stored: an undo of what was painted since says it again."""
        if said.empty and not said.lost:
            self._back.setdefault(image, set()).update((track, said.row) for track in said.tracks)

    def edited(self, track: Track) -> None:
        """Something else was done to this mask: what was said before that is no news any more, but where it was said of
        others, too: there it can still be taken back."""
        if (said := self._offered) is not None and track in said.tracks:
            others = [one for one in said.tracks if one is not track and one.surface.alive]
            if not any(one.state(said.row) is SliceState.EMPTY for one in others):
                self._withdraw()
        self._look_for_lost(track)

    def taken_over(self, track: Track) -> None:
        """An answer took the place of its mask, and what that means for what was accepted is being said."""
        self._look_for_lost(track, quiet=True)
        kept, back = (every.setdefault(track.image, set()) for every in (self._stored, self._back))
        for row in track.sums.before:  # also a word of an earlier day, which came back with the mask
            if (track, row) not in back and is_lost(track, row, empty=True):
                kept.discard((track, row))
                back.add((track, row))
                self._later(track, row, "", empty=True, again=True, lost=True)

    def look(self) -> None:
        """Another image, or other masks of it: what is not there can't be changed back."""
        if self._offered is not None:
            tracks, image = self._offered.tracks, self._stage.chosen()
            if any(one.image is not image or not one.surface.alive for one in tracks):
                self._withdraw()

    def undone(self, track: Track, rows: Collection[int]) -> None:
        """An undo or a redo of these rows, perhaps of such a word: it is taken back on the disk, too, or said again."""
        kept, back = (every.setdefault(track.image, set()) for every in (self._stored, self._back))
        for row in sorted(rows):
            one, empty = (track, row), track.state(row) is SliceState.EMPTY
            where = named(row, track.image.count).capitalize()
            if one in kept and not empty:
                kept.discard(one)
                back.add(one)
                others = [other for other in self._tracks.of(track.image) if other.state(row) is SliceState.EMPTY]
                whose = f" in {quoted([track.name])}" if others else ""
                self._later(track, row, f"{where} is as it was before{whose}.", again=True)
            elif one in back and empty:
                back.discard(one)
                self._later(track, row, f"{where}: no {quoted([track.name])} here.", empty=True)

    def _look_for_lost(self, track: Track, *, quiet: bool = False) -> None:
        """A word on the disk about what was drawn is taken back there, where no trace is left of that; a redo says it
        again."""
        lost, waits = self._lost.setdefault(track.image, set()), self._unstored.get(track.image)
        waiting: set[tuple[Track, int]] = set()
        while waits is not None:
            waiting |= {(one, waits.row) for one in waits.tracks if waits.lost and not waits.empty}
            waits = waits.earlier
        for row in sorted({row for one, row in lost if one is track} | track.sums.before.keys()):
            one, where = (track, row), named(row, track.image.count).capitalize()
            if one in lost and track.state(row) is not SliceState.UNSEEN:
                lost.discard(one)
                self._later(track, row, f"{where} accepted.")
            elif one not in lost | waiting and is_lost(track, row):
                told = "" if quiet else f"{where} is no longer accepted."
                self._later(track, row, told, again=True, lost=True)
            elif track.whose.goes_back(row, track.row(row)):
                self._later(track, row, f"{where} is accepted as it is now.")

    def _later(
        self, track: Track, row: int, sentence: str, *, empty: bool = False, again: bool = False, lost: bool = False
    ) -> None:
        image = track.image
        self._notice.take_back(KEPT)
        earlier = self._unstored.get(image)
        self._unstored[image] = Said([track], row, sentence, empty=empty, again=again, earlier=earlier, lost=lost)

    def _take_back(self, said: Said, before: Sequence[tuple[Track, Mask, SliceState]]) -> None:
        for track, mask, state in before:
            if track.surface.alive and track.state(said.row) is SliceState.EMPTY:
                track.say(said.row, SliceState.UNSEEN)
                track.change(said.row, mask)
                if track.state(said.row) is not state:  # of a blank slice
                    track.say(said.row, state)
        for track, *_ in before:
            self.undone(track, {said.row})

    def _withdraw(self) -> None:
        self._offered = None
        self._notice.withdraw(NOTHING)
