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

from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.pointing import Pointed, Pointing, box_in_image, in_image, is_a_click, region_in_sight
from boltzformer.desk.notice import CLICK, NO_PROMPT, TOOL
from boltzformer.desk.runs.run import Run
from boltzformer.desk.words import ViewerWords
from boltzformer.image.region import Region
from napari_boltzformer.host.compared import flat
from napari_boltzformer.host.layers import same_place
from napari_boltzformer.host.stage import FILLS, FOR, NapariImage, NapariStage

WAIT_MS = 250
"""A second click soon after the first one belongs to it."""
POINTS, BOX = "here / not here", "look in this box"
HERE, NOT_HERE = "#00FF00", "#FF00FF"
"""Of points; no mask has either."""
POINT, LINE = 11, 2
"""A cross and the line of a box are at least so many pixels of the screen wide: a thinner line falls between them."""
TOOLS = "add", "add_rectangle"
"""What napari calls ours."""
AFTER = "boltzformer after"
"""Where a box's metadata says how many points there were when it was drawn: which of them came last."""

ACROSS = "A box is drawn in the plane of the slices, which 'Draw a box' brings back: no box was drawn."


class Guide:
    """One layer of points and one box per image; what they say goes with the next run of the slice."""

    def __init__(
        self, desk: Desk, stage: NapariStage, typed: Callable[[], list[str]], bind: Callable[[Layer], None]
    ) -> None:
        """`typed`: the prompts in the box. `bind`: lays our keys on a layer."""
        self._desk, self._stage, self._typed, self._bind = desk, stage, typed, bind
        self._run: Run | None = None
        self._at: tuple[OpenImage | None, int | None] | None = None
        """Image and slice of what was said, or taken back, last: it may lie in another one than is on screen."""
        self._telling = False
        """Whether it is no person who points."""
        stage.guider = self.told, self.tell
        for moved in (stage.fitted, stage.scaled):
            moved.append(self.zoomed)
        self._timer = desk.timers.after(WAIT_MS, self.ask)

    def point(self) -> None:
        """Ready for clicks: here; with Shift, not here."""
        image, prompt = self._stage.chosen(), self._prompt()
        if image is None or not prompt:
            self._desk.notice.say("Open an image and type a prompt first, then point.", topic=NO_PROMPT)
            return
        viewer = self._stage.viewer
        layer = self._layer(POINTS, image) or self._new_points(image, prompt)
        layer.visible = True
        viewer.layers.selection.active = layer
        layer.mode = "add"
        self._desk.notice.say(f"Click where '{prompt}' is; Shift+click where it is not.", topic=TOOL)

    def escape(self) -> bool:
        """Whether there was a tool to put down: a click points at nothing and draws nothing any more."""
        layer = self._stage.viewer.layers.selection.active
        held = isinstance(layer, Points | Shapes) and FOR in layer.metadata and str(layer.mode) in TOOLS
        if layer is not None and held:
            layer.mode = "pan_zoom"
            self._desk.notice.take_back(TOOL)
        return held

    def remove_last(self) -> None:
        """What was said last of what can be seen: a point, or the box."""
        image = self._stage.chosen()
        points, box = (self._in_sight(name, image) for name in (POINTS, BOX))
        layer = box if points is None or (box is not None and len(points.data) <= _after(box)) else points
        if layer is None:
            self._desk.notice.say("No point or box is in sight to remove: set a point, or draw a box first.")
            return
        layer.selected_data = {len(layer.data) - 1}
        layer.remove_selected()

    def box(self) -> None:
        """Ready to draw one: nothing outside is looked at in this slice."""
        image, prompt = self._stage.chosen(), self._prompt()
        if image is None or not prompt:
            self._desk.notice.say("Open an image and type a prompt first, then draw a box.", topic=NO_PROMPT)
            return
        viewer = self._stage.viewer
        layer = self._layer(BOX, image) or self._new_box(image)
        self._stage.turn(image)  # in another plane it would be a line in each slice
        layer.visible = True
        viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        here = "this picture" if flat(image.layer) else "this slice"
        self._desk.notice.say(
            f"Draw a box: '{prompt}' is looked for only there in {here}. A new one takes its place.", topic=TOOL
        )

    def ask(self) -> None:
        """Looks again at the slice in which something was said, which comes on screen, with all that was pointed at."""
        prompt, image = self._prompt(), self._stage.chosen()
        at, self._at = self._at, None
        if image is None or not prompt:
            return
        if at is not None and at[0] is not image:
            return  # another one was taken in hand meanwhile
        row = None if at is None else at[1]
        if row is not None and not (self._stage.shows(image) and self._stage.row(image) == row):
            self._stage.go(image, row)
        running = self._desk.running
        if self._run is not None and self._run in running.runs:
            self._run.job.cancel()  # its question is out of date
        self._run = running.start([prompt], only_this=True)

    def pointing(self, image: OpenImage) -> Pointing:
        """What is said about an image and can be seen: neither a hidden layer nor a hidden point says anything."""
        points, box = (self._in_sight(name, image) for name in (POINTS, BOX))
        told = []
        if points is not None:
            told = [
                Pointed(tuple(place), bool(here), str(whose))
                for place, here, whose, shown in zip(
                    points.data, points.features["here"], points.features["prompt"], points.shown, strict=True
                )
                if shown
            ]
        return Pointing(tuple(told), None if box is None or _is_across(image, box) else _ends(box))

    def zoomed(self, event: Any = None) -> None:
        """What was said stays in sight at every zoom."""
        for layer in self._stage.viewer.layers:
            if FOR in layer.metadata and FILLS not in layer.metadata:
                self._widen(layer)

    # --- another day --------------------------------------------------------------------------------------------

    def told(self, image: NapariImage) -> dict[str, Any]:
        """All that was pointed at on an image, in plain values."""
        points, box = self._layer(POINTS, image), self._layer(BOX, image)
        told: dict[str, Any] = {}
        if points is not None and len(points.data):
            here, whose = (points.features[name].tolist() for name in ("here", "prompt"))
            places = np.asarray(points.data).tolist()
            told["points"] = [list(one) for one in zip(places, map(bool, here), map(str, whose), strict=True)]
            if not all(points.shown):
                told["hidden points"] = np.flatnonzero(~np.asarray(points.shown)).tolist()
        if box is not None and len(box.data):
            told["boxes"] = [np.asarray(one).tolist() for one in box.data]
            told["after"] = _after(box)
        layers = ("points", points), ("boxes", box)
        hidden = [what for what, layer in layers if what in told and not self._stage.was_visible(layer)]
        return {**told, "hidden": hidden} if hidden else told

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
                    layer.shown = ~np.isin(np.arange(len(places)), told.get("hidden points", ()))
                    layer.visible = "points" not in told.get("hidden", ())
                if told.get("boxes"):
                    box = self._new_box(image)
                    box.add([np.array(one, float) for one in told["boxes"]], shape_type="rectangle")
                    box.metadata[AFTER] = int(told.get("after", 0))
                    box.visible = "boxes" not in told.get("hidden", ())
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
        layer.events.data.connect(self._on_points)
        return self._made(layer)

    def _new_box(self, image: NapariImage) -> Shapes:
        layer = self._stage.viewer.add_shapes(
            ndim=image.layer.ndim,
            name=BOX,
            face_color="transparent",
            edge_color=HERE,
            metadata={FOR: image.key},
            **same_place(image.layer),
        )
        layer.events.data.connect(self._on_box)
        return self._made(layer)

    def _made(self, layer: Any) -> Any:
        layer.events.visible.connect(self._on_seen)
        self._widen(layer)
        self._bind(layer)
        return layer

    def _widen(self, layer: Any) -> None:
        if isinstance(layer, Points):
            layer.current_size = max(5.0, POINT * self._stage.dot(layer))
            if len(layer.data):
                layer.size = layer.current_size
        elif isinstance(layer, Shapes):
            layer.current_edge_width = max(1.0, LINE * self._stage.pixel(layer))
            if len(layer.data):
                layer.edge_width = layer.current_edge_width

    # ------------------------------------------------------------------------------------------------------------

    def _prompt(self) -> str:
        """What a click here asks about."""
        return self._desk.tracks.in_question(self._typed())

    def _layer(self, name: str, image: OpenImage | None) -> Any:
        kind = Points if name == POINTS else Shapes
        mine = [
            layer
            for layer in self._stage.viewer.layers
            if isinstance(layer, kind) and image is not None and layer.metadata.get(FOR) == image.key
            if FILLS not in layer.metadata
        ]
        return mine[0] if mine else None

    def _whose(self, layer: Layer) -> NapariImage | None:
        """The image that points or a box are about, whichever is chosen."""
        return next((one for one in self._stage.images() if one.key == layer.metadata[FOR]), None)

    def _in_sight(self, name: str, image: OpenImage | None) -> Any:
        """With something in it, and not hidden."""
        layer = self._layer(name, image)
        return layer if layer is not None and layer.visible and len(layer.data) else None

    def _before_click(self, layer: Points, event: Any) -> Iterator[None]:
        """Before napari adds the point: what it says."""
        here = "Shift" not in event.modifiers
        layer.selected_data = set()  # else the colour of the points that are selected would change with the next one's
        layer.feature_defaults = {"here": here, "prompt": self._prompt()}
        layer.current_face_color = HERE if here else NOT_HERE
        yield

    def _on_points(self, event: Any) -> None:
        """A click beside the image is no point; one that gets there otherwise leads nobody."""
        points, image = event.source, self._whose(event.source)
        added = not self._telling and _action(event) == "added" and len(points.data) > 0
        if added and image is not None and not in_image(image.volume, points.data[-1]):
            self._desk.notice.say("That is beside the image: no point was placed.", topic=CLICK)
            QTimer.singleShot(0, lambda: self._put(points, points.data[:-1]))  # not under napari's hands
        else:
            self._on_data(event)

    def _on_data(self, event: Any) -> None:
        if self._telling:
            return
        if (image := self._stage.chosen()) is not None:
            self._desk.keeper.touch(image)  # what is pointed at is saved with the masks
        if _action(event) in ("added", "removing", "changed"):
            self._at = self._whose(event.source), _row_of(event, None if self._at is None else self._at[1])
        if _action(event) in ("added", "removed", "changed"):
            self._timer.start()

    def _on_box(self, event: Any) -> None:
        """A new one takes the place of the one before; a mere click is none, and takes nobody's place."""
        box = event.source
        if self._telling or _action(event) in ("adding", "changing"):
            return
        if _action(event) == "removing":
            return self._on_data(event)
        added, image = _action(event) == "added" and len(box.data) > 0, self._whose(box)
        click = added and is_a_click(_ends(box), 1 / self._stage.pixel(box))
        across = added and image is not None and _is_across(image, box)
        slip = click or across or (added and image is not None and not box_in_image(image.volume, _ends(box)))
        if click:
            self._desk.notice.say(
                "That was a click, not a box: press, drag and let go. Nothing was drawn.", topic=CLICK
            )
        elif across:
            self._desk.notice.say(ACROSS, topic=CLICK)
        elif slip:
            self._desk.notice.say("That is beside the image: no box was drawn.", topic=CLICK)
        elif len(box.data):
            points = self._layer(POINTS, self._stage.chosen())
            box.metadata[AFTER] = 0 if points is None else len(points.data)
        if slip or len(box.data) > 1:
            kept = box.data[:-1] if slip else box.data[-1:]
            QTimer.singleShot(0, lambda: self._put(box, kept))  # not under napari's hands, which have just drawn it
        if not slip:
            self._on_data(event)

    def _put(self, layer: Points | Shapes, data: Any) -> None:
        """In the place of what is there; nothing is asked by that."""
        self._telling = True
        try:
            layer.selected_data = set()
            layer.data = data
        finally:
            self._telling = False

    def _on_seen(self, event: Any) -> None:
        """What is hidden stays hidden another day."""
        image = self._stage.chosen()
        if image is not None and not self._telling and not self._stage.moves:
            self._desk.keeper.touch(image)


