"""Objects of a picture by a click: S held and a click splits one in two, J held joins the two beside it."""

from __future__ import annotations

from typing import Any

from napari.layers import Layer

from boltzformer.desk.desk import Desk
from boltzformer.desk.notice import CLICK
from boltzformer.masks.cells import REACH
from napari_boltzformer.canvas.held import HeldClick
from napari_boltzformer.canvas.objects import voxel_under
from napari_boltzformer.host.stage import NapariStage

SPLIT, JOIN = "s", "j"
HOW = {
    SPLIT: "Hold S and click an object to split it.",
    JOIN: "Hold J and click between two objects to join them.",
}


class PartingTool(HeldClick):
    """For the mask in hand, or another one under the mouse."""

    def __init__(self, desk: Desk, stage: NapariStage, key: str) -> None:
        super().__init__(desk, stage)
        self._words = HOW[key]
        self._reach = 0 if key == SPLIT else REACH
        self._do = desk.split_object if key == SPLIT else desk.join_objects

    def tapped(self) -> None:
        if (track := self._desk.tracks.active()) is not None and track.image.is_picture:
            self._desk.notice.say(self._words, topic=CLICK)

    def clicked(self, layer: Layer, event: Any) -> None:
        track = self.under(lambda one: voxel_under(one, event), self._reach)
        voxel = None if track is None or not track.surface.shown else voxel_under(track, event)
        if track is None or voxel is None:
            self._desk.notice.say(
                "There is no mask under the mouse whose objects could be split or joined.", topic=CLICK
            )
        else:
            self.upon(track, lambda: self._do(track, voxel))
