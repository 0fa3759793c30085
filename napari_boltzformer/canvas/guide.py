"""A person points, 'here' or 'not here', or draws a box, and a moment later the slice is looked at again; or the drawn
box is looked at enlarged through all slices (`Closer`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from napari.layers import Layer, Points, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox

from boltzformer import BoltzFormerError
from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.pointing import Pointed, Pointing, region_of
from boltzformer.desk.runs.run import Run
from boltzformer.desk.words import ViewerWords
from boltzformer.image.region import Region
from napari_boltzformer.host.layers import same_place
from napari_boltzformer.host.stage import FILLS, FOR, NapariImage, NapariStage

WAIT_MS = 250
"""A second click soon after the first one belongs to it."""
POINTS, BOX = "here / not here", "look in this box"
HERE, NOT_HERE = "#009E73", "#D55E00"


class Guide:
    """One layer of points and one box per image; what they say goes with the next run of the slice."""

    def __init__(
        self, desk: Desk, stage: NapariStage, typed: Callable[[], list[str]], bind: Callable[[Layer], None]
    ) -> None:
        """`typed`: the prompts in the box. `bind`: lays our keys on a layer."""
        self._desk, self._stage, self._typed, self._bind = desk, stage, typed, bind
        self._run: Run | None = None
        self._telling = False
        """Whether it is no person who points."""
        stage.guider = self.told, self.tell
        self._timer = desk.timers.after(WAIT_MS, self.ask)

    def point(self) -> None:
        """Ready for clicks: here; with Shift, not here."""
        image, prompt = self._stage.chosen(), self._prompt()
        if image is None or not prompt:
            self._desk.notice.say("Open an image and type a prompt first, then point.")
            return
        viewer = self._stage.viewer
        layer = self._layer(POINTS, image) or self._new_points(image, prompt)
        viewer.layers.selection.active = layer
        layer.mode = "add"
        self._desk.notice.say(f"Click where '{prompt}' is; Shift+click where it is not.")

    def remove_last(self) -> None:
        """The point that was set last."""
        layer = self._layer(POINTS, self._stage.chosen())
        if layer is None or not len(layer.data):
            self._desk.notice.say("There is no point to remove: set one with 'Here / not here' first.")
            return
        layer.selected_data = {len(layer.data) - 1}
        layer.remove_selected()

    def box(self) -> None:
        """Ready to draw one: nothing outside is looked at in this slice."""
        image = self._stage.chosen()
        if image is None or not self._prompt():
            self._desk.notice.say("Open an image and type a prompt first, then draw a box.")
            return
        viewer = self._stage.viewer
        layer = self._layer(BOX, image) or self._new_box(image)
        viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        self._desk.notice.say("Draw a box: only there is looked at in this slice. A new one takes its place.")

    def ask(self) -> None:
        """Looks at the slice on screen again, with all that was pointed at."""
        prompt = self._prompt()
        if self._stage.chosen() is None or not prompt:
            return
        running = self._desk.running
        if self._run is not None and self._run in running.runs:
            self._run.job.cancel()  # its question is out of date
        self._run = running.start([prompt], only_this=True)

    def pointing(self, image: OpenImage) -> Pointing:
        """What is said about an image and can be seen: neither a hidden layer nor a hidden point says anything."""
        points, box = self._layer(POINTS, image), self._layer(BOX, image)
        told = []
        if points is not None and points.visible:
            told = [
                Pointed(tuple(place), bool(here), str(whose))
                for place, here, whose, shown in zip(
                    points.data, points.features["here"], points.features["prompt"], points.shown, strict=True
                )
                if shown
            ]
        return Pointing(tuple(told), self.drawn(image) if box is not None and box.visible else None)

    def drawn(self, image: OpenImage) -> NDArray[np.float64] | None:
        """(2, ndim): the ends of the box on an image, as the viewer counts; None without one."""
        box = self._layer(BOX, image)
        if box is None or not len(box.data):
            return None
        corners = np.asarray(box.data[-1])
        return np.stack([corners.min(axis=0), corners.max(axis=0)])

    # --- another day --------------------------------------------------------------------------------------------

    def told(self, image: NapariImage) -> dict[str, Any]:
        """All that was pointed at on an image, in plain values."""
        points, box = self._layer(POINTS, image), self._layer(BOX, image)
        told: dict[str, Any] = {}
        if points is not None and len(points.data):
            here, whose = (points.features[name].tolist() for name in ("here", "prompt"))
            places = np.asarray(points.data).tolist()
            told["points"] = [list(one) for one in zip(places, map(bool, here), map(str, whose), strict=True)]
        if box is not None and len(box.data):
            told["boxes"] = [np.asarray(one).tolist() for one in box.data]
        return told

    def tell(self, image: NapariImage, told: Mapping[str, Any]) -> None:
        """The same again, in the place of what is there; nothing is asked by that."""
        viewer, active = self._stage.viewer, self._stage.viewer.layers.selection.active
        with self._stage.moving():
            for name in (POINTS, BOX):
                if (layer := self._layer(name, image)) is not None:
                    viewer.layers.remove(layer)
            self._telling = True
            try:
                if told.get("points"):
                    places, here, whose = (list(one) for one in zip(*told["points"], strict=True))
                    layer = self._new_points(image, whose[-1])
                    layer.data = np.array(places, float)
                    layer.features = {"here": np.array(here, bool), "prompt": np.array(whose, str)}
                    layer.face_color = [HERE if one else NOT_HERE for one in here]
                if told.get("boxes"):
                    layer = self._new_box(image)
                    layer.add([np.array(one, float) for one in told["boxes"]], shape_type="rectangle")
            finally:
                self._telling = False
        if active is not None and active in viewer.layers:
            viewer.layers.selection.active = active

    def _new_points(self, image: NapariImage, prompt: str) -> Points:
        layer = self._stage.viewer.add_points(
            np.zeros((0, image.layer.ndim)),
            ndim=image.layer.ndim,
            name=POINTS,
            symbol="cross",
            size=5,
            border_width=0,
            features={"here": np.zeros(0, bool), "prompt": np.zeros(0, str)},
            feature_defaults={"here": True, "prompt": prompt},
            face_color=HERE,
            metadata={FOR: image.key},
            **same_place(image.layer),
        )
        layer.mouse_drag_callbacks.insert(0, self._before_click)
        layer.events.data.connect(self._on_data)
        self._bind(layer)
        return layer

    def _new_box(self, image: NapariImage) -> Shapes:
        layer = self._stage.viewer.add_shapes(
            ndim=image.layer.ndim,
            name=BOX,
            face_color="transparent",
            edge_color=HERE,
            edge_width=max(1.0, max(image.volume.grid.shape) / 200),  # a line that is seen where all of it is on screen
            metadata={FOR: image.key},
            **same_place(image.layer),
        )
        layer.events.data.connect(self._on_data)
        self._bind(layer)
        return layer

    # ------------------------------------------------------------------------------------------------------------

    def _prompt(self) -> str:
        """The selected mask's, else the first that is typed."""
        track, typed = self._desk.tracks.active(), self._typed()
        return track.prompt.text if track is not None else typed[0] if typed else ""

    def _layer(self, name: str, image: OpenImage | None) -> Any:
        kind = Points if name == POINTS else Shapes
        mine = [
            layer
            for layer in self._stage.viewer.layers
            if isinstance(layer, kind) and image is not None and layer.metadata.get(FOR) == image.key
            if FILLS not in layer.metadata
        ]
        return mine[0] if mine else None

    def _before_click(self, layer: Points, event: Any) -> Iterator[None]:
        """Before napari adds the point: what it says."""
        here = "Shift" not in event.modifiers
        layer.selected_data = set()  # else the colour of the points that are selected would change with the next one's
        layer.feature_defaults = {"here": here, "prompt": self._prompt()}
        layer.current_face_color = HERE if here else NOT_HERE
        yield

    def _on_data(self, event: Any) -> None:
        if self._telling:
            return
        if (image := self._stage.chosen()) is not None:
            self._desk.keeper.touch(image)  # what is pointed at is saved with the masks
        if str(getattr(event, "action", "")).lower().rsplit(".", 1)[-1] in ("added", "removed", "changed"):
            self._timer.start()
        box = self._layer(BOX, self._stage.chosen())
        if box is not None and len(box.data) > 1:
            QTimer.singleShot(0, lambda: setattr(box, "data", box.data[-1:]))


class Closer(QCheckBox):
    """A tick, and what it makes of the box. What had been found outside of the box stays."""

    def __init__(self, drawn: Callable[[OpenImage], NDArray[np.float64] | None], words: ViewerWords) -> None:
        """`drawn`: the ends of an image's box."""
        super().__init__("Look closer there")
        self._drawn, self._words = drawn, words
        self.setToolTip(
            "This slice and All slices show the model nothing but the box, enlarged; masks outside of it stay"
        )

    def region(self, image: OpenImage) -> Region | None:
        """What a run is to look at; None: all of it."""
        if not self.isChecked():
            return None
        drawn = self._drawn(image)
        if drawn is None:
            raise BoltzFormerError(f"There is no box to look closer in: {self._words.draw_box}")
        return region_of(image.volume, drawn)
