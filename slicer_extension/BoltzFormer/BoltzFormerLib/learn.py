"""Learn from this case: buttons of what the desk does with slices that were corrected."""

from __future__ import annotations

from typing import Any

from boltzformer.desk.desk import Desk
from BoltzFormerLib.before import BeforeView
from BoltzFormerLib.stage import SlicerStage
from BoltzFormerLib.translating import tr


class CaseButtons:
    """Of the act Teach."""

    def __init__(self, ui: Any, desk: Desk, stage: SlicerStage) -> None:
        self._ui, self._desk, self._stage, self._learning = ui, desk, stage, desk.learning
        self.before = BeforeView(stage)
        ui.asIGoBox.checked, ui.carryBox.checked = desk.settings.learn_as_i_go, desk.settings.carry
        ui.learnCaseButton.connect("clicked()", self._press)
        ui.forgetCaseButton.connect("clicked()", self._learning.forget)
        ui.beforeButton.connect("pressed()", self._show_before)
        ui.beforeButton.connect("released()", self.before.clear)
        for box in (ui.asIGoBox, ui.carryBox):
            box.connect("toggled(bool)", self._choose)
        desk.changed.append(self.show_state)
        self.show_state()

    def show_state(self) -> None:
        """What can be learnt, and what was."""
        ui, learning, track = self._ui, self._learning, self._desk.tracks.active()
        ui.learnCaseButton.text = tr("Stop learning") if learning.busy else tr("Learn from this case")
        ui.learnCaseButton.enabled = learning.busy or track is not None
        ui.beforeButton.enabled = learning.learnt(track) is not None
        ui.forgetCaseButton.enabled = learning.can_forget(track)
        ui.learnCaseLabel.text = learning.standing

    def _press(self) -> None:
        if self._learning.busy:
            self._learning.stop()
        else:
            self._learning.start()

    def _show_before(self) -> None:
        image, track = self._stage.chosen(), self._desk.tracks.active()
        row = 0 if image is None else self._stage.row(image)
        mask = None if image is None or track is None else self._learning.before(track, row)
        if image is None or track is None or mask is None:
            self._desk.notice.say(self._learning.no_before(track, row))
        else:
            self.before.show(image, track, row, mask)

    def _choose(self, *_: Any) -> None:
        self._desk.settings.learn_as_i_go = bool(self._ui.asIGoBox.checked)
        self._desk.settings.carry = bool(self._ui.carryBox.checked)
        self._desk.settings.save()
