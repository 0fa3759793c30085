"""The prompts: one per line; below them what the model knows of the line in hand, and in amber what it never saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

from boltzformer.desk.models.knowledge import REST_MS, Completion, Knowledge
from boltzformer.desk.ports import Timers
from BoltzFormerLib.parameters import Parameters

AMBER = "#E69F00"


class Prompts:
    """Completes the line that was typed last."""

    def __init__(
        self,
        ui: Any,
        parameters: Parameters,
        knowledge: Callable[[], Knowledge],
        modality: Callable[[], str],
        history: Callable[[], tuple[str, ...]],
        timers: Timers,
    ) -> None:
        self._ui, self._parameters = ui, parameters
        self._knowledge, self._modality, self._history = knowledge, modality, history
        self._offered: list[Completion] = []
        self._filling = self._typing = False
        self._rest = timers.after(REST_MS, self._rested)
        ui.doubtLabel.styleSheet = f"color: {AMBER}"
        ui.completionList.visible = False
        ui.promptEdit.connect("textChanged()", self._on_typed)
        ui.completionList.connect("itemClicked(QListWidgetItem*)", lambda _: self._take())

    def texts(self) -> list[str]:
        """Each once."""
        lines = [line.strip() for line in self._ui.promptEdit.plainText.splitlines()]
        return list(dict.fromkeys(line for line in lines if line))

    def fill(self, texts: list[str]) -> None:
        """In place of what is typed; nothing is offered for it, and who is typing goes on at their end."""
        self._filling = True
        self._ui.promptEdit.setPlainText("\n".join(texts))
        self._ui.promptEdit.moveCursor(qt.QTextCursor.End)
        self._filling = False
        self._ui.completionList.visible = self._typing = False
        self.show_doubts()

    def show_doubts(self) -> None:
        """What speaks against what is typed, before it is run."""
        line = (self._ui.promptEdit.plainText.splitlines() or [""])[-1]
        typing = self._typing and self._knowledge().unfinished(line, rested=False)
        said = self._knowledge().warnings([one for one in self.texts() if not typing or one != line.strip()])
        self._ui.doubtLabel.text = said
        self._ui.doubtLabel.visible = bool(said)

    def _on_typed(self) -> None:
        self._parameters.ask(self.texts())
        self._typing = not self._filling
        self._rest.start()
        self.show_doubts()
        if not self._filling:
            self._offer()

    def _rested(self) -> None:
        self._typing = False
        self.show_doubts()

    def _line(self) -> str:
        return (self._ui.promptEdit.plainText.splitlines() or [""])[-1].strip()

    def _offer(self) -> None:
        line, ui = self._line(), self._ui
        self._offered = self._knowledge().offered(line, self._modality(), self._history())
        ui.completionList.clear()
        for one in self._offered:
            item = qt.QListWidgetItem(one.text)
            if not one.known:
                item.setForeground(qt.QBrush(qt.QColor(AMBER)))
            ui.completionList.addItem(item)
        ui.completionList.visible = bool(self._offered)

    def _take(self) -> None:
        row = self._ui.completionList.currentRow
        if 0 <= row < len(self._offered):
            lines = self._ui.promptEdit.plainText.splitlines()[:-1]
            self.fill([*lines, self._offered[row].prompt])
            self._parameters.ask(self.texts())
