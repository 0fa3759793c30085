"""The panel's one place for sentences, with at most one thing to do about them, and details to copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer

from boltzformer.desk.ports import Offered


class NoticeView:
    """Shows what the desk's `Notice` says."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self.act: Callable[[], None] = lambda: None
        self.tell: Callable[[], str] = lambda: ""
        self.respond: Callable[[str, str], None] = lambda topic, label: None
        self._offered: Offered | None = None
        ui.noticeButton.connect("clicked()", lambda: self.act())
        ui.offerButton.connect("clicked()", lambda: self._answer(0))
        ui.otherOfferButton.connect("clicked()", lambda: self._answer(1))
        ui.setAsideButton.connect("clicked()", lambda: self._answer(None))
        ui.copyButton.connect("clicked()", lambda: qt.QApplication.clipboard().setText(self.tell()))
        self.speak("")
        self.offer([])

    def speak(self, sentence: str, action: str = "", *, failed: bool = False) -> None:
        ui = self._ui
        ui.noticeLabel.text, ui.noticeButton.text = sentence, action
        ui.noticeButton.visible = bool(action)
        ui.copyButton.visible = ui.reportButton.visible = failed

    def offer(self, offers: Sequence[Offered]) -> None:
        """The newest has the line; the others wait behind it."""
        self._offered = offers[-1] if offers else None
        ui, answers = self._ui, [] if self._offered is None else [text for text, _ in self._offered.answers]
        ui.offerLabel.text = "" if self._offered is None else self._offered.sentence
        ui.offerLabel.visible = ui.setAsideButton.visible = self._offered is not None
        for button, text in ((ui.offerButton, answers[:1]), (ui.otherOfferButton, answers[1:2])):
            button.text, button.visible = "".join(text), bool(text)

    def _answer(self, number: int | None) -> None:
        if self._offered is not None:
            label = "" if number is None else self._offered.answers[number][0]
            self.respond(self._offered.topic, label)


class LabelSpeaker:
    """A label for sentences that nothing can be done about."""

    def __init__(self, label: Any) -> None:
        self._label = label

    def speak(self, sentence: str, action: str = "", *, failed: bool = False) -> None:
        self._label.text = sentence

    def offer(self, offers: Sequence[Offered]) -> None:
        """Nothing is offered here."""


def show_status(sentence: str) -> None:
    """In the application's status bar, for whoever has another module open."""
    show = getattr(slicer.util, "showStatusMessage", None)
    if show is not None and slicer.util.mainWindow() is not None:
        show(sentence, 3000)
