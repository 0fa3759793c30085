"""`PromptBox`: one prompt per line; a list below the line says what the loaded model knows."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QModelIndex, QObject, Qt, QTimer, Signal
from qtpy.QtGui import (
    QBrush,
    QColor,
    QFocusEvent,
    QFont,
    QKeyEvent,
    QMouseEvent,
    QPaintEvent,
    QStandardItem,
    QStandardItemModel,
    QTextCursor,
)
from qtpy.QtWidgets import QApplication, QCompleter, QDockWidget, QPlainTextEdit, QWidget

from boltzformer.desk.models.knowledge import MOST, REST_MS, Completion, Knowledge
from napari_boltzformer.dock.completed import KNOWN, Completed

AMBER = "#E69F00"
LINES = 3
EMPTY, EARLIER = "What to look for, one prompt per line", "↓ or a click here: what was asked before"
"""What an empty box says, and the second line of it where there is such a thing."""
CHOOSING = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Tab, Qt.Key.Key_Escape)


class PromptBox(QPlainTextEdit):
    """Completes the line in hand. Arrows and Return choose, Escape closes, typing goes on."""

    run = Signal(bool)
    """Ctrl+Return: this slice; with Shift, True: all of them."""
    left = Signal()
    """Nobody types any more, or not at this moment."""

    def __init__(self) -> None:
        super().__init__()
        self.knowledge = Knowledge()
        self.modality: Callable[[], str] = lambda: ""
        self.clear_of: QWidget | None = None
        """Below the box, what the list does not cover: what is pressed when the prompts are typed."""
        self.history: Callable[[], tuple[str, ...]] = lambda: ()
        self.setPlaceholderText(EMPTY)
        self._grow()
        self.setTabChangesFocus(True)
        self.setStyleSheet("QPlainTextEdit { border: 1px solid gray; }")  # napari's themes draw none
        self._items = QStandardItemModel(self)
        self.completer = QCompleter(self._items, self)
        self.completer.setWidget(self)
        self.completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        self.completer.setMaxVisibleItems(MOST)
        popup = self.completer.popup()
        popup.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        popup.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        popup.setItemDelegate(Completed(popup))
        self._pressing_on = PressingOn(popup)
        self._offering = QTimer(self, singleShot=True, interval=0)
        self._offering.timeout.connect(self.offer)
        self._resting = QTimer(self, singleShot=True, interval=REST_MS)
        self._resting.timeout.connect(self.left)
        self.textChanged.connect(self._resting.start)
        self.completer.activated[QModelIndex].connect(lambda index: self._choose(index.data(Qt.ItemDataRole.UserRole)))

    def setFont(self, font: QFont) -> None:  # noqa: N802 - Qt's name
        super().setFont(font)
        self._grow()

    def _grow(self) -> None:
        line = self.fontMetrics().lineSpacing()
        self.setMinimumHeight((LINES - 1) * line + 16)  # one less where the room is taken by offers
        self.setMaximumHeight(LINES * line + 16)

    def texts(self) -> list[str]:
        """The prompts, each once."""
        lines = [line.strip() for line in self.toPlainText().splitlines()]
        return list(dict.fromkeys(line for line in lines if line))

    def finished(self) -> list[str]:
        """The prompts, but for the one that is still being typed."""
        line = self.textCursor().block().text()
        typing = self.hasFocus() and self.knowledge.unfinished(line, rested=not self._resting.isActive())
        return [text for text in self.texts() if not typing or text != line.strip()]

    def focusOutEvent(self, event: QFocusEvent | None) -> None:  # noqa: N802 - Qt's name
        super().focusOutEvent(event)
        self._resting.stop()
        self.left.emit()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        if not self.toPlainText():
            said = "\n".join([EMPTY, EARLIER] if self.history() else [EMPTY])
            if said != self.placeholderText():
                self.setPlaceholderText(said)
        super().paintEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        super().mouseReleaseEvent(event)
        opens = not self.toPlainText() and not self._pressing_on.closes
        if event.button() == Qt.MouseButton.LeftButton and opens:
            self._offering.start()

    def keep(self, texts: list[str]) -> list[str]:
        """These alone → what was typed beside them. Who is typing goes on at their end."""
        gone = [text for text in self.texts() if text not in texts]
        if self.texts() != texts:
            self.setPlainText("\n".join(texts))
            self.moveCursor(QTextCursor.MoveOperation.End)
        return gone

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        if (whole := asks_to_run(event)) is not None:
            self._offering.stop()  # or the list comes up over the answers
            self.completer.popup().hide()
            self._resting.stop()
            self.left.emit()
            self.run.emit(whole)
            return
        popup = self.completer.popup()
        if event.key() in CHOOSING and popup.isVisible() and popup.currentIndex().isValid():
            event.ignore()  # the list's own
            return
        before = self.toPlainText()
        super().keyPressEvent(event)
        down, alt = event.key() == Qt.Key.Key_Down, event.modifiers() & Qt.KeyboardModifier.AltModifier
        if self.toPlainText() != before or (down and (alt or not before)):  # in an empty box there is no way down
            self._offering.start()

    def focusNextPrevChild(self, forward: bool) -> bool:  # noqa: N802 - Qt's name
        """Tab goes on to the next widget, unless it takes what is chosen in the list."""
        popup = self.completer.popup()
        if forward and popup.isVisible() and popup.currentIndex().isValid():
            return False  # then it reaches us as a key
        return super().focusNextPrevChild(forward)

    def offer(self) -> None:
        """Opens the list for the line in hand, if it knows anything to say."""
        line = self.textCursor().block().text().strip()
        found = self.knowledge.offered(line, self.modality(), self.history())
        popup = self.completer.popup()
        if not found or not self.isVisible():
            popup.hide()
            return
        self._items.clear()
        for one in found:
            self._items.appendRow(_item(one))
        style = self.window().styleSheet()  # a list of its own takes no colours from the viewer's window
        if popup.styleSheet() != style:
            popup.setStyleSheet(style)
        where = self.rect()  # below the box: what is typed stays in sight
        where.setWidth(min(max(self.width(), popup.sizeHintForColumn(0) + 24), self._room()))
        if self.clear_of is not None and self.clear_of.isVisible():
            below = self.clear_of.mapTo(self.window(), self.clear_of.rect().bottomLeft())
            where.setBottom(max(where.bottom(), self.mapFrom(self.window(), below).y()))
        self.completer.complete(where)
        popup.setCurrentIndex(QModelIndex())  # Return begins another line until a person goes into the list

    def _room(self) -> int:
        """How wide the list may be: it ends where the dock does."""
        dock = self.parentWidget()
        while dock is not None and not isinstance(dock, QDockWidget):
            dock = dock.parentWidget()
        return self.width() if dock is None else dock.width() - self.mapTo(dock, self.rect().topLeft()).x()

    def _choose(self, prompt: str) -> None:
        cursor = self.textCursor()
        cursor.select(QTextCursor.SelectionType.LineUnderCursor)
        cursor.insertText(prompt)
        self.setTextCursor(cursor)


class PressingOn(QObject):
    """A press beside an open list closes it, and is a press on what lies there: nobody has to press twice."""

    def __init__(self, popup: QWidget) -> None:
        super().__init__(popup)
        self._popup = popup
        self.closes = False
        """Whether what is pressed just now has closed the list."""
        popup.installEventFilter(self)  # after the completer's own, so asked before it

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        if isinstance(event, QMouseEvent) and event.type() == QEvent.Type.MouseButtonPress:
            place = event.globalPosition()
            if not self._popup.rect().contains(self._popup.mapFromGlobal(place.toPoint())):
                self._popup.hide()
                below = QApplication.widgetAt(place.toPoint())
                self.closes = True
                if below is not None:  # with its release, which Qt keeps from whatever lies beside a list
                    for kind in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonRelease):
                        held = event.buttons() if kind == event.type() else Qt.MouseButton.NoButton
                        local, keys = below.mapFromGlobal(place), event.modifiers()
                        QApplication.sendEvent(below, QMouseEvent(kind, local, place, event.button(), held, keys))
                self.closes = False
                return True
        return super().eventFilter(watched, event)


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
    item.setData(f": {one.words}", KNOWN)
    item.setToolTip("\n".join(dict.fromkeys((one.text, one.prompt))))  # the list may be too narrow for it
    if not one.known:
        item.setForeground(QBrush(QColor(AMBER)))
    return item
