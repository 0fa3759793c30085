"""`Closer`: the drawn box, looked at enlarged through all slices, for objects too small to be seen in a whole slice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QCheckBox

from boltzformer import BoltzFormerError
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.region import region_of
from boltzformer.desk.words import ViewerWords
from boltzformer.image.region import Region


class Closer(QCheckBox):
    """A tick, and what it makes of the box. What had been found outside of the box stays."""

    def __init__(self, drawn: Callable[[OpenImage], NDArray[np.float64] | None], words: ViewerWords) -> None:
        """`drawn`: the ends of an image's box."""
        super().__init__("Look closer: only inside the box")
        self._drawn, self._words = drawn, words
        self.setToolTip(
            "This slice and All slices show the model nothing but the box, enlarged; masks outside of it stay"
        )

    def region(self, image: OpenImage) -> Region | None:
        """What a run is to look at; None: all of it."""
        if not self.isChecked():
            return None
        drawn = self._drawn(image)
        if drawn is None:
            raise BoltzFormerError(f"There is no box to look closer in: {self._words.draw_box}")
        return region_of(image.volume, drawn)
