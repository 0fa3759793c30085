"""`Waiting`: a dock that napari's cross took out of the window waits in it, unseen, and is the one that the menu
brings: no other knows which layers are masks, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_boltzformer.host import sessions
from napari_boltzformer.host.sessions import Shared


class Waiting(QObject):
    """The window holds the dock meanwhile, so that both end together."""

    def __init__(self, dock: QWidget, shared: Shared) -> None:
        super().__init__(dock)
        self._dock, self._shared = dock, shared
        self._window: Callable[[], QMainWindow | None] = lambda: None
        self._waits = False
        self.hidden: list[Callable[[], object]] = []
        """It is not to be seen; a window that closes hides it first."""
        self.shown: list[Callable[[], object]] = []
        """It has come to light."""
        self.gone: list[Callable[[], object]] = []
        """It is out of its place."""
        self.back: list[Callable[[], object]] = []
        """It has one, for the first time or again."""
        self.awake: list[Callable[[], object]] = []
        """It has waited, and is on screen once more."""
        dock.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """What Qt tells the dock; and its window, while it waits unseen in it and hears nothing of its own."""
        kind = None if event is None else event.type()
        if watched is not self._dock:
            if self._waits and kind in (QEvent.Type.Close, QEvent.Type.Hide):
                _tell(self.hidden)
        elif kind == QEvent.Type.Hide:
            _tell(self.hidden)
        elif kind == QEvent.Type.Show:
            self._note_window()
            _tell(self.shown)
            if self._waits:
                self._waits = False
                if (window := self._window()) is not None:
                    window.removeEventFilter(self)
                QTimer.singleShot(0, self._wake)
        elif kind == QEvent.Type.ParentChange and self._dock.parent() is None:
            self._waits, self._shared.waiting = True, ref(self._dock)
            _tell(self.gone)
            QTimer.singleShot(0, self._wait)  # once napari has let go of it
        elif kind == QEvent.Type.ParentChange and self._dock.parent() is not self._window():
            self._shared.waiting = None
            _tell(self.back)
        return False

    def _note_window(self) -> None:
        above = self._dock.parentWidget()
        while above is not None and not isinstance(above, QMainWindow):
            above = above.parentWidget()
        if above is not None:
            self._window = ref(above)

    def _wait(self) -> None:
        if (window := self._window()) is not None and self._dock.parent() is None:
            self._dock.setParent(window)
            self._dock.hide()
            window.installEventFilter(self)

    def _wake(self) -> None:
        _tell(self.awake)


def _tell(listeners: list[Callable[[], object]]) -> None:
    for heard in listeners:
        heard()


def waiting_in(viewer: Any) -> Any:
    """The dock that waits in a viewer's window; None where none does."""
    held = sessions.known_to(viewer)
    return None if held is None or held.waiting is None else held.waiting()
