"""What a dock says: one place for sentences with at most one thing to do about them, in napari's own words, and how far
it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from boltzformer.desk.ports import Offered
from boltzformer.desk.words import ViewerWords
from napari_boltzformer.host.folding import Folding
from napari_boltzformer.host.narrow import OneLine
from napari_boltzformer.host.upright import page_of


class NoticeView(QWidget):
    """Shows what the desk's `Notice` says."""

    def __init__(self, *, reports: bool = False) -> None:
        """`reports`: somebody writes a report when `report` is pressed; else none is offered."""
        super().__init__()
        self._reports = reports
        self.label, self.action = QLabel(), QPushButton()
        self.copy, self.report = QPushButton("Copy details"), QPushButton("Save report…")
        self.report.setToolTip("A file to pass on: what went wrong, the log, versions, settings; no image")
        self.label.setWordWrap(True)
        self.label.setMinimumWidth(1)  # a long path is one word
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.act: Callable[[], None] = lambda: None
        """What pressing the action does."""
        self.tell: Callable[[], str] = lambda: ""
        """The details of what went wrong."""
        buttons = [self.action, self.copy, self.report]
        for button in buttons:
            button.hide()
        self._buttons = Folding(buttons)
        self.respond: Callable[[str, str], None] = lambda topic, label: None
        """What answering an offer does: under this topic, with this word; '' sets it aside."""
        self.offers: dict[str, OfferLine] = {}
        """By topic."""
        self._lines = QVBoxLayout()
        self._lines.setSpacing(2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label)
        layout.addWidget(self._buttons)
        layout.addLayout(
            self._lines
        )  # last, above what is fixed: a longer sentence moves no answer from under the mouse
        self.action.clicked.connect(lambda: self.act())
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.details))

    @property
    def details(self) -> str:
        """Of what went wrong last, to pass on."""
        return self.tell()

    def speak(self, sentence: str, action: str = "", *, failed: bool = False) -> None:
        """A sentence; a button that does something about it; two that pass on what went wrong."""
        another = bool(sentence) and sentence != self.label.text()
        self.label.setText(sentence)
        self.label.setToolTip(sentence)
        self.action.setText(action)
        self.action.setVisible(bool(action))
        self.copy.setVisible(failed)
        self.report.setVisible(failed and self._reports)
        self._buttons.fold()
        if another:
            self._bring(self._buttons if action or failed else self.label)

    def offer(self, offers: Sequence[Offered]) -> None:
        """A line for each; those that are shown already stay as they are, and where they are: below them all is fixed,
        so another one comes above."""
        now = {one.topic: one for one in offers}
        for topic, line in list(self.offers.items()):
            if now.get(topic) is not line.offer:
                del self.offers[topic]
                self._lines.removeWidget(line)
                line.hide()
                line.deleteLater()
        for topic, one in now.items():
            if topic not in self.offers:
                self.offers[topic] = OfferLine(one, partial(self._respond, topic))
                self._lines.insertWidget(0, self.offers[topic])
                self._bring(self.offers[topic])
        for number, line in enumerate(reversed(self.offers.values())):
            line.shorten(number > 0)

    def _bring(self, part: QWidget) -> None:
        """What is said or asked is in sight, also at the end of a page that scrolls."""
        if (page := page_of(self)) is not None:
            page.bring(part)

    def _respond(self, topic: str, label: str) -> None:
        self.respond(topic, label)


class OfferLine(QFrame):
    """A sentence, a button for every answer, and one that sets the offer aside."""

    def __init__(self, offer: Offered, respond: Callable[[str], None]) -> None:
        super().__init__()
        self.offer = offer
        self.label = QLabel(offer.sentence)
        self.label.setWordWrap(True)
        self.label.setMinimumWidth(1)
        self._short = OneLine(offer.sentence)
        self._short.setToolTip(offer.sentence)
        self._short.hide()
        self.answers = {label: QPushButton(label) for label, _ in offer.answers}
        self.aside = QPushButton("✕")
        self.aside.setToolTip("Leave it as it is")
        self.aside.setFixedWidth(self.aside.fontMetrics().horizontalAdvance("✕") + 12)
        self.setStyleSheet("OfferLine { border-left: 3px solid #56B4E9; }")
        for label, button in self.answers.items():
            button.clicked.connect(lambda _=False, label=label: respond(label))
        self.aside.clicked.connect(lambda _=False: respond(""))
        self._answers = Folding(list(self.answers.values()))
        self._top, self._below = top, layout = QHBoxLayout(), QVBoxLayout(self)
        layout.setContentsMargins(6, 0, 0, 0)
        layout.setSpacing(2)
        top.addWidget(self.label, 1)
        top.addWidget(self._short, 1)
        top.addWidget(self.aside, 0, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(top)
        layout.addWidget(self._answers)

    def shorten(self, short: bool) -> None:
        """To one line with its answers, where a newer one stands above: a page above several need not scroll."""
        if short == self._short.isHidden():
            self._short.setVisible(short)
            self.label.setVisible(not short)
            self._answers.setMinimumWidth(self._answers.straight if short else 0)
            if short:
                self._top.insertWidget(2, self._answers)
            else:
                self._below.addWidget(self._answers)


class Progress(QProgressBar):
    """Beside a napari canvas each of Qt's repaints takes 20 to 40 ms, and eight slices may arrive within one tick."""

    def setValue(self, value: int) -> None:  # noqa: N802 - Qt's name
        """Painted at the next turn of the event loop."""
        self.setUpdatesEnabled(False)
        super().setValue(value)
        self.setUpdatesEnabled(True)

    def setRange(self, minimum: int, maximum: int) -> None:  # noqa: N802 - Qt's name
        """Painted at the next turn of the event loop."""
        self.setUpdatesEnabled(False)
        super().setRange(minimum, maximum)
        self.setUpdatesEnabled(True)


NAPARI = ViewerWords(
    layer="layer",
    open_first="Open an image first: Open…, drop a file here, or try the example.",
    undo="One Ctrl+Z on its layer brings back what was there.",
    ask_seeds="'How sure?' under Correct asks 4 seeds, which tells more",
    next_goes="N goes",
    another_row="click a row for another.",
    draw_box="'Draw a box' first, or untick 'Look closer' (both under Correct).",
    without_maps="untick the probability maps (under Keep).",
    another_folder="This is the usual folder; 'Folder…' under Keep takes another one.",
    another_name="Export… again under another name.",
)
