"""`Looking`: asks how the model looked at the slice on screen, and opens the view of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boltzformer.pictures import looks_picture, slice_picture
from napari_boltzformer.layers import plan_of, volume_of
from napari_boltzformer.running import SEED
from napari_boltzformer.sampling import LooksView

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock


class Looking:
    """Costs nothing before it is asked."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self.view: LooksView | None = None

    def look(self) -> None:
        """At the selected mask's prompt."""
        layer, track = self._dock.chosen_image(), self._dock.active_track()
        if layer is None or track is None:
            self._dock.notice.say("Run a prompt first, then see how the model looked.")
            return
        volume, index, prompt = volume_of(layer), self._dock.current_slice(), track.prompt.text
        window = self._dock.seeing.window_of(layer, volume) or volume.window()
        plan, shown, session = plan_of(volume), np.array(track.rows[self._dock.row()]), self._dock.session
        picture = slice_picture(volume, plan, window, index)

        def look() -> np.ndarray:
            trace = session.trace(volume, prompt, index, seed=SEED, window=window)
            return looks_picture(picture, plan, trace, shown, columns=len(trace.layers), width=140)

        self._dock.background.do(look, self._show)

    def _show(self, picture: np.ndarray) -> None:
        if self.view is None:
            self.view = LooksView()
            self._dock.viewer.window.add_dock_widget(self.view, name="How it looked", area="bottom")
        self.view.picture.show_picture(picture)