def _action(event: Any) -> str:
    return str(getattr(event, "action", "")).lower().rsplit(".", 1)[-1]


def _row_of(event: Any, usual: int | None) -> int | None:
    """The slice of the points or the box that an event tells of; of a box through several, the middle one."""
    layer, told = event.source, tuple(getattr(event, "data_indices", ()))
    if layer.ndim != 3 or not told or not -len(layer.data) <= told[-1] < len(layer.data):
        return usual
    places = np.atleast_2d(layer.data[told[-1]])
    return int(np.rint(places[:, 0].mean()))


def _after(box: Shapes) -> int:
    return int(box.metadata.get(AFTER, 0))


def _is_across(image: OpenImage, box: Shapes) -> bool:
    """Whether it was drawn through several slices: nobody who looks at one of them would see it."""
    return not image.is_picture and bool(np.ptp(_ends(box)[:, 0]) >= 1)


def _ends(box: Shapes) -> NDArray[np.float64]:
    """(2, ndim), as the viewer counts."""
    corners = np.asarray(box.data[-1])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


class Closer(QCheckBox):
    """A tick, and what it makes of the box. What had been found outside of the box stays. Each image has a tick of its
    own: the next one has no box yet."""

    def __init__(
        self,
        pointing: Callable[[OpenImage], Pointing],
        words: ViewerWords,
        chosen: Callable[[], NapariImage | None],
    ) -> None:
        """`pointing`: what can be seen of points and boxes on an image."""
        super().__init__("Look closer there")
        self._pointing, self._words, self._chosen = pointing, words, chosen
        self._ticked: set[str] = set()
        """Keys of images."""
        self.clicked.connect(self._on_click)
        self.show_image()

    def region(self, image: OpenImage) -> Region | None:
        """What a run is to look at; None: all of it."""
        if image.key not in self._ticked:
            return None
        return region_in_sight(image.volume, self._pointing(image), self._words)

    def show_image(self) -> None:
        """Another one is chosen."""
        image = self._chosen()
        self.setChecked(image is not None and image.key in self._ticked)
        asks = "Run shows" if image is not None and flat(image.layer) else "This slice and All slices show"
        self.setToolTip(f"{asks} the model nothing but the box, enlarged; masks outside of it stay")

    def _on_click(self, on: bool) -> None:
        if (image := self._chosen()) is not None:
            (self._ticked.add if on else self._ticked.discard)(image.key)
