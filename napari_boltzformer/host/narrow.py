"""What fits into little width: a sentence on one line, a picture, a box of names that shows their beginning and their
end, a line that scrolls sideways."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QEvent, QObject, QRect, QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPixmap, QResizeEvent, QWheelEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QLabel,
    QLayout,
    QLineEdit,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStyleOptionFrame,
    QStylePainter,
    QWidget,
)

from napari_boltzformer.host.listening import Choice

INDENT = 4
"""Pixels: as far as napari's own labels."""
LETTERS = 6
"""So many of a name are seen at the least."""
BELOW = 246
"""Pixels that a line below the canvas asks for, however large the letters: see `upright.WIDEST`."""


class OneLine(QLabel):
    """Never wider than its place: what does not fit is left out at the end, and told by the tool tip."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(self.fontMetrics().averageCharWidth() * LETTERS, self.fontMetrics().height())

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        painter = QPainter(self)
        room = self.contentsRect().adjusted(INDENT, 0, 0, 0)
        shown = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        painter.setPen(self.palette().windowText().color())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, shown)
        painter.end()


class Words(QLabel):
    """In full where there is room, else their beginning."""

    _longest = ""

    def reserve(self, longest: str) -> None:
        """Room for the longest of what they say by turns: a slider behind them keeps its place under the mouse."""
        if self._longest != longest:
            self._longest = longest
            self.updateGeometry()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        hint, letters = super().sizeHint(), self.fontMetrics()
        more = letters.horizontalAdvance(self._longest) - letters.horizontalAdvance(self.text())
        return QSize(hint.width() + max(more, 0), hint.height())

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(self.fontMetrics().averageCharWidth() * LETTERS, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        if self.width() >= super().sizeHint().width():
            super().paintEvent(event)
            return
        painter, room = QPainter(self), self.contentsRect()
        painter.setPen(self.palette().windowText().color())
        shown = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, shown)
        painter.end()


class Lines(OneLine):
    """Several, each like that."""

    _least = 1

    def reserve(self, lines: int) -> None:
        """Room for so many: what lies beside them stays where it is when another one comes."""
        if lines != self._least:
            self._least = lines
            self.updateGeometry()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(super().sizeHint().width(), self._high)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(super().minimumSizeHint().width(), self._high)

    @property
    def _high(self) -> int:
        metrics, around = self.fontMetrics(), self.height() - self.contentsRect().height()
        return max(len(self.text().splitlines()), self._least) * metrics.lineSpacing() + metrics.underlinePos() + around

    def setText(self, text: str | None) -> None:  # noqa: N802 - Qt's name
        super().setText(text)
        self.setToolTip(text or "")
        self.updateGeometry()
        if (around := self.parentWidget()) is not None:
            around.update()  # beside a canvas of OpenGL the ends of longer words would stay there

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        room, metrics = self.contentsRect().adjusted(INDENT, 0, 0, 0), self.fontMetrics()
        for number, line in enumerate(self.text().splitlines()):
            shown = metrics.elidedText(line, Qt.TextElideMode.ElideRight, room.width())
            painter.drawText(room.left(), room.top() + metrics.ascent() + number * metrics.lineSpacing(), shown)
        painter.end()


class Sentence(QLabel):
    """Takes no room while it says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setMinimumWidth(1)  # a long name is one word
        self.hide()

    def setText(self, text: str | None) -> None:  # noqa: N802 - Qt's name
        super().setText(text)
        self.setVisible(bool(text))


