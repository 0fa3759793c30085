"""One run in the viewer: its answers into masks, as they come; what was found, kept back, or lost its layer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from boltzformer import Job, Prompt, SlicePlan, SliceResult
from napari_boltzformer.layers import row_on_screen, shows_slices
from napari_boltzformer.masks import MOST_SHOWN, NUMBERS, RUNNING, Track, new_track, show_few, tracks_of

if TYPE_CHECKING:
    import napari


class Run:
    """One run: which masks it writes to, and how far it is."""

    writes = True
    """Masks are other ones afterwards."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image: Image,
        prompts: Sequence[Prompt],
        job: Job,
        how: Mapping[str, Any],
        *,
        warnings: Mapping[str, str],
        whole: bool,
    ) -> None:
        self.viewer, self.image, self.prompts, self.job, self.whole = viewer, image, list(prompts), job, whole
        self.how = how
        """What was asked: seed, window, guidance, model."""
        self.tracks: list[Track] = []
        self.looked: set[int] = set()
        self.found: dict[str, int] = {prompt.name: 0 for prompt in prompts}
        self.kept_edits: set[int] = set()
        self.lost: set[str] = set()
        self.number, self.total = next(NUMBERS), 0
        self._warnings = warnings
        self._made: Mapping[str, Any] = {}
        self._plan: SlicePlan | None = None
        self._dirty: set[Track] = set()
        self._began = time.monotonic()

    @property
    def done(self) -> int:
        return len(self.looked)

    def begin(self, plan: SlicePlan, total: int, made: Mapping[str, Any]) -> None:
        """Finds or makes one mask per prompt; `made` is what is known of the answers' making so far."""
        self._begin(plan, total, made)
        known = {track.prompt.text: track for track in tracks_of(self.viewer, self.image)}
        for prompt in self.prompts:
            track = known.get(prompt.text) or new_track(self.viewer, self.image, prompt)
            track.warning = self._warnings.get(prompt.text, "")
            track.begin_run(plan, float(made["thresholds"]["existence"]), self.number)
            self.tracks.append(track)

    def _begin(self, plan: SlicePlan, total: int, made: Mapping[str, Any]) -> None:
        self._plan, self.total, self._began, self._made = plan, total, time.monotonic(), made

    def row_of(self, index: int) -> int:
        """As the viewer counts."""
        assert self._plan is not None
        return self._plan.canonical_index(index)

    def write(self, result: SliceResult) -> None:
        """One slice into each mask; slices that are a person's are left alone, and the answer is offered there."""
        assert self._plan is not None
        row = self.row_of(result.index)
        self.looked.add(result.index)
        here = row == row_on_screen(self.image, self.viewer.dims.point)
        shown = self.viewer.dims.ndisplay == 2 and (here or not shows_slices(self.viewer))
        for number, (prompt, track) in enumerate(zip(self.prompts, self.tracks, strict=True)):
            shape = self._plan.count, *self._plan.slice_shape
            if track.layer not in self.viewer.layers or track.rows.shape != shape:
                self.lost.add(prompt.name)
                continue
            if not track.answer(self._plan, result, number, self.how, self.number):
                self.kept_edits.add(result.index)
            self._note(track, RUNNING, self._made)  # who asked is known also after a crash
            self.found[prompt.name] += bool(track.kept.mark(row).voxels)  # also where it is only offered
            if shown:
                self._dirty.add(track)
        if here:
            self._show_one([row])

    def end(self, state: str, made: Mapping[str, Any] | None = None) -> None:
        """Notes in every mask how it was made, for the file beside its export."""
        self._show_one([self.row_of(index) for index in sorted(self.looked)])
        for track in self.tracks:
            if self.viewer.dims.ndisplay == 3:
                self._dirty.add(track)  # drawing in 3-D takes seconds: once is enough
            self._note(track, state, made or self._made)

    def _note(self, track: Track, state: str, made: Mapping[str, Any]) -> None:
        track.note_run({**made, "state": state, "slices": sorted(self.looked)}, self.number)

    def _show_one(self, rows: Sequence[int]) -> None:
        """Above four masks, where none that is shown found anything in these slices: one that did."""
        every = tracks_of(self.viewer, self.image)
        if len(every) > MOST_SHOWN and not any(one.layer.visible and _found(one, rows) for one in every):
            found = next((one for one in self.tracks if one in every and _found(one, rows)), None)
            if found is not None:
                show_few(self.viewer, self.image, found.layer)

    def refresh(self) -> None:
        """Draws what is on screen again, if it changed."""
        for track in self._dirty:
            if track.layer in self.viewer.layers:  # drawing what is gone could crash the viewer
                track.layer.refresh()
        self._dirty.clear()

    def progress(self) -> str:
        """'12 of 64 slices, about 3 s left', once three slices tell."""
        if self.done < 3:
            return f"{self.done} of {self.total} slices"
        left = (time.monotonic() - self._began) / self.done * (self.total - self.done)
        return f"{self.done} of {self.total} slices, about {left:.0f} s left"

    def summary(self) -> str:
        """What was looked at and in how many slices each prompt was found."""
        parts = [f"'{name}' in {count}" for name, count in self.found.items()]
        edits = f" {counted(len(self.kept_edits))} you edited stayed as painted." if self.kept_edits else ""
        names = ", ".join(sorted(self.lost))
        lost = f" The layer of '{names}' was removed or changed, so it got no masks." if names else ""
        boxed = ", only in the box" if self._plan is not None and self._plan.box is not None else ""
        every = tracks_of(self.viewer, self.image)
        shown = f"Showing {sum(one.layer.visible for one in every)} of {len(every)} masks: click a row for another."
        few = f" {shown}" if len(every) > MOST_SHOWN else ""
        return f"Looked in {counted(self.done)}{boxed}; found {', '.join(parts)}.{edits}{lost}{few}"


def _found(track: Track, rows: Sequence[int]) -> bool:
    return any(track.kept.mark(row).voxels for row in rows if row in track.kept.looked)


def counted(slices: int) -> str:
    return "1 slice" if slices == 1 else f"{slices} slices"


def named(row: int, count: int) -> str:
    """A slice of so many, in the middle of a sentence."""
    return "this picture" if count == 1 else f"slice {row}"


def ranges(numbers: Sequence[int]) -> str:
    """'0-4, 7, 9-12'."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)
