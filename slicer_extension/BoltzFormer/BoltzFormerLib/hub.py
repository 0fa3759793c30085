"""A model from the hub: nothing is downloaded before its terms were shown and agreed to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from boltzformer.desk.desk import Desk
from boltzformer.desk.models.choice import FromHub, sentence

KB = 1000


class Hub:
    """Of the part 'Model and engine'."""

    def __init__(self, ui: Any, desk: Desk, load: Callable[[str], None]) -> None:
        """`load` chooses the model that is here by then, by its name."""
        self._ui = ui
        self.model = FromHub(desk.session, desk.work, desk.notice, desk.timers, load)
        self.model.changed.append(self._show)
        ui.hubPlace.connect("textEdited(QString)", lambda _: self.model.forget())
        ui.hubPlace.connect("returnPressed()", self._ask)
        ui.hubAskButton.connect("clicked()", self._ask)
        ui.hubGetButton.connect("clicked()", self.model.get)
        ui.hubStopButton.connect("clicked()", self.model.stop)
        self._show()

    def leave(self) -> None:
        self.model.leave()

    def _ask(self) -> None:
        self.model.ask(self._ui.hubPlace.text.strip())

    def _show(self) -> None:
        """What can be shown and pressed now."""
        ui, model, offer, now = self._ui, self.model, self.model.offer, self.model.now
        if offer is not None:
            ui.hubTerms.text = sentence(offer)
            if ui.hubCard.plainText != offer.card:
                ui.hubCard.setPlainText(offer.card)
        ui.hubTerms.visible = offer is not None
        ui.hubCard.visible = offer is not None and bool(offer.card)
        ui.hubGetButton.visible = offer is not None and not model.downloading
        ui.hubStopButton.visible = model.stoppable
        ui.hubProgress.visible = model.downloading
        for widget in (ui.hubPlace, ui.hubAskButton):  # one download at a time
            widget.enabled = not model.downloading
        ui.hubProgress.maximum = 0 if now is None else now.total // KB
        ui.hubProgress.value = 0 if now is None else now.done // KB
