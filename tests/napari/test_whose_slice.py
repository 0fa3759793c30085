"""Whose is a slice? napari's Labels layer keeps the contract of a mask surface."""

import numpy as np
from napari.components import ViewerModel
from surfaces import SHAPE, contract

from napari_boltzformer.host.mask import NapariMask


class NapariRig:
    def __init__(self) -> None:
        viewer = ViewerModel()
        self.layer = viewer.add_labels(np.zeros(SHAPE, np.uint8))
        self.surface = NapariMask(viewer, self.layer, "image", "#000000")
        self._known = 0

    def stroke(self, row: int, y: int, x: int, label: int, size: int) -> None:
        self.layer.brush_size = size
        self.layer.paint((row, y, x), label)

    def undo(self) -> None:
        self.layer.undo()
        self.noted()

    def redo(self) -> None:
        self.layer.redo()
        self.noted()

    def noted(self) -> int:
        before, self._known = self._known, len(self.layer._undo_history)
        return self._known - before


TestNapariMask = contract(NapariRig)
