"""`Cells`: in a picture with one label per object, neighbours are drawn in different colours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
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
    """A layer above the only mask of a picture that is shown; of several each keeps its own colour, which tells them
    apart. Of pictures that are compared each has one."""

    def __init__(self, desk: Desk, stage: NapariStage) -> None:
        self._desk, self._stage = desk, stage
        self._coloured: dict[str, _Coloured] = {}
        """By the key of a mask."""
        # between two events: a layer must not come or go while the viewer draws or lists them
        self._soon = desk.timers.after(0, self._show)
        desk.changed.append(self.show)
        desk.masks_changed.append(self.show)

    def show(self, event: Any = None) -> None:
        """As the masks are now, in a moment."""
        self._soon.start()

    def _show(self) -> None:
        chosen, layers = self._stage.chosen(), self._stage.viewer.layers
        images = [] if chosen is None else [chosen, *(one for one in self._desk.patients.beside if one is not chosen)]
        ours = [one.layer for one in self._coloured.values()]
        for stray in [one for one in layers if CELLS in one.metadata and not any(one is layer for layer in ours)]:
            with self._stage.moving():
                layers.remove(stray)  # it came back with its image
        for one in [track for image in images for track in self._desk.tracks.of(image)]:
            one.surface.layer.events.visible.connect(self.show)  # type: ignore[attr-defined]  # twice is once
        wanted = {track.key: track for image in images for track in self._wanted(image, chosen=image is chosen)}
        for key in [key for key in self._coloured if key not in wanted]:
            self._coloured.pop(key).clear()
        for key, track in wanted.items():
            if key not in self._coloured:
                self._coloured[key] = _Coloured(self._desk, self._stage, track, self.show)
            self._coloured[key].show()

    def _wanted(self, image: OpenImage, *, chosen: bool) -> list[Track]:
        shown = [track for track in self._desk.tracks.of(image) if track.surface.shown]
        if len(shown) != 1:
            return []
        at = self._desk.overview.reapplying.thresholds if chosen else shown[0].kept.thresholds
        try:
            return shown if at.apart and image.is_picture else []
        except BoltzFormerError:  # running says why
            return []


class _Coloured:
    """Of one mask."""

    def __init__(self, desk: Desk, stage: NapariStage, track: Track, again: Callable[[Any], None]) -> None:
        """`again`: the mask is drawn otherwise."""
        self._desk, self._stage, self._of, self._again = desk, stage, track, again
        self.layer: Labels | None = None
        self._ended, self._drawn = False, np.zeros(0, np.uint8)
        """The mask that was coloured last, packed."""
        self._topic = f"{CELLS} {track.key}"
        for look in self._looks():
            look.connect(again)

    def show(self) -> None:
        """As the mask is now."""
        bits = np.packbits(self._of.mask(0))
        if self.layer in self._stage.viewer.layers and np.array_equal(bits, self._drawn):
            self._look_alike()
        else:
            self._drawn = bits
            colour = partial(told_apart, self._of.mask(0).copy())
            self._desk.work.do(colour, partial(self._put, bits), topic=self._topic)

    def clear(self) -> None:
        """The mask has its own colour again, or is gone."""
        self._ended = True
        self._desk.work.drop(self._topic)
        for look in self._looks():
            look.disconnect(self._again)
        if self.layer is not None and self.layer in self._stage.viewer.layers:
            with self._stage.moving():
                self._stage.viewer.layers.remove(self.layer)

    def _put(self, bits: NDArray[np.uint8], colours: NDArray[np.uint8]) -> None:
        track = self._of
        if self._ended or not np.array_equal(bits, self._drawn) or not track.surface.alive:
            return  # it is another one by now
        viewer, below = self._stage.viewer, track.surface.layer  # type: ignore[attr-defined]
        colours = colours.reshape(below.data.shape)
        if self.layer is not None and self.layer in viewer.layers:
            self.layer.data = colours
        else:
            active = viewer.layers.selection.active
            few = by_contrast(track.image.volume)
            table: dict[int | None, Any] = {0: "transparent", None: few[-1], **dict(enumerate(few, 1))}
            looks = {"name": "(cells)", "colormap": DirectLabelColormap(color_dict=table)}
            told = {CELLS: True, FOR: track.image.key}
            place = same_place(track.image.layer)  # type: ignore[attr-defined]
            self.layer = Labels(colours, metadata=told, **looks, **place)
            self.layer.editable = False
            with self._stage.moving():
                viewer.layers.insert(viewer.layers.index(below) + 1, self.layer)
            viewer.layers.selection.active = active
            hide_rows(CELLS)
        self._look_alike()

    def _look_alike(self) -> None:
        """Outline or fill, as the mask has it."""
        if self.layer is not None:
            below: Labels = self._of.surface.layer  # type: ignore[attr-defined]
            self.layer.contour, self.layer.opacity = below.contour, below.opacity

    def _looks(self) -> tuple[Any, Any]:
        events = self._of.surface.layer.events  # type: ignore[attr-defined]
        return events.contour, events.opacity
