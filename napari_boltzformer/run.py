"""One run in the viewer: which layers the answers go to, what was written there, what the user changed since."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from boltzformer import Job, SlicePlan, SliceResult
from napari_boltzformer.layers import MASK, empty_labels, masks_of

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
        self.lost: set[str] = set()
        self._made: Mapping[str, Any] = {}
        self._plan: SlicePlan | None = None
        self._dirty = False
        self._began = time.monotonic()

    @property
    def done(self) -> int:
        return len(self.looked)

    def begin(self, plan: SlicePlan, made: Mapping[str, Any]) -> None:
        """Finds or makes one Labels layer per prompt; `made` is what is known of the answers' making so far."""
        self._plan, self._began, self._made = plan, time.monotonic(), made
        known = {mask.metadata[MASK]["prompt"]: mask for mask in masks_of(self.viewer, self.image)}
        self.masks = [known[name] if name in known else self._new_mask(name) for name in self.names]

    def write(self, result: SliceResult) -> None:
        """One slice into each layer, outside the undo history; slices that a person changed are left alone."""
        assert self._plan is not None
        row, gate = self._plan.canonical_index(result.index), self._made["thresholds"]["existence"]
        self.looked.add(result.index)
        for number, (name, layer) in enumerate(zip(self.names, self.masks, strict=True)):
            shown = self._plan.mask(result.plane(number)) & (result.existence[number] >= gate)
            shape = shown.shape if layer.ndim == 2 else (self._plan.count, *shown.shape)
            if layer not in self.viewer.layers or layer.data.shape != shape:
                self.lost.add(name)
                continue
            target = layer.data if layer.ndim == 2 else layer.data[row]
            written = layer.metadata[MASK]["written"]
            if not np.array_equal(target, written.get(row, np.zeros_like(target))):
                self.kept_edits.add(result.index)
                continue
            target[...] = shown
            written[row] = shown
            self.found[name] += bool(shown.any())
        on_screen = self.image.ndim == 2 or row == round(float(self.image.world_to_data(self.viewer.dims.point)[-3]))
        self._dirty |= on_screen or self.viewer.dims.ndisplay == 3

    def end(self, state: str, made: Mapping[str, Any] | None = None) -> None:
        """Notes in every mask how it was made, for the file beside its export."""
        self._dirty = self._dirty or self.viewer.dims.ndisplay == 3
        for layer in self.masks:
            story = {**(made or self._made), "state": state, "slices": sorted(self.looked)}
            layer.metadata[MASK]["runs"].append(story)

    def _new_mask(self, prompt: str) -> Labels:
        active = self.viewer.layers.selection.active
        data, options = empty_labels(self.image, prompt)
        layer = self.viewer.add_labels(data, **options)
        layer.metadata[MASK] = {
            "image": self.image.unique_id,
            "prompt": prompt,
            "first name": layer.name,
            "written": {},
            "runs": [],
        }
        self.viewer.layers.selection.active = active  # running steals neither the active layer nor its tool
        return layer

    def refresh(self) -> None:
        """Draws what is on screen again, if it changed."""
        if self._dirty:
            for layer in self.masks:
                if layer in self.viewer.layers:  # drawing what is gone could crash the viewer
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
        names = ", ".join(sorted(self.lost))
        lost = f" The layer of '{names}' was removed or changed, so it got no masks." if names else ""
        return f"Looked in {_slices(self.looked)}; found {', '.join(parts)}.{edits}{lost}"


def _slices(which: set[int]) -> str:
    return "1 slice" if len(which) == 1 else f"{len(which)} slices"
