"""`Images`: the box of images: which are listed, and what follows when another one is chosen."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Qt, QTimer

from boltzformer import BoltzFormerError
from boltzformer.samples import Sample, sample
from napari_boltzformer.hanging import hang
from napari_boltzformer.layers import image_layer, plan_of
from napari_boltzformer.looks_canvas import LIGHT
from napari_boltzformer.masks import same

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock


class Images:
    """The light of the looks is no image of the user's."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self._looked_for: set[str] = set()
        self._entering = QTimer(dock)
        self._entering.setSingleShot(True)
        self._entering.timeout.connect(self._enter)

    def example(self) -> None:
        """Opens the sample case, at its finding."""
        self._dock.example.setEnabled(False)
        again = partial(self._dock.example.setEnabled, True)
        self._dock.background.do(sample, self._show_example, failed=again)

    def _show_example(self, case: Sample) -> None:
        dock = self._dock
        dock.example.setEnabled(True)
        data, options, _ = image_layer(case.volume)
        dock.viewer.add_image(data, **options)
        dock.jump(plan_of(case.volume).canonical_index(case.index))
        dock.prompt.setPlainText(case.prompt)
        dock.notice.say("The example is open: Ctrl+Enter looks at this slice.")

    def show(self, event: Any = None) -> None:
        """A newly opened image is chosen; otherwise the choice stays, also when its layer is renamed."""
        box = self._dock.image
        images = [one for one in self._dock.viewer.layers if isinstance(one, Image) and LIGHT not in one.metadata]
        opened = getattr(event, "value", None) if getattr(event, "type", "") == "inserted" else None
        last = box.currentData()
        before = opened if opened in images else last
        box.blockSignals(True)  # one change, told once
        box.clear()
        for layer in images:
            box.addItem(layer.name, layer)
            box.setItemData(box.count() - 1, layer.name, Qt.ItemDataRole.ToolTipRole)  # the box may be too narrow
        if images:
            box.setCurrentIndex(images.index(before) if before in images else len(images) - 1)
        box.blockSignals(False)
        self.chosen()
        if (layer := box.currentData()) is not None and not same(layer, last):
            self._entering.start()  # once the viewer itself has heard of it

    def picked(self) -> None:
        """A person chose another one, and wants to see it."""
        layer = self._dock.chosen_image()
        if layer is not None:
            self._dock.screen.bring(layer)
        self.chosen()
        if layer is not None:
            self._dock.screen.uncover(layer)

    def _enter(self) -> None:
        if (layer := self._dock.chosen_image()) is not None:
            self._dock.screen.bring(layer)

    def chosen(self) -> None:
        """Another image than before, or the same one among other layers."""
        dock = self._dock
        layer = dock.chosen_image()
        dock.image.setToolTip("" if layer is None else layer.name)
        if layer is not None:
            dock.keys.bind(layer)
            self._look_for_work(layer)
        hang(dock.viewer, layer)
        dock.seeing.show_picture()
        dock.layers_changed()
        dock.running.switched()

    def _look_for_work(self, layer: Image) -> None:
        """Once per image."""
        if layer.unique_id not in self._looked_for:
            self._looked_for.add(layer.unique_id)
            with suppress(BoltzFormerError):  # an image that can't be segmented has no work either
                self._dock.keeper.look_for(layer)
