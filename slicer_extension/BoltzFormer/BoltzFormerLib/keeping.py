"""Keep: what is accepted, and in which folder. A segment that is wholly accepted is complete for Slicer, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from boltzformer.desk.desk import Desk
from boltzformer.desk.keeping.kept_in import accepted_folder
from boltzformer.types import SliceState
from BoltzFormerLib.segmentations import complete
from BoltzFormerLib.translating import tr


class KeepButtons:
    """Of the desk's `Keeper`."""

    def __init__(self, ui: Any, desk: Desk) -> None:
        self._ui, self._desk = ui, desk
        keeper = desk.keeper
        for button, do in (
            (ui.acceptButton, keeper.accept),
            (ui.nothingButton, keeper.nothing),
            (ui.acceptAllButton, keeper.accept_all),
            (ui.acceptPaintedButton, keeper.accept_painted),
        ):
            button.connect("clicked()", self._and_complete(do))
        ui.folderButton.connect("clicked()", keeper.choose_folder)
        for heard in (keeper.place.moved, desk.cases.listed):
            heard.append(self.show_folder)
        desk.changed.extend((self.show_accepts, self.show_folder))
        desk.overview.moved.append(self.show_accepts)
        self.show_folder()

    def show_accepts(self) -> None:
        """Which segments would be accepted."""
        told, button = self._desk.accepts, self._ui.acceptButton
        button.text = told.button.replace("Accept", tr("Accept"))
        here, picture = tr("This slice of all shown masks is right"), tr("This picture in all shown masks is right")
        button.toolTip = "\n".join(filter(None, (picture if told.picture else here, told.words)))

    def show_folder(self) -> None:
        """Where what is accepted is kept."""
        place = self._desk.keeper.kept_in
        kept = tr("Kept in {folder}").format(folder=Path(place).name) if place else tr("Kept in the usual folder")
        self._ui.keptLabel.text, self._ui.keptLabel.toolTip = kept, place or str(accepted_folder())

    def _and_complete(self, do: Callable[[], None]) -> Callable[[], None]:
        def pressed() -> None:
            do()
            for track in self._desk.tracks.chosen():
                segment = track.surface.node.GetSegmentation().GetSegment(track.surface.segment)  # type: ignore[attr-defined]
                complete(segment, all(track.state(row) is not SliceState.UNSEEN for row in range(track.count)))

        return pressed
