"""Which model looks: those the engine knows, a file, or one from the hub."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from boltzformer import Session
from boltzformer.desk.models.choice import ModelChoice, shown_name
from boltzformer.desk.notice import Notice
from boltzformer.desk.settings import Settings
from boltzformer.desk.work import Work
from boltzformer.protocol import ModelState
from napari_boltzformer.dock.hub import HubPanel
from napari_boltzformer.host.dialogs import QtDialogs


class ModelPanel(QWidget):
    """Filled when the engine has told which models there are."""

    def __init__(self, session: Callable[[], Session], work: Work, notice: Notice, settings: Settings) -> None:
        super().__init__()
        self._session = session
        self.choosing = ModelChoice(session, work, notice, settings)
        self.choice, self.file = QComboBox(), QPushButton("File…")
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.from_hub, self.hub = QPushButton("From the hub…"), HubPanel(session, work, notice, self.load)
        self.from_hub.setCheckable(True)
        whole, line = QVBoxLayout(self), QHBoxLayout()
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addLayout(line)
        whole.addWidget(self.hub)
        line.addWidget(QLabel("Model"))
        line.addWidget(self.choice, 1)
        line.addWidget(self.file)
        line.addWidget(self.from_hub)
        self.choice.activated.connect(lambda _: self.load(self.choice.currentData()))
        self.file.clicked.connect(lambda _=False: self._on_file())
        self.from_hub.toggled.connect(self.hub.setVisible)

    def load(self, name: str) -> None:
        """From the next run on."""
        self.choosing.load(name)

    def show_models(self, states: list[ModelState]) -> None:
        """Those that can't be used say why."""
        self.choice.clear()
        for one in states:
            self.choice.addItem(shown_name(one.name), one.name)
            why = one.error or one.trained_on
            self.choice.setItemData(self.choice.count() - 1, why, Qt.ItemDataRole.ToolTipRole)
        self.choice.setCurrentIndex(self.choice.findData(self._session().model))

    def _on_file(self) -> None:
        path = QtDialogs(self).open("A model", "Models (*.safetensors)")
        if path is not None:
            self.choosing.import_file(path)
