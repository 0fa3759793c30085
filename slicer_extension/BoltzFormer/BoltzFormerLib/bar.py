"""The slice bar as a picture: per prompt and slice found, nothing, hidden, not looked; signs; the slice on screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.masks.lanes import Bar, State
from boltzformer.desk.masks.overview import Overview
from boltzformer.desk.ports import Timers
from BoltzFormerLib.pictures import PictureFile
from BoltzFormerLib.translating import tr

WIDTH, LANE, SIGNS, GAP = 420, 22, 8, 2
"""Pixels: of the picture, of a prompt's lane, of the strips for signs, between lanes."""
GROUND, UNKNOWN, LINE, NOW = (30, 32, 38), (72, 76, 86), (150, 154, 164), (255, 255, 255)
BAD, GOOD, HAND = (255, 90, 80), (120, 220, 130), (255, 225, 120)
SOON_MS = 60
Colour = tuple[int, int, int]


def picture(bar: Bar, width: int = WIDTH) -> NDArray[np.uint8]:
    """(rows, columns, 3). Signs above: accepted, could not be done; below: changed by hand."""
    lanes = max(len(bar.lanes), 1)
    drawn = np.empty((2 * SIGNS + lanes * (LANE + GAP), width, 3), np.uint8)
    drawn[:] = GROUND
    for number, lane in enumerate(bar.lanes):
        bottom, own = SIGNS + (number + 1) * (LANE + GAP) - GAP, _rgb(lane.colour)
        for row in range(bar.count):
            first, last = _columns(row, bar.count, width)
            mark, state = lane.mark(row), lane.state(row)
            high = max(2, round(LANE * mark.score)) if mark is not None else LANE
            box = drawn[bottom - high : bottom, first:last]
            if state is State.UNKNOWN:
                drawn[bottom - LANE : bottom, first:last] = UNKNOWN
            elif state is State.NOTHING:
                drawn[bottom - 2 : bottom, first:last] = LINE
            elif state is State.HIDDEN:  # hollow
                box[[0, -1]] = own
                box[:, [0, -1]] = own
            else:
                box[...] = own
        gate = bottom - round(LANE * bar.gate)
        drawn[gate : gate + 1, ::4] = NOW
    for row in range(bar.count):
        first, last = _columns(row, bar.count, width)
        for sign, colour in ((row in bar.accepted, GOOD), (row in bar.failed, BAD)):
            if sign:
                drawn[1 : SIGNS - 2, first:last] = colour
        if any(row in lane.edited for lane in bar.lanes):
            drawn[-SIGNS + 2 : -1, first:last] = HAND
    first, last = _columns(bar.row, bar.count, width)
    drawn[:, first], drawn[:, last - 1] = NOW, NOW
    return drawn


class BarView:
    """The bar, a slider that jumps to a slice, and both thresholds."""

    def __init__(self, ui: Any, overview: Overview, timers: Timers, jump: Callable[[int], None]) -> None:
        self._ui, self._overview, self._jump = ui, overview, jump
        self.picture = PictureFile(ui.barLabel)
        self._showing = False
        self._soon = timers.after(SOON_MS, self.show)
        overview.bar.heard.append(lambda row: self._soon.start())
        overview.reapplying.changed.append(self._say)
        ui.rowSlider.connect("valueChanged(int)", self._on_row)
        ui.gateSlider.connect("valueChanged(int)", lambda at: self._on_threshold(existence=at / 100))
        ui.outlineSlider.connect("valueChanged(int)", lambda at: self._on_threshold(outline=at / 100))
        ui.resetButton.connect("clicked()", overview.reapplying.reset)
        self._say()

    def show(self) -> None:
        """Once the viewer is idle, however often something changed."""
        bar, ui = self._overview.bar, self._ui
        self.picture.show(picture(bar) if bar.lanes else None)
        ui.barLabel.toolTip = bar.words(bar.row)
        self._showing = True
        ui.rowSlider.maximum = bar.count - 1
        ui.rowSlider.value = bar.row
        self._showing = False

    def leave(self) -> None:
        self.picture.leave()

    def _on_row(self, row: int) -> None:
        if not self._showing:
            self._jump(row)

    def _on_threshold(self, **chosen: float) -> None:
        if not self._showing:
            self._overview.reapplying.choose(**chosen)

    def _say(self) -> None:
        """The sliders only show hundredths; a model's own gate holds to the last digit."""
        ui, at = self._ui, self._overview.reapplying.thresholds
        self._showing = True
        ui.gateSlider.value, ui.outlineSlider.value = round(100 * at.existence), round(100 * at.outline)
        self._showing = False
        ui.gateLabel.text = tr("score from {least}").format(least=f"{at.existence:.2f}")
        ui.outlineLabel.text = tr("outline from {least}").format(least=f"{at.outline:.2f}")
        ui.totalsLabel.text = "\n".join(self._overview.reapplying.totals)


def _columns(row: int, count: int, width: int) -> tuple[int, int]:
    first = row * width // count
    last = max((row + 1) * width // count, first + 1)
    return first, last - (last - first > 3)


def _rgb(colour: str) -> Colour:
    red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
    return red, green, blue
