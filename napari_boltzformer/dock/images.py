"""`Images`: the box of images, and what follows when another one is chosen; what the model sees of the chosen one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QPushButton, QWidget

from boltzformer import BoltzFormerError, Window
from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.models.window import BY_NAME, MINE, Windows
from boltzformer.desk.work import Work
from boltzformer.io.phantom import Sample, sample
from boltzformer.masks.pictures import Picture
from napari_boltzformer.host.layers import hang
from napari_boltzformer.host.stage import NapariStage, image_on, same


class Images:
    """The light of the looks is no image of the user's."""

    def __init__(self, box: QComboBox, desk: Desk, stage: NapariStage) -> None:
        self._box, self._desk, self._stage = box, desk, stage
        self.chosen: list[Callable[[Image | None], None]] = []
        """Another image than before, or the same one among other layers."""
        self.picked: list[Callable[[Image], None]] = []
        """A person chose it, and wants to see it."""
        self._looked_for: set[str] = set()
        self._entering = QTimer(box)
        self._entering.setSingleShot(True)
        self._entering.timeout.connect(self._enter)
        box.currentIndexChanged.connect(lambda _: self._on_picked())

    def example(self, type_prompt: Callable[[str], None], then: Callable[[], None]) -> None:
        """Opens the sample case at its finding, with its prompt typed; `then`, however that ended."""

        def show(case: Sample) -> None:
            then()
            image = self._stage.open(case.volume)
            self._stage.go(image, image.plan.canonical_index(case.index))
            type_prompt(case.prompt)
            self._desk.notice.say("The example is open: Ctrl+Enter looks at this slice.")

        self._desk.work.do(sample, show, then)

    def show(self, event: Any = None) -> None:
        """A newly opened image is chosen; otherwise the choice stays, also when its layer is renamed."""
        box, images = self._box, self._stage.layers()
        opened = getattr(event, "value", None) if getattr(event, "type", "") == "inserted" else None
        last = box.currentData()
        before = opened if opened in images else last
        box.blockSignals(True)  # one change, told once
        box.clear()
        for layer in images:
            box.addItem(layer.name, layer)
            box.setItemData(box.count() - 1, layer.name, Qt.ItemDataRole.ToolTipRole)  # the box may be too narrow
        if images:
            box.setCurrentIndex(images.index(before) if before in images else len(images) - 1)
        box.blockSignals(False)
        self._chosen()
        if (layer := box.currentData()) is not None and not same(layer, last):
            self._entering.start()  # once the viewer itself has heard of it

    def _on_picked(self) -> None:
        layer = self._box.currentData()
        if layer is not None:
            self._stage.bring(image_on(layer))
        self._chosen()
        if layer is not None:
            for heard in self.picked:
                heard(layer)

    def _enter(self) -> None:
        if (image := self._stage.chosen()) is not None:
            self._stage.bring(image)

    def _chosen(self) -> None:
        layer = self._box.currentData()
        self._box.setToolTip("" if layer is None else layer.name)
        if layer is not None and layer.unique_id not in self._looked_for:
            self._looked_for.add(layer.unique_id)
            with suppress(BoltzFormerError):  # an image that can't be segmented has no work either
                self._desk.keeper.look_for(image_on(layer))
        hang(self._stage.viewer, layer)
        for heard in self.chosen:
            heard(layer)
        self._desk.chosen()


SIDE = 72
SOON_MS = 150


class Seeing(QWidget):
    """Of the chosen image's slice on screen."""

    def __init__(
        self, windows: Windows, work: Work, image: Callable[[], OpenImage | None], row: Callable[[], int]
    ) -> None:
        super().__init__()
        self._windows, self._work, self._image, self._row = windows, work, image, row
        self.choice, self.mine, self.picture = QComboBox(), QPushButton("Use my contrast"), QLabel()
        self.choice.addItems(BY_NAME)
        self._show_choice()
        self.picture.setFixedSize(SIDE, SIDE)
        lines = QGridLayout(self)
        lines.setContentsMargins(0, 0, 0, 0)
        lines.addWidget(QLabel("Model sees"), 0, 0)
        lines.addWidget(self.choice, 0, 1)
        lines.addWidget(self.mine, 1, 0, 1, 2)
        lines.addWidget(self.picture, 0, 2, 2, 1)
        lines.setColumnStretch(1, 1)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self._make_picture)
        self.choice.currentTextChanged.connect(self._on_choice)
        self.mine.clicked.connect(lambda _=False: self._use_mine())

    def show_picture(self) -> None:
        """Of the slice on screen, once scrolling rests; only while somebody can see it."""
        self._soon.start()

    def _on_choice(self, how: str) -> None:
        self._windows.choose(how)
        self.show_picture()

    def _use_mine(self) -> None:
        image = self._image()
        if image is not None:
            self._windows.take_contrast(image)
            self._show_choice()
            self.show_picture()

    def _show_choice(self) -> None:
        if self._windows.choice == MINE and self.choice.findText(MINE) < 0:
            self.choice.addItem(MINE)
        self.choice.setCurrentText(self._windows.choice)

    def _make_picture(self) -> None:
        image = self._image()
        if image is not None and self.isVisible():
            self._windows.picture(image, self._row(), self._work, self._draw)

    def _draw(self, picture: Picture, window: Window) -> None:
        rows, columns, _ = picture.shape
        image = QImage(np.ascontiguousarray(picture).tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        self.picture.setPixmap(QPixmap.fromImage(image).scaled(SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio))
        self.picture.setToolTip(f"{window.kind}: {window.low:g} to {window.high:g}")
