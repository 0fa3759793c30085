"""`Cells`: in a picture with one label per object, neighbours are drawn in different colours."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from boltzformer.desk.desk import Desk
from boltzformer.desk.masks.contrast import by_contrast
from boltzformer.desk.masks.track import Track
from boltzformer.errors import BoltzFormerError
from boltzformer.masks.cells import told_apart
from napari_boltzformer.host.layers import same_place
from napari_boltzformer.host.stage import FOR, NapariStage
from napari_boltzformer.host.unlisted import hide_rows

CELLS = "boltzformer cells"
"""Marks our layer in its metadata: it has no row in the list."""


class Cells:
    """One layer above the only mask that is shown; of several each keeps its own colour, which tells them apart."""

    def __init__(self, desk: Desk, stage: NapariStage) -> None:
        self._desk, self._stage = desk, stage
        self._layer: Labels | None = None
        self._of: Track | None = None
        self._drawn: NDArray[np.uint8] = np.zeros(0, np.uint8)
        """The mask that was coloured last, packed."""
        # between two events: a layer must not come or go while the viewer draws or lists them
        self._soon = desk.timers.after(0, self._show)
        desk.changed.append(self.show)
        desk.masks_changed.append(self.show)

    def show(self, event: Any = None) -> None:
        """As the mask is now, in a moment."""
        self._soon.start()

    def _show(self) -> None:
        track, layers = self._wanted(), self._stage.viewer.layers
        for stray in [one for one in layers if CELLS in one.metadata and one is not self._layer]:
            with self._stage.moving():
                layers.remove(stray)  # it came back with its image
        for one in self._desk.tracks.chosen():  # also of those that are hidden now; twice is once
            one.surface.layer.events.visible.connect(self.show)  # type: ignore[attr-defined]
        if track is None or track is not self._of:
            self._clear()
        if track is None:
            return
        if self._of is None:
            self._of = track
            events = track.surface.layer.events  # type: ignore[attr-defined]
            for look in (events.contour, events.opacity):
                look.connect(self.show)
        bits = np.packbits(track.mask(0))
        if self._layer in self._stage.viewer.layers and np.array_equal(bits, self._drawn):
            self._look_alike()
        else:
            self._drawn = bits
            colour = partial(told_apart, track.mask(0).copy())
            self._desk.work.do(colour, partial(self._put, track, bits), topic=CELLS)

    def _wanted(self) -> Track | None:
        image, shown = self._stage.chosen(), self._desk.tracks.shown()
        try:
            picture = image is not None and image.is_picture
        except BoltzFormerError:  # running says why
            return None
        apart = self._desk.overview.reapplying.thresholds.apart
        return shown[0] if picture and apart and len(shown) == 1 else None

    def _put(self, track: Track, bits: NDArray[np.uint8], colours: NDArray[np.uint8]) -> None:
        if track is not self._of or not np.array_equal(bits, self._drawn) or not track.surface.alive:
            return  # it is another one by now
        viewer, below = self._stage.viewer, track.surface.layer  # type: ignore[attr-defined]
        colours = colours.reshape(below.data.shape)
        if self._layer is not None and self._layer in viewer.layers:
            self._layer.data = colours
        else:
            active = viewer.layers.selection.active
            few = by_contrast(track.image.volume)
            table: dict[int | None, Any] = {0: "transparent", None: few[-1], **dict(enumerate(few, 1))}
            looks = {"name": "(cells)", "colormap": DirectLabelColormap(color_dict=table)}
            told = {CELLS: True, FOR: track.image.key}
            place = same_place(track.image.layer)  # type: ignore[attr-defined]
            self._layer = Labels(colours, metadata=told, **looks, **place)
            self._layer.editable = False
            with self._stage.moving():
                viewer.layers.insert(viewer.layers.index(below) + 1, self._layer)
            viewer.layers.selection.active = active
            hide_rows(CELLS)
        self._look_alike()

    def _look_alike(self) -> None:
        """Outline or fill, as the mask has it."""
        if self._layer is not None and self._of is not None:
            below: Labels = self._of.surface.layer  # type: ignore[attr-defined]
            self._layer.contour, self._layer.opacity = below.contour, below.opacity

    def _clear(self) -> None:
        layer, of, self._layer, self._of = self._layer, self._of, None, None
        self._desk.work.drop(CELLS)
        if of is not None:
            events = of.surface.layer.events  # type: ignore[attr-defined]
            for look in (events.contour, events.opacity):
                look.disconnect(self.show)
        if layer is not None and layer in self._stage.viewer.layers:
            with self._stage.moving():
                self._stage.viewer.layers.remove(layer)
