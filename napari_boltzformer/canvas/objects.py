"""Objects on the canvas: D held and a click deletes one, or leaves only that; rings around those easily overlooked."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Layer, Points
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QAbstractButton, QTabWidget

from boltzformer.desk.desk import Desk
from boltzformer.desk.masks.by_hand import Voxel, small_objects
from boltzformer.desk.masks.track import Track
from boltzformer.desk.notice import CLICK, TOOL
from napari_boltzformer.canvas.held import HeldClick
from napari_boltzformer.host.layers import same, same_place
from napari_boltzformer.host.stage import NapariImage, NapariStage

KEYS = ("d", "Shift-d")
"""Shift may be pressed before or after."""


class ObjectsTool(HeldClick):
    """For the mask in hand, or another one under the mouse. An object is what hangs together in three
    dimensions, also by a corner."""

    def __init__(self, desk: Desk, stage: NapariStage) -> None:
        super().__init__(desk, stage)
        self._stage = stage
        self.ended.append(lambda: desk.notice.take_back(TOOL))

    def listen(self, button: QAbstractButton, acts: QTabWidget, *others: QAbstractButton) -> None:
        """It stays pressed as long as a click is ours. That ends with another act or button: nothing is deleted by a
        click of somebody who does not see ours any more, or has begun something else."""
        button.toggled.connect(self.toggle)
        acts.currentChanged.connect(self.let_go)
        for other in others:
            other.clicked.connect(self.let_go)
        self.ended.append(lambda: button.setChecked(False))

    def toggle(self, on: bool) -> None:
        """As if the key were held until it is switched off, or another layer is selected."""
        track = self._desk.tracks.active()
        if not on or track is None:
            if on:
                self._desk.notice.say("There is no mask to delete objects from: run a prompt first.")
            self.let_go()
            return
        self._stage.activate(track.surface)
        self.arm(track.surface.layer)
        self._desk.notice.say(f"A click deletes an object of '{track.name}', Shift+click all others.", topic=TOOL)

    def selected(self, event: Any = None) -> None:
        """Another layer has the tools now."""
        if self.armed is not None and not same(self._stage.viewer.layers.selection.active, self.armed):
            self.let_go()

    def tapped(self) -> None:
        if self._desk.tracks.active() is not None:
            self._desk.notice.say("Hold D and click an object to delete it.", topic=CLICK)

    def clicked(self, layer: Layer, event: Any) -> None:
        track = self.under(lambda one: voxel_under(one, event))
        if track is not None and not track.surface.shown:
            self._desk.notice.say(f"'{track.name}' is hidden, so nothing of it is deleted: show it first.")
            return
        voxel = None if track is None else voxel_under(track, event)
        if track is None or voxel is None or not track.row(voxel[0])[voxel[1:]]:
            name = "any mask" if track is None else f"'{track.name}'"
            self._desk.notice.say(
                f"There is no object of {name} under the mouse: hold D and click on one.", topic=CLICK
            )
            return
        only = "Shift" in event.modifiers
        self.upon(track, lambda: self._desk.delete_object(track, voxel, only=only))


def voxel_under(track: Track, event: Any) -> Voxel | None:
    """Slice, row and column; in the 3-D view, the first voxel of the mask that the line of sight meets."""
    layer, shape = track.surface.layer, np.array(track.shape)
    shown = list(event.dims_displayed)
    if len(shown) == 3 and layer.ndim == 3:
        near, far = layer.get_ray_intersections(event.position, event.view_direction, shown)
        if near is None or far is None:
            return None
        steps = int(4 * np.abs(far - near).max()) + 1
        places = np.rint(np.linspace(near, far, steps)).astype(int)
    else:
        places = np.rint([np.array((0.0, *layer.world_to_data(event.position))[-3:])]).astype(int)
    places = places[((places >= 0) & (places < shape)).all(axis=1)]
    hit = [place for place in places if track.row(place[0])[tuple(place[1:])]][:1] or list(places[:1])
    return (int(hit[0][0]), int(hit[0][1]), int(hit[0][2])) if hit else None


SCREEN = 24
"""Of a ring, in pixels of the canvas."""
THIN = 2
"""Of its line."""
NAME = "small objects"
RINGS = "boltzformer rings"
"""Where our layer's metadata says which image it is for."""
MARK_MS = 2500
"""So long an object that was asked for is ringed, whatever its size."""


