"""`HeldClick`: a key that is held, and what a click does meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from napari.layers import Layer
from qtpy.QtGui import QGuiApplication


class HeldClick:
    """Whoever derives from it says in `clicked` what happens."""

    def __init__(self) -> None:
        self._armed: tuple[Layer, str] | None = None
        """The layer that listens for clicks, and the tool that was in hand."""

    def clicked(self, layer: Layer, event: Any) -> None:
        """With the key held."""
        raise NotImplementedError

    def held(self, layer: Layer) -> Iterator[None]:
        """As long as the key is: the tool in hand waits, so that a click neither paints nor erases."""
        self._let_go()
        self._armed = layer, str(layer.mode)
        layer.mode = "pan_zoom"
        layer.mouse_drag_callbacks.append(self.clicked)
        # Where another window gets the keys, it also gets the release: napari never hears of it.
        QGuiApplication.instance().focusWindowChanged.connect(self._let_go)
        yield
        self._let_go()

    def _let_go(self, _window: Any = None) -> None:
        if self._armed is not None:
            (layer, mode), self._armed = self._armed, None
            QGuiApplication.instance().focusWindowChanged.disconnect(self._let_go)
            layer.mouse_drag_callbacks.remove(self.clicked)
            if layer.mode == "pan_zoom":
                layer.mode = mode
