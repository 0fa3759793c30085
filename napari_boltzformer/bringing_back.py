"""`BringingBack`: looks for work of an earlier day on an image, and puts it back; nothing is saved over it before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from boltzformer import Prompt
from boltzformer.types import Annotation, SliceState
from napari_boltzformer.background import Background
from napari_boltzformer.host.layers import plan_of, volume_of
from napari_boltzformer.host.mask import Track, new_track, tracks_of
from napari_boltzformer.remembering import CASE, answered_from, last_work

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

Found = tuple[str, Annotation, int | None]
"""When, what, and on which revision it stands."""


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

        def find() -> Found | str | None:
            try:
                kept = [found for one in dict.fromkeys(folders) if (found := last_work(one, volume, case))]
            except Exception as error:  # whatever it was: what is done today is to be saved
                return str(error) or type(error).__name__
            return kept[0] if kept else None

        def told(found: Found | str | None) -> None:
            held, there = self._waiting.pop(image.unique_id, []), image in self._dock.viewer.layers
            if isinstance(found, str):
                self._dock.notice.fail(found)
            elif found is not None and there:
                self._offer(image, found)
            if there or not isinstance(found, tuple):  # who has left already saves nothing over what was found
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

    def _offer(self, image: Image, found: Found) -> None:
        when, annotation, number = found
        restore = partial(self._restore, image, annotation, number)
        if CASE in image.metadata:  # who opens it from the list goes on with it
            restore()
            return
        sentence = f"There is work of {when[:16].replace('T', ' ')} UTC on this image."
        self._dock.notice.say(sentence, "Restore", restore)
        if self._dock.running.runs or tracks_of(self._dock.viewer, image):
            self._offers[image.unique_id] = image, sentence, restore

    def _restore(self, image: Image, annotation: Annotation, number: int | None) -> None:
        self._offers.pop(image.unique_id, None)
        if image not in self._dock.viewer.layers:
            return
        view, plan = annotation.volume.grid.canonical(annotation.slice_axis), plan_of(volume_of(image))
        texts = {prompt.name: prompt.text for prompt in reversed(annotation.prompts)}
        begun = {track.prompt.text: track for track in tracks_of(self._dock.viewer, image)}
        if annotation.prompts and not begun:
            self._dock.prompt.setPlainText("\n".join(dict.fromkeys(texts.values())))
        for value, name in annotation.labels.names.items():
            prompt, masks = Prompt(texts.get(name, name), name), view.apply(annotation.labels.mask(value)).copy()
            states = list(annotation.slices.get(name, ())) or [SliceState.UNSEEN] * len(masks)
            states = states[::-1] if view.flips[0] else states
            scores, edited, gate = answered_from(annotation, name, plan)
            track = begun.pop(prompt.text, None)
            if track is None:
                track = new_track(self._dock.viewer, image, prompt)
            else:
                _leave_out(track, masks, states, scores, edited)
            track.restore(masks, states)
            track.recall(scores, edited, gate)
            track.layer.refresh()
            self._dock.running.adopt(track)
            self._dock.running.count(track)
        if number is not None:
            self.based_on[image.unique_id] = number
        self._dock.bottom.show_tracks()
        self._dock.notice.say("Restored.")
        self._dock.show_results()


def _leave_out(
    track: Track,
    masks: NDArray[np.bool_],
    states: list[SliceState],
    scores: dict[int, float],
    edited: Collection[int],
) -> None:
    """Of an earlier day, what today's mask has newer: a person's slices, and answers where no person had been."""
    for row in range(len(masks)):
        theirs = row in edited or states[row] is not SliceState.UNSEEN
        if track.belongs_to_a_person(row) or (row in track.scores and not theirs):
            masks[row], states[row] = track.rows[row] > 0, SliceState.UNSEEN
        if row in track.scores:
            scores.pop(row, None)
