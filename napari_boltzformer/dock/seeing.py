"""Model sees: a choice of window, a picture of what it makes of the slice on screen, and the viewer's own contrast."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from qtpy.QtCore import QObject, QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel, QPushButton, QWidget

from boltzformer import Window
from boltzformer.desk.image import OpenImage
from boltzformer.desk.models.window import AUTO, BY_NAME, MINE, Windows
from boltzformer.desk.work import Work
from boltzformer.masks.pictures import Picture
from napari_boltzformer.host.narrow import NameBox

LINES = 2
"""So many lines of controls are as high as the picture."""
SOON_MS = 150


class Seeing(QObject):
    """Of the chosen image's slice on screen. Its widgets lie where the form puts them."""

    def __init__(
        self,
        parent: QWidget,
        windows: Windows,
        work: Work,
        image: Callable[[], OpenImage | None],
        row: Callable[[], int],
    ) -> None:
        super().__init__(parent)
        self._windows, self._work, self._image, self._row = windows, work, image, row
        self.choice, self.mine, self.picture = NameBox(), QPushButton("As shown"), QLabel()
        self.choice.setToolTip("The window through which the model sees the image; whoever chooses one sees it so, too")
        self.mine.setToolTip("The model sees the image in the contrast that the viewer shows now")
        self.choice.addItems(BY_NAME)
        self._to_show = False
        """What was chosen just now is to be seen on the canvas as well."""
        self._side = LINES * self.mine.sizeHint().height()
        self.picture.setFixedSize(self._side, self._side)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self._make_picture)
        self.choice.currentTextChanged.connect(self._on_choice)
        self.mine.clicked.connect(lambda _=False: self._use_mine())

    def show_picture(self) -> None:
        """Of the slice on screen, once scrolling rests; only while somebody can see it."""
        self._soon.start()

    def show_choice(self) -> None:
        """Of the image that is looked at now."""
        image = self._image()
        how = AUTO if image is None else self._windows.choice(image)
        if how == MINE and self.choice.findText(MINE) < 0:
            self.choice.addItem(MINE)
        with QSignalBlocker(self.choice):
            self.choice.setCurrentText(how)

    def _on_choice(self, how: str) -> None:
        image = self._image()
        if image is not None:
            self._windows.choose(how, image)
            self._to_show = True
        self.show_choice()
        self.show_picture()

    def _use_mine(self) -> None:
        image = self._image()
        if image is not None:
            self._windows.take_contrast(image)
            self.show_choice()
            self.show_picture()

    def _make_picture(self) -> None:
        self.show_choice()
        image = self._image()
        if image is not None and self.picture.isVisible():
            self._windows.picture(image, self._row(), self._work, partial(self._draw, self._to_show))

    def _draw(self, to_show: bool, picture: Picture, window: Window) -> None:
        if to_show:
            self._to_show = False
            self._show(window)
        rows, columns, _ = picture.shape
        image = QImage(np.ascontiguousarray(picture).tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        self.picture.setPixmap(
            QPixmap.fromImage(image).scaled(self._side, self._side, Qt.AspectRatioMode.KeepAspectRatio)
        )
        self.picture.setToolTip(f"What the model sees, {window.kind}: {window.low:g} to {window.high:g}")

    def _show(self, window: Window) -> None:
        """As a preset does in any viewer. The other way round nothing follows: contrast is changed all the time."""
        layer = getattr(self._image(), "layer", None)
        if layer is not None and not layer.rgb:
            layer.contrast_limits = (window.low, window.high)
