"""The lesion table: every object of every mask, numbered; a click jumps there, a tick leaves it out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from boltzformer import BoltzFormerError, LabelMap, Prompt, Volume
from boltzformer.io.atomic import new_files
from boltzformer.lesions import Finding, table, to_csv
from boltzformer.objects import pieces
from napari_boltzformer.answers import Answers
from napari_boltzformer.hanging import camera_of
from napari_boltzformer.layers import plan_of, volume_of
from napari_boltzformer.masks import Bits, Track, unpacked
from napari_boltzformer.prompts import AMBER
from napari_boltzformer.stored_masks import unique_names

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

TOPIC = "lesions"
ROOM = 140
"""Pixels: the header and a few lines, also where a bar of slices made the place small."""
OLD = "The masks have changed since: Measure again."
COLUMNS = ("In", "Object", "mL", "Longest, mm", "Slices", "Score")


@dataclass(frozen=True)
class Lesion:
    """One line of the table."""

    layer: str
    """Id of its mask's layer."""
    finding: Finding
    voxel: tuple[int, int, int]
    """One of its own: slice, row and column in the viewer, in the slice where it is longest."""
    rows: tuple[int, ...]
    """Its slices in the viewer."""


@dataclass(frozen=True)
class Measured:
    """One mask as it was when it was asked for: the viewer goes on while a worker measures."""

    layer: str
    name: str
    prompt: Prompt
    answers: Answers
    bits: Mapping[int, Bits]
    """Its rows, packed."""


def lesions_of(image: Image, tracks: Sequence[Track]) -> Callable[[], list[Lesion]]:
    """All objects of the masks as they are now, also those that are excluded; called beside the viewer."""
    volume, names = volume_of(image), unique_names(tracks)
    masks = [
        Measured(track.layer.unique_id, name, track.prompt, track.kept.as_now(), track.packed()[0])
        for track, name in zip(tracks, names, strict=True)
    ]
    return lambda: [lesion for mask in masks for lesion in _measure(volume, mask)]


def _measure(volume: Volume, mask: Measured) -> Iterator[Lesion]:
    plan = plan_of(volume)
    shape = plan.view.apply(np.broadcast_to(np.uint8(0), volume.grid.shape)).shape
    canonical = np.zeros(shape, np.uint8)
    for row, bits in mask.bits.items():
        canonical[row] = unpacked(bits, shape[1:])
    stored = np.ascontiguousarray(plan.view.undo(canonical))
    prediction = mask.answers.prediction(mask.prompt, plan)
    rows = table(LabelMap(stored[None], volume.grid, {1: mask.name}), prediction)
    objects = plan.view.apply(pieces(stored))
    sizes = np.bincount(objects.ravel())
    free = set(range(1, len(sizes)))
    for row in rows:
        middle = plan.canonical_index(row.longest_slice)
        here = [one for one in np.unique(objects[middle]) if one in free and sizes[one] == row.voxels]
        chosen = here[0]
        if len(here) > 1:  # of one size: the one whose middle it is
            zyx = volume.grid.voxel(row.centroid_lps_mm)[::-1]
            whole = plan.view.undo(objects)
            chosen = min(here, key=lambda one: float(np.abs(np.argwhere(whole == one).mean(0) - zyx).max()))
        free.discard(chosen)
        y, x = np.argwhere(objects[middle] == chosen)[0].tolist()
        slices = tuple(plan.canonical_index(index) for index in range(row.first_slice, row.last_slice + 1))
        yield Lesion(mask.layer, _known(row, mask.answers, slices), (middle, y, x), slices)


def _known(row: Finding, answers: Answers, slices: Sequence[int]) -> Finding:
    """With an earlier day's score; what no model has said of the object is not a number."""
    scores = [answers.score(one) for one in slices if one in answers.looked]
    whole = all(one in answers.rows for one in slices)
    mean = row.mean_probability if whole else math.nan
    return replace(row, existence=max(scores, default=math.nan), mean_probability=mean)


