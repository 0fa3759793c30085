"""`Upright`: a page beside the canvas. Where it is too long for its place, what can wait is folded away; where that is
not enough it scrolls, rather than widen the window, and what is asked comes into sight by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QResizeEvent, QShowEvent
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea, QWidget

WIDEST = 286
"""Pixels that a page asks for, however large the letters: napari's own docks and its slider need 604 of 910, and with
letters of twice the size 540 of 1280."""
SPARE = 8
"""Pixels that must be left over before something comes back: it doesn't come and go."""
_NO_END = (1 << 24) - 1
"""Qt's own greatest height."""


class Upright(QScrollArea):
    """Scrolls up and down; sideways only where letters are so large that it would widen the window: the canvas gives
    way before."""

    def __init__(self, body: QWidget) -> None:
        super().__init__()
        self.setWidget(body)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self._asked = 0, 0
        """For which widths of body and window there was a try: whoever makes the dock narrow afterwards may."""
        self.gives_way: Callable[[], Sequence[QWidget]] = tuple
        """What is folded away where the page would scroll, the first of them first."""
        self._folded: dict[QWidget, int] = {}
        """What is now, and how low it may become else."""
        self._sought: QWidget | None = None
        """What is kept in sight until a person scrolls."""
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._settle)
        if (bar := self.verticalScrollBar()) is not None:
            bar.actionTriggered.connect(lambda _: self._leave())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """A part that came into the body needs its width here, too."""
        if event is not None and watched is self.widget() and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
            self._soon.start()
        if event is not None and watched is self.window() and event.type() == QEvent.Type.Resize:
            self._soon.start()
        return super().eventFilter(watched, event)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        super().showEvent(event)
        self.window().installEventFilter(self)
        self._soon.start()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        super().resizeEvent(event)
        self._soon.start()

    def bring(self, part: QWidget) -> None:
        """Into sight, however full the page is: now, and once all have found their places."""
        self._sought = part
        self._soon.start()

    def _leave(self) -> None:
        self._sought = None

    def _settle(self) -> None:
        """Once all have found their places; what this changes asks for the next time by itself."""
        self._widen()
        self._give_way()
        with suppress(RuntimeError):  # it was answered, and is gone
            if self._sought is not None and self._sought.isVisible():
                self.ensureWidgetVisible(self._sought, 0, 0)

    def _give_way(self) -> None:
        """As much as it takes, and no more."""
        body, port, parts = self.widget(), self.viewport(), list(self.gives_way())
        if body is None or port is None or not self.isVisible():
            return
        needed, before = body.heightForWidth(port.width()), set(self._folded)
        for one in [one for one in self._folded if one not in parts]:
            needed += self._unfold(one)
        for one in parts:
            if needed > port.height() and not one.isHidden() and one not in self._folded:
                needed -= _height(one)
                self._folded[one] = one.minimumHeight()
                one.setMinimumHeight(0)
                one.setMaximumHeight(0)
        if set(self._folded) - before:
            return
        for one in reversed([one for one in parts if one in self._folded]):
            if not one.isHidden() and needed + _height(one) + SPARE > port.height():
                return
            needed += self._unfold(one)

    def _unfold(self, one: QWidget) -> int:
        """→ The height that it takes."""
        least = self._folded.pop(one)
        with suppress(RuntimeError):  # it is gone
            one.setMinimumHeight(least)
            one.setMaximumHeight(_NO_END)
            return 0 if one.isHidden() else _height(one)
        return 0

    def _widen(self) -> None:
        """Its dock at the canvas's cost, where the page doesn't fit."""
        body, port, window, dock = self.widget(), self.viewport(), self.window(), self.parentWidget()
        while dock is not None and not isinstance(dock, QDockWidget):
            dock = dock.parentWidget()
        if body is None or port is None or dock is None or not self.isVisible() or not isinstance(window, QMainWindow):
            return
        wanted = body.minimumSizeHint().width()
        if wanted > port.width() and self._asked != (wanted, window.width()):
            self._asked = wanted, window.width()
            window.resizeDocks([dock], [dock.width() + wanted - port.width()], Qt.Orientation.Horizontal)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        body, bar = self.widget(), self.verticalScrollBar()
        wide = 0 if body is None or bar is None else body.minimumSizeHint().width() + bar.sizeHint().width()
        return QSize(min(wide, WIDEST), 60)


def _height(one: QWidget) -> int:
    """What it takes when it isn't folded away."""
    high = one.heightForWidth(one.width())
    return high if high >= 0 else one.sizeHint().height()


def page_of(part: QWidget) -> Upright | None:
    """The page in which something lies."""
    above = part.parentWidget()
    while above is not None and not isinstance(above, Upright):
        above = above.parentWidget()
    return above
