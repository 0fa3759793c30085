"""What comes into the dock: Open…, of several DICOM series the chosen one; Use layer…, a mask that somebody made
already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils import progress
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QBrush, QColor, QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QInputDialog,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from boltzformer import BoltzFormerError, GeometryError, Volume, io
from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.cases import Offer, is_scout, largest, offers, series_below
from boltzformer.desk.keeping.foreign import lies_together
from boltzformer.desk.keeping.frames import frame_of, which_of
from boltzformer.desk.keeping.stories import MaskInFile, masks_alone, masks_in
from boltzformer.desk.masks.pointing import stored_voxel
from boltzformer.errors import OnNoImage, SeveralFrames
from boltzformer.masks.cells import apart
from napari_boltzformer.host.dialogs import QtDialogs
from napari_boltzformer.host.layers import KEY, images_here, mask_layer, same
from napari_boltzformer.host.mask import mask_on
from napari_boltzformer.host.stage import FOR, NapariImage, NapariStage, image_on

KINDS = "Images (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm *.ima *.png *.jpg *.jpeg *.tif *.tiff);;All files (*)"
THUMBNAIL = 64
READING = "a file that is read"
"""Topic of a sentence."""
BETWEEN_FILES_MS = 50
"""At 0, a viewer that works off its events before it reads the next file would never be done with them."""


def opens_several() -> bool:
    """Whether napari is in the middle of files that a person opened in one go: it lets events pass between them."""
    under_way = getattr(progress, "_all_instances", ())
    return any("Opening Files" in (one.desc or "") and (one.total or 0) > 1 for one in under_way)


class Opening:
    """What the dock's Open… does."""

    def __init__(self, parent: QWidget, desk: Desk, stage: NapariStage, dialogs: QtDialogs) -> None:
        self._parent, self._desk, self._stage, self._dialogs = parent, desk, stage, dialogs
        self.dialog: SeriesDialog | None = None
        self._waiting: list[Path] = []
        self._later = desk.timers.after(BETWEEN_FILES_MS, self._open_waiting)

    def ask(self) -> None:
        """A file of any kind; one DICOM slice stands for its folder."""
        path = self._dialogs.open("Open an image", KINDS, self._desk.places.to_open)
        if path is not None:
            self._desk.places.opened(path)
            self.open(path)

    def open(self, path: Path) -> None:
        """Returns at once."""
        self._desk.notice.say(f"Reading {path.name}…", topic=READING)
        chosen = self._stage.chosen()
        near = images_here(self._stage.viewer, None if chosen is None else chosen.layer)
        self._desk.work.do(partial(_read, path, near), partial(self._found, path))

    def later(self, path: Path) -> None:
        """Labels came before the image that they lie on: once all that is opened in one go is there."""
        self._waiting.append(path)
        self._later.start()

    def _open_waiting(self) -> None:
        if opens_several():
            self._later.start()
            return
        waiting, self._waiting = self._waiting, []
        for path in waiting:
            self.open(path)

    def _found(self, path: Path, found: list[MaskInFile] | Volume | int | OnNoImage | None) -> None:
        """Of several time points or channels a person says which; and what labels on no image are."""
        if isinstance(found, list):
            self._show_masks(found)
            return
        if isinstance(found, OnNoImage):
            self._desk.notice.fail(str(found))
            self._desk.notice.offer(
                f"what {path} is",
                f"{path.name} can be opened all the same.",
                ("As an image", lambda: self._desk.work.do(partial(io.read, path), self._show)),
                ("As masks", lambda: self._desk.work.do(partial(masks_alone, path), self._show_masks)),
            )
            return
        if found is None:
            folder = path if path.is_dir() else path.parent
            self._desk.work.do(lambda: offers(series_below(folder)), partial(self._choose, path, folder))
            return
        if isinstance(found, Volume):
            self._show(found)
            return
        self._desk.notice.take_back(READING)
        which = which_of(self._dialogs, self._desk.settings, path, found)
        if which is not None:
            self._desk.work.do(partial(frame_of, path, which), self._show)

    def _show_masks(self, found: list[MaskInFile]) -> None:
        for one in found:
            data, options, _ = mask_layer(one)
            self._stage.viewer.add_labels(data, **options)
        self._desk.notice.say("")

    def _choose(self, path: Path, folder: Path, found: list[Offer]) -> None:
        """`path`: what a person chose, there."""
        if not found:
            none = f"{path.name} holds no image" if path.is_dir() else f"{path.name} is no image that can be read"
            self._desk.notice.fail(f"{none}: choose a folder of DICOM slices, or an image file.")
        elif len(found) == 1:
            self._read_series(folder, found[0].series.uid)
        else:
            self._desk.notice.take_back(READING)
            self.dialog = SeriesDialog(self._parent, found, partial(self._read_series, folder))
            self.dialog.open()

    def _read_series(self, folder: Path, uid: str) -> None:
        self._desk.work.do(partial(io.read, folder, series=uid), self._show)

    def _show(self, volume: Volume) -> None:
        self._desk.notice.take_back(READING)
        self._desk.patients.open(volume)


