"""Beside the thresholds, two sliders: hide small objects, keep the largest. They act at once; no model is asked."""

from __future__ import annotations

from typing import Any

from boltzformer.desk.desk import Desk
from BoltzFormerLib.translating import tr

ALL = 21
"""Place of the slider where every object stays; before it, so many of the largest do."""


class SizeSliders:
    """Show what was chosen for the volume, and hand over what the user chooses."""

    def __init__(self, ui: Any, desk: Desk) -> None:
        self._ui, self._sizes, self._reapplying = ui, desk.sizes, desk.overview.reapplying
        self._showing = False
        for slider in (ui.smallestSlider, ui.largestSlider):
            slider.connect("valueChanged(int)", lambda _: self._choose())
        self._reapplying.changed.append(self._say)
        self._sizes.changed.append(lambda _: self._say())
        self._say()

    def _choose(self) -> None:
        if not self._showing:
            ui, at = self._ui, self._reapplying
            most = None if ui.largestSlider.value == ALL else ui.largestSlider.value
            least = at.scale.steps_mm3[ui.smallestSlider.value]
            at.choose_objects(smallest_mm3=least, largest=most, apart=at.thresholds.apart)

    def _say(self) -> None:
        ui, at, scale = self._ui, self._reapplying.thresholds, self._reapplying.scale
        self._showing = True
        ui.smallestSlider.maximum = len(scale.steps_mm3) - 1
        ui.smallestSlider.value = max(n for n, size in enumerate(scale.steps_mm3) if size <= at.smallest_mm3)
        ui.largestSlider.value = ALL if at.largest is None else min(at.largest, ALL - 1)
        self._showing = False
        hidden = self._sizes.count
        gone = tr(" ({count} hidden)").format(count=hidden) if hidden and at.of_objects else ""
        under = scale.small(at.smallest_mm3) if at.smallest_mm3 else f"… {scale.size_unit}"
        ui.smallestLabel.text = tr("hide objects under {size}{gone}").format(size=under, gone=gone)
        if at.largest is None:
            ui.largestLabel.text = tr("keep all")
        elif at.largest == 1:
            ui.largestLabel.text = tr("keep the largest")
        else:
            ui.largestLabel.text = tr("keep the {count} largest").format(count=at.largest)
