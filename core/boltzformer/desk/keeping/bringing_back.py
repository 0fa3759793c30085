"""`BringingBack`: looks for work of an earlier day on an image, and puts it back; nothing is saved over it before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.remembering import KeptMask, LastWork, last_work, masks_of
from boltzformer.desk.masks.answers import Thresholds
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Stage
from boltzformer.desk.work import Work
from boltzformer.types import SliceState

OFFER = "work of an earlier day"


class BringingBack:
    """Looks once per image; whoever wants to save meanwhile waits here."""

    def __init__(self, stage: Stage, tracks: Tracks, notice: Notice, work: Work, busy: Callable[[], bool]) -> None:
        """`busy`: whether a run is under way, whose words would take the place of an offer."""
        self.based_on: dict[OpenImage, int] = {}
        """The revision that its work began from."""
        self.restored: list[Callable[[OpenImage, list[str]], None]] = []
        """Work is back, with the prompts that it was about where nothing had been begun."""
        self._stage, self._tracks, self._notice, self._work, self._busy = stage, tracks, notice, work, busy
        self._waiting: dict[OpenImage, list[Callable[[], None]]] = {}
        self._offers: dict[OpenImage, tuple[str, Callable[[], None]]] = {}
        """Made while something was done already, whose words may have taken their place."""

    def look_for(self, image: OpenImage, folders: Sequence[Path]) -> None:
        """Offers what was kept of this image, yesterday or before a crash."""
        volume, case = image.volume, image.case or ""

        def find() -> LastWork | str | None:
            try:
                kept = [found for one in dict.fromkeys(folders) if (found := last_work(one, volume, case))]
            except Exception as error:  # whatever it was: what is done today is to be saved
                return str(error) or type(error).__name__
            return kept[0] if kept else None

        def told(found: LastWork | str | None) -> None:
            held, there = self._waiting.pop(image, []), image in self._stage.images()
            if isinstance(found, str):
                self._notice.fail(found)
            elif found is not None and there:
                self._offer(image, found)
            if there or not isinstance(found, LastWork):  # who has left already saves nothing over what was found
                for go_on in held:
                    go_on()

        self._waiting[image] = []
        self._work.do(find, told)

    def holds(self, image: OpenImage, go_on: Callable[[], None]) -> bool:
        """Whether it is still looked for; `go_on` is called once it is known."""
        held = self._waiting.get(image)
        if held is None:
            return False
        held.append(go_on)
        return True

    def offer_again(self) -> None:
        """Once, behind how the run went."""
        if self._offers and not self._busy():
            image, (sentence, restore) = self._offers.popitem()
            if image in self._stage.images():
                self._notice.add(sentence, "Restore", restore, topic=OFFER)

    def _offer(self, image: OpenImage, found: LastWork) -> None:
        restore = partial(self._restore, image, found)
        if image.case is not None:  # who opens it from the list goes on with it
            restore()
            return
        sentence = f"There is work of {found.time[:16].replace('T', ' ')} UTC on this image."
        self._notice.say(sentence, "Restore", restore, topic=OFFER)
        if self._busy() or self._tracks.of(image):
            self._offers[image] = sentence, restore

    def _restore(self, image: OpenImage, found: LastWork) -> None:
        self._offers.pop(image, None)
        if image not in self._stage.images():
            return
        masks = masks_of(found, image.plan)
        begun = {track.prompt.text: track for track in self._tracks.of(image)}
        prompts = [] if begun or not found.annotation.prompts else [one.prompt.text for one in masks]
        for one in masks:
            track = begun.pop(one.prompt.text, None)
            if track is None:
                track = self._tracks.new(image, one.prompt)
            else:
                _leave_out(track, one)
            put_back(track, one)
            track.surface.draw()
        if found.based_on is not None:
            self.based_on[image] = found.based_on
        self._notice.say("Restored.")
        for heard in self.restored:
            heard(image, list(dict.fromkeys(prompts)))


def put_back(track: Track, one: KeptMask) -> None:
    """What was kept of a mask, with how it was made."""
    track.restore(one.rows, one.states)
    if one.sizes:  # what was hidden then is gone, and the mask must not be told without saying so
        track.image.thresholds = replace(track.image.thresholds or Thresholds(one.gate), **one.sizes)
    track.recall(one.scores, one.edited, one.gate, one.written)
    track.kept.thresholds = replace(track.kept.thresholds, **one.sizes)
    track.runs[:0] = one.runs


def _leave_out(track: Track, one: KeptMask) -> None:
    """Of an earlier day, what today's mask has newer: a person's slices, and answers where no person had been."""
    for row in range(len(one.rows)):
        theirs = row in one.edited or one.states[row] is not SliceState.UNSEEN
        if track.belongs_to_a_person(row) or (row in track.scores and not theirs):
            one.rows[row], one.states[row] = track.mask(row), SliceState.UNSEEN
        if row in track.scores:
            one.scores.pop(row, None)
