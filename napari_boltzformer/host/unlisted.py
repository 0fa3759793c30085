"""napari's list of layers: what is no concern of a person's has no row in it, and letters go on to the viewer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QApplication, QWidget

LIST = "QtLayerList"
"""What napari calls the list: it has no public name for it."""


def hide_rows(mark: str) -> None:
    """Of all layers that have `mark` in their metadata. A row keeps that however the layers are moved."""
    for view in _lists():
        _hide(view, mark)


def pass_letters_on() -> None:
    """A list with the focus goes to the row that begins with the letter: 'A' would accept, and then leave the mask for
    'Abdomen'."""
    for view in _lists():
        if not view.findChildren(_Letters):
            view.installEventFilter(_Letters(view))


class _Letters(QObject):
    """Of one list."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        letter = isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and event.text().strip()
        if event is None or not letter or not str(letter).isprintable():
            return False
        event.ignore()  # so that it goes up to the viewer
        return True


def _lists() -> Iterator[Any]:
    for window in QApplication.topLevelWidgets():
        yield from (view for view in window.findChildren(QWidget) if type(view).__name__ == LIST)


def _hide(view: Any, mark: str) -> None:
    model = view.model()
    for row in range(model.rowCount()):
        layer = model.index(row, 0).data(Qt.ItemDataRole.UserRole)
        if mark in getattr(layer, "metadata", ()):
            view.setRowHidden(row, True)
