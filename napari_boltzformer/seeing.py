"""Model sees: the window through which the model is shown the image, apart from the viewer's contrast."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QPushButton, QWidget

from boltzformer import BoltzFormerError, Volume, Window
from boltzformer.intensity import PRESETS
from boltzformer.pictures import slice_picture
from napari_boltzformer.layers import plan_of, volume_of

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

    def chosen(self, image: Image) -> Window | str | None:
        """None leaves it to the engine's own rule, which is what 'auto' means; a name: of one that is not made yet."""
        how = self.choice.currentText()
        if how == AUTO:
            return None
        if how == MINE and (image.unique_id, how) not in self._windows:  # chosen for another image
            return _contrast_of(image)
        return self._windows.get((image.unique_id, how), how)

    def window_of(self, image: Image, volume: Volume) -> Window | None:
        """For a run, which waits until it is `ready`."""
        window = self.chosen(image)
        return self._made(image, volume, window) if isinstance(window, str) else window

    def ready(self, image: Image, volume: Volume, go_on: Callable[[], object]) -> bool:
        """Whether the chosen window is made; else it is made beside the viewer, which a large image keeps busy."""
        how = self.chosen(image)
        if not isinstance(how, str):
            return True
        self._dock.notice.say(f"Choosing the window '{how}' for '{image.name}'…")
        self._dock.background.do(partial(self._made, image, volume, how), lambda _: go_on())
        return False

    def show_picture(self) -> None:
        """Of the slice on screen, once scrolling rests; only while somebody can see it."""
        self._soon.start()

    def _make_picture(self) -> None:
        image = self._dock.chosen_image()
        if image is None or not self.isVisible():
            return
        try:
            volume, index = volume_of(image), self._dock.current_slice()
        except BoltzFormerError:
            return  # running says why
        chosen = self.chosen(image)

        def made() -> tuple[NDArray[np.uint8], Window]:
            window = chosen if isinstance(chosen, Window) else self._made(image, volume, chosen or AUTO)
            return slice_picture(volume, plan_of(volume), window, index), window

        self._dock.background.do(made, self._draw)

    def _draw(self, told: tuple[NDArray[np.uint8], Window]) -> None:
        picture, window = told
        rows, columns, _ = picture.shape
        image = QImage(np.ascontiguousarray(picture).tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        self.picture.setPixmap(QPixmap.fromImage(image).scaled(SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio))
        self.picture.setToolTip(f"{window.kind}: {window.low:g} to {window.high:g}")

    def _use_mine(self) -> None:
        image = self._dock.chosen_image()
        if image is None:
            return
        self._windows[image.unique_id, MINE] = _contrast_of(image)
        if self.choice.findText(MINE) < 0:
            self.choice.addItem(MINE)
        self.choice.setCurrentText(MINE)
        self.show_picture()

    def _made(self, image: Image, volume: Volume, how: str) -> Window:
        known = self._windows.get((image.unique_id, how))
        if known is None:
            known = self._windows[image.unique_id, how] = Window.choose(how, volume.array, volume.modality)
        return known


def _contrast_of(image: Image) -> Window:
    low, high = image.contrast_limits
    return Window(float(low), float(high), "the viewer's contrast")
