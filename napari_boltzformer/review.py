"""The slice bar with its two thresholds and totals. Thresholds re-apply from kept logits: the model is never asked."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QSlider, QVBoxLayout, QWidget

from napari_boltzformer.answers import Answers, Choices, Thresholds
from napari_boltzformer.slice_bar import SliceBar

PORTION_S = 0.010
"""So long the viewer may wait for slices that are not on screen."""
Write = Callable[[int, int, NDArray[np.bool_]], int | None]
"""(lane, row, mask) → None once it is written. A slice that a person changed stays: then the voxels that it holds."""


@dataclass
class Lane:
    """One prompt in the bar."""

    name: str
    colour: QColor
    answers: Answers
    painted: dict[int, int] = field(default_factory=dict[int, int])
    """Voxels of the rows that are a person's: changed, or accepted as they were."""
    edited: set[int] = field(default_factory=set[int])
    """Those that a person changed."""


class SliceReview(QWidget):
    """Rows are slices as the viewer counts them. `write` puts a mask into a layer, `refresh` draws what changed."""

    jumped = Signal(int)
    """The user wants to see this row."""
    thresholds_changed = Signal(object)
    """The new `Thresholds`; the slice on screen has them already."""
    reapplied = Signal()
    """All slices have them."""

    def __init__(self, write: Write, refresh: Callable[[], None]) -> None:
        super().__init__()
        self._write, self._refresh = write, refresh
        self._lanes: list[Lane] = []
        self._row, self._count = 0, 1
        self._voxel_ml: float | None = None
        self._image, self._choices = "", Choices()
        self._left: deque[int] = deque()
        self.bar, self.totals = SliceBar(), QLabel()
        self.totals.setMinimumWidth(1)  # a long sentence must not make the window wider
        self.gate, self.outline = _slider("show in slice"), _slider("outline")
        self.gate_words, self.outline_words = QLabel(), QLabel()
        self.reset = QPushButton("Reset")
        self.reset.setToolTip("Back to the model's own thresholds")
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._portion)
        self._lay_out()
        self._say()
        self.bar.jumped.connect(self._on_jump)
        self.bar.gate_dragged.connect(lambda gate: self.gate.setValue(round(100 * gate)))
        self.gate.valueChanged.connect(lambda value: self._choose(replace(self.thresholds, existence=value / 100)))
        self.outline.valueChanged.connect(lambda value: self._choose(replace(self.thresholds, outline=value / 100)))
        self.reset.clicked.connect(lambda: self._choose(self._choices.own(self._image)))

    @property
    def thresholds(self) -> Thresholds:
        """What is shown at present; slices that arrive later are shown at them, too."""
        return self._choices.of(self._image)

    # --- what it is told -----------------------------------------------------------------------------------------

    def set_run(
        self, lanes: Sequence[Lane], count: int, *, row: int, gate: float, voxel_ml: float | None, image: str = ""
    ) -> None:
        """A run begins on an image of `count` slices; what the lanes hold of earlier runs is shown.

        `gate` is the model's own and holds until the user moves a slider, which moves this `image` alone.
        `voxel_ml`: None for images without a scale.
        """
        self._timer.stop()
        self._lanes, self._count, self._voxel_ml = list(lanes), count, voxel_ml
        self._image = image
        self._choices.begin(image, gate)
        self._show_thresholds()
        self.bar.set_run([(lane.name, lane.colour) for lane in lanes], count)
        self.set_row(row)
        for number, lane in enumerate(self._lanes):
            self.bar.set_edited(number, lane.edited, lane.painted)
            for past in set(lane.answers.looked) - set(lane.answers.rows):
                self.bar.set_mark(number, past, lane.answers.mark(past))
        self._apply()

    def slice_finished(self, row: int) -> None:
        """The lanes' answers hold this row now, and their masks are written."""
        self._mark(row)
        self._say()

    def set_row(self, row: int) -> None:
        """The slice on screen."""
        self._row = row
        self.bar.set_row(row)

    def set_edited(self, lane: int, painted: Mapping[int, int], edited: Collection[int]) -> None:
        """Rows that are a person's, with the voxels they hold: they are never written, and count as they are."""
        self._lanes[lane].painted, self._lanes[lane].edited = dict(painted), set(edited)
        self.bar.set_edited(lane, edited, painted)
        self._say()

    def set_accepted(self, rows: Collection[int]) -> None:
        """Rows that a person accepted."""
        self.bar.set_accepted(rows)

    def set_failed(self, rows: Mapping[int, str]) -> None:
        """Rows that could not be done, and why."""
        self.bar.set_failed(rows)

    # --- thresholds ----------------------------------------------------------------------------------------------

    def _choose(self, thresholds: Thresholds) -> None:
        self._choices.choose(self._image, thresholds)
        self._show_thresholds()
        self._apply()
        self.thresholds_changed.emit(thresholds)

    def _show_thresholds(self) -> None:
        """The sliders only show hundredths; a model's own gate holds to the last digit."""
        now = self.thresholds
        for slider, value in ((self.gate, now.existence), (self.outline, now.outline)):
            slider.blockSignals(True)
            slider.setValue(round(100 * value))
            slider.blockSignals(False)

    def _on_jump(self, row: int) -> None:
        self._row = row
        self.jumped.emit(row)

    def _apply(self) -> None:
        """The slice on screen at once, the rest from there outwards when the viewer is idle."""
        for lane in self._lanes:
            lane.answers.thresholds = self.thresholds
        rows = sorted({row for lane in self._lanes for row in lane.answers.rows}, key=lambda one: abs(one - self._row))
        self._left = deque(rows)
        if rows and rows[0] == self._row:
            self._write_again(self._left.popleft())
            self._refresh()
        self.bar.set_gate(self.thresholds.existence)
        self._say()
        self._timer.start(0)

    def _portion(self) -> None:
        until = time.perf_counter() + PORTION_S
        while self._left and time.perf_counter() < until:
            self._write_again(self._left.popleft())
        self._refresh()
        self._say()
        if not self._left:
            self._timer.stop()
            self.reapplied.emit()

    def _write_again(self, row: int) -> None:
        for number, lane in enumerate(self._lanes):
            if row not in lane.answers.rows or not lane.answers.stale(row):
                continue
            painted = self._write(number, row, lane.answers.mask(row))
            known = lane.painted.get(row)
            if painted is not None:
                lane.painted[row] = painted
            else:
                lane.painted.pop(row, None)
                lane.edited.discard(row)
            if known != painted:
                self.bar.set_edited(number, lane.edited, lane.painted)
        self._mark(row)

    def _mark(self, row: int) -> None:
        for number, lane in enumerate(self._lanes):
            if row in lane.answers.looked:
                self.bar.set_mark(number, row, lane.answers.mark(row))

    # --- words ---------------------------------------------------------------------------------------------------

    def _say(self) -> None:
        at = self.thresholds
        self.gate_words.setText(f"show in slice if score ≥ {at.existence:.2f} (uncalibrated)")
        self.outline_words.setText(f"outline at ≥ {at.outline:.2f}")
        lines = [f"{one.name}: {one.answers.total(self._count, self._voxel_ml, one.painted)}" for one in self._lanes]
        earlier = {row for one in self._lanes for row in set(one.answers.looked) - set(one.answers.rows)}
        if earlier and at != self._choices.own(self._image):
            which = "1 slice" if len(earlier) == 1 else f"{len(earlier)} slices"
            lines.append(f"{which} of an earlier day stay as they were: run them again to move their thresholds")
        self.totals.setText("\n".join(lines))

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
