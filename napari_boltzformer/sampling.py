"""How it looked: the nine looks of the sampler on the slice on screen, as one plain picture."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

CAPTION = (
    "The model takes nine looks; each may visit about one place in ten (lit). The first is almost random; later looks "
    "favour places where its own guess was stronger. Lit means looked at, not lesion; the white outline is the answer."
)


class LooksView(QWidget):
    """A picture and its caption."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = QPixmap()
        self.picture = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setMinimumWidth(300)  # narrower than the picture: a small window stays small
        caption = QLabel(CAPTION)
        caption.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addWidget(self.picture)
        layout.addWidget(caption)

    def show_picture(self, picture: np.ndarray) -> None:
        """(rows, columns, 3) uint8."""
        rows, columns, _ = picture.shape
        image = QImage(picture.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        self._whole = QPixmap.fromImage(image)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """All nine looks are seen, however narrow the window."""
        if not self._whole.isNull():
            width = min(self._whole.width(), max(self.width() - 24, 300))
            self.picture.setPixmap(self._whole.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation))
