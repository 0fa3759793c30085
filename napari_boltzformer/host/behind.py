"""`Behind`: what is used now and then opens beside the button to which it belongs, at its arrow."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QAbstractButton, QFrame, QHBoxLayout, QToolButton, QVBoxLayout, QWidget


class Behind(QWidget):
    """In sight are the first ones and an arrow; the others come in a small window, which a press in it closes."""

    def __init__(self, shown: Sequence[QWidget], behind: Sequence[QWidget | Sequence[QWidget]], what: str) -> None:
        """`behind`: one below the other, or several side by side; `what`: what the arrow says that they are."""
        super().__init__()
        self.arrow = QToolButton()
        self.arrow.setText("▾")
        self.arrow.setToolTip(what)
        self.arrow.setAccessibleName(what)
        self.arrow.setStyleSheet("QToolButton { padding: 0px 3px; }")
        self.panel = QFrame(self, Qt.WindowType.Popup)
        self.panel.setObjectName("behind")
        self.panel.setStyleSheet("QFrame#behind { border: 1px solid gray; }")
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(1)
        for one in shown:
            line.addWidget(one, 1)
        line.addWidget(self.arrow)
        lines = QVBoxLayout(self.panel)
        lines.setContentsMargins(6, 6, 6, 6)
        lines.setSpacing(4)
        for some in behind:
            row = QHBoxLayout()
            for one in [some] if isinstance(some, QWidget) else some:
                row.addWidget(one, 1)
                if isinstance(one, QAbstractButton):
                    one.clicked.connect(lambda _=False: self.panel.hide())
            lines.addLayout(row)
        self.arrow.clicked.connect(lambda _=False: self._open())

    def _open(self) -> None:
        """Below it; above where there is no room below."""
        panel, screen = self.panel, self.screen()
        panel.adjustSize()
        place = self.mapToGlobal(QPoint(self.width() - panel.width(), self.height()))
        room = None if screen is None else screen.availableGeometry()
        if room is not None and place.y() + panel.height() > room.bottom():
            place.setY(self.mapToGlobal(QPoint(0, 0)).y() - panel.height())
        panel.move(place)
        panel.show()
