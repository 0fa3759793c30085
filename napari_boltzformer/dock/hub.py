"""A model from the hub: its terms, and a way to agree, to stop and to see how far it is."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from boltzformer import Session
from boltzformer.desk.models.hub import FromHub, sentence
from boltzformer.desk.notice import Notice
from boltzformer.desk.work import Work
from napari_boltzformer.host.progress import Progress
from napari_boltzformer.host.timers import QtTimers

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
