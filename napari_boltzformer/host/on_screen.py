"""`OnScreen`: the viewer's window stays on its screen. napari opens its first window as large as all docks
would like to have it, and docks and layers that come later make it wider still."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QPoint, QRect, QTimer
from qtpy.QtWidgets import QMainWindow, QWidget

SETTLED_MS = 1000
"""So long after it came to light napari and the desktop may still resize it; afterwards the user alone does."""


class OnScreen(QObject):
    """Of one window. Whoever makes it larger than the screen by hand may."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._seen = False
        """Whether a window of ours has come to light: another one may be wherever it was put."""
        self._soon, self._settling = QTimer(self), QTimer(self)
        for timer in (self._soon, self._settling):
            timer.setSingleShot(True)
        self._settling.setInterval(SETTLED_MS)
        self._soon.timeout.connect(self._fit)

    def watch(self, window: QWidget | None) -> None:
        """It comes to light, with our dock in it."""
        if isinstance(window, QMainWindow) and not self._seen:
            self._seen = True
            window.installEventFilter(self)
            self._settling.start()
            self._soon.start()

    def keep(self) -> None:
        """Something is about to come that may widen it."""
        if (window := self._window()) is not None and (room := _room(window)) is not None:
            frame = window.frameGeometry()
            if within(frame, room).size() == frame.size():
                self._soon.start()

    def _window(self) -> QMainWindow | None:
        """Asked for each time: whoever kept it would keep a whole viewer alive."""
        parent = self.parent()
        window = parent.window() if isinstance(parent, QWidget) else None
        return window if isinstance(window, QMainWindow) else None

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        if event is not None and event.type() in (QEvent.Type.Resize, QEvent.Type.Move) and self._settling.isActive():
            self._soon.start()
        return False

    def _fit(self) -> None:
        window = self._window()
        if window is None or not window.isVisible() or window.isMaximized() or window.isFullScreen():
            return
        room = _room(window)
        if room is None:
            return
        frame, inner = window.frameGeometry(), window.size()
        least = window.minimumSizeHint().expandedTo(window.minimumSize())
        wanted = within(frame, room)
        size = (inner + wanted.size() - frame.size()).expandedTo(least)
        if size != inner:
            window.resize(size)
        if wanted.topLeft() != frame.topLeft():
            window.move(wanted.topLeft())


def _room(window: QWidget) -> QRect | None:
    screen = window.screen()
    return None if screen is None else screen.availableGeometry()


def within(frame: QRect, room: QRect) -> QRect:
    """The same, made smaller where it is larger than the room, and moved into it."""
    size = frame.size().boundedTo(room.size())
    left = max(min(frame.left(), room.left() + room.width() - size.width()), room.left())
    top = max(min(frame.top(), room.top() + room.height() - size.height()), room.top())
    return QRect(QPoint(left, top), size)
