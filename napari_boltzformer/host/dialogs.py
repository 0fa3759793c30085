"""How the desk asks and waits in napari: Qt's dialogs, and Qt's timers on the main thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget


class QtDialogs:
    """Qt's own dialogs: napari's style reaches them, and tests can press their buttons."""

    def __init__(self, parent: QWidget) -> None:
        self._parent = parent

    def folder(self, title: str, start: str = "") -> Path | None:
        path = QFileDialog.getExistingDirectory(self._parent, title, start, QFileDialog.Option.DontUseNativeDialog)
        return Path(path) if path else None

    def choose(self, title: str, lines: Sequence[str]) -> int | None:
        """The first is proposed."""
        text, chosen = QInputDialog.getItem(self._parent, "Choose", title, list(lines), 0, False)
        return list(lines).index(text) if chosen else None

    def save_as(self, title: str, suggested: str, kinds: str) -> Path | None:
        """The dialog itself asks before it names a file that is there."""
        path, _ = QFileDialog.getSaveFileName(
            self._parent, title, suggested, kinds, options=QFileDialog.Option.DontUseNativeDialog
        )
        return Path(path) if path else None

    def open(self, title: str, kinds: str, start: str = "") -> Path | None:
        """A file that is there; `start`: the folder that is shown first."""
        path, _ = QFileDialog.getOpenFileName(
            self._parent, title, start, kinds, options=QFileDialog.Option.DontUseNativeDialog
        )
        return Path(path) if path else None

    def ask(self, question: str, details: str, yes: str, then: Callable[[bool], None]) -> None:
        """Cancel is what Return presses."""
        box = Question(self._parent, question, yes, then)
        box.setInformativeText(details)
        box.open()


class Question(QMessageBox):
    """Beside the viewer, until it is answered."""

    def __init__(self, parent: QWidget, question: str, yes: str, then: Callable[[bool], None]) -> None:
        super().__init__(QMessageBox.Icon.Question, f"{yes}?", question, parent=parent)
        self._agree, self._then = self.addButton(yes, QMessageBox.ButtonRole.AcceptRole), then
        self.setDefaultButton(self.addButton(QMessageBox.StandardButton.Cancel))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.finished.connect(self._answer)

    def _answer(self, _: int) -> None:
        self._then(self.clickedButton() is self._agree)


class Soon(QObject):
    """Once, between two events: the next ones, however often it is started before. (A timer that is started again would
    wait for those behind it, too.)"""

    def __init__(self, owner: QObject, do: Callable[[], None]) -> None:
        super().__init__(owner)
        self._do, self._waits = do, False

    def start(self) -> None:
        if not self._waits:
            self._waits = True
            QTimer.singleShot(0, self._call)

    def _call(self) -> None:
        self._waits = False
        self._do()


class QtTimers:
    """Timers that end with the widget they belong to."""

    def __init__(self, owner: QObject, on_canvas: Callable[[], bool] = lambda: True) -> None:
        """`on_canvas`: whether that is where the mouse button that is down was pressed."""
        self._owner, self._on_canvas = owner, on_canvas

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

    def soon(self, do: Callable[[], None]) -> Soon:
        """Not started yet."""
        return Soon(self._owner, do)

    def under_stroke(self) -> bool:
        """A slider that is held down wants its masks now: only the canvas is drawn on."""
        return bool(QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton and self._on_canvas())
