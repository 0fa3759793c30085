"""The desk's clock in Slicer: Qt's timers, by names that Qt 5 and 6 share, on the main thread. No `processEvents`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt


class QtTimers:
    """Timers that stop when the panel leaves."""

    def __init__(self) -> None:
        self._timers: list[Any] = []

    def every(self, ms: int, do: Callable[[], None]) -> Any:
        """Not started yet."""
        timer = qt.QTimer()
        timer.setInterval(ms)
        timer.connect("timeout()", do)
        self._timers.append(timer)
        return timer

    def after(self, ms: int, do: Callable[[], None]) -> Any:
        """Once, each time that it is started."""
        timer = self.every(ms, do)
        timer.setSingleShot(True)
        return timer

    def under_stroke(self) -> bool:
        """Whether the left button is down: nothing is written then."""
        return bool(qt.QApplication.mouseButtons() & qt.Qt.LeftButton)

    def leave(self) -> None:
        """Nothing is called any more."""
        for timer in self._timers:
            timer.stop()
        self._timers.clear()
