"""`PromptBox`: one prompt per line; a list below the line says what the loaded model knows."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QModelIndex, QObject, Qt, QTimer, Signal
from qtpy.QtGui import QBrush, QColor, QKeyEvent, QStandardItem, QStandardItemModel, QTextCursor
from qtpy.QtWidgets import QAbstractItemView, QCompleter, QPlainTextEdit

from napari_boltzformer.knowledge import Completion, Knowledge

AMBER = "#E69F00"
LINES = 3


class PromptBox(QPlainTextEdit):
    """Completes the line in hand. Arrows and Return choose, Escape closes, typing goes on."""

    run = Signal(bool)
    """Ctrl+Return: this slice; with Shift, True: all of them."""

    def __init__(self) -> None:
        self._popup: QAbstractItemView | None = None  # Qt asks the filter before there is one
        super().__init__()
        self.knowledge = Knowledge()
        self.modality: Callable[[], str] = lambda: ""
        self.history: Callable[[], tuple[str, ...]] = lambda: ()
        self.setPlaceholderText("What to look for, one prompt per line")
        self.setFixedHeight(LINES * self.fontMetrics().lineSpacing() + 16)
        self.setTabChangesFocus(True)
        self.setStyleSheet("QPlainTextEdit { border: 1px solid gray; }")  # napari's themes draw none
        self._items = QStandardItemModel(self)
        self.completer = QCompleter(self._items, self)
        self.completer.setWidget(self)
        self.completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        # Queued: a choice closes the list, and the list must be closed before the text changes below it.
        self.completer.activated[QModelIndex].connect(lambda index: self._choose(index.data(Qt.ItemDataRole.UserRole)))
        self._popup = self.completer.popup()
        self._popup.installEventFilter(self)

    def texts(self) -> list[str]:
        """The prompts, each once."""
        lines = [line.strip() for line in self.toPlainText().splitlines()]
        return list(dict.fromkeys(line for line in lines if line))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        if (whole := asks_to_run(event)) is not None:
            self.completer.popup().hide()
            self.run.emit(whole)
            return
        before = self.toPlainText()
        super().keyPressEvent(event)
        asked = event.key() == Qt.Key.Key_Down and event.modifiers() & Qt.KeyboardModifier.AltModifier
        if self.toPlainText() != before or asked:
            QTimer.singleShot(0, self.offer)

    def offer(self) -> None:
        """Opens the list for the line in hand, if it knows anything to say."""
        line = self.textCursor().block().text().strip()
        found = self.knowledge.completions(line, self.modality(), self.history())
        found = [one for one in found if one.prompt != line]
        popup = self.completer.popup()
        if not found or not self.isVisible():
            popup.hide()
            return
        self._items.clear()
        for one in found:
            self._items.appendRow(_item(one))
        where = self.cursorRect()
        where.setWidth(max(self.width(), popup.sizeHintForColumn(0) + 24))
        self.completer.complete(where)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Return without a chosen line is a new line, and Ctrl+Return is never swallowed by the list."""
        popup = self._popup
        if popup is not None and watched is popup and event.type() == QEvent.Type.KeyPress:
            enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
            plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
            if enter and not (plain and popup.currentIndex().isValid()):
                popup.hide()
        return super().eventFilter(watched, event)

    def _choose(self, prompt: str) -> None:
        cursor = self.textCursor()
        cursor.select(QTextCursor.SelectionType.LineUnderCursor)
        cursor.insertText(prompt)
        self.setTextCursor(cursor)


def asks_to_run(event: QKeyEvent) -> bool | None:
    """Ctrl+Return: False for this slice, True (with Shift) for all; None for every other key."""
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    held = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    if event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter) or held not in (control, control | shift):
        return None
    return held != control


def _item(one: Completion) -> QStandardItem:
    item = QStandardItem(one.text)
    item.setEditable(False)
    item.setData(one.prompt, Qt.ItemDataRole.UserRole)
    if not one.known:
        item.setForeground(QBrush(QColor(AMBER)))
    return item
