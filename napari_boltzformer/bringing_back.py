"""`BringingBack`: looks for work of an earlier day on an image, and puts it back; nothing is saved over it before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image

from boltzformer.types import SliceState
from napari_boltzformer.background import Background
from napari_boltzformer.layers import plan_of, volume_of
from napari_boltzformer.masks import Track, new_track, tracks_of
from napari_boltzformer.remembering import CASE, Mask, Work, last_work, masks_of

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock


class BringingBack:
    """Looks once per image; whoever wants to save meanwhile waits here."""

    def __init__(self, dock: BoltzFormerDock, background: Background) -> None:
        self._dock, self._background = dock, background
        self.based_on: dict[str, int] = {}
        """By image: the revision that its work began from."""
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._offers: dict[str, tuple[Image, str, Callable[[], None]]] = {}
        """Made while something was done already, whose words may have taken their place."""

    def look_for(self, image: Image, folders: Sequence[Path]) -> None:
        """Offers what was kept of this image, yesterday or before a crash."""
        volume, case = volume_of(image), image.metadata.get(CASE, "")

        def find() -> Work | str | None:
            try:
                kept = [found for one in dict.fromkeys(folders) if (found := last_work(one, volume, case))]
            except Exception as error:  # whatever it was: what is done today is to be saved
                return str(error) or type(error).__name__
            return kept[0] if kept else None

        def told(found: Work | str | None) -> None:
            held, there = self._waiting.pop(image.unique_id, []), image in self._dock.viewer.layers
            if isinstance(found, str):
                self._dock.notice.fail(found)
            elif found is not None and there:
                self._offer(image, found)
            if there or not isinstance(found, Work):  # who has left already saves nothing over what was found
                for go_on in held:
                    go_on()

        self._waiting[image.unique_id] = []
        self._background.do(find, told)

    def holds(self, image: Image, go_on: Callable[[], None]) -> bool:
        """Whether it is still looked for; `go_on` is called once it is known."""
        held = self._waiting.get(image.unique_id)
        if held is None:
            return False
        held.append(go_on)
        return True

    def offer_again(self) -> None:
        """Once, behind how the run went."""
        if self._offers and not self._dock.running.runs:
            _, (image, sentence, restore) = self._offers.popitem()
            if image in self._dock.viewer.layers:
                self._dock.notice.add(sentence, "Restore", restore)

    def _offer(self, image: Image, found: Work) -> None:
        restore = partial(self._restore, image, found)
        if CASE in image.metadata:  # who opens it from the list goes on with it
            restore()
            return
        sentence = f"There is work of {found.time[:16].replace('T', ' ')} UTC on this image."
        self._dock.notice.say(sentence, "Restore", restore)
        if self._dock.running.runs or tracks_of(self._dock.viewer, image):
            self._offers[image.unique_id] = image, sentence, restore

    def _restore(self, image: Image, found: Work) -> None:
        self._offers.pop(image.unique_id, None)
        if image not in self._dock.viewer.layers:
            return
        masks = masks_of(found, plan_of(volume_of(image)))
        begun = {track.prompt.text: track for track in tracks_of(self._dock.viewer, image)}
        if found.annotation.prompts and not begun:
            self._dock.prompt.setPlainText("\n".join(dict.fromkeys(one.prompt.text for one in masks)))
        for one in masks:
            track = begun.pop(one.prompt.text, None)
            if track is None:
                track = new_track(self._dock.viewer, image, one.prompt)
            else:
                _leave_out(track, one)
            put_back(track, one)
            track.layer.refresh()
            self._dock.running.adopt(track)
            self._dock.running.count(track)
        if found.based_on is not None:
            self.based_on[image.unique_id] = found.based_on
        self._dock.keeper.changed()
        self._dock.bottom.show_tracks()
        self._dock.notice.say("Restored.")
        self._dock.show_results()


def put_back(track: Track, one: Mask) -> None:
    """What was kept of a mask, with how it was made."""
    track.restore(one.rows, one.states)
    track.recall(one.scores, one.edited, one.gate, one.written)
    track.runs[:0] = one.runs


def _leave_out(track: Track, one: Mask) -> None:
    """Of an earlier day, what today's mask has newer: a person's slices, and answers where no person had been."""
    for row in range(len(one.rows)):
        theirs = row in one.edited or one.states[row] is not SliceState.UNSEEN
        if track.belongs_to_a_person(row) or (row in track.scores and not theirs):
            one.rows[row], one.states[row] = track.rows[row] > 0, SliceState.UNSEEN
        if row in track.scores:
            one.scores.pop(row, None)
