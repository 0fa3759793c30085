"""Which model looks: those the engine knows, a file, or one from the hub, on its terms."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from boltzformer import Session
from boltzformer.desk.models.choice import FromHub, ModelChoice, meant, sentence, shown_name
from boltzformer.desk.notice import Notice
from boltzformer.desk.settings import Settings
from boltzformer.desk.work import Work
from boltzformer.protocol import ModelState
from napari_boltzformer.host.dialogs import QtDialogs, QtTimers
from napari_boltzformer.host.narrow import NameBox
from napari_boltzformer.host.notice import Progress


class ModelPanel(QWidget):
    """Which one is in use. Filled when the engine has told which models there are; `sources` brings others."""

    def __init__(self, session: Callable[[], Session], work: Work, notice: Notice, settings: Settings) -> None:
        super().__init__()
        self._session, self._work = session, work
        self.choosing = ModelChoice(session, work, notice, settings)
        self.choice, self.file = NameBox(), QPushButton("Model from a file…")
        self.from_hub, self.hub = QPushButton("From the hub…"), HubPanel(session, work, notice, self.load)
        self.from_hub.setCheckable(True)
        self.sources = QWidget()
        """Where models come from: used once in a while."""
        whole, line, row = QVBoxLayout(self.sources), QHBoxLayout(), QHBoxLayout(self)
        for layout in (whole, row):
            layout.setContentsMargins(0, 0, 0, 0)
        whole.addLayout(line)
        whole.addWidget(self.hub)
        line.addWidget(self.file)
        line.addWidget(self.from_hub)
        row.addWidget(QLabel("Model in use"))
        row.addWidget(self.choice, 1)
        self.choice.activated.connect(lambda _: self.load(self.choice.currentData()))
        self.file.clicked.connect(lambda _=False: self._on_file())
        self.from_hub.toggled.connect(self.hub.setVisible)

    def load(self, name: str) -> None:
        """From the next run on."""
        self.choosing.load(name)

    def want(self, name: str) -> None:
        """By the name that is shown."""
        known = [str(self.choice.itemData(number)) for number in range(self.choice.count())]
        self.choosing.load(meant(name, known), again=True)

    def list_again(self) -> None:
        """There may be others."""
        self._work.do(self._session().models, self.show_models)

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


KB = 1000


class HubPanel(QWidget):
    """Nothing is downloaded before its terms were shown and agreed to."""

    def __init__(self, session: Callable[[], Session], work: Work, notice: Notice, load: Callable[[str], None]) -> None:
        super().__init__()
        self.model = FromHub(session, work, notice, QtTimers(self), load)
        self.place, self.look = QLineEdit(), QPushButton("Show its licence")
        self.place.setPlaceholderText("owner/repository or owner/repository:file")
        self.terms, self.card = QLabel(), QPlainTextEdit()
        self.terms.setWordWrap(True)
        self.card.setReadOnly(True)
        self.card.setMaximumHeight(120)
        self.get, self.stop, self.progress = QPushButton("Agree and download"), QPushButton("Stop"), Progress()
        line, buttons = QHBoxLayout(), QHBoxLayout()
        line.addWidget(self.place, 1)
        line.addWidget(self.look)
        buttons.addWidget(self.get)
        buttons.addWidget(self.stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(line)
        layout.addWidget(self.terms)
        layout.addWidget(self.card)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        self.look.clicked.connect(self._ask)
        self.place.returnPressed.connect(self._ask)
        self.place.textEdited.connect(lambda _: self.model.forget())
        self.get.clicked.connect(lambda _=False: self.model.get())
        self.stop.clicked.connect(lambda _=False: self.model.stop())
        self.model.changed.append(self._show)
        self.destroyed.connect(self.model.leave)
        self._show()
        self.hide()

    def _ask(self) -> None:
        self.model.ask(self.place.text().strip())

    def _show(self) -> None:
        """What can be shown and pressed now."""
        model, offer, now = self.model, self.model.offer, self.model.now
        if offer is not None:
            self.terms.setText(sentence(offer))
            if self.card.toPlainText() != offer.card:
                self.card.setPlainText(offer.card)
        self.terms.setVisible(offer is not None)
        self.card.setVisible(offer is not None and bool(offer.card))
        self.get.setVisible(offer is not None and not model.downloading)
        self.stop.setVisible(model.stoppable)
        self.progress.setVisible(model.downloading)
        for widget in (self.place, self.look):  # one download at a time
            widget.setEnabled(not model.downloading)
        self.progress.setRange(0, 0 if now is None else now.total // KB)
        self.progress.setValue(0 if now is None else now.done // KB)
