"""`Comings`: layers that come into the viewer and leave it: whose they are, and what is offered of those that left."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.layers import Image

from boltzformer.desk.desk import Desk
from boltzformer.desk.masks.track import Track
from napari_boltzformer.host.layers import lighten
from napari_boltzformer.host.mask import mask_on
from napari_boltzformer.host.stage import NapariStage, image_on

REMOVED = "a mask that was removed"
"""Topic of its offer."""


class Comings:
    """Hears of every layer, whoever brought or took it."""

    def __init__(self, desk: Desk, stage: NapariStage) -> None:
        self._desk, self._stage = desk, stage
        # Once a layer has all that makes it a mask or a helper; not under napari's own hands.
        self._arrange = desk.timers.after(0, lambda: stage.side_by_side(desk.patients.beside))

    def inserted(self, event: Any) -> None:
        self._stage.adopt(event.value)
        if isinstance(event.value, Image) and image_on(event.value).ours:
            lighten(event.value)
        if not isinstance(event.value, Image) and self._desk.patients.beside:
            self._arrange.start()

    def removed(self, event: Any) -> None:
        gone = event.value
        track = self._desk.tracks.on(mask_on(gone))
        if track is not None:
            self._desk.keeper.mask_left(track)
            if not self._stage.moves:  # by a person, perhaps by mistake
                sentence = f"'{track.name}' was removed. Result kept."
                self._desk.notice.offer(REMOVED, sentence, ("Restore", partial(self._bring_back, track)))
        elif isinstance(gone, Image):
            self._desk.notice.withdraw(REMOVED)
            self._desk.image_left(image_on(gone))

    def _bring_back(self, track: Track) -> None:
        layer: Any = track.surface
        if layer.layer not in self._stage.viewer.layers:
            self._stage.viewer.layers.append(layer.layer)
        self._desk.chosen()