def _read(path: Path, images: Sequence[Volume]) -> list[MaskInFile] | Volume | int | OnNoImage | None:
    """Masks, the image, or how many there are of which one is to be chosen; None for DICOM, whose folder tells. Or why
    nobody knows whether it is an image."""
    read = cache(io.read)
    try:
        masks = masks_in(path, images, read)
    except OnNoImage as error:
        return error
    if masks is not None:
        return masks
    if path.is_dir() or io.split_name(path)[1] in (".dcm", ".ima", ""):
        return None
    try:
        return read(path)
    except SeveralFrames as several:
        return several.frames


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


MOST_LABELS = 255
MOST_VALUES = 32
"""So many labels a file holds that is taken for a mask without being asked."""
CLOSE = 0.01
"""Corners may differ by so much of a voxel."""


def ask_and_use(parent: QWidget, desk: Desk, stage: NapariStage, typed: list[str]) -> None:
    """Which layer? Then it is ours. `typed`: the prompts in the box."""
    image = stage.chosen()
    text = "" if image is None else _prompt(desk, image, typed)
    if image is None or not text:
        desk.notice.say("Open the image and type the prompt first that the mask answers, then use a layer.")
        return
    offered = layers_offered(stage, image.layer, desk.patients.beside)
    if not offered:
        desk.notice.say("There is no layer to begin from: drop a mask of this image here, then use it.")
        return
    question, names = f"Which layer is the mask of '{text}'?", list(offered)
    name, chosen = QInputDialog.getItem(parent, "Use layer", question, names, 0, False)
    if chosen:
        try:
            use(desk, image, *offered[name], text)
        except BoltzFormerError as error:
            desk.notice.fail(str(error))


def _prompt(desk: Desk, image: NapariImage, typed: list[str]) -> str:
    """The first that is typed and has no mask yet, else that of the selected mask."""
    known, track = [track.prompt.text for track in desk.tracks.of(image)], desk.tracks.active()
    waiting = [text for text in typed if text not in known]
    return waiting[0] if waiting else "" if track is None else track.prompt.text


def layers_offered(
    stage: NapariStage, image: Image, beside: Sequence[OpenImage]
) -> dict[str, tuple[Layer, int | None]]:
    """Layers that may hold a mask of this image, the selected one first; those with several labels also by the label in
    hand. What goes with one that is compared (`beside`) is offered last, and only where it lies on this one, too."""
    active = stage.viewer.layers.selection.active
    compared = [one for one in stage.images() if one in beside and not same(one.layer, image)]
    others = [layer for one in compared for layer in stage.group(one)]
    found: dict[str, tuple[Layer, int | None]] = {}
    for layer in sorted(stage.viewer.layers, key=lambda one: (one in others, not same(one, active))):
        ours = mask_on(layer) is not None or FOR in layer.metadata
        if ours or same(layer, image) or not isinstance(layer, Image | Labels):
            continue
        if isinstance(layer, Image) and image_on(layer).ours:
            continue  # a picture that is compared with this one
        data = np.asarray(layer.data) if not layer.multiscale else np.zeros(0)
        if data.dtype.kind not in "biu" or getattr(layer, "rgb", False):
            continue
        if layer in others and not lies_on(layer, image):
            continue  # a mask of that picture
        found[layer.name] = layer, None
        label = int(layer.selected_label) if isinstance(layer, Labels) else 0
        if label and (data == label).any() and ((data != 0) & (data != label)).any():
            found[f"{layer.name}, only label {label}"] = layer, label
    return found


