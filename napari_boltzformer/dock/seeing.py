"""Model sees: the window through which the model is shown the image, apart from the viewer's contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QPushButton, QWidget

from boltzformer import BoltzFormerError, Volume, Window
from boltzformer.desk.image import OpenImage, plan_of
from boltzformer.image.intensity import PRESETS
from boltzformer.masks.pictures import slice_picture
from napari_boltzformer.host.stage import NapariImage

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

AUTO, MINE = "auto", "my contrast"
SIDE = 72
SOON_MS = 150


class Seeing(QWidget):
    """A choice, a picture of what it makes of the slice on screen, and the way to take over the viewer's contrast."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        super().__init__()
        self._dock = dock
        self._windows: dict[tuple[str, str], Window] = {}
        self.choice, self.mine, self.picture = QComboBox(), QPushButton("Use my contrast"), QLabel()
        self.choice.addItems([AUTO, *PRESETS, "percentiles", "stored"])
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
        self.choice.currentTextChanged.connect(self.show_picture)
        self.mine.clicked.connect(self._use_mine)

    def window_of(self, image: OpenImage) -> Window | None:
        """For a run; None leaves the choice to the engine's own rule, which is what 'auto' means."""
        how = self.choice.currentText()
        if how == AUTO:
            return None
        return self._windows.get((image.key, how)) or self._made(image, image.volume, how)

    def show_picture(self) -> None:
        """Of the slice on screen, once scrolling rests; only while somebody can see it."""
        self._soon.start()

    def _make_picture(self) -> None:
        image = self._dock.stage.chosen()
        if image is None or not self.isVisible():
            return
        try:
            volume, index, how = image.volume, self._dock.current_slice(), self.choice.currentText()
        except BoltzFormerError:
            return  # running says why

        def made() -> tuple[NDArray[np.uint8], Window]:
            window = self._windows.get((image.key, how)) or self._made(image, volume, how)
            return slice_picture(volume, plan_of(volume), window, index), window

        self._dock.desk.work.do(made, self._draw)

    def _draw(self, told: tuple[NDArray[np.uint8], Window]) -> None:
        picture, window = told
        rows, columns, _ = picture.shape
        image = QImage(np.ascontiguousarray(picture).tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        self.picture.setPixmap(QPixmap.fromImage(image).scaled(SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio))
        self.picture.setToolTip(f"{window.kind}: {window.low:g} to {window.high:g}")

    def _use_mine(self) -> None:
        image = self._dock.stage.chosen()
        if image is None:
            return
        low, high = image.layer.contrast_limits
        self._windows[image.key, MINE] = Window(float(low), float(high), "the viewer's contrast")
        if self.choice.findText(MINE) < 0:
            self.choice.addItem(MINE)
        self.choice.setCurrentText(MINE)
        self.show_picture()

    def _made(self, image: NapariImage, volume: Volume, how: str) -> Window:
        if how == MINE:  # chosen for another image
            low, high = image.layer.contrast_limits
            return Window(float(low), float(high), "the viewer's contrast")
        window = Window.choose(how, volume.array, volume.modality)
        self._windows[image.key, how] = window
        return window
