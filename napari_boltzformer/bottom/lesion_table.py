"""The table of lesions, or of a picture's objects: each is numbered; a click jumps there, a tick leaves it out."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
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
from boltzformer.desk.keeping.lesions import Lesion, columns, csv_of, included, standing, total
from boltzformer.desk.keeping.table_file import ask_and_save
from boltzformer.desk.masks.track import Track
from boltzformer.desk.scale import Scale
from napari_boltzformer.host.listening import Rows
from napari_boltzformer.host.narrow import Lines

AMBER = "#E69F00"
ROOM = 140
"""Pixels: the header and a few lines, also where a bar of slices made the place small."""
OLD = "The masks have changed since: Measure again."
NEW = "Not measured yet: Measure again."
"""Of an image that has come in the place of another: nobody has counted, so there is no count, not even of none."""


class LesionTable(QWidget):
    """Shows what was measured when it was last asked to; columns and units are those of the image."""

    def __init__(self, desk: Desk, show: Callable[[Track, tuple[int, int, int]], None]) -> None:
        """`show` brings a voxel (slice, row, column) of a mask into the middle of the screen."""
        super().__init__()
        self._desk, self._show = desk, show
        self.lesions: list[Lesion] = []
        self._measured: dict[str, int] = {}
        """How the masks stood then."""
        self.table, self.total = Rows(0, 0), Lines()  # each keeps its height
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
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

    def measure(self) -> None:
        """Beside the viewer: a large mask takes seconds."""
        self.total.setText("Measuring…")
        self.old.hide()
        self._measured = standing(self._desk.tracks.chosen())
        self._desk.measure(self.show_lesions)

    def forget(self) -> None:
        """They were another image's."""
        self.show_lesions([])
        self.total.setText(NEW)

    def show_lesions(self, lesions: list[Lesion]) -> None:
        self.lesions, tracks = lesions, self._tracks()
        self.table.blockSignals(True)
        if not lesions:
            self.old.hide()
        names = columns(lesions[0].scale if lesions else self._scale())
        self.table.setColumnCount(len(names))
        self.table.setHorizontalHeaderLabels(list(names))
        self.table.setRowCount(len(lesions))
        for number, one in enumerate(lesions):
            tick, out = QTableWidgetItem(), one.mask in tracks and not included(one, tracks)
            tick.setCheckState(Qt.CheckState.Unchecked if out else Qt.CheckState.Checked)
            self.table.setItem(number, 0, tick)
            for column, text in enumerate(one.texts, 1):
                self.table.setItem(number, column, QTableWidgetItem(text))
        self.table.resizeColumnsToContents()
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
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
            self.old.setVisible(bool(self.lesions) and standing(self._desk.tracks.chosen()) != self._measured)

    def _on_cell(self, number: int, column: int) -> None:
        one, tracks = self.lesions[number], self._tracks()
        track = tracks.get(one.mask)
        if track is None:
            return
        if column == 0:
            out = self.table.item(number, 0).checkState() == Qt.CheckState.Unchecked
            self._desk.leave_out(track, one.voxel, *one.marks, out=out)
            self.total.setText(total(self.lesions, tracks))
        else:
            self._show(track, one.voxel)

    def _on_csv(self) -> None:
        desk = self._desk
        ask_and_save(desk.stage, desk.tracks, desk.work, desk.dialogs, desk.places, desk.notice, self._show_written)

    def _show_written(self, lesions: list[Lesion], stood: dict[str, int]) -> None:
        """What a file holds stands here, too."""
        self._desk.work.drop(MEASURING)  # else what began later would be told as this one
        self._measured = stood
        self.show_lesions(lesions)
        self.old.setVisible(bool(lesions) and standing(self._desk.tracks.chosen()) != stood)
