"""The desk's clock in napari: Qt's timers, on the main thread."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtGui import QGuiApplication


class QtTimers:
    """Timers that end with the widget they belong to."""

    def __init__(self, owner: QObject) -> None:
        self._owner = owner

    def every(self, ms: int, do: Callable[[], None]) -> QTimer:
        """Not started yet."""
        timer = QTimer(self._owner)
        timer.setInterval(ms)
        timer.timeout.connect(do)
        return timer

    def after(self, ms: int, do: Callable[[], None]) -> QTimer:
        """Once, each time that it is started."""
        timer = self.every(ms, do)
        timer.setSingleShot(True)
        return timer

    def under_stroke(self) -> bool:
        return bool(QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton)
