"""How sure is the model? What was answered is asked with four seeds. No mask changes; N uses the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from boltzformer import BoltzFormerError, Job, Prompt, SlicePlan, SliceResult
from napari_boltzformer.doubting import doubtful, within_reach
from napari_boltzformer.layers import plan_of, volume_of
from napari_boltzformer.masks import Track, tracks_of
from napari_boltzformer.run import Run, counted

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

SEEDS = 4


class Sureness(Run):
    """A run that only notes how much the seeds disagree."""

    writes = False

    def __init__(
        self, dock: BoltzFormerDock, image: Image, prompts: Sequence[Prompt], job: Job, how: Mapping[str, Any]
    ) -> None:
        super().__init__(dock.viewer, image, prompts, job, how, warnings={}, whole=True)
        self._disagree: dict[int, int] = {}
        self._hidden = False
        """Whether they disagree anywhere, if only about what is not shown."""

    def begin(self, plan: SlicePlan, total: int, made: Mapping[str, Any]) -> None:
        """Makes no masks."""
        self._begin(plan, total, made)
        self.tracks = [one for one in tracks_of(self.viewer, self.image) if one.prompt in self.prompts]

    def write(self, result: SliceResult) -> None:
        """Beside the answer; one that was given meanwhile to another question stays without."""
        row = self.row_of(result.index)
        self.looked.add(result.index)
        for track in self.tracks:
            if row in track.scores and track.how.get(row, self.how) == self.how and result.spread is not None:
                number = self.prompts.index(track.prompt)
                track.spread[row] = int(result.spread[number].sum(dtype=np.int64))
                self._hidden |= bool(track.spread[row])
                if within_reach(track, row):
                    self._disagree[row] = max(track.spread[row], self._disagree.get(row, 0))

    def end(self, state: str, made: Mapping[str, Any] | None = None) -> None:
        """No mask was made."""

    def summary(self) -> str:
        """Where to look first."""
        asked = f"Asked {SEEDS} seeds in {counted(self.done)}"
        most = max(self._disagree, key=lambda row: (self._disagree[row], -row), default=None)
        if most is None or not self._disagree[most]:
            same = "they disagree only about what is not shown" if self._hidden else "their answers are the same"
            return f"{asked}: {same}."
        # N knows only visible masks, and slices that nobody has accepted.
        doubts = doubtful([track for track in tracks_of(self.viewer, self.image) if track.layer.visible])
        first, stay = doubts[0].row if doubts else None, "Masks stay as they are."
        if self._plan is not None and self._plan.count == 1:
            return f"{asked}: they disagree in {self._disagree[most]:,} pixels of this picture. {stay}"
        goes = "" if first is None else " N goes there first." if first == most else f" N goes to slice {first} first."
        return f"{asked}: they disagree most in slice {most}.{goes} {stay}"


def ask(dock: BoltzFormerDock) -> None:
    """One run for all slices that were asked in the same way: the features are kept, so it takes little time."""
    image, tracks = dock.chosen_image(), dock.tracks()
    answered = [(track, row) for track in tracks for row in track.scores]
    if image is None or not answered:
        dock.notice.say("There is no answer to doubt yet: run a prompt first.")
        return
    try:
        volume = volume_of(image)
        if not dock.seeing.ready(image, volume, partial(ask, dock)):
            return
        plan, usual = plan_of(volume), dock.running.how(image, volume)
    except BoltzFormerError as error:
        dock.notice.fail(str(error))
        return
    groups: dict[str, tuple[Mapping[str, Any], list[tuple[Track, int]]]] = {}
    for track, row in answered:
        how = track.how.get(row, usual)  # of an answer of yesterday it is not known
        groups.setdefault(repr(sorted(how.items())), (how, []))[1].append((track, row))
    for how, members in groups.values():
        prompts = list(dict.fromkeys(track.prompt for track, _ in members))
        slices = sorted({plan.canonical_index(row) for _, row in members})
        here = min(slices, key=lambda index: abs(index - dock.current_slice()))
        job = dock.session.segment(volume, prompts, start=here, slices=slices, samples=SEEDS, **how)
        dock.running.follow(Sureness(dock, image, prompts, job, how))
