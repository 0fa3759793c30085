"""Objects of a picture by a click: S held and a click splits one in two, J held joins the two beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Layer

from boltzformer.desk.desk import Desk
from boltzformer.desk.masks.by_hand import Voxel
from boltzformer.desk.masks.track import Track
from boltzformer.desk.notice import CLICK
from napari_boltzformer.canvas.held import HeldClick, mask_in_hand
from napari_boltzformer.canvas.objects import voxel_under

SPLIT, JOIN = "s", "j"


class PartingTool(HeldClick):
    """For the selected mask."""

    def __init__(self, desk: Desk, do: Callable[[Track, Voxel], None]) -> None:
        super().__init__()
        self._desk, self._do = desk, do

    def whose(self, layer: Layer) -> Layer:
        return mask_in_hand(self._desk, layer)

    def clicked(self, layer: Layer, event: Any) -> None:
        track = self._desk.tracks.active()
        voxel = None if track is None or not track.surface.shown else voxel_under(track, event)
        if track is None or voxel is None:
            self._desk.notice.say(
                "There is no mask under the mouse whose objects could be split or joined.", topic=CLICK
            )
        else:
            self._do(track, voxel)