class Picture(QWidget):
    """As large as its place allows and it has pixels for; it asks for no width, and takes no room while there is none.

    A label would ask for all of its picture's pixels, and the dock would grow by what stands beside it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._picture = QPixmap()
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.hide()

    def show_picture(self, picture: QPixmap) -> None:
        self._picture = picture
        self.setVisible(not picture.isNull())
        self.updateGeometry()
        self.update()

    def heightForWidth(self, width: int) -> int:  # noqa: N802 - Qt's name
        full = self._picture.size()
        return full.scaled(min(width, full.width()), full.height(), Qt.AspectRatioMode.KeepAspectRatio).height()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(1, self.heightForWidth(self.width()))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(1, 1)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        wide = min(self.width(), self._picture.width())
        if wide > 0:
            painter = QPainter(self)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawPixmap(QRect(0, 0, wide, self.heightForWidth(wide)), self._picture)
            painter.end()


class Ends(QLineEdit):
    """A line to type in; once nobody types, what is too long shows its beginning and its end."""

    def shown(self) -> str:
        """What is drawn."""
        text = self.text()
        if self.hasFocus():
            return text
        return self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, self._room().width())

    def _room(self) -> QRect:
        option, style = QStyleOptionFrame(), self.style()
        self.initStyleOption(option)
        part = QStyle.SubElement.SE_LineEditContents
        return (self.rect() if style is None else style.subElementRect(part, option, self)).adjusted(2, 0, -2, 0)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        shown = self.shown()
        if shown == self.text():
            super().paintEvent(event)
            return
        painter, option = QStylePainter(self), QStyleOptionFrame()
        self.initStyleOption(option)
        painter.drawPrimitive(QStyle.PrimitiveElement.PE_PanelLineEdit, option)
        painter.setPen(self.palette().text().color())
        painter.drawText(self._room(), Qt.AlignmentFlag.AlignVCenter, shown)
        painter.end()


class NameBox(Choice):
    """Names of patients and models often differ in their last letters alone."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(LETTERS)
        self.setStyleSheet("QComboBox { padding-right: 2px; }")  # napari leaves a letter's room before the arrow
        view = self.view()
        if view is not None:
            view.setTextElideMode(Qt.TextElideMode.ElideMiddle)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """So many letters of usual width: Qt reserves that of the widest, and room for a picture."""
        letters, hint = self.fontMetrics(), super().minimumSizeHint()
        spare = LETTERS * (letters.horizontalAdvance("X") - letters.averageCharWidth()) + self.iconSize().width() + 4
        return QSize(hint.width() - spare, hint.height())

    def setEditable(self, editable: bool) -> None:  # noqa: N802 - Qt's name
        """What is typed in shows both ends, once nobody types, and all of it in the tool tip."""
        super().setEditable(editable)
        if editable:
            self.setLineEdit(Ends())
        line = self.lineEdit()
        if line is not None:
            line.textChanged.connect(self._begin)
            # No closure around `line`: Python would tidy both away, which knows not that Qt goes on calling.
            line.editingFinished.connect(self._rest)

    def _begin(self, text: str) -> None:
        line = self.lineEdit()
        self.setToolTip(text)
        if line is not None and not line.isModified():  # else somebody types
            line.setCursorPosition(0)

    def _rest(self) -> None:
        line = self.lineEdit()
        if line is not None and not line.hasFocus():
            line.setCursorPosition(0)

    def shown(self) -> str:
        """The name as it is drawn."""
        line = self.lineEdit()
        if isinstance(line, Ends):
            return line.shown()
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        return self._fitting(option)

    def _fitting(self, option: QStyleOptionComboBox) -> str:
        part = QStyle.SubControl.SC_ComboBoxEditField
        style = self.style()
        room = self.rect() if style is None else style.subControlRect(_BOX, option, part, self)
        return self.fontMetrics().elidedText(self.currentText(), Qt.TextElideMode.ElideMiddle, room.width() - 4)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = self._fitting(option)
        painter.drawComplexControl(_BOX, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()


_BOX = QStyle.ComplexControl.CC_ComboBox


class Sideways(QScrollArea):
    """Scrolls sideways alone, and that with any mouse wheel: most have no other."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        bar = self.horizontalScrollBar()
        if event is None or bar is None or bar.maximum() == 0 or event.angleDelta().x():
            super().wheelEvent(event)
        else:
            bar.setValue(bar.value() - event.angleDelta().y())
            event.accept()


class Along(Sideways):
    """A line of controls that scrolls sideways where it is too long."""

    def __init__(self, line: QLayout) -> None:
        super().__init__()
        body = QWidget()
        body.setLayout(line)
        self.setWidget(body)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        body, bar = self.widget(), self.horizontalScrollBar()
        if body is None or bar is None:
            return super().sizeHint()
        wide = body.minimumSizeHint().width()
        high = body.sizeHint().height() + (bar.sizeHint().height() if wide > self.width() else 0)
        return QSize(wide, high)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(60, self.sizeHint().height())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """A part that came into the line may be higher than those that were there."""
        if event is not None and watched is self.widget() and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        super().resizeEvent(event)
        self.updateGeometry()  # a bar needs room


def as_large(fields: Iterable[QWidget], beside: QWidget) -> None:
    """Fields to type in get letters like those beside them: napari's own size reaches labels and buttons alone."""
    for field in fields:
        if field.font().pointSizeF() != beside.font().pointSizeF():
            font = field.font()
            font.setPointSizeF(beside.font().pointSizeF())
            field.setFont(font)
