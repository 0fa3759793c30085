"""The panel's one place for sentences, with at most one thing to do about them, and details to copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer


class NoticeView:
    """Shows what the desk's `Notice` says."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self.act: Callable[[], None] = lambda: None
        self.tell: Callable[[], str] = lambda: ""
        ui.noticeButton.connect("clicked()", lambda: self.act())
        ui.copyButton.connect("clicked()", lambda: qt.QApplication.clipboard().setText(self.tell()))
        self.speak("")

    def speak(self, sentence: str, action: str = "", *, failed: bool = False) -> None:
        ui = self._ui
        ui.noticeLabel.text, ui.noticeButton.text = sentence, action
        ui.noticeButton.visible = bool(action)
        ui.copyButton.visible = ui.reportButton.visible = failed


class LabelSpeaker:
    """A label for sentences that nothing can be done about."""

    def __init__(self, label: Any) -> None:
        self._label = label

    def speak(self, sentence: str, action: str = "", *, failed: bool = False) -> None:
        self._label.text = sentence


def show_status(sentence: str) -> None:
    """In the application's status bar, for whoever has another module open."""
    show = getattr(slicer.util, "showStatusMessage", None)
    if show is not None and slicer.util.mainWindow() is not None:
        show(sentence, 3000)
