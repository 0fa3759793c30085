"""`Rings`: a thin ring around objects so small that they are easily overlooked; always the same size on the screen."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Points
from numpy.typing import NDArray

from boltzformer.desk.desk import Desk
from boltzformer.desk.masks.objects import small_objects
from napari_boltzformer.host.hanging import camera_of
from napari_boltzformer.host.layers import same_place
from napari_boltzformer.host.stage import NapariStage

SCREEN = 24
"""Of a ring, in pixels of the canvas."""
THIN = 2
"""Of its line."""
NAME = "small objects"


class Rings:
    """One layer of rings for the slice on screen, made when first there is something to ring."""

    def __init__(self, desk: Desk, stage: NapariStage) -> None:
        self._desk, self._stage = desk, stage
        self._layer: Points | None = None
        self._image: Image | None = None
        """On which the layer lies."""
        self._now: NDArray[np.float64] = np.zeros((0, 3))

    def show(self) -> None:
        """Of all masks that are visible."""
        chosen, viewer = self._stage.chosen(), self._stage.viewer
        if chosen is None:
            return
        image, row = chosen.layer, self._stage.row(chosen)
        tracks = self._desk.tracks.shown() if self._desk.settings.rings else []
        found = [(place, track.colour) for track in tracks for place in small_objects(track, row)]
        places = np.array([(row, *place)[-image.ndim :] for place, _ in found]).reshape(-1, image.ndim)
        if image is not self._image:
            self._clear()  # it lies where that image lies
        if np.array_equal(places, self._now):
            return
        self._now, self._image = places, image
        colours = [colour for _, colour in found]
        if self._layer is not None and self._layer in viewer.layers:
            self._layer.data = places
            if colours:
                self._layer.border_color = colours
                self.zoomed()
            return
        if len(places):
            active = viewer.layers.selection.active
            self._layer = viewer.add_points(
                places,
                name=NAME,
                symbol="disc",
                size=SCREEN * self._pixel(image),
                face_color="transparent",
                border_color=colours,
                border_width=THIN * self._pixel(image),
                border_width_is_relative=False,
                **same_place(image),
            )
            self._layer.editable = False
            viewer.layers.selection.active = active

    def _clear(self) -> None:
        layer, self._layer, self._now = self._layer, None, np.zeros((0, 3))
        if layer is not None and layer in self._stage.viewer.layers:
            self._stage.viewer.layers.remove(layer)

    def zoomed(self, event: Any = None) -> None:
        """At every zoom the same; with napari's own limits, the line would be half as wide as the ring."""
        if self._image is not None and self._layer is not None and len(self._now):
            self._layer.size = SCREEN * self._pixel(self._image)
            self._layer.border_width = THIN * self._pixel(self._image)

    def _pixel(self, image: Image) -> float:
        """One of the canvas, in the image's own."""
        return 1 / max(camera_of(self._stage.viewer).zoom * float(image.scale[-1]), 1e-6)