class Rings:
    """One layer of rings for the slice on screen, made when first there is something to ring."""

    def __init__(self, desk: Desk, stage: NapariStage) -> None:
        self._desk, self._stage = desk, stage
        self._layer: Points | None = None
        self._before: Layer | None = None
        """What was selected before the rings were."""
        self._image: Image | None = None
        """On which the layer lies."""
        self._now: NDArray[np.float64] = np.zeros((0, 3))
        self._marked: tuple[Track, Voxel] | None = None
        self._fade = desk.timers.after(MARK_MS, self._unmark)
        stage.fitted.append(self.zoomed)

    def mark(self, track: Track, voxel: Voxel) -> None:
        """For a moment the only ring: around what a table leads to."""
        self._marked = track, voxel
        self._fade.start()
        self.show()

    def _unmark(self) -> None:
        self._marked = None
        self.show()

    def show(self) -> None:
        """Of all masks that are visible."""
        chosen, viewer = self._stage.chosen(), self._stage.viewer
        if chosen is None:
            return
        image, row = chosen.layer, self._stage.row(chosen)
        tracks = self._desk.tracks.shown() if self._desk.settings.rings else []
        found = [(place, track.colour) for track in tracks for place in small_objects(track, row)]
        if self._marked is not None and self._marked[0] in self._desk.tracks.shown() and self._marked[1][0] == row:
            found = [(self._marked[1][1:], self._marked[0].colour)]  # among a hundred alike nobody would see it
        places = np.array([(row, *place)[-image.ndim :] for place, _ in found]).reshape(-1, image.ndim)
        if image is not self._image or not self._desk.tracks.of(chosen):
            self._clear()  # it lies where that image lies, and goes with its masks
        self._take_up(chosen)
        if np.array_equal(places, self._now):
            return
        self._now, self._image = places, image
        colours = [colour for _, colour in found]
        if self._layer is not None and self._layer in viewer.layers:
            self._layer.data = places  # new ones take the present size and line: each further change draws all anew
            if colours and not np.allclose(self._layer.border_color, transform_color(colours)):
                self._layer.border_color = colours
            return
        if len(places):
            active = viewer.layers.selection.active
            self._layer = viewer.add_points(
                places,
                name=NAME,
                metadata={RINGS: chosen.key},
                symbol="disc",
                size=SCREEN * self._stage.dot(image),
                face_color="transparent",
                border_color=colours,
                border_width=THIN * self._stage.dot(image),
                border_width_is_relative=False,
                **same_place(image),
            )
            self._layer.editable = False
            self._stage.lower(self._layer, chosen)
            viewer.layers.selection.active = active

    def selected(self, event: Any = None) -> None:
        """A brush on the rings would paint nothing: whatever had the tools before has them again."""
        active = self._stage.viewer.layers.selection.active
        if active is None:
            return  # between two
        if self._layer is None or not same(active, self._layer):
            self._before = active
        else:
            QTimer.singleShot(0, self._give_back)

    def _give_back(self) -> None:
        layers, chosen = self._stage.viewer.layers, self._stage.chosen()
        if self._layer is not None and same(layers.selection.active, self._layer):
            before = self._before if self._before in layers else None if chosen is None else chosen.layer
            layers.selection.active = before

    def _take_up(self, image: NapariImage) -> None:
        """Rings that came back with their image are ours again; there are never two layers of them."""
        layers = self._stage.viewer.layers
        for one in [one for one in layers if RINGS in one.metadata and not same(one, self._layer)]:
            if (self._layer is None or self._layer not in layers) and one.metadata[RINGS] == image.key:
                self._layer, self._image, self._now = one, image.layer, one.data.copy()
                self.zoomed()
            else:
                with self._stage.moving():
                    layers.remove(one)

    def _clear(self) -> None:
        layer, self._layer, self._now = self._layer, None, np.zeros((0, 3))
        if layer is not None and layer in self._stage.viewer.layers:
            self._stage.viewer.layers.remove(layer)

    def zoomed(self, event: Any = None) -> None:
        """At every zoom the same; with napari's own limits, the line would be half as wide as the ring."""
        if self._image is not None and self._layer is not None:
            pixel = self._stage.dot(self._image)
            self._layer.current_size, self._layer.current_border_width = SCREEN * pixel, THIN * pixel
            if len(self._now):
                self._layer.size, self._layer.border_width = SCREEN * pixel, THIN * pixel
