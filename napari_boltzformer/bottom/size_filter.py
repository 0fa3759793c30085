"""Beside the thresholds, two sliders: hide small objects, keep the largest; for a picture a tick: one label per object.
They act at once; no model is asked."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QWidget

from boltzformer.desk.masks.sizes import Sizes
from boltzformer.desk.masks.thresholds import Reapplying

ALL = 21
"""Place of the slider where every object stays; before it, so many of the largest do."""


class SizeFilter(QWidget):
    """Shows what was chosen for the image, and hands over what the user chooses."""

    def __init__(self, reapplying: Reapplying, sizes: Sizes) -> None:
        super().__init__()
        self._reapplying, self._sizes = reapplying, sizes
        self.smallest, self.largest = _slider("hide small objects"), _slider("keep the largest")
        self.largest.setRange(1, ALL)
        self.smallest_words, self.largest_words = QLabel(), QLabel()
        self.apart = QCheckBox("one label per object")
        self.apart.setToolTip(
            "Objects that touch are parted. S held and a click splits one, J joins two, D deletes one"
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.smallest_words, self.smallest, self.largest_words, self.largest, self.apart):
            layout.addWidget(widget)
        layout.insertSpacing(2, 16)
        layout.addStretch()
        self._say()
        self.smallest.valueChanged.connect(self._choose)
        self.largest.valueChanged.connect(self._choose)
        self.apart.clicked.connect(self._choose)
        reapplying.changed.append(self._say)
        sizes.changed.append(lambda _: self._say())

    def _choose(self) -> None:
        least = self._reapplying.scale.steps_mm3[self.smallest.value()]
        most = None if self.largest.value() == ALL else self.largest.value()
        self._reapplying.choose_objects(smallest_mm3=least, largest=most, apart=self.apart.isChecked())

    def _say(self) -> None:
        at, scale = self._reapplying.thresholds, self._reapplying.scale
        places = {
            self.smallest: max(n for n, size in enumerate(scale.steps_mm3) if size <= at.smallest_mm3),
            self.largest: ALL if at.largest is None else min(at.largest, ALL - 1),
        }
        for slider, place in places.items():
            slider.blockSignals(True)
            if slider is self.smallest:
                slider.setRange(0, len(scale.steps_mm3) - 1)
            slider.setValue(place)
            slider.blockSignals(False)
        self.apart.setVisible(scale.flat)
        self.apart.setChecked(at.apart)  # `clicked` hears only of a person
        hidden = self._sizes.count
        gone = f" ({hidden} hidden)" if hidden and at.of_objects else ""
        under = scale.small(at.smallest_mm3) if at.smallest_mm3 else f"… {scale.size_unit}"
        self.smallest_words.setText(f"hide objects under {under}{gone}")
        most = "keep the largest" if at.largest == 1 else f"keep the {at.largest} largest"
        self.largest_words.setText("keep all" if at.largest is None else most)


def _slider(name: str) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setPageStep(1)
    slider.setMinimumWidth(60)
    slider.setMaximumWidth(160)
    slider.setAccessibleName(name)
    return slider
