"""`Folding`: a line of buttons that goes on in the next line where it would be too long: it widens nothing."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QRect, QSize
from qtpy.QtGui import QResizeEvent, QShowEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

GAP = 4
"""Pixels between two, and between two lines."""


class Folding(QWidget):
    """As words are laid: left to right, then down. Whoever shows or hides a button calls `fold`."""

    def __init__(self, buttons: Sequence[QWidget]) -> None:
        super().__init__()
        self._buttons = list(buttons)
        for one in self._buttons:
            one.setParent(self)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        if not self._shown():  # never shown by itself here: without a parent it would be a window of its own
            self.hide()

    def fold(self) -> None:
        """Others are shown than before, or have other words."""
        self.setVisible(bool(self._shown()))
        self.updateGeometry()
        self._place(self.width(), move=True)

    @property
    def straight(self) -> int:
        """How wide it is in one line."""
        return sum(one.sizeHint().width() + GAP for one in self._shown())

    def heightForWidth(self, width: int) -> int:  # noqa: N802 - Qt's name
        return self._place(width, move=False)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        least = max((one.sizeHint().width() for one in self._shown()), default=0)
        return QSize(least, self.heightForWidth(max(self.width(), least)))

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return self.minimumSizeHint()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        super().resizeEvent(event)
        self._place(self.width(), move=True)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        super().showEvent(event)
        self.fold()  # letters have their size now

    def _shown(self) -> list[QWidget]:
        return [one for one in self._buttons if not one.isHidden()]

    def _place(self, room: int, *, move: bool) -> int:
        """How high it is."""
        left = top = high = 0
        for one in self._shown():
            size = one.sizeHint()
            wide = min(size.width(), max(room, 1))
            if left and left + wide > room:
                left, top, high = 0, top + high + GAP, 0
            if move:
                one.setGeometry(QRect(left, top, wide, size.height()))
            left, high = left + wide + GAP, max(high, size.height())
        return top + high
