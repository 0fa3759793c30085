"""`Rings`: a thin ring around objects so small that they are easily overlooked; always the same size on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Points
from numpy.typing import NDArray

from boltzformer.objects import pieces
from napari_boltzformer.hanging import camera_of
from napari_boltzformer.layers import same_place
from napari_boltzformer.masks import Track

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

SMALL = 8
"""Pixels, in the slice."""
SCREEN = 24
"""Of a ring, in pixels of the canvas."""
THIN = 2
"""Of its line."""
NAME = "small objects"


class Rings:
    """One layer of rings for the slice on screen, made when first there is something to ring."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self._layer: Points | None = None
        self._image = ""
        """On which it lies."""
        self._now: NDArray[np.float64] = np.zeros((0, 3))

    def show(self) -> None:
        """Of all masks that are visible."""
        image, viewer = self._dock.chosen_image(), self._dock.viewer
        if image is None:
            return
        tracks = [track for track in self._dock.tracks() if track.layer.visible] if self._dock.settings.rings else []
        row = self._dock.row()
        found = [(place, track.colour) for track in tracks for place in small_objects(track, row)]
        if self._image != image.unique_id:
            self._leave(image)
        places = np.array([(row, *place)[-image.ndim :] for place, _ in found]).reshape(-1, image.ndim)
        if np.array_equal(places, self._now):
            return
        self._now = places
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

    def _leave(self, image: Image) -> None:
        """For another image, whose voxels lie elsewhere."""
        layers = self._dock.viewer.layers
        if self._layer is not None and self._layer in layers:
            layers.remove(self._layer)
        self._layer, self._image, self._now = None, image.unique_id, np.zeros((0, 3))

    def zoomed(self, event: Any = None) -> None:
        """At every zoom the same; with napari's own limits, the line would be half as wide as the ring."""
        image = self._dock.chosen_image()
        if image is not None and self._layer is not None and len(self._now):
            self._layer.size = SCREEN * self._pixel(image)
            self._layer.border_width = THIN * self._pixel(image)

    def _pixel(self, image: Image) -> float:
        """One of the canvas, in the image's own."""
        return 1 / max(camera_of(self._dock.viewer).zoom * float(image.scale[-1]), 1e-6)


def small_objects(track: Track, row: int) -> list[tuple[float, float]]:
    """Middles (row, column) of the objects of a slice that have fewer than eight pixels."""
    if row >= len(track.rows) or not track.rows[row].any():
        return []
    mask = track.rows[row] > 0
    lines, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(lines[0]), int(across[0])
    found = pieces(mask[top : lines[-1] + 1, left : across[-1] + 1])
    y, x = np.nonzero(found)
    which = found[y, x]
    sizes = np.bincount(which)
    middles = [np.bincount(which, weights=place)[1:] / sizes[1:] for place in (y + top, x + left)]
    small = sizes[1:] < SMALL
    return list(zip(middles[0][small].tolist(), middles[1][small].tolist(), strict=True))
