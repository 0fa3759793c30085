"""A model from the hub: whose it is and on what terms, then the download, beside the viewer; then it is chosen."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from boltzformer import BoltzFormerError, Session
from boltzformer.protocol import HubOffer, HubState
from napari_boltzformer.progress import Progress

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

TOPIC = "a model's terms"
POLL_MS = 200
KB = 1000


class HubPanel(QWidget):
    """Nothing is downloaded before its terms were shown and agreed to."""

    def __init__(self, dock: BoltzFormerDock, load: Callable[[str], None]) -> None:
        super().__init__()
        self._dock, self._load = dock, load
        self._what = ""
        self._stopped = threading.Event()
        self._heard: deque[HubState] = deque(maxlen=1)
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
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._show_state)
        self.look.clicked.connect(self._ask)
        self.place.returnPressed.connect(self._ask)
        self.place.textEdited.connect(lambda _: self._forget())
        self.get.clicked.connect(self._get)
        self.stop.clicked.connect(self._stop)
        dock.destroyed.connect(self._stopped.set)
        self._forget()
        self.hide()

    def _forget(self) -> None:
        """Terms of another place are none of this one."""
        self._what = ""
        self._dock.background.drop(TOPIC)
        for widget in (self.terms, self.card, self.get, self.stop, self.progress):
            widget.hide()

    def _ask(self) -> None:
        self._forget()
        what, session = self.place.text().strip(), self._dock.session
        self._dock.notice.say(f"Asking the hub about {what}…")
        self._dock.background.do(lambda: session.offer_model(what), self._show, topic=TOPIC)

    def _show(self, offer: HubOffer) -> None:
        self._what = offer.what
        self._dock.notice.say("")
        self.terms.setText(sentence(offer))
        self.card.setPlainText(offer.card)
        self.card.setVisible(bool(offer.card))
        for widget in (self.terms, self.get):
            widget.show()

    def _get(self) -> None:
        what, session = self._what, self._dock.session
        stopped = self._stopped = threading.Event()
        self._dock.destroyed.connect(stopped.set)
        self._heard.clear()
        self.get.hide()
        for widget in (self.place, self.look):  # one download at a time
            widget.setEnabled(False)
        self.stop.show()
        self.progress.setRange(0, 0)
        self.progress.show()
        self._dock.notice.say(f"Downloading {what}…")
        self._timer.start()
        heard = self._heard
        self._dock.background.do(lambda: followed(session, what, stopped, heard), self._ended, failed=self._over)

    def _stop(self) -> None:
        self._stopped.set()
        self.stop.hide()
        self._dock.notice.say(f"Stopping the download of {self._what}…")

    def _show_state(self) -> None:
        if self._heard:
            now = self._heard[0]
            self.progress.setRange(0, now.total // KB)
            self.progress.setValue(now.done // KB)
            if now.converting:  # the download itself is over
                self.stop.hide()
                self._dock.notice.say(f"{now.what} is here; it is being checked and converted…")

    def _over(self) -> None:
        """However it ended, another one can be asked for."""
        self._timer.stop()
        for widget in (self.place, self.look):
            widget.setEnabled(True)
        self.stop.hide()
        self.progress.hide()
        self.get.show()

    def _ended(self, last: HubState | str) -> None:
        self._over()
        if isinstance(last, HubState) and last.state == "finished":
            self._forget()
            self._load(last.name)
            return
        if isinstance(last, HubState) and last.state == "stopped":
            self._dock.notice.say(f"Stopped at {last.done / 1e6:.1f} MB; the next download goes on from there.")
        else:
            self._dock.notice.fail(last if isinstance(last, str) else last.error)


def followed(session: Session, what: str, stopped: threading.Event, heard: deque[HubState]) -> HubState | str:
    """Until its end, which only the backend knows → how it ended; an error as its sentence."""
    last, asked = HubState(what, "running"), False
    try:
        for last in session.fetch_model(what):
            heard.append(last)
            if stopped.is_set() and not asked:
                session.stop_fetching(what)
                asked = True
    except BoltzFormerError as error:
        return str(error)
    return last


def sentence(offer: HubOffer) -> str:
    """On whose terms, in one sentence; where its owners say nothing, that."""
    size = f"{offer.size / 1e6:.1f} MB" if offer.size else "on this computer already"
    if offer.licence:
        return (
            f"{offer.what} ({size}) comes under the licence '{offer.licence}', as its owners declare at {offer.page}."
        )
    return f"{offer.what} ({size}) declares no licence: ask its owners at {offer.page} whether you may use it."
