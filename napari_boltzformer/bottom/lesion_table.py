"""The table of lesions, or of a picture's objects: each is numbered; a click jumps there, a tick leaves it out. While
it is in sight it is measured anew when masks change, and a click on a header sorts it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from boltzformer import BoltzFormerError
from boltzformer.desk.desk import MEASURING, Desk
from boltzformer.desk.keeping.lesions import LONGEST, Lesion, columns, csv_of, included, standing, total
from boltzformer.desk.keeping.table_file import ask_and_save
from boltzformer.desk.masks.track import Track
from boltzformer.desk.scale import Scale
from napari_boltzformer.host.listening import Rows
from napari_boltzformer.host.narrow import Lines

AMBER = "#E69F00"
SLOW_S = 1.0
"""What took longer is measured again only when somebody asks."""
REST_MS = 600
"""So long masks must rest before they are measured again."""
ROOM = 140
"""Pixels: the header and a few lines, also where a bar of slices made the place small."""
OLD = "The masks have changed since: Measure again."
NEW, UNDER_WAY = "Not measured yet: Measure again.", "Measuring…"
"""Of an image that has come in the place of another: nobody has counted, so there is no count, not even of none."""


class _Cell(QTableWidgetItem):
    """Sorted by what it stands for: 9 before 10."""

    def __init__(self, text: str, key: Any) -> None:
        super().__init__(text)
        self.key = key

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return bool(self.key < other.key) if isinstance(other, _Cell) else super().__lt__(other)


class LesionTable(QWidget):
    """Shows what was measured last; columns and units are those of the image."""

    def __init__(self, desk: Desk, show: Callable[[Track, tuple[int, int, int]], None]) -> None:
        """`show` brings a voxel (slice, row, column) of a mask into the middle of the screen."""
        super().__init__()
        self._desk, self._show = desk, show
        self.lesions: list[Lesion] = []
        self._measured: dict[str, int] | None = None
        """How the masks stood then; None: nobody has measured this image."""
        self._began = self._took = 0.0
        """When the last measuring began, and its seconds."""
        self._rest = desk.timers.after(REST_MS, self._again)
        self.table, self.total = Rows(0, 0), Lines()  # each keeps its height
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)  # as they were found
        self.table.setSortingEnabled(True)
        self.again, self.csv = QPushButton("Measure again"), QPushButton("CSV…")
        self.table.setMinimumHeight(ROOM)
        self.old = QLabel(OLD)
        self.old.setWordWrap(True)
        self.old.setStyleSheet(f"color: {AMBER}")
        stays = self.old.sizePolicy()
        stays.setRetainSizeWhenHidden(True)  # the picture would move under the mouse, click by click
        self.old.setSizePolicy(stays)
        self.old.hide()
        layout, below = QVBoxLayout(self), QHBoxLayout()
        layout.setContentsMargins(0, 2, 0, 2)
        layout.setSpacing(2)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.old)
        layout.addLayout(below)
        below.addWidget(self.total, 1)
        for button in (self.again, self.csv):
            below.addWidget(button)
        desk.masks_changed.append(self._outdated)
        self.again.clicked.connect(self.measure)
        self.csv.clicked.connect(self._on_csv)
        self.table.cellClicked.connect(self._on_cell)
        self.table.itemChanged.connect(self._on_tick)  # by a click on it or by a key

    def measure(self) -> None:
        """Beside the viewer: a large mask takes seconds."""
        self.total.setText(UNDER_WAY)
        self._measure()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """What changed while it was out of sight is measured now."""
        super().showEvent(event)
        self._look()

    def _measure(self) -> None:
        self._rest.stop()
        self.old.hide()
        self._measured, self._began = standing(self._desk.tracks.chosen()), time.monotonic()
        self._desk.measure(self._on_measured)

    def _on_measured(self, lesions: list[Lesion]) -> None:
        self._took, tracks = time.monotonic() - self._began, self._tracks()
        if not lesions or any(one.mask in tracks for one in lesions):  # else of an image that has left meanwhile
            self.show_lesions(lesions)

    def _again(self) -> None:
        """Nobody asked: what stands there stays until new numbers come. Of a run that goes on the end is awaited."""
        if self.isVisible() and not self._desk.running.of(self._desk.stage.chosen()):
            self._measure()

    def forget(self) -> None:
        """They were another image's."""
        self._rest.stop()
        self._measured, self._took = None, 0.0
        self.show_lesions([])
        self.total.setText(NEW)
        self._look()

    def show_lesions(self, lesions: list[Lesion]) -> None:
        self.lesions, tracks = lesions, self._tracks()
        self.table.blockSignals(True)
        self.table.setSortingEnabled(False)  # else rows change places while they are filled
        if not lesions:
            self.old.hide()
        names = columns(lesions[0].scale if lesions else self._scale())
        self.table.setColumnCount(len(names))
        self.table.setHorizontalHeaderLabels(list(names))
        self.table.setRowCount(len(lesions))
        for number, one in enumerate(lesions):
            out = one.mask in tracks and not included(one, tracks)
            tick = _Cell("", number)
            tick.setCheckState(Qt.CheckState.Unchecked if out else Qt.CheckState.Checked)
            tick.setData(Qt.ItemDataRole.UserRole, number)
            self.table.setItem(number, 0, tick)
            for column, (text, key) in enumerate(zip(one.texts, one.keys, strict=True), 1):
                self.table.setItem(number, column, _Cell(text, key))
        for column, name in enumerate(names):
            if name.startswith("Longest"):
                self.table.horizontalHeaderItem(column).setToolTip(LONGEST)
        self.table.resizeColumnsToContents()
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.setSortingEnabled(True)  # after the widths: an arrow is reckoned into each
        self.table.blockSignals(False)
        self.total.setText(total(lesions, tracks))

    def _scale(self) -> Scale:
        image = self._desk.stage.chosen()
        try:
            return Scale(flat=False) if image is None else image.scale
        except BoltzFormerError:  # running says why
            return Scale(flat=False)

    def csv_text(self) -> str:
        """Of the objects that are not excluded."""
        return csv_of(self.lesions, self._tracks())

    def _tracks(self) -> dict[str, Track]:
        return {track.key: track for track in self._desk.tracks.chosen()}

    def _outdated(self, track: Track) -> None:
        if any(one.mask == track.key for one in self.lesions) or track.key in self._tracks():
            self._look()

    def _look(self) -> None:
        """Whether the masks are others than those that were measured, and what is done about it."""
        changed = standing(self._desk.tracks.chosen()) != (self._measured or {})
        by_itself = self._took < SLOW_S and self.isVisible()
        self.old.setVisible(changed and bool(self.lesions) and not by_itself)
        if changed and by_itself:
            self._rest.start()
            if self.total.text() == NEW and not self._desk.running.of(self._desk.stage.chosen()):
                self.total.setText(UNDER_WAY)

    def _at(self, row: int) -> tuple[Lesion, Track | None]:
        """What stands in a row, wherever sorting has put it; None where its mask has left."""
        one = self.lesions[self.table.item(row, 0).data(Qt.ItemDataRole.UserRole)]
        return one, self._tracks().get(one.mask)

    def _on_tick(self, item: QTableWidgetItem) -> None:
        one, track = self._at(item.row())
        if track is not None and item.column() == 0:
            out = item.checkState() == Qt.CheckState.Unchecked
            self._desk.leave_out(track, *one.voxels, out=out)
            self.total.setText(total(self.lesions, self._tracks()))

    def _on_cell(self, row: int, column: int) -> None:
        one, track = self._at(row)
        if track is not None and column != 0:
            self._show(track, one.voxel)

    def _on_csv(self) -> None:
        desk = self._desk
        ask_and_save(desk.stage, desk.tracks, desk.work, desk.dialogs, desk.places, desk.notice, self._show_written)

    def _show_written(self, lesions: list[Lesion], stood: dict[str, int]) -> None:
        """What a file holds stands here, too."""
        self._desk.work.drop(MEASURING)  # else what began later would be told as this one
        self._rest.stop()
        self._measured = stood
        self.show_lesions(lesions)
        self._look()