class LesionTable(QWidget):
    """Shows what was measured when it was last asked to."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        super().__init__()
        self._dock = dock
        self.lesions: list[Lesion] = []
        self.table, self.total = QTableWidget(0, len(COLUMNS)), QLabel()
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.again, self.csv = QPushButton("Measure again"), QPushButton("CSV…")
        self.table.setMinimumHeight(ROOM)
        self.total.setWordWrap(True)
        self.old = QLabel(OLD)
        self.old.setWordWrap(True)
        self.old.setStyleSheet(f"color: {AMBER}")
        self.old.hide()
        layout, side = QHBoxLayout(self), QVBoxLayout()
        layout.addWidget(self.table, 3)
        layout.addLayout(side, 1)
        for widget in (self.total, self.old, self.again, self.csv):
            side.addWidget(widget)
        side.addStretch()
        self._changed = False
        """Since it was measured, or is being measured."""
        dock.keeper.heard.append(self._outdated)
        self.again.clicked.connect(self.measure)
        self.csv.clicked.connect(self._on_csv)
        self.table.cellClicked.connect(self._on_cell)

    def measure(self) -> None:
        """Beside the viewer: a large mask takes seconds."""
        image, tracks = self._dock.chosen_image(), self._dock.tracks()
        if image is None or not tracks:
            self._dock.background.drop(TOPIC)
            self.show_lesions([])
            return
        self.total.setText("Measuring…")
        self.old.hide()
        self._changed = False
        self._dock.background.do(lesions_of(image, tracks), self.show_lesions, failed=self._failed, topic=TOPIC)

    def show_lesions(self, lesions: list[Lesion]) -> None:
        self.lesions = lesions
        tracks = {track.layer.unique_id: track for track in self._dock.tracks()}
        self.table.blockSignals(True)
        self.table.setRowCount(len(lesions))
        for number, one in enumerate(lesions):
            included = QTableWidgetItem()
            track = tracks.get(one.layer)
            out = track is not None and one.voxel in track.excluded
            included.setCheckState(Qt.CheckState.Unchecked if out else Qt.CheckState.Checked)
            self.table.setItem(number, 0, included)
            for column, text in enumerate(_texts(one, track), 1):
                self.table.setItem(number, column, QTableWidgetItem(text))
        self.table.resizeColumnsToContents()
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.blockSignals(False)
        self._sum_up(tracks)
        self.old.setVisible(self._changed and bool(lesions))

    def _outdated(self) -> None:
        self._changed = True
        self.old.setVisible(bool(self.lesions))

    def _failed(self) -> None:
        self.show_lesions(self.lesions)

    def csv_text(self) -> str:
        """Of the objects that are not excluded."""
        tracks = {track.layer.unique_id: track for track in self._dock.tracks()}
        return to_csv([one.finding for one in self.lesions if _included(one, tracks)])

    def _on_cell(self, number: int, column: int) -> None:
        one = self.lesions[number]
        track = next((track for track in self._dock.tracks() if track.layer.unique_id == one.layer), None)
        if track is None:
            return
        if column == 0:
            out = self.table.item(number, 0).checkState() == Qt.CheckState.Unchecked
            (track.excluded.add if out else track.excluded.discard)(one.voxel)
            self._sum_up({track.layer.unique_id: track for track in self._dock.tracks()})
            return
        viewer = self._dock.viewer
        self._dock.jump(one.voxel[0])
        centre = track.layer.data_to_world(one.voxel[-track.layer.ndim :])
        camera_of(viewer).center = tuple(centre[-3:]) if len(centre) > 2 else tuple(centre)
        viewer.layers.selection.active = track.layer

    def _sum_up(self, tracks: Mapping[str, Track]) -> None:
        inside = [one.finding for one in self.lesions if _included(one, tracks)]
        ml = sum(one.volume_mm3 for one in inside) / 1000
        out = len(self.lesions) - len(inside)
        left = f", {out} left out of export" if out else ""
        self.total.setText(f"{len(inside)} {'object' if len(inside) == 1 else 'objects'}, {ml:.3g} mL{left}")

    def _on_csv(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the table", "lesions.csv", "Table (*.csv)", options=QFileDialog.Option.DontUseNativeDialog
        )
        if path:
            try:
                with new_files([Path(path)], overwrite=True) as (file,):
                    file.write(self.csv_text().encode())
            except BoltzFormerError as error:
                self._dock.notice.fail(str(error))
            else:
                self._dock.notice.say(f"Wrote {path}")


def open_table(dock: BoltzFormerDock) -> None:
    """Below the canvas, where the dock and what it says stay in sight; measured anew."""
    if dock.lesions is None:
        dock.lesions = LesionTable(dock)
        dock.viewer.window.add_dock_widget(dock.lesions, name="Lesion table", area="bottom", tabify=True)
    outer = dock.lesions.parentWidget()
    if outer is not None:
        outer.show()
        outer.raise_()
    dock.lesions.measure()


def _included(one: Lesion, tracks: Mapping[str, Track]) -> bool:
    return one.layer in tracks and one.voxel not in tracks[one.layer].excluded


def _texts(one: Lesion, track: Track | None) -> tuple[str, ...]:
    finding = one.finding
    first, last = finding.first_slice, finding.last_slice
    return (
        f"{finding.name} {finding.number}",
        f"{finding.volume_mm3 / 1000:.3g}",
        f"{finding.longest_mm:.1f}",
        f"{first}" if first == last else f"{first}-{last}",
        _score(one, track),
    )


def _score(one: Lesion, track: Track | None) -> str:
    """The highest of its slices, and whether it is of an earlier day; "painted" where the model never looked."""
    score = one.finding.existence
    if track is None or math.isnan(score):
        return "painted"
    return f"{score:.2f}" if any(row in track.kept.rows for row in one.rows) else f"{score:.2f} (earlier)"
