"""`Fitting`: a picture that was wholly in view stays so when docks come and go, and what lies below the canvas begins
and ends where napari's slider does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, QPoint, Qt, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QMainWindow, QStyle, QStyleOptionSlider, QWidget

from napari_boltzformer.host.layers import camera_of, fit, grid_of

if TYPE_CHECKING:
    import napari

CANVAS, SLIDER = "CanvasBackendDesktop", "QtDimSliderWidget"
"""What napari calls its widgets: it has no public name for them."""
LEAST = 100
"""Pixels: a bar of all slices that would be shorter, beside an image that is much longer, takes the whole width."""

SURE_MS = 400, 800, 1600
"""So long after an image took the screen, or layers came and went, and so long after each other, it is drawn again."""


class Fitting(QObject):
    """Of one viewer. Whoever zoomed in keeps what they look at."""

    def __init__(self, parent: QWidget, viewer: napari.viewer.Viewer) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.moved: list[Callable[[], None]] = []
        """The canvas has another size, or lies elsewhere."""
        self.escaped: list[Callable[[], bool]] = []
        """Esc was pressed on the canvas: whether somebody had a use for it; else it means what it means to napari."""
        self.pressed = False
        """Whether the mouse button that went down last did so on the canvas, and is not up again."""
        self._canvas: QWidget | None = None
        self._slider: Any = None
        """napari's, of the slices."""
        self._size = 0, 0
        self._whole = True
        """Whether all of the picture was in view before the canvas changed."""
        self._fitted: tuple[float, ...] = ()
        """Zoom and middle of the view when all of it was brought in last."""
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._settle)
        self._still = QTimer(self)
        self._still.setSingleShot(True)
        self._still.timeout.connect(self._draw_again)
        self._sure = QTimer(self)
        self._sure.setSingleShot(True)
        self._sure.timeout.connect(self._draw)
        self._waits: list[int] = []
        """Until it is drawn again, and again after that."""

    def watch(self, window: QWidget | None) -> None:
        """From now on; `window` is the viewer's own."""
        if self._canvas is None and isinstance(window, QMainWindow):
            self._canvas = next(iter(_called(window, CANVAS)), None)
            if self._canvas is not None:
                self._canvas.installEventFilter(self)
                self._soon.start()

    def take_keys(self) -> None:
        """The next ones are the image's."""
        if self._canvas is not None:
            self._canvas.setFocus()

    def fit(self) -> None:
        """All of the picture into the view."""
        fit(self._viewer)
        self._whole, self._fitted = True, self._view()

    def follow(self) -> None:
        """All of an image is in view now, and stays so until somebody zooms, though docks have not settled yet: who
        zoomed did so into the image before."""
        self._whole, self._fitted = True, self._view()
        self._soon.start()
        self._make_sure()

    def look_again(self, event: Any = None) -> None:
        """The slider may be another one, or go through other slices."""
        self._soon.start()

    def looked(self, event: Any = None) -> None:
        """Zoomed or panned, by whomever."""
        if self._size == self._now():
            self._whole = self._all_in_view()

    def slider(self, beside: QWidget, edges: tuple[float, float] | None = None) -> tuple[int, int] | None:
        """How far from the left end of a widget the first slice begins, and from its right end the last one ends, where
        each lies below the middle of the slider's handle; None where there is no slider.

        `edges`: of all slices, in steps of the slider, where those of other images are among these, too.
        """
        window = beside.window()
        slider = self._visible_slider(window) if window else None
        if slider is None:
            return None
        first, last = _ways(slider)
        per, whole = (last - first) / max(slider.maximum() - slider.minimum(), 1), (-0.5, slider.maximum() + 0.5)
        low, high = whole if edges is None or per * (edges[1] - edges[0]) < LEAST else edges
        left = slider.mapTo(window, QPoint(0, 0)).x() - beside.mapTo(window, QPoint(0, 0)).x() + first
        return round(left + per * low), round(beside.width() - left - per * high)

    def _visible_slider(self, window: QWidget) -> Any:
        """The first of the window; looked for only where the last one is gone: there are hundreds of widgets."""
        with suppress(RuntimeError):  # it is deleted
            if self._slider is not None and self._slider.isVisible() and self._slider.window() is window:
                return self._slider
        first: Any = next((one for one in _called(window, SLIDER) if one.isVisible()), None)
        self._slider = getattr(first, "slider", None)
        if self._slider is not None:
            self._slider.installEventFilter(self)  # it is given its place after it came to light
        return self._slider

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        if event is not None and event.type() in (QEvent.Type.Resize, QEvent.Type.Move, QEvent.Type.Show):
            self._soon.start()
        if watched is not self._canvas:
            return False
        if event is not None and event.type() in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonRelease):
            self.pressed = event.type() == QEvent.Type.MouseButtonPress
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape:
            return self.escape()
        return False

    def escape(self) -> bool:
        """Esc on the canvas or beside it: whether somebody had a use for it; what else it means it means next time."""
        return any(heard() for heard in self.escaped)

    def hold_still(self, event: Any = None) -> None:
        """While a layer goes half of it is gone: whatever appears or gives way meanwhile, and changes the canvas's
        size, the canvas is drawn at the next turn of the event loop, not at once. What the layer has in OpenGL is
        deleted right away, in whichever context is current: unless that is the canvas's own, a later drawing of what
        stays may crash (seen with Mesa's software renderer, without this plugin, too)."""
        with suppress(RuntimeError):  # the whole window may be closing
            if self._canvas is not None:
                if hasattr(self._canvas, "makeCurrent"):
                    self._canvas.makeCurrent()
                self._canvas.setUpdatesEnabled(False)
                self._still.start()

    def _draw_again(self) -> None:
        with suppress(RuntimeError):
            if self._canvas is not None:
                self._canvas.setUpdatesEnabled(True)
                self._make_sure()

    def _make_sure(self) -> None:
        self._waits = list(SURE_MS)
        self._sure.start(self._waits.pop(0))

    def _draw(self) -> None:
        """With several in napari's grid the canvas was seen to stay blank until somebody zoomed: the places of a grid
        get their size by being drawn, so that a second drawing is needed; and one that vispy asked for while the canvas
        held still never comes, and it asks for no other before that one."""
        with suppress(RuntimeError):
            if self._canvas is not None:
                self._canvas.update()
            if self._waits:
                self._sure.start(self._waits.pop(0))

    def _settle(self) -> None:
        """Once all have found their places."""
        if self._size != (now := self._now()):
            self._size = now
            if self._whole:
                self.fit()
        for heard in self.moved:
            heard()

    def _now(self) -> tuple[int, int]:
        return (0, 0) if self._canvas is None else (self._canvas.width(), self._canvas.height())

    def _view(self) -> tuple[float, ...]:
        camera = camera_of(self._viewer)
        return float(camera.zoom), *map(float, camera.center[-2:])

    def _all_in_view(self) -> bool:
        camera, shown = camera_of(self._viewer), list(self._viewer.dims.displayed)
        if not len(self._viewer.layers) or len(shown) != 2:
            return True
        if grid_of(self._viewer).enabled:  # which knows of no extent of all its places
            return not self._fitted or bool(np.allclose(self._view(), self._fitted))
        low, high = self._viewer.layers.extent.world[:, shown]
        half = np.array(self._size[::-1]) / (2 * max(float(camera.zoom), 1e-9))
        middle = np.array(camera.center[-2:], float)
        return bool(np.all(middle - half <= low) and np.all(high <= middle + half))


def _ways(slider: Any) -> tuple[float, float]:
    """Where the middle of a scroll bar's handle is at its least and at its largest value."""
    option, style, whole = QStyleOptionSlider(), slider.style(), QStyle.ComplexControl.CC_ScrollBar
    slider.initStyleOption(option)
    groove, handle = (
        style.subControlRect(whole, option, part, slider)
        for part in (QStyle.SubControl.SC_ScrollBarGroove, QStyle.SubControl.SC_ScrollBarSlider)
    )
    half = min(handle.width(), groove.width()) / 2
    return groove.left() + half, groove.left() + groove.width() - half


def _called(window: QWidget, name: str) -> list[QWidget]:
    return [one for one in window.findChildren(QWidget) if type(one).__name__ == name]
