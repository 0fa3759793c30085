"""Which model looks: those the engine knows, a file, or one from the hub; loaded beside the viewer, remembered."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from boltzformer.protocol import ModelState
from napari_boltzformer.dock.hub import HubPanel

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock


class ModelPanel(QWidget):
    """Filled when the engine has told which models there are."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        super().__init__()
        self._dock = dock
        self.choice, self.file = QComboBox(), QPushButton("File…")
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.from_hub, self.hub = QPushButton("From the hub…"), HubPanel(dock, self.load)
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
        self.file.clicked.connect(self._on_file)
        self.from_hub.toggled.connect(self.hub.setVisible)

    def show_models(self, states: list[ModelState]) -> None:
        """Those that can't be used say why."""
        self.choice.clear()
        for one in states:
            name = Path(one.name).stem if one.name.endswith(".safetensors") else one.name
            self.choice.addItem(name, one.name)
            self.choice.setItemData(self.choice.count() - 1, one.error or one.trained_on, 3)  # tool tip
        self.choice.setCurrentIndex(self.choice.findData(self._dock.session.model))

    def load(self, name: str) -> None:
        """From the next run on."""
        if name != self._dock.session.model:
            self._dock.desk.notice.say("Loading the model…")
            self._dock.desk.work.do(partial(self._dock.session.load_model, name), partial(self._loaded, name))

    def _loaded(self, name: str, state: ModelState) -> None:
        self._dock.session.model = self._dock.settings.model = name
        self._dock.settings.save()
        self._dock.desk.notice.say(f"The model is loaded: {state.trained_on or 'it does not say what it was taught'}.")
        self._dock.engine_line.ask()

    def _on_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "A model", "", "Models (*.safetensors)", options=QFileDialog.Option.DontUseNativeDialog
        )
        if path:
            session = self._dock.session
            self._dock.desk.work.do(partial(session.import_model, path), lambda state: self.load(state.name))
