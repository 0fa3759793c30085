"""Open…: reads off the viewer's thread; where a folder holds several DICOM series, shows them in a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QBrush, QColor, QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from boltzformer import Volume, io
from boltzformer.desk.desk import Desk
from boltzformer.desk.keeping.mask_files import MaskInFile, masks_in
from boltzformer.desk.keeping.series import Offer, is_scout, largest, offers, series_below
from napari_boltzformer.host.dialogs import QtDialogs
from napari_boltzformer.host.layers import images_here, mask_layer
from napari_boltzformer.host.stage import NapariStage

KINDS = "Images (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm *.ima *.png *.jpg *.jpeg *.tif *.tiff);;All files (*)"
THUMBNAIL = 64


class Opening:
    """What the dock's Open… does."""

    def __init__(self, parent: QWidget, desk: Desk, stage: NapariStage, dialogs: QtDialogs) -> None:
        self._parent, self._desk, self._stage, self._dialogs = parent, desk, stage, dialogs
        self.dialog: SeriesDialog | None = None

    def ask(self) -> None:
        """A file of any kind; one DICOM slice stands for its folder."""
        path = self._dialogs.open("Open an image", KINDS)
        if path is not None:
            self.open(path)

    def open(self, path: Path) -> None:
        """Returns at once."""
        self._desk.notice.say(f"Reading {path.name}…")
        chosen = self._stage.chosen()
        near = images_here(self._stage.viewer, None if chosen is None else chosen.layer)
        self._desk.work.do(partial(masks_in, path, near), partial(self._found, path))

    def _found(self, path: Path, masks: list[MaskInFile] | None) -> None:
        if masks is not None:
            for one in masks:
                data, options, _ = mask_layer(one)
                self._stage.viewer.add_labels(data, **options)
            self._desk.notice.say("")
            return
        dicom = path.is_dir() or io.split_name(path)[1] in (".dcm", ".ima", "")
        if dicom:
            folder = path if path.is_dir() else path.parent
            self._desk.work.do(lambda: offers(series_below(folder)), partial(self._choose, folder))
        else:
            self._desk.work.do(partial(io.read, path), self._show)

    def _choose(self, folder: Path, found: list[Offer]) -> None:
        if not found:
            self._desk.notice.fail(f"{folder.name} holds no image: choose a folder of DICOM slices, or an image file.")
        elif len(found) == 1:
            self._read(folder, found[0].series.uid)
        else:
            self.dialog = SeriesDialog(self._parent, found, partial(self._read, folder))
            self.dialog.open()

    def _read(self, folder: Path, uid: str) -> None:
        self._desk.work.do(partial(io.read, folder, series=uid), self._show)

    def _show(self, volume: Volume) -> None:
        self._stage.open(volume)
        self._desk.notice.say("")


class SeriesDialog(QDialog):
    """Picture, description, slices, spacing; the largest is chosen, scouts are gray."""

    def __init__(self, parent: QWidget, found: Sequence[Offer], read: Callable[[str], None]) -> None:
        super().__init__(parent)
        self.setWindowTitle("Which series?")
        self._found, self._read = found, read
        self.table = QTableWidget(len(found), 4)
        self.table.setHorizontalHeaderLabels(["", "Series", "Slices", "Spacing, mm"])
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setIconSize(QSize(THUMBNAIL, THUMBNAIL))
        series = [one.series for one in found]
        for number, one in enumerate(found):
            self._fill(number, one, is_scout(one.series, series))
        self.table.resizeColumnsToContents()
        self.table.resizeRowsToContents()
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.selectRow(series.index(largest(series)))
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self._open)
        self.buttons.rejected.connect(self.reject)
        self.table.cellDoubleClicked.connect(lambda *_: self._open())
        layout = QVBoxLayout(self)
        layout.addWidget(self.table)
        layout.addWidget(self.buttons)
        self.resize(560, 360)

    def _fill(self, number: int, one: Offer, scout: bool) -> None:
        first = one.series.slices[0]
        spacing = "×".join(f"{mm:.3g}" for mm in (*first.spacing, first.thickness))
        words = f"{one.series.modality} {one.series.description or 'without description'}"
        for column, text in enumerate(("", words, str(len(one.series.slices)), spacing)):
            item = QTableWidgetItem(text)
            if scout:
                item.setForeground(QBrush(QColor("gray")))
            self.table.setItem(number, column, item)
        if one.thumbnail is not None:
            rows, columns = one.thumbnail.shape
            picture = QImage(one.thumbnail.tobytes(), columns, rows, columns, QImage.Format.Format_Grayscale8)
            pixmap = QPixmap.fromImage(picture).scaled(THUMBNAIL, THUMBNAIL, Qt.AspectRatioMode.KeepAspectRatio)
            self.table.item(number, 0).setIcon(QIcon(pixmap))

    def _open(self) -> None:
        chosen = self.table.currentRow()
        if chosen >= 0:
            self.accept()
            self._read(self._found[chosen].series.uid)
