"""The slice bar with its two thresholds and totals."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QSlider, QVBoxLayout, QWidget

from boltzformer.desk.masks.answers import Thresholds
from boltzformer.desk.masks.thresholds import Reapplying
from napari_boltzformer.bottom.slice_bar import SliceBar


class SliceReview(QWidget):
    """Shows what `Reapplying` knows, and hands it what the user chooses."""

    jumped = Signal(int)
    """The user wants to see this row."""
    thresholds_changed = Signal(object)
    """The user chose these `Thresholds`, or None: the model's own; the slice on screen has them already."""
    reapplied = Signal()
    """All slices have them."""

    def __init__(self, reapplying: Reapplying) -> None:
        super().__init__()
        self.reapplying = reapplying
        self.bar, self.totals = SliceBar(reapplying.bar), QLabel()
        self.totals.setMinimumWidth(1)  # a long sentence must not make the window wider
        self.gate, self.outline = _slider("show in slice"), _slider("outline")
        self.gate_words, self.outline_words = QLabel(), QLabel()
        self.reset = QPushButton("Reset")
        self.reset.setToolTip("Back to the model's own thresholds")
        self._lay_out()
        self._say()
        self.bar.jumped.connect(self._on_jump)
        self.bar.gate_dragged.connect(lambda gate: self.gate.setValue(round(100 * gate)))
        self.gate.valueChanged.connect(lambda value: reapplying.choose(existence=value / 100))
        self.outline.valueChanged.connect(lambda value: reapplying.choose(outline=value / 100))
        self.reset.clicked.connect(reapplying.reset)
        reapplying.changed.append(self._say)
        reapplying.chosen.append(self.thresholds_changed.emit)
        reapplying.done.append(self.reapplied.emit)

    @property
    def thresholds(self) -> Thresholds:
        """What is shown at present."""
        return self.reapplying.thresholds

    def _on_jump(self, row: int) -> None:
        self.reapplying.set_row(row)
        self.jumped.emit(row)

    def _say(self) -> None:
        """The sliders only show hundredths; a model's own gate holds to the last digit."""
        at = self.thresholds
        for slider, value in ((self.gate, at.existence), (self.outline, at.outline)):
            slider.blockSignals(True)
            slider.setValue(round(100 * value))
            slider.blockSignals(False)
        self.gate_words.setText(f"show in slice if score ≥ {at.existence:.2f} (uncalibrated)")
        self.outline_words.setText(f"outline at ≥ {at.outline:.2f}")
        self.totals.setText("\n".join(self.reapplying.totals))

    def _lay_out(self) -> None:
        sliders = QHBoxLayout()
        for widget in (self.gate_words, self.gate, self.outline_words, self.outline, self.reset):
            sliders.addWidget(widget)
        sliders.insertSpacing(2, 16)
        sliders.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(3)
        layout.addWidget(self.bar)
        layout.addLayout(sliders)
        layout.addWidget(self.totals)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)


def _slider(name: str) -> QSlider:
    """In hundredths."""
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(1, 99)
    slider.setValue(50)
    slider.setPageStep(5)
    slider.setMinimumWidth(60)
    slider.setMaximumWidth(160)
    slider.setAccessibleName(name)
    return slider
