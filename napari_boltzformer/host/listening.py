"""Boxes and tables that leave letters to the viewer: each would go to a name that begins with it, and no key that is
held over the canvas would reach the mask."""

from __future__ import annotations

from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QComboBox, QTableWidget


def passes_on(event: QKeyEvent | None) -> bool:
    """Whether that was a letter: then whoever is above may have it."""
    letter = event is not None and bool(event.text().strip()) and event.text().isprintable()
    if event is not None and letter:
        event.ignore()
    return letter


class Choice(QComboBox):
    """Letters search in the list that opens, not in what is chosen."""

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        if self.isEditable() or not passes_on(event):
            super().keyPressEvent(event)


class Rows(QTableWidget):
    """Arrows go from row to row."""

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        if not passes_on(event):
            super().keyPressEvent(event)
