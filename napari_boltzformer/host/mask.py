"""`NapariMask`: a Labels layer as the desk knows a mask."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from boltzformer.desk.ports import Mask, Rows

if TYPE_CHECKING:
    import napari

MASK = "boltzformer mask"
"""Where a mask layer's metadata holds its `NapariMask`."""
OPACITY = 0.35
FILL = "fill"
"""Where what is kept of an image's scene says how opaque its masks are, if that is not the usual."""
SEEN = "seen"
"""Where the metadata of a layer says whether it was visible before its image was hidden."""
OUTLINE, LARGE = 1, 1000
"""Pixels of a slice that an outline takes, and of the longer side of a picture for which it takes one more, until it is
known how large one is on screen."""
LINE, WIDEST, SLOW = 2.0, 8, 24_000
"""Pixels of the screen that an outline takes; of the slice, at most; and these times the longer side, as napari takes a
second and more for a broad line around all that a large picture shows."""


class NapariMask:
    """It lends the layer's own array. The layer's history holds differences of voxels."""

    def __init__(self, viewer: napari.viewer.Viewer, layer: Labels, image: str, colour: str) -> None:
        """`image`: the key of the image it was made for."""
        self.layer, self.key, self.image, self.colour = layer, key_of(layer), image, colour
        self.how_made: Callable[[], Mapping[str, Any]] = dict
        """For the file beside it, when napari itself saves the layer."""
        self._viewer, self._first_name, self._shape = viewer, layer.name, self._voxels.shape
        self._heard: list[Callable[[Rows, bool], None]] = []
        self._stroked: set[int] = set()
        """Rows of which napari's history holds a step."""
        self._written: dict[int, list[Any]] = {}
        """The model's steps of that history, by row, behind which there are no others."""
        self._made: list[Any] | None = None
        """The step that we made last."""
        self._ours = False
        """Whether it is we who paint."""
        self._line = OUTLINE + max(self._shape[1:]) // LARGE
        """How wide its outline is, in its own pixels."""
        layer.metadata[MASK] = self
        layer.events.paint.connect(self._on_paint)
        for step in ("undo", "redo"):  # of which napari tells nobody
            setattr(layer, step, partial(self._step, getattr(layer, step)))

    @property
    def _voxels(self) -> NDArray[np.uint8]:
        data = self.layer.data
        return data[None] if data.ndim == 2 else data

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._shape

    @property
    def name(self) -> str:
        """napari itself numbers layers of one name: that is nobody's choice."""
        return "" if unnumbered(self.layer.name) == unnumbered(self._first_name) else self.layer.name

    @property
    def alive(self) -> bool:
        return self.layer in self._viewer.layers and self._voxels.shape == self._shape

    @property
    def shown(self) -> bool:
        return bool(self.layer.metadata.get(SEEN, self.layer.visible))

    @shown.setter
    def shown(self, shown: bool) -> None:
        self.layer.visible = shown

    def row(self, row: int) -> NDArray[np.uint8]:
        return self._voxels[row]

    def copy(self) -> NDArray[np.uint8]:
        return self._voxels.copy()

    def write(self, masks: Mapping[int, Mask], *, beneath: bool = False, again: bool = False) -> None:
        # Strokes that were undone can be redone, over voxels as they were then: only a step of the same history
        # keeps that right.
        steps = {} if beneath else {row: mask for row, mask in masks.items() if row in self._stroked}
        if again and len(steps) == 1 and steps.keys() <= self._written.keys():
            (row,) = steps
            self._written[row] += self._atoms(steps)
            steps = {}
        elif steps:
            written = {row: step for row, step in self._written.items() if row not in steps}
            step = self._step_of(steps)
            if step is not None and len(steps) == 1:
                written |= dict.fromkeys(steps, step)
            self._written = written
        for row, mask in masks.items():
            if row not in steps:
                self._voxels[row] = mask

    def edit(self, masks: Mapping[int, Mask]) -> None:
        self._step_of(masks)
        self._written = {}

    def _step_of(self, masks: Mapping[int, Mask]) -> list[Any] | None:
        """That of napari's history, which can be made longer; None where nothing is another."""
        self._made, self._ours = None, True
        try:
            for places, _, values in self._atoms(masks):
                self._stroked.update(masks)
                self.layer.data_setitem(places, values.tolist())
        finally:
            self._ours = False
        return self._made

    def _atoms(self, masks: Mapping[int, Mask]) -> list[tuple[Any, ...]]:
        """Which voxels are others, what they are and what they become: all in one, as napari's history has it."""
        found = [(row, *np.nonzero(self._voxels[row] != mask), mask) for row, mask in masks.items()]
        found = [one for one in found if len(one[1])]
        if not found:
            return []
        rows = [(np.full(len(y), row), y, x) for row, y, x, _ in found]
        places = tuple(np.concatenate(axis) for axis in zip(*rows, strict=True))
        values = np.concatenate([mask[y, x] for _, y, x, mask in found]).astype(np.uint8)
        return [(places[-self.layer.ndim :], self._voxels[places], values)]

    def draw(self) -> None:
        if self.layer in self._viewer.layers:  # drawing what is gone could crash the viewer
            self.layer.refresh()

    @property
    def filled(self) -> float:
        """How opaque its inside is; 0: only its outline is drawn."""
        return 0.0 if self.layer.contour else float(self.layer.opacity)

    def fill(self, opacity: float) -> None:
        """0: its outline alone."""
        self.layer.contour, self.layer.opacity = (0, opacity) if opacity else (self._line, 1.0)

    def outline(self, pixel: float) -> None:
        """As wide as can be seen where one of the screen is so many of its own; a width that a person chose stays."""
        before, most = self._line, min(WIDEST, max(SLOW // max(self._shape[1:]), OUTLINE))
        self._line = int(np.clip(np.ceil(LINE * pixel) - 1, OUTLINE, most))  # napari draws one more, outside
        if self.layer.contour == before != self._line:
            self.layer.contour = self._line

    def listen(self, heard: Callable[[Rows, bool], None]) -> None:
        self._heard.append(heard)

    def _on_paint(self, event: Any) -> None:
        if self._ours:
            self._made = event.value
            return
        rows: set[int] = set()
        for atom in event.value:
            where = atom[0] if isinstance(atom, tuple) else atom.slice_key
            first = where[0] if self.layer.ndim == 3 else 0
            count = self._shape[0]
            rows.update(range(*first.indices(count)) if isinstance(first, slice) else np.unique(first).tolist())
        self._stroked |= rows
        self._written = {}
        for heard in self._heard:
            heard(rows, False)

    def _step(self, take: Callable[[], None]) -> None:
        """Through napari's history, which doesn't say which slices it changed."""
        take()
        self._written = {}
        for heard in self._heard:
            heard(None, True)


def filling_of(masks: Sequence[NapariMask]) -> dict[str, float]:
    """How opaque they are where a person chose that, for another day."""
    filled = max((one.filled for one in masks), default=0.0)
    usual = not masks or np.isclose(filled, 0.0 if masks[0].shape[0] == 1 else OPACITY)
    return {} if usual else {FILL: filled}


def fill_again(masks: Sequence[NapariMask], told: Mapping[str, Any]) -> dict[str, Any]:
    """As it was kept → what else is told."""
    for one in masks if isinstance(told.get(FILL), float) else ():
        one.fill(told[FILL])
    return {name: value for name, value in told.items() if name != FILL}


def mask_on(layer: Any) -> NapariMask | None:
    """None for layers that are not ours; a duplicate is the user's own."""
    mask = layer.metadata.get(MASK)
    return mask if isinstance(mask, NapariMask) and mask.key == key_of(layer) else None


def key_of(layer: Any) -> str:
    """Its own as long as it lives, whatever it is called, and whichever wrapper it comes in."""
    return str(layer.unique_id)


def unnumbered(name: str) -> str:
    """Without the " [1]" that napari writes behind the name of a layer when another has it."""
    return re.sub(r" \[\d+\]$", "", name)


def one_colour(colour: str) -> DirectLabelColormap:
    """Whatever label a person paints with, it is this mask."""
    return DirectLabelColormap(color_dict={0: "transparent", None: colour})