def use(desk: Desk, image: NapariImage, layer: Layer, label: int | None, text: str) -> None:
    """The layer's mask as the prompt's, in place of what that had; it is hidden, not changed."""
    mask = mask_of(layer, label, image.layer)
    data = np.asarray(layer.data)
    meant = data != 0 if label is None else data == label
    lost = int(np.count_nonzero(meant)) - int(np.count_nonzero(mask))
    gone = len(np.unique(data[meant])) - len(np.unique(data.reshape(mask.shape)[mask])) if lost else 0
    if desk.begin_from(image, mask, layer.name, text, (lost, gone)):
        layer.visible = False


def mask_of(layer: Layer, label: int | None, image: Image) -> NDArray[np.bool_]:
    """(slices, rows, columns) on the image's voxels, in its canonical view. It must lie there; nothing is resampled.
    In a picture, cells with numbers of their own that touch stay apart: a line of background comes between them."""
    data = np.asarray(layer.data)
    if isinstance(layer, Image) and (data.min(initial=0) < 0 or data.max(initial=0) > MOST_LABELS):
        raise BoltzFormerError(
            f"The layer '{layer.name}' holds values from {data.min()} to {data.max()}, so it is an image and no mask: "
            "choose one whose voxels are 0 outside and 1 to 255 inside."
        )
    if not lies_on(layer, image):
        raise GeometryError(
            f"The layer '{layer.name}' ({_size(layer)}) does not lie on the voxels of '{image.name}' "
            f"({_size(image)}): choose a mask that was made on this very image."
        )
    mask = data != 0 if label is None else data == label
    planes = mask[None] if mask.ndim == 2 else mask
    return apart(data.reshape(planes.shape)[0])[None] if label is None and len(planes) == 1 else planes


def is_mask_on(layer: Image, image: Image) -> bool:
    """Whether an image layer is nothing but labels on the voxels of another one, of a file that does not say so."""
    data = np.asarray(layer.data) if not layer.multiscale else np.zeros(0)
    if layer.rgb or image.rgb or image.multiscale or data.dtype.kind not in "biu" or data.shape != image.data.shape:
        return False
    few = data.min() >= 0 and data.max() <= MOST_VALUES and data.max() < np.max(image.data)
    return few and lies_together(data) and lies_on(layer, image)


def lies_on(layer: Layer, image: Image) -> bool:
    """Whether both show the same voxels, at the same places of the viewer and, where known, of the patient. A picture
    has one slice, which other tools' masks of it leave out."""
    shape = image.data.shape[:-1] if image.rgb else image.data.shape
    flat = layer.ndim == 2 and image.ndim == 3
    if ((1, *layer.data.shape) if flat else layer.data.shape) != shape:
        return False
    corners = [np.array(corner, float) for corner in product(*((0, n - 1) for n in shape))]
    below = image.data_to_world(corners[0])[:1] if flat else ()
    there = [image.world_to_data((*below, *layer.data_to_world(corner[-layer.ndim :]))) for corner in corners]
    apart = float(np.abs(np.array(there) - corners).max())
    both = [layer.metadata.get(KEY), image.metadata.get(KEY)]
    if all(facts is not None for facts in both):
        mine, its = (np.array([_voxel_lps(facts, corner) for corner in corners]) for facts in both)
        apart = max(apart, float(np.linalg.norm(mine - its, axis=1).max()) / min(both[1]["grid"].spacing_mm))
    return apart <= CLOSE


def _voxel_lps(facts: Mapping[str, Any], corner: NDArray[np.float64]) -> NDArray[np.float64]:
    nothing = np.broadcast_to(np.uint8(0), facts["grid"].shape)
    place = stored_voxel(Volume(nothing, **facts), (0.0, *corner)[-3:])
    return np.asarray(facts["grid"].world(place))


def _size(layer: Layer) -> str:
    voxels = np.asarray(layer.data).shape[: layer.ndim]
    steps = "×".join(f"{abs(step):.3g}" for step in layer.scale)
    return f"{'×'.join(map(str, voxels))} voxels of {steps}, from {', '.join(f'{at:.4g}' for at in layer.translate)}"
