"""How it looked: the nine looks of the sampler on the slice on screen, as one plain picture."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

CAPTION = (
    "The model takes nine looks; each may visit about one place in ten (lit). The first is almost random; later looks "
    "favour places where its own guess was stronger. Lit means looked at, not lesion; the white outline is the answer."
)


class Picture(QWidget):
    """Draws a picture as large as fits, so that no look is ever cut off."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = QPixmap()
        self.setMinimumSize(300, 180)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_picture(self, picture: np.ndarray) -> None:
        """(rows, columns, 3) uint8."""
        rows, columns, _ = picture.shape
        image = QImage(picture.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        self._whole = QPixmap.fromImage(image)
        self.updateGeometry()
        self.update()

    def shown_at(self) -> QRect:
        """Where it is drawn."""
        size = self._whole.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        return QRect((self.width() - size.width()) // 2, 0, size.width(), size.height())

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return self._whole.size()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(self.shown_at(), self._whole)
        painter.end()


class LooksView(QWidget):
    """The looks and their caption."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = Picture()
        caption = QLabel(CAPTION)
        caption.setWordWrap(True)
        caption.setMinimumHeight(2 * caption.fontMetrics().lineSpacing() + 6)  # a squeezed dock must not overlap it
        layout = QVBoxLayout(self)
        layout.addWidget(self.picture, 1)
        layout.addWidget(caption)
