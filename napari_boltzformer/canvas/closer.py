"""`Closer`: the drawn box, looked at enlarged through all slices, for objects too small to be seen in a whole slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtWidgets import QCheckBox

from boltzformer import BoltzFormerError, Volume
from boltzformer.image.region import Region
from napari_boltzformer.host.layers import stored_voxel
from napari_boltzformer.host.mask import Track

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
        return region_of(volume, drawn)


def region_of(volume: Volume, drawn: NDArray[np.float64]) -> Region:
    """A rectangle (2, ndim), as the viewer counts, with all that lies behind and before it."""
    low, high = np.zeros((2, 3))
    low[-drawn.shape[1] :], high[-drawn.shape[1] :] = drawn
    view, shape = volume.grid.canonical(volume.slice_axis), volume.grid.shape
    along = int(np.argmin(high - low))
    if (np.delete(high - low, along) < 1).any():
        raise BoltzFormerError("The box is thinner than a voxel: draw a larger one.")
    low[along], high[along] = 0, shape[view.order[along]] - 1
    places = np.rint([stored_voxel(volume, end) for end in (low, high)]).astype(int)
    first = np.maximum(places.min(axis=0), 0).tolist()
    last = np.minimum(places.max(axis=0), np.array(shape[::-1]) - 1).tolist()
    if any(a > b for a, b in zip(first, last, strict=True)):
        raise BoltzFormerError("The box lies outside of the image: draw it on the image.")
    return Region.of_voxels(volume.grid, (first[0], first[1], first[2]), (last[0], last[1], last[2]))


def in_box(track: Track) -> list[str]:
    """What a result row says of slices where not everything was looked at."""
    boxed, looked = track.kept.in_box_only, len(track.kept.rows)
    if boxed:
        return ["only in the box" if boxed == looked else f"{boxed} of them only in the box"]
    closer = sum(how.get("region") is not None for how in track.how.values())
    return [f"{closer} closer in the box"] if closer else []
