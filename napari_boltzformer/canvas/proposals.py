"""`Proposals`: the model's answer for a slice that is a person's, dashed. Enter takes it, Escape drops it; as long as
neither is done, it is offered on a line of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Layer, Vectors
from numpy.typing import NDArray

from boltzformer.desk.desk import Desk
from boltzformer.desk.masks.track import Track
from boltzformer.desk.words import quoted
from napari_boltzformer.host.layers import same, same_place
from napari_boltzformer.host.mask import mask_on
from napari_boltzformer.host.stage import FOR, NapariImage, NapariStage

NAME, TOPIC = "proposal", "an answer that is dashed"


class Proposals:
    """One layer of lines for the slice on screen; gone when there is nothing to propose."""

    def __init__(self, desk: Desk, stage: NapariStage) -> None:
        self._desk, self._stage = desk, stage
        self._layer: Vectors | None = None
        self._bound: list[Layer] = []
        """On which our two keys lie."""
        self._shown: tuple[tuple[str, int], ...] = ()

    def show(self) -> None:
        """For the slice on screen."""
        image, row, tracks = self._wanted()
        now = _signs(row, tracks)
        if now == self._shown:
            return
        self._clear()
        self._shown = now
        if not tracks or image is None:
            return
        viewer = self._stage.viewer
        lines = np.concatenate([dashes(track.proposed(row), row, image.layer.ndim) for track in tracks])
        active = viewer.layers.selection.active
        self._layer = viewer.add_vectors(
            lines, name=NAME, edge_width=0.3, edge_color="white", vector_style="line", **same_place(image.layer)
        )
        viewer.layers.selection.active = active
        for layer in self._stage.group(image):
            self._bind(layer, image)
        names = quoted([track.name for track in tracks])
        sentence = f"The answer for {names} is only dashed here: Enter takes it, Escape drops it."
        if blank := [track.name for track in tracks if not track.proposed(row).any()]:
            sentence += f" It says that nothing of {quoted(blank)} is there, and would take away what is."
        self._desk.notice.offer(TOPIC, sentence, ("Take", self.take), aside=self.drop)

    def selected(self, event: Any = None) -> None:
        """Whoever has the tools now listens as well: points may have come since the answer was dashed."""
        active, image = self._stage.viewer.layers.selection.active, self._stage.chosen()
        if active is not None and image is not None and self._shown:
            self._bind(active, image)

    def _bind(self, layer: Layer, image: NapariImage) -> None:
        """Ours alone: to a layer of the user's own, the two keys may mean something else."""
        ours = same(layer, self._layer) or same(layer, image.layer) or mask_on(layer) is not None
        if (ours or layer.metadata.get(FOR) == image.key) and layer not in self._bound:
            self._bound.append(layer)
            layer.bind_key("Enter", lambda _: self.take(), overwrite=True)
            layer.bind_key("Escape", lambda _: self.drop(), overwrite=True)

    def _wanted(self) -> tuple[NapariImage | None, int, list[Track]]:
        """What is offered for the slice on screen; nobody takes what can't be seen."""
        image = self._stage.chosen()
        if image is None or not self._stage.shows(image):
            return image, 0, []
        row = self._stage.row(image)
        return image, row, [track for track in self._desk.tracks.shown() if row in track.proposals]

    def take(self) -> None:
        """As one step of undo."""
        self._answer(self._desk.take)

    def escape(self) -> bool:
        """Whether there was an answer to drop, wherever Escape is ours."""
        ours = self._stage.viewer.layers.selection.active in self._bound
        if ours:
            self.drop()
        return ours

    def drop(self) -> None:
        """As if it had never been asked."""
        self._answer(self._desk.drop)

    def _answer(self, do: Any) -> None:
        _, row, tracks = self._wanted()
        if tracks and _signs(row, tracks) == self._shown:  # and not what is about to be dashed
            do(row)
        self.show()

    def _clear(self) -> None:
        viewer, layer, self._layer, self._shown = self._stage.viewer, self._layer, None, ()
        self._desk.notice.withdraw(TOPIC)
        for one in self._bound:  # of the image that it was about, whichever is chosen by now
            one.bind_key("Enter", None, overwrite=True)
            one.bind_key("Escape", None, overwrite=True)
        self._bound = []
        if layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)


def _signs(row: int, tracks: list[Track]) -> tuple[tuple[str, int], ...]:
    """Others where anything else is to be dashed."""
    return tuple((track.key, hash((row, track.proposals[row].tobytes()))) for track in tracks)


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
