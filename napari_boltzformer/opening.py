"""Open…: reads off the viewer's thread; where a folder holds several DICOM series, shows them in a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QBrush, QColor, QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from boltzformer import BoltzFormerError, Volume, Window, io
from boltzformer.io.dicom_headers import Series, series_in
from boltzformer.io.dicom_pixels import read_pixels
from napari_boltzformer.layers import image_layer
from napari_boltzformer.mask_files import as_masks, images_here

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

KINDS = "Images (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm *.ima *.png *.jpg *.jpeg *.tif *.tiff);;All files (*)"
SCOUT = 5
"""So few slices are a scout or a report, where a longer series lies beside them."""
THUMBNAIL = 64


@dataclass(frozen=True)
class Offer:
    """One series, as the table shows it."""

    series: Series
    thumbnail: NDArray[np.uint8] | None
    """(rows, columns); None where its pixels can't be read."""


def series_below(folder: Path) -> list[Series]:
    """The image series of a folder."""
    return series_in(folder)


def largest(found: Sequence[Series]) -> Series:
    """The one that is opened unless the user says otherwise: most voxels, the first among equals."""
    return max(found, key=_voxels)


def is_scout(series: Series, found: Sequence[Series]) -> bool:
    """Whether it is a scout or a report beside a real series."""
    return len(series.slices) < SCOUT <= len(largest(found).slices)


def offers(found: Sequence[Series]) -> list[Offer]:
    """With a picture of each one's middle slice."""
    return [Offer(one, _thumbnail(one)) for one in found]


class Opening:
    """What the dock's Open… does."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self.dialog: SeriesDialog | None = None

    def ask(self) -> None:
        """A file of any kind; one DICOM slice stands for its folder."""
        path, _ = QFileDialog.getOpenFileName(
            self._dock, "Open an image", "", KINDS, options=QFileDialog.Option.DontUseNativeDialog
        )
        if path:
            self.open(Path(path))

    def open(self, path: Path) -> None:
        """Returns at once."""
        self._dock.notice.say(f"Reading {path.name}…")
        near = images_here(self._dock.viewer, self._dock.chosen_image())
        self._dock.background.do(partial(as_masks, path, near), partial(self._found, path))

    def _found(self, path: Path, masks: list[Any] | None) -> None:
        if masks is not None:
            for data, options, _ in masks:
                self._dock.viewer.add_labels(data, **options)
            self._dock.notice.say("")
            return
        dicom = path.is_dir() or io.split_name(path)[1] in (".dcm", ".ima", "")
        if dicom:
            folder = path if path.is_dir() else path.parent
            self._dock.background.do(lambda: offers(series_below(folder)), partial(self._choose, folder))
        else:
            self._dock.background.do(partial(io.read, path), self._show)

    def _choose(self, folder: Path, found: list[Offer]) -> None:
        if not found:
            self._dock.notice.fail(f"{folder.name} holds no image: choose a folder of DICOM slices, or an image file.")
        elif len(found) == 1:
            self._read(folder, found[0].series.uid)
        else:
            self.dialog = SeriesDialog(self._dock, found, partial(self._read, folder))
            self.dialog.open()

    def _read(self, folder: Path, uid: str) -> None:
        self._dock.background.do(partial(io.read, folder, series=uid), self._show)

    def _show(self, volume: Volume) -> None:
        data, options, _ = image_layer(volume)
        self._dock.viewer.add_image(data, **options)
        self._dock.notice.say("")


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


def _voxels(series: Series) -> int:
    rows, columns = series.slices[0].size
    return len(series.slices) * rows * columns


def _thumbnail(series: Series) -> NDArray[np.uint8] | None:
    ordered = sorted(series.slices, key=lambda one: one.number)
    try:
        plane = read_pixels([ordered[len(ordered) // 2]])[0]
        plane = plane if plane.ndim == 2 else plane.mean(axis=-1)
        return np.ascontiguousarray(Window.guess(plane, series.modality).apply(plane))
    except BoltzFormerError:
        return None  # opening says why
