"""`Results`: one row per mask: name, best score, where was looked, how many objects. A click makes its layer active."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor, QIcon, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from napari_boltzformer.canvas.closer import in_box
from napari_boltzformer.dock.prompts import AMBER
from napari_boltzformer.host.mask import Track

ROWS = 4


class Results(QListWidget):
    """Shows; decides nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(ROWS * self.fontMetrics().lineSpacing())
        self.tracks: list[Track] = []

    def show_tracks(
        self, tracks: Sequence[Track], on_screen: int, objects: dict[str, int], chosen: Track | None
    ) -> None:
        """`objects`: counted so far, by layer id."""
        self.tracks = list(tracks)
        texts = [sentence(track, on_screen, objects.get(track.layer.unique_id)) for track in tracks]
        if self.count() != len(texts):
            self.clear()
            for _ in texts:
                self.addItem(QListWidgetItem())
        for number, (track, text) in enumerate(zip(tracks, texts, strict=True)):
            item = self.item(number)
            if item.text() == text and item.data(Qt.ItemDataRole.UserRole) == track.layer.unique_id:
                continue
            swatch = QPixmap(12, 12)
            swatch.fill(QColor(track.colour))
            item.setIcon(QIcon(swatch))
            item.setText(text)
            item.setData(Qt.ItemDataRole.UserRole, track.layer.unique_id)
            item.setForeground(QBrush(QColor(AMBER)) if track.warning else QBrush())
        if chosen in self.tracks:
            self.setCurrentRow(self.tracks.index(chosen))


def sentence(track: Track, on_screen: int, objects: int | None) -> str:
    """'MS lesion · score 0.83 · this slice · 2 objects', and what speaks against it."""
    parts = [track.name]
    if track.scores:
        parts += [f"score {max(track.scores.values()):.2f}", where(track, on_screen), *in_box(track)]
    if objects is not None:
        parts.append("1 object" if objects == 1 else f"{objects} objects")
    edited = "\n" + track.warning if track.warning else ""
    return " · ".join(parts) + edited


def where(track: Track, on_screen: int) -> str:
    """Which slices were looked at."""
    looked, count = len(track.scores), len(track.rows)
    if looked == count:
        return "this slice" if count == 1 else f"all {count} slices"
    if looked == 1:
        (row,) = track.scores
        return "this slice" if row == on_screen else f"slice {row}"
    return f"{looked} of {count} slices"
