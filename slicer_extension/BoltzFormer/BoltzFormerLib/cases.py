"""The case list: a click opens a case, "Next case" the next unfinished one."""

from __future__ import annotations

from typing import Any

from boltzformer.desk.desk import Desk
from boltzformer.desk.keeping.cases import Listed
from BoltzFormerLib.translating import tr


class CasePanel:
    """Shows the desk's `CaseList`."""

    def __init__(self, ui: Any, desk: Desk) -> None:
        self._ui, self._desk, self.list = ui, desk, desk.cases
        self._shown: list[Listed] = []
        ui.caseFolderButton.connect("clicked()", self._on_folder)
        ui.nextCaseButton.connect("clicked()", self.list.open_next)
        ui.caseList.connect("itemClicked(QListWidgetItem*)", lambda _: self._open())
        self.list.listed.append(self._show)
        self.list.told.append(self._tell)

    def _show(self) -> None:
        self._ui.caseLabel.text = self.list.where
        if self._shown != self.list.cases:
            self._shown = list(self.list.cases)
            self._ui.caseList.clear()
            for one in self._shown:
                self._ui.caseList.addItem(one.name)
        for one in self._shown:
            self._tell(one)
        if self.list.current in self._shown:
            self._ui.caseList.setCurrentRow(self._shown.index(self.list.current))

    def _tell(self, one: Listed) -> None:
        if one in self._shown:
            told = self.list.standings.get(one)
            item = self._ui.caseList.item(self._shown.index(one))
            item.setText(f"{one.name}: {'…' if told is None else told.words}")
            item.setToolTip("" if told is None else told.tip)

    def _open(self) -> None:
        row = self._ui.caseList.currentRow
        if 0 <= row < len(self._shown):
            self.list.open(self._shown[row])

    def _on_folder(self) -> None:
        folder = self._desk.dialogs.folder(tr("A folder of images, or an annotation dataset"))
        if folder is not None:
            self.list.show_folder(folder)
