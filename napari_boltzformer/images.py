"""`Images`: the box of images: which are listed, and what follows when another one is chosen."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from boltzformer import BoltzFormerError
from napari_boltzformer.hanging import hang
from napari_boltzformer.looks_canvas import LIGHT

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock


class Images:
    """The light of the looks is no image of the user's."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self._looked_for: set[str] = set()

    def show(self, event: Any = None) -> None:
        """A newly opened image is chosen; otherwise the choice stays, also when its layer is renamed."""
        box = self._dock.image
        images = [one for one in self._dock.viewer.layers if isinstance(one, Image) and LIGHT not in one.metadata]
        opened = getattr(event, "value", None) if getattr(event, "type", "") == "inserted" else None
        before = opened if opened in images else box.currentData()
        box.blockSignals(True)  # one change, told once
        box.clear()
        for layer in images:
            box.addItem(layer.name, layer)
        if images:
            box.setCurrentIndex(images.index(before) if before in images else len(images) - 1)
        box.blockSignals(False)
        self.chosen()

    def chosen(self) -> None:
        """Another image than before, or the same one among other layers."""
        dock = self._dock
        layer = dock.chosen_image()
        if layer is not None:
            dock.keys.bind(layer)
            self._look_for_work(layer)
        hang(dock.viewer, layer)
        dock.seeing.show_picture()
        dock.layers_changed()

    def _look_for_work(self, layer: Image) -> None:
        """Once per image."""
        if layer.unique_id not in self._looked_for:
            self._looked_for.add(layer.unique_id)
            with suppress(BoltzFormerError):  # an image that can't be segmented has no work either
                self._dock.keeper.look_for(layer)
