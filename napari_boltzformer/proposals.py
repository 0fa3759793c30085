"""`Proposals`: the model's answer for a slice that is a person's, dashed. Enter takes it, Escape drops it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Vectors
from numpy.typing import NDArray

from napari_boltzformer.layers import same_place

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

NAME = "proposal"


class Proposals:
    """One layer of lines for the slice on screen; gone when there is nothing to propose."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self._layer: Vectors | None = None
        self._bound: list[Layer] = []
        """Layers whose keys answer the proposal."""
        self._shown: tuple[tuple[str, int], ...] = ()
        self._said = ""

    def show(self) -> None:
        """For the slice on screen."""
        row, image = self._dock.row(), self._dock.chosen_image()
        tracks = [track for track in self._dock.tracks() if row in track.proposals and track.layer.visible]
        if image is None or not self._dock.screen.shows(image):
            tracks = []  # nobody takes what can't be seen
        now = tuple((track.layer.unique_id, hash((row, track.proposals[row].tobytes()))) for track in tracks)
        if now == self._shown:
            return
        self._shown = now
        self._clear()
        if not tracks or image is None:
            return
        viewer = self._dock.viewer
        lines = np.concatenate([dashes(track.proposed(row), row, image.ndim) for track in tracks])
        active = viewer.layers.selection.active
        self._layer = viewer.add_vectors(
            lines, name=NAME, edge_width=0.3, edge_color="white", vector_style="line", **same_place(image)
        )
        viewer.layers.selection.active = active
        self._bound = [self._layer, image, *(track.layer for track in tracks)]
        for layer in self._bound:
            layer.bind_key("Enter", lambda _: self.take(), overwrite=True)
            layer.bind_key("Escape", lambda _: self.drop(), overwrite=True)
        names = "', '".join(track.name for track in tracks)
        self._said = f"The answer for '{names}' is only dashed here: Enter takes it, Escape drops it."
        self._dock.notice.add(self._said, "Take", self.take)

    def take(self) -> None:
        """As one step of undo."""
        self._answer(lambda track, row: track.take(row))

    def drop(self) -> None:
        """As if it had never been asked."""
        self._answer(lambda track, row: track.proposals.pop(row))

    def _answer(self, do: Any) -> None:
        row = self._dock.row()
        for track in self._dock.tracks():
            if row in track.proposals and track.layer.visible:
                do(track, row)
        self._dock.show_results()

    def _clear(self) -> None:
        viewer, layer = self._dock.viewer, self._layer
        self._dock.notice.take_back(self._said)
        self._layer, self._said = None, ""
        for one in self._bound:
            one.bind_key("Enter", None, overwrite=True)
            one.bind_key("Escape", None, overwrite=True)
        self._bound = []
        if layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)


def dashes(mask: NDArray[np.bool_], row: int, ndim: int) -> NDArray[np.float64]:
    """(n, 2, ndim) starts and directions: every second side of a pixel along the mask's border."""
    padded = np.pad(mask, 1)
    found = []
    for axis, step in ((0, (0.0, 1.0)), (1, (1.0, 0.0))):
        sides = np.argwhere(np.diff(padded.astype(np.int8), axis=axis))
        sides = sides[sides.sum(axis=1) % 2 == 0]
        starts = sides - (0.5, 1.5) if axis == 0 else sides - (1.5, 0.5)
        found.append(np.stack([starts, np.broadcast_to(step, starts.shape)], axis=1))
    flat = np.concatenate(found)
    if ndim == 2:
        return flat
    places = np.zeros((len(flat), 2, 1))
    places[:, 0] = row
    return np.concatenate([places, flat], axis=2)
