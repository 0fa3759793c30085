"""`Results`: one row per mask: name, this slice's score, where was looked, objects and volume. A click chooses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QBrush, QColor, QIcon, QKeyEvent, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from boltzformer.desk.masks.track import Track
from napari_boltzformer.dock.prompts import AMBER

ROWS = 2
"""Lines at the least, beside offers and long sentences; it scrolls by itself. Usually it has all the room there is."""


class Results(QListWidget):
    """Shows; decides nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(ROWS * self.fontMetrics().lineSpacing())
        self.tracks: list[Track] = []

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """It takes the room that is left; asking for more, it would make a page scroll on which there is a sentence."""
        return QSize(super().sizeHint().width(), self.minimumHeight())

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """A letter is the viewer's: the list would go to a row that begins with it, and no key would reach the mask."""
        if event is not None and event.text().strip():
            event.ignore()
        else:
            super().keyPressEvent(event)

    def show_tracks(self, tracks: Sequence[Track], told: Callable[[Track], str], chosen: Track | None) -> None:
        """`told`: what its row says of a mask."""
        self.tracks = list(tracks)
        texts = [told(track) for track in tracks]
        if self.count() != len(texts):
            self.clear()
            for _ in texts:
                self.addItem(QListWidgetItem())
        for number, (track, text) in enumerate(zip(tracks, texts, strict=True)):
            item = self.item(number)
            if item.text() == text and item.data(Qt.ItemDataRole.UserRole) == track.key:
                continue
            swatch = QPixmap(12, 12)
            swatch.fill(QColor(track.colour))
            item.setIcon(QIcon(swatch))
            item.setText(text)
            item.setData(Qt.ItemDataRole.UserRole, track.key)
            item.setForeground(QBrush(QColor(AMBER)) if track.warning else QBrush())
        if chosen in self.tracks:
            self.setCurrentRow(self.tracks.index(chosen))
