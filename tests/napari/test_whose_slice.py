"""Whose is a slice? napari's Labels layer keeps the contract of a mask surface."""

from typing import Any

import numpy as np
from napari.components import ViewerModel
from surfaces import SHAPE, contract

from napari_boltzformer.host.mask import NapariMask


class NapariRig:
    def __init__(self) -> None:
        viewer = ViewerModel()
        self.layer = viewer.add_labels(np.zeros(SHAPE, np.uint8))
        self.surface = NapariMask(viewer, self.layer, "image", "#000000")
        self._noted = 0
        self.layer.events.paint.connect(self._on_paint)

    def _on_paint(self, event: Any) -> None:
        self._noted += 1

    def stroke(self, row: int, y: int, x: int, label: int, size: int) -> None:
        self.layer.brush_size = size
        self.layer.paint((row, y, x), label)

    def undo(self) -> None:
        self.layer.undo()

    def redo(self) -> None:
        self.layer.redo()

    def noted(self) -> int:
        noted, self._noted = self._noted, 0
        return noted


TestNapariMask = contract(NapariRig)
