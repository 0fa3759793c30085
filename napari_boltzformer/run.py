"""One run in the viewer: which layers the answers go to, what was written there, what the user changed since."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from boltzformer import Job, SlicePlan, SliceResult
from napari_boltzformer.layers import empty_labels

if TYPE_CHECKING:
    import napari


class Run:
    """One run: which layers it writes to, and what it wrote there."""

    def __init__(self, viewer: napari.viewer.Viewer, image: Image, names: list[str], job: Job) -> None:
        self.viewer, self.image, self.names, self.job = viewer, image, names, job
        self.masks: list[Labels] = []
        self.looked: set[int] = set()
        self.found: dict[str, int] = dict.fromkeys(names, 0)
        self.kept_edits: set[int] = set()
        self._plan: SlicePlan | None = None
        self._dirty = False
        self._began = time.monotonic()

    @property
    def done(self) -> int:
        return len(self.looked)

    def begin(self, plan: SlicePlan) -> None:
        """Finds or makes one Labels layer per prompt."""
        self._plan, self._began = plan, time.monotonic()
        for name in self.names:
            known = [
                layer
                for layer in self.viewer.layers
                if isinstance(layer, Labels)
                and layer.metadata.get("source image") == self.image.name
                and layer.metadata.get("prompt") == name
            ]
            if not known:
                active = self.viewer.layers.selection.active
                data, options = empty_labels(self.image, name)
                facts = {"source image": self.image.name, "prompt": name, "written": {}}
                known = [self.viewer.add_labels(data, metadata=facts, **options)]
                self.viewer.layers.selection.active = active  # running steals neither the active layer nor its tool
            self.masks.append(known[0])

    def write(self, result: SliceResult) -> None:
        """One slice into each layer, outside the undo history; slices that a person changed are left alone."""
        assert self._plan is not None
        row = self._plan.canonical_index(result.index)
        self.looked.add(result.index)
        for number, (name, layer) in enumerate(zip(self.names, self.masks, strict=True)):
            shown = self._plan.mask(result.logits[number]) & (result.existence[number] >= 0.5)
            target = layer.data if layer.ndim == 2 else layer.data[row]
            ours = layer.metadata["written"].get(row)
            if not np.array_equal(target, np.zeros_like(target) if ours is None else ours):
                self.kept_edits.add(result.index)
                continue
            target[...] = shown
            layer.metadata["written"][row] = shown
            self.found[name] += bool(shown.any())
        visible = self.image.ndim == 2 or row == int(np.rint(self.image.world_to_data(self.viewer.dims.point)[-3]))
        self._dirty |= visible or self.viewer.dims.ndisplay == 3

    def refresh(self) -> None:
        """Draws what is on screen again, if it changed."""
        if self._dirty:
            for layer in self.masks:
                layer.refresh()
            self._dirty = False

    def eta(self, total: int) -> str:
        """'12 of 64 slices, about 3 s left', once three slices tell."""
        if self.done < 3:
            return f"{self.done} of {total} slices"
        left = (time.monotonic() - self._began) / self.done * (total - self.done)
        return f"{self.done} of {total} slices, about {left:.0f} s left"

    def summary(self) -> str:
        """What was looked at and in how many slices each prompt was found."""
        parts = [f"'{name}' in {count}" for name, count in self.found.items()]
        edits = f" {_slices(self.kept_edits)} you edited stayed as painted." if self.kept_edits else ""
        return f"Looked in {_slices(self.looked)}; found {', '.join(parts)}.{edits}"


def _slices(which: set[int]) -> str:
    return "1 slice" if len(which) == 1 else f"{len(which)} slices"
