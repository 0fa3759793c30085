"""`Notice`: the dock's one place for sentences, with at most one thing to do about them, and details to copy."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_boltzformer.discreet import words_of


class Notice(QWidget):
    """One sentence at a time; the next one takes its place."""

    def __init__(self) -> None:
        super().__init__()
        self.label, self.action = QLabel(), QPushButton()
        self.copy, self.report = QPushButton("Copy details"), QPushButton("Save report…")
        self.report.setToolTip("A file to pass on: what went wrong, the log, versions, settings; no image")
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._do: Callable[[], None] = lambda: None
        self._wrong, self._about = "", ""
        buttons = QHBoxLayout()
        for button in (self.action, self.copy, self.report):
            button.hide()
            buttons.addWidget(button)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label)
        layout.addLayout(buttons)
        self.action.clicked.connect(self._act)
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.details))

    def say(self, sentence: str, action: str = "", do: Callable[[], None] = lambda: None) -> None:
        """A sentence, and a button that does something about it."""
        self.label.setText(sentence)
        self._do = do
        self.action.setText(action)
        self.action.setVisible(bool(action))
        for button in (self.copy, self.report):
            button.hide()

    def add(self, sentence: str, action: str, do: Callable[[], None]) -> None:
        """Behind what was said already, e.g. how a run went."""
        before = self.label.text()
        if before and before[-1].isalnum():  # e.g. how far a run is
            before += "."
        self.say(before if sentence in before else f"{before} {sentence}".strip(), action, do)

    def take_back(self, sentence: str) -> None:
        """What was added holds no longer."""
        if sentence and sentence in self.label.text():
            self.say(self.label.text().replace(sentence, "").strip())

    def fail(self, sentence: str, details: str = "") -> None:
        """A sentence about what went wrong; the details are passed on, so they must name nothing of an image."""
        self.say(sentence)
        self._wrong, self._about = sentence, details
        for button in (self.copy, self.report):
            button.show()

    @property
    def details(self) -> str:
        """Of what went wrong last, to pass on: the sentence without names, where it happened, versions."""
        return "\n".join(part for part in (words_of(self._wrong), self._about, versions()) if part)

    def _act(self) -> None:
        do = self._do
        self.say("")
        do()


def versions() -> str:
    """What computes here."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("napari-boltzformer", "napari", "numpy", "qtpy"))
    return f"{packages}; Python {platform.python_version()}; {platform.platform()}"
