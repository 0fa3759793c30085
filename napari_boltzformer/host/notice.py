"""`NoticeBox`: a dock's one place for sentences, with at most one thing to do about them, and details to copy."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget


class NoticeBox:
    """Where the desk's `Notice` speaks. Its `widget` is laid out; it is none itself, for widgets show differently."""

    def __init__(self) -> None:
        self.widget = QWidget()
        self.label, self.action = QLabel(), QPushButton()
        self.copy, self.report = QPushButton("Copy details"), QPushButton("Save report…")
        self.report.setToolTip("A file to pass on: what went wrong, the log, versions, settings; no image")
        self.acted: list[Callable[[], None]] = []
        """The action was pressed."""
        self.reported: list[Callable[[], None]] = []
        """A report is wanted; where nobody makes one, none is offered."""
        self._details = ""
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        buttons = QHBoxLayout()
        for button in (self.action, self.copy, self.report):
            button.hide()
            buttons.addWidget(button)
        buttons.addStretch()
        layout = QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label)
        layout.addLayout(buttons)
        self.action.clicked.connect(lambda _=False: _call(self.acted))
        self.report.clicked.connect(lambda _=False: _call(self.reported))
        self.copy.clicked.connect(lambda _=False: QGuiApplication.clipboard().setText(self._details))

    def show(self, sentence: str, action: str = "", details: str = "") -> None:
        """Takes the place of what was said before."""
        self._details = details
        self.label.setText(sentence)
        self.action.setText(action)
        self.action.setVisible(bool(action))
        self.copy.setVisible(bool(details))
        self.report.setVisible(bool(details) and bool(self.reported))


def _call(listeners: list[Callable[[], None]]) -> None:
    for heard in listeners:
        heard()
