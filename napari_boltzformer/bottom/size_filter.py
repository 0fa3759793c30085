"""Beside the thresholds, two sliders: hide small objects, keep the largest; for a picture a tick: one label per object.
They act at once; no model is asked."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import QCheckBox, QGridLayout, QSizePolicy, QSlider, QWidget

from boltzformer.desk.masks.sizes import Sizes
from boltzformer.desk.masks.thresholds import Reapplying
from boltzformer.desk.scale import Scale
from napari_boltzformer.host.narrow import BELOW, Words

GAP = 10
"""Pixels between two sliders."""
ALL = 21
"""Place of the slider where every object stays; before it, so many of the largest do."""


class SizeFilter(QWidget):
    """Shows what was chosen for the image, and hands over what the user chooses."""

    def __init__(self, reapplying: Reapplying, sizes: Sizes) -> None:
        super().__init__()
        self._reapplying, self._sizes = reapplying, sizes
        self.smallest, self.largest = _slider("hide small objects"), _slider("keep the largest")
        self.largest.setRange(1, ALL)
        self.smallest_words, self.largest_words = Words(), Words()
        self._longest = {self.largest_words: _largest(ALL - 1)}
        """Of what they say by turns."""
        self.hidden_words = Words()
        """How many are hidden: behind all sliders, so that none moves when it is said."""
        self.hidden_words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.hidden_words.setMinimumWidth(1)
        self.apart = QCheckBox("one label per object")
        self.apart.setToolTip(
            "Objects that touch are parted. S held and a click splits one, J joins two, D deletes one"
        )
        self._groups: list[tuple[QWidget, ...]] = [
            (self.smallest_words, self.smallest),
            (self.largest_words, self.largest),
            (self.apart,),
        ]
        """What stays side by side."""
        self._grid, self._lines = QGridLayout(self), 0
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(6)
        self._grid.setVerticalSpacing(2)
        self._say()
        self._lay()
        self.smallest.valueChanged.connect(self._choose)
        self.largest.valueChanged.connect(self._choose)
        self.apart.clicked.connect(self._choose)
        reapplying.changed.append(self._say)
        sizes.changed.append(lambda _: self._say())

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """In less width than all of it takes there are more lines, and no words are cut."""
        return QSize(min(max(self._widths()), BELOW), super().minimumSizeHint().height())

    def event(self, event: QEvent | None) -> bool:
        told = super().event(event)
        if event is not None and event.type() in (QEvent.Type.Resize, QEvent.Type.Show, QEvent.Type.LayoutRequest):
            self._lay()
        return told

    def _widths(self) -> list[int]:
        shown = [[one for one in group if not one.isHidden()] for group in self._groups]
        return [sum(_least(one) + 6 for one in group) for group in shown]

    def _lay(self) -> None:
        """All in one line if it fits, else each group in its own."""
        self._reserve()
        lines = 1 if sum(self._widths()) + 2 * GAP <= self.width() else len(self._groups)
        words = max(one.sizeHint().width() for one in (self.smallest_words, self.largest_words))
        fits = lines > 1 and max(self._widths()) <= self.width()
        least = words if fits else 0
        if self._grid.columnMinimumWidth(0) != least:  # saying the same again would ask for another layout, for ever
            self._grid.setColumnMinimumWidth(0, least)  # a slider gives way before its words do
        if lines == self._lines:
            return
        self._lines, column = lines, 0
        for number, group in enumerate(self._groups):
            row, column = (number, 0) if lines > 1 else (0, column)
            for one in group:
                span = 2 if lines > 1 and len(group) == 1 else 1
                self._grid.addWidget(one, row, column, 1, span)
                column += span
        self._grid.addWidget(self.hidden_words, 0, column)
        for one in range(2 * len(self._groups)):
            self._grid.setColumnStretch(one, 1 if one == column else 0)
        self.updateGeometry()

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
        self.apart.setVisible(scale.flat and bool(self._reapplying.bar.lanes))
        self.apart.setChecked(at.apart)  # `clicked` hears only of a person
        hidden = self._sizes.count
        self.hidden_words.setText(f"{hidden} hidden" if hidden and at.of_objects else "")
        self._longest[self.smallest_words] = max((_under(scale, size) for size in scale.steps_mm3), key=self._long)
        self._reserve()
        self.smallest_words.setText(_under(scale, at.smallest_mm3))
        self.largest_words.setText(_largest(at.largest))

    def _reserve(self) -> None:
        """So that no slider moves while it is dragged; where there is little room, the words alone have theirs."""
        room = self.width() - self.smallest.minimumWidth() - 4 * GAP
        for words, longest in self._longest.items():
            words.reserve(longest if self._long(longest) <= room else "")

    def _long(self, words: str) -> int:
        return self.smallest_words.fontMetrics().horizontalAdvance(words)  # labels have letters of their own


def _under(scale: Scale, smallest_mm3: float) -> str:
    return f"hide objects under {scale.small(smallest_mm3) if smallest_mm3 else f'… {scale.size_unit}'}"


def _largest(largest: int | None) -> str:
    if largest is None:
        return "keep all"
    return "keep the largest" if largest == 1 else f"keep the {largest} largest"


def _least(widget: QWidget) -> int:
    return widget.minimumWidth() if isinstance(widget, QSlider) else widget.sizeHint().width()


def _slider(name: str) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setPageStep(1)
    slider.setMinimumWidth(60)
    slider.setMaximumWidth(160)
    slider.setAccessibleName(name)
    return slider
