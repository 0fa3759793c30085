"""The panel's one place for sentences, with at most one thing to do about them, and details to copy; and what can be
done, a line each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt

from boltzformer.desk.ports import Offered
from BoltzFormerLib.translating import tr


class NoticeView:
    """Shows what the desk's `Notice` says."""

    def __init__(self, ui: Any) -> None:
        self._ui, self._offers = ui, OfferLines(ui.offersBox)
        self.act: Callable[[], None] = lambda: None
        self.tell: Callable[[], str] = lambda: ""
        self.respond: Callable[[str, str], None] = lambda topic, label: None
        self._offers.respond = lambda topic, label: self.respond(topic, label)
        ui.noticeButton.connect("clicked()", lambda: self.act())
        ui.copyButton.connect("clicked()", lambda: qt.QApplication.clipboard().setText(self.tell()))
        self.speak("")

    def speak(self, sentence: str, action: str = "", *, failed: bool = False) -> None:
        ui = self._ui
        ui.noticeLabel.text, ui.noticeButton.text = sentence, action
        ui.noticeButton.visible = bool(action)
        ui.copyButton.visible = ui.reportButton.visible = failed

    def offer(self, offers: Sequence[Offered]) -> None:
        self._offers.show(offers)


class LabelSpeaker:
    """A label for sentences that nothing can be done about, and offers below it."""

    def __init__(self, label: Any, box: Any) -> None:
        self._label, self._offers = label, OfferLines(box)
        self.respond: Callable[[str, str], None] = lambda topic, label: None
        self._offers.respond = lambda topic, label: self.respond(topic, label)

    def speak(self, sentence: str, action: str = "", *, failed: bool = False) -> None:
        self._label.text = sentence

    def offer(self, offers: Sequence[Offered]) -> None:
        self._offers.show(offers)


class OfferLines:
    """For each offer its sentence, a button for every answer, and one that sets it aside."""

    def __init__(self, box: Any) -> None:
        """`box`: an empty widget with a layout, out of sight as long as nothing is offered."""
        self._box = box
        self._lines: dict[str, tuple[Offered, Any]] = {}
        self.respond: Callable[[str, str], None] = lambda topic, label: None
        """What pressing does: under this topic, with this word; '' sets it aside."""
        box.visible = False

    def show(self, offers: Sequence[Offered]) -> None:
        """Those that are shown already stay as they are."""
        now = {one.topic: one for one in offers}
        for topic, (offer, line) in list(self._lines.items()):
            if now.get(topic) is not offer:
                del self._lines[topic]
                self._box.layout().removeWidget(line)
                line.hide()
                line.deleteLater()
        for topic, one in now.items():
            if topic not in self._lines:
                line = self._line(one)
                self._lines[topic] = one, line
                self._box.layout().addWidget(line)
        self._box.visible = bool(self._lines)

    def _line(self, offer: Offered) -> Any:
        line, label, buttons = qt.QWidget(), qt.QLabel(offer.sentence), qt.QHBoxLayout()
        label.wordWrap = True
        for text, answer in (*((text, text) for text, _ in offer.answers), (tr("Not now"), "")):
            button = qt.QPushButton(text)
            button.connect("clicked()", self._pressed(offer.topic, answer))
            buttons.addWidget(button)
        lines = qt.QVBoxLayout(line)
        lines.setContentsMargins(0, 0, 0, 0)
        lines.addWidget(label)
        lines.addLayout(buttons)
        return line

    def _pressed(self, topic: str, answer: str) -> Callable[[], None]:
        return lambda: self.respond(topic, answer)
