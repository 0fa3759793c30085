"""The case list's panel: a click opens a case, "Next case" the next unfinished one."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from boltzformer.desk.desk import Desk
from boltzformer.desk.keeping.cases import Listed


class CasePanel(QWidget):
    """Shows the desk's `CaseList`."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk, self.list = desk, desk.cases
        self.table, self.where = QTableWidget(0, 2), QLabel()
        self.where.setWordWrap(True)
        self.table.setHorizontalHeaderLabels(["Case", "State"])
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.table.setWordWrap(False)  # a name too long for its column has its end in sight, and all of it as a tip
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.folder, self.next = QPushButton("Folder…"), QPushButton("Next case")
        self.next.setToolTip("The next one that is not accepted yet, or not in every slice")
        layout, buttons = QVBoxLayout(self), QHBoxLayout()
        for button in (self.folder, self.next):
            buttons.addWidget(button)
        layout.addLayout(buttons)
        layout.addWidget(self.where)
        layout.addWidget(self.table)
        self.folder.clicked.connect(self._on_folder)
        self.next.clicked.connect(self.list.open_next)
        self.table.cellClicked.connect(lambda row, _: self.list.open(self.list.cases[row]))
        self._shown: list[Listed] = []
        self.list.listed.append(self._show)
        self.list.told.append(self._tell)
        self._show()
        self.list.resume()

    def _show(self) -> None:
        self.where.setText(self.list.where)
        if self._shown != self.list.cases:
            self._shown = list(self.list.cases)
            self.table.setRowCount(len(self._shown))
            for row, one in enumerate(self._shown):
                named = QTableWidgetItem(one.name)
                named.setToolTip(one.name)
                self.table.setItem(row, 0, named)
                self.table.setItem(row, 1, QTableWidgetItem())
        for one in self._shown:
            self._tell(one)
        if self.list.on_screen in self._shown:
            self.table.selectRow(self._shown.index(self.list.on_screen))
        else:
            self.table.clearSelection()

    def _tell(self, one: Listed) -> None:
        if one in self._shown:
            item, told = self.table.item(self._shown.index(one), 1), self.list.standings.get(one)
            item.setText("…" if told is None else told.words)
            item.setToolTip("" if told is None else told.tip)

    def _on_folder(self) -> None:
        folder = self._desk.dialogs.folder("A folder of images, or an annotation dataset")
        if folder is not None:
            self.list.show_folder(folder)
