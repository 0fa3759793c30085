"""How masks are drawn: a picture's as an outline, so that what lies below stays in sight; a slider fills them."""

from __future__ import annotations

from contextlib import suppress

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QSlider, QWidget

from boltzformer.desk.desk import Desk
from boltzformer.desk.masks.track import Track
from boltzformer.errors import BoltzFormerError
from napari_boltzformer.host.mask import OPACITY
from napari_boltzformer.host.narrow import Words


class FillSlider(QWidget):
    """Of all masks of the chosen image; at its left end there is the outline alone. It is kept with the work."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk, self._tracks = desk, desk.tracks
        self.slider, self.words = QSlider(Qt.Orientation.Horizontal), Words()
        self.words.reserve("fill 100 %")
        self.slider.setRange(0, 100)
        self.slider.setPageStep(10)
        self.slider.setMinimumWidth(60)
        self.slider.setMaximumWidth(120)
        self.slider.setAccessibleName("fill of the masks")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.words)
        layout.addWidget(self.slider)
        layout.addStretch()
        self.slider.valueChanged.connect(self._fill)
        desk.tracks.made.append(lambda track: self.show_masks())
        desk.keeper.back.restored.append(lambda image, prompts: self.show_masks())
        self.show_masks()

    def show_masks(self) -> None:
        """Another image may be chosen, or a mask be new."""
        tracks = self._tracks.chosen()
        self.slider.setEnabled(bool(tracks))
        self.slider.blockSignals(True)
        self.slider.setValue(round(100 * max(map(_filled, tracks), default=self._usual())))
        self.slider.blockSignals(False)
        self._say()

    def _usual(self) -> float:
        """How the first mask of this image will be filled; what another image has is not shown for it."""
        image = self._desk.stage.chosen()
        with suppress(BoltzFormerError):  # running says why
            return OPACITY if image is not None and not image.is_picture else 0.0
        return 0.0

    def _fill(self, value: int) -> None:
        for track in self._tracks.chosen():
            track.surface.fill(value / 100)
            self._desk.keeper.touch(track.image)
        self._say()

    def _say(self) -> None:
        value = self.slider.value()
        self.words.setText(f"fill {value} %" if value else "outline")


def _filled(track: Track) -> float:
    return float(track.surface.filled)
