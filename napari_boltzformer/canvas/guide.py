"""`Guide`: a person points, 'here' or 'not here', or draws a box; a moment later the slice is looked at again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Points, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from boltzformer import BoltzFormerError, Guidance
from napari_boltzformer.host.layers import same_place, stored_voxel, volume_of

if TYPE_CHECKING:
    from napari_boltzformer.run import Run
    from napari_boltzformer.widget import BoltzFormerDock

WAIT_MS = 250
"""A second click soon after the first one belongs to it."""
POINTS, BOX = "here / not here", "look in this box"
HERE, NOT_HERE = "#009E73", "#D55E00"
GUIDE = "boltzformer guide"
"""Where a guide layer's metadata says which image it is for."""


class Guide:
    """One layer of points and one box per image; what they say goes with the next run of the slice."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self._run: Run | None = None
        self._timer = QTimer(dock)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self.ask)

    def point(self) -> None:
        """Ready for clicks: here; with Shift, not here."""
        image, prompt = self._dock.chosen_image(), self._prompt()
        if image is None or not prompt:
            self._dock.notice.say("Open an image and type a prompt first, then point.")
            return
        viewer, layer = self._dock.viewer, self._layer(POINTS, image)
        if layer is None:
            layer = viewer.add_points(
                np.zeros((0, image.ndim)),
                ndim=image.ndim,
                name=POINTS,
                symbol="cross",
                size=5,
                border_width=0,
                features={"here": np.zeros(0, bool), "prompt": np.zeros(0, str)},
                feature_defaults={"here": True, "prompt": prompt},
                face_color=HERE,
                metadata={GUIDE: image.unique_id},
                **same_place(image),
            )
            layer.mouse_drag_callbacks.insert(0, self._before_click)
            layer.events.data.connect(self._on_data)
            self._dock.keys.bind(layer)
        viewer.layers.selection.active = layer
        layer.mode = "add"
        self._dock.notice.say(f"Click where '{prompt}' is; Shift+click where it is not.")

    def remove_last(self) -> None:
        """The point that was set last."""
        layer = self._layer(POINTS, self._dock.chosen_image())
        if layer is None or not len(layer.data):
            self._dock.notice.say("There is no point to remove: set one with 'Here / not here' first.")
            return
        layer.selected_data = {len(layer.data) - 1}
        layer.remove_selected()

    def box(self) -> None:
        """Ready to draw one: nothing outside is looked at in this slice."""
        image = self._dock.chosen_image()
        if image is None or not self._prompt():
            self._dock.notice.say("Open an image and type a prompt first, then draw a box.")
            return
        viewer, layer = self._dock.viewer, self._layer(BOX, image)
        if layer is None:
            layer = viewer.add_shapes(
                ndim=image.ndim,
                name=BOX,
                face_color="transparent",
                edge_color=HERE,
                edge_width=1,
                metadata={GUIDE: image.unique_id},
                **same_place(image),
            )
            layer.events.data.connect(self._on_data)
            self._dock.keys.bind(layer)
        viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        self._dock.notice.say("Draw a box: only there is looked at in this slice. A new one takes its place.")

    def ask(self) -> None:
        """Looks at the slice on screen again, with all that was pointed at."""
        guidance = self.guidance()
        if guidance is None:
            return
        if self._run is not None and self._run in self._dock.running.runs:
            self._run.job.cancel()  # its question is out of date
        self._run = self._dock.running.start(only_this=True, guidance=guidance)

    def guidance(self) -> Guidance | None:
        """What is said about the chosen image and the prompt in hand, in voxels of the stored array."""
        image, prompt = self._dock.chosen_image(), self._prompt()
        if image is None or not prompt:
            return None
        try:
            volume = volume_of(image)
        except BoltzFormerError:
            return None  # running says why

        def voxel(place: Any) -> tuple[float, float, float]:
            return stored_voxel(volume, (0.0, *place) if image.ndim == 2 else tuple(place))

        points = self._layer(POINTS, image)
        said: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
        if points is not None:
            features = zip(points.data, points.features["here"], points.features["prompt"], strict=True)
            for place, here, whose in features:
                if whose == prompt:
                    said[bool(here)].append(voxel(place))
        drawn = self.drawn(image)
        corners = None if drawn is None else (voxel(drawn[0]), voxel(drawn[1]))
        return Guidance(tuple(said[True]), tuple(said[False]), corners, prompt)

    def drawn(self, image: Image) -> NDArray[np.float64] | None:
        """(2, ndim): the ends of the box on an image, as the viewer counts; None without one."""
        box = self._layer(BOX, image)
        if box is None or not len(box.data):
            return None
        corners = np.asarray(box.data[-1])
        return np.stack([corners.min(axis=0), corners.max(axis=0)])

    def _prompt(self) -> str:
        """The selected mask's, else the first that is typed."""
        track, typed = self._dock.active_track(), self._dock.prompt.texts()
        return track.prompt.text if track is not None else typed[0] if typed else ""

    def _layer(self, name: str, image: Image | None) -> Any:
        kind = Points if name == POINTS else Shapes
        mine = [
            layer
            for layer in self._dock.viewer.layers
            if isinstance(layer, kind) and image is not None and layer.metadata.get(GUIDE) == image.unique_id
        ]
        return mine[0] if mine else None

    def _before_click(self, layer: Points, event: Any) -> Iterator[None]:
        """Before napari adds the point: what it says."""
        here = "Shift" not in event.modifiers
        layer.feature_defaults = {"here": here, "prompt": self._prompt()}
        layer.current_face_color = HERE if here else NOT_HERE
        yield

    def _on_data(self, event: Any) -> None:
        if str(getattr(event, "action", "")).lower().rsplit(".", 1)[-1] in ("added", "removed", "changed"):
            self._timer.start()
        box = self._layer(BOX, self._dock.chosen_image())
        if box is not None and len(box.data) > 1:
            QTimer.singleShot(0, lambda: setattr(box, "data", box.data[-1:]))
