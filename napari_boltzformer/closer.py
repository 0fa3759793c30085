"""`Closer`: the drawn box, looked at enlarged through all slices, for objects too small to be seen in a whole slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QCheckBox

from boltzformer import BoltzFormerError, Volume
from boltzformer.region import Region
from napari_boltzformer.layers import stored_voxel
from napari_boltzformer.masks import Track

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock


class Closer:
    """A tick, and what it makes of the box. What had been found outside of the box stays."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self.only_box = QCheckBox("Look closer: only inside the box")
        self.only_box.setToolTip(
            "This slice and All slices show the model nothing but the box, enlarged; masks outside of it stay"
        )
        dock.more_layout.addWidget(self.only_box)

    def region(self, image: Image, volume: Volume) -> Region | None:
        """What a run is to look at; None: all of it."""
        if not self.only_box.isChecked():
            return None
        drawn = self._dock.guide.drawn(image)
        if drawn is None:
            raise BoltzFormerError(
                "There is no box to look closer in: 'Draw a box' first, or untick 'Look closer' (both under More)."
            )
        along, wide = plane_of(drawn)
        if not wide:
            raise BoltzFormerError("The box is thinner than a voxel: draw a larger one.")
        low, high = drawn.copy()
        if along is not None:  # a rectangle is meant for all that lies behind and before it
            low[along], high[along] = 0, image.data.shape[along] - 1
        places = np.rint([stored_voxel(volume, (0.0, *end)[-3:]) for end in (low, high)]).astype(int)
        size = np.array(volume.grid.shape[::-1])
        first, last = np.maximum(places.min(axis=0), 0).tolist(), np.minimum(places.max(axis=0), size - 1).tolist()
        if any(a > b for a, b in zip(first, last, strict=True)):
            raise BoltzFormerError("The box lies outside of the image: draw it on the image.")
        return Region.of_voxels(volume.grid, (first[0], first[1], first[2]), (last[0], last[1], last[2]))


def plane_of(drawn: np.ndarray) -> tuple[int | None, bool]:
    """The axis across which a rectangle lies (None in a flat image), and whether it is at least a voxel wide."""
    extent = drawn[1] - drawn[0]
    along = None if len(extent) == 2 else int(np.argmin(extent))
    return along, bool((np.delete(extent, [] if along is None else along) >= 1).all())


def in_box(track: Track) -> list[str]:
    """What a result row says of slices where not everything was looked at."""
    boxed, looked = track.kept.in_box_only, len(track.kept.rows)
    if boxed:
        return ["only in the box" if boxed == looked else f"{boxed} of them only in the box"]
    closer = sum(how.get("region") is not None for how in track.how.values())
    return [f"{closer} closer in the box"] if closer else []
