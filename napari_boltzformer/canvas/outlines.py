"""`Outlines`: the line around a mask is as wide as the zoom asks. In pixels of the image alone, that of a large picture
shown small would come and go between those of the screen, and be a broad band where one looks closely."""

from __future__ import annotations

from typing import Any

from boltzformer.desk.desk import Desk
from napari_boltzformer.host.stage import NapariStage

REST_MS = 150
"""napari draws all of a slice anew for another width: once, when zooming is at rest."""


class Outlines:
    """Of all images that are open."""

    def __init__(self, desk: Desk, stage: NapariStage) -> None:
        self._stage = stage
        self._soon = desk.timers.after(REST_MS, self._draw)
        for moved in (stage.fitted, stage.scaled):  # at once: else the first drawing would have those of another zoom
            moved.append(self._draw)
        desk.tracks.made.append(self.zoomed)

    def zoomed(self, event: Any = None) -> None:
        """Or a mask is new."""
        self._soon.start()

    def _draw(self) -> None:
        for image in self._stage.images():
            for mask in self._stage.surfaces(image):
                mask.outline(self._stage.pixel(mask.layer))
