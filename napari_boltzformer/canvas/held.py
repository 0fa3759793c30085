"""`HeldClick`: a key that is held, and what a click does meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from napari.layers import Layer, Points
from qtpy.QtCore import QTimer
from qtpy.QtGui import QGuiApplication

from boltzformer.desk.desk import Desk
from boltzformer.desk.masks.by_hand import Voxel
from boltzformer.desk.masks.track import Track
from napari_boltzformer.host.layers import same
from napari_boltzformer.host.stage import NapariStage

TAP_S = 0.3
"""A key that is down for less was pressed by somebody who expects it to act by itself."""
REPEAT_MS = 50
"""A keyboard that repeats a held key may tell of it as let go and pressed again, at once; no finger is as quick."""


class HeldClick:
    """Whoever derives from it says in `clicked` what happens."""

    def __init__(self, desk: Desk, stage: NapariStage) -> None:
        self._desk, self._layers = desk, stage.viewer.layers
        self.ended: list[Callable[[], None]] = []
        """A click on the canvas means what it usually does again."""
        self._armed: tuple[Layer, str] | None = None
        """The layer that listens for clicks, and the tool that was in hand."""
        self._used = False
        """Whether there was a click since then."""
        self._down, self._up = 0.0, 0.0
        """When the key was pressed, and when it was let go, unless it is pressed again at once; 0: it is not."""
        self._from: Layer | None = None
        """Where the key was pressed."""
        self._rest = desk.timers.after(REPEAT_MS, self._released)

    @property
    def armed(self) -> Layer | None:
        """The layer that listens for clicks."""
        return None if self._armed is None else self._armed[0]

    def clicked(self, layer: Layer, event: Any) -> None:
        """With the key held."""
        raise NotImplementedError

    def tapped(self) -> None:
        """The key was let go at once, and nothing was clicked."""

    def held(self, layer: Layer) -> Iterator[None]:
        """As long as the key is: the tool in hand waits, so that a click neither paints nor erases. A release that a
        press follows at once is none."""
        if not self._up:
            self.arm(self._in_hand(layer))
            self._from = layer
            self._down = time.monotonic()
        self._rest.stop()
        self._up = 0.0
        yield
        if self._down:
            self._up = time.monotonic()
            self._rest.start()

    def arm(self, layer: Layer) -> None:
        """Clicks on this layer are ours until they are let go."""
        self._forget_key()
        self._used = False
        self._listen(layer)

    def _listen(self, layer: Layer) -> None:
        self._disarm()
        self._armed = layer, str(layer.mode)
        layer.mode = "pan_zoom"
        layer.mouse_drag_callbacks.append(self._on_click)
        layer.events.mode.connect(self.let_go)
        # Where another window gets the keys, it also gets the release: napari never hears of it.
        QGuiApplication.instance().focusWindowChanged.connect(self.let_go)

    def under(self, where: Callable[[Track], Voxel | None], reach: int = 0) -> Track | None:
        """The mask that a click is about: the one in hand, unless the key is held over an object of another one that
        can be seen. A button that was pressed names its mask."""
        tracks = self._desk.tracks
        return (tracks.under(where, reach) if self._down else None) or tracks.active()

    def upon(self, track: Track, do: Callable[[], None]) -> None:
        """A click changes this mask: it is selected, and further clicks are about it."""
        layer = track.surface.layer
        if same(layer, self.armed):
            do()
        else:  # not now: napari goes through what the other layer does at a click, and its brush would paint
            QTimer.singleShot(0, partial(self._go_over, track, do))

    def _go_over(self, track: Track, do: Callable[[], None]) -> None:
        if self._armed is not None:
            self._listen(track.surface.layer)
        self._desk.stage.activate(track.surface)
        do()

    def escape(self) -> bool:
        """Whether there was something to let go."""
        held = self._armed is not None
        if held:
            self.let_go()
        return held

    def let_go(self, _window: Any = None) -> None:
        """The tool that was in hand is in hand again, or the one that a person took meanwhile."""
        self._forget_key()
        self._disarm()
        for heard in self.ended:
            heard()

    def _released(self) -> None:
        idle, tap, layers = self._armed is not None and not self._used, self._up - self._down < TAP_S, self._layers
        there = idle and same(layers.selection.active, self.armed)
        self.let_go()
        if there and isinstance(self._from, Points) and self._from in layers:
            layers.selection.active = self._from  # whoever points goes on
        if idle and tap:
            self.tapped()

    def _in_hand(self, layer: Layer) -> Layer:
        """The mask that a click is going to change, selected: Ctrl+Z is the selected layer's. Without one, `layer`."""
        track = self._desk.tracks.active()
        if track is None or not track.surface.shown:
            return layer
        self._desk.stage.activate(track.surface)
        return track.surface.layer

    def _on_click(self, layer: Layer, event: Any) -> None:
        self._used = True
        self.clicked(layer, event)

    def _forget_key(self) -> None:
        self._rest.stop()
        self._down = self._up = 0.0

    def _disarm(self) -> None:
        if self._armed is not None:
            (layer, mode), self._armed = self._armed, None
            QGuiApplication.instance().focusWindowChanged.disconnect(self.let_go)
            layer.mouse_drag_callbacks.remove(self._on_click)
            layer.events.mode.disconnect(self.let_go)
            if layer.mode == "pan_zoom":
                layer.mode = mode
