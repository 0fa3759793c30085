"""What is asked of finished masks beside the viewer: how many objects (`Counting`), and four seeds for how sure
(`Sureness`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.client import Session
from boltzformer.desk.masks.by_hand import Counts, counts_of
from boltzformer.desk.masks.doubting import doubtful, within_reach
from boltzformer.desk.masks.overview import held_unasked
from boltzformer.desk.masks.pointing import heeded
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Stage, Timers
from boltzformer.desk.runs.run import Run
from boltzformer.desk.runs.running import Running
from boltzformer.desk.words import counted
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError
from boltzformer.image.slicing import LOGIT_STEP, SlicePlan
from boltzformer.types import SliceResult

SEEDS = 4
APART = 51
"""Of 255, which is 0.5: where the probabilities' standard deviation is 0.1 or more, a pixel counts as disputed."""


class Sureness(Run):
    """A run that only notes how much the seeds disagree."""

    def __init__(self, *asked: Any, **needs: Any) -> None:
        super().__init__(*asked, **needs)
        self._disagree: dict[int, int] = {}
        self._pixels = 0
        """Of a picture, in the mask that most are disputed in."""
        self._hidden = False
        """Whether they disagree anywhere, if only about what is not shown."""

    def begin(self, plan: SlicePlan, total: int, made: Mapping[str, Any]) -> None:
        """Makes no masks."""
        self._begin(plan, total, made)
        self.tracks = [one for one in self._every.of(self.image) if one.prompt in self.prompts]

    def write(self, result: SliceResult) -> None:
        """Beside the answer; one that was given meanwhile to another question stays without."""
        row = self.row_of(result.index)
        self.looked.add(result.index)
        for track in self.tracks:
            if row in track.scores and track.how.get(row, self.how) == self.how and result.spread is not None:
                number = self.prompts.index(track.prompt)
                track.spread[row] = int(result.spread[number].sum(dtype="int64"))
                self._hidden |= bool(track.spread[row])
                if within_reach(track, row):
                    self._disagree[row] = max(track.spread[row], self._disagree.get(row, 0))
                    if self._is_picture:
                        self._pixels = max(self._pixels, self._disputed(result.spread[number]))

    def _disputed(self, spread: NDArray[np.uint8]) -> int:
        """Pixels of the picture, whatever size the model saw it at."""
        assert self._plan is not None
        levels = self._plan.expand((spread // 2).astype(np.int8)) * (2 / LOGIT_STEP)
        return int(np.count_nonzero(levels >= APART))

    def end(self, state: str, made: Mapping[str, Any] | None = None) -> None:
        """No mask was made."""

    def summary(self) -> str:
        """Where to look first."""
        where = "about this picture" if self._is_picture else f"in {counted(self.done)}"
        asked = f"Asked {SEEDS} seeds {where}"
        most = max(self._disagree, key=lambda row: (self._disagree[row], -row), default=None)
        if most is None or not self._disagree[most]:
            same = "they disagree only about what is not shown" if self._hidden else "their answers are the same"
            return f"{asked}: {same}."
        # "Next" knows only visible masks, and slices that nobody has accepted.
        doubts = doubtful([track for track in self._every.of(self.image) if track.surface.shown])
        first, stay = doubts[0].row if doubts else None, "Masks stay as they are."
        if self._is_picture:
            pixels = f"in {self._pixels:,} of its pixels" if self._pixels else "hardly anywhere"
            return f"{asked}: they disagree {pixels}. {stay}"
        to = "there" if first == most else f"to slice {first}"
        goes = "" if first is None else f" {self._words.next_goes} {to} first."
        return f"{asked}: they disagree most in slice {most}.{goes} {stay}"


def ask_seeds(running: Running, stage: Stage, tracks: Tracks, notice: Notice, session: Callable[[], Session]) -> None:
    """One run for all slices that were asked in the same way: the features are kept, so it takes little time."""
    image = stage.chosen()
    answered = [(track, row) for track in tracks.chosen() for row in track.scores]
    if image is None or not answered:
        notice.say("There is no answer to doubt yet: run a prompt first.")
        return
    try:
        plan, usual = image.plan, running.how(image)
    except BoltzFormerError as error:
        notice.fail(str(error))
        return
    groups: dict[str, tuple[Mapping[str, Any], list[tuple[Track, int]]]] = {}
    for track, row in answered:
        how = track.how.get(row, usual)  # of an answer of yesterday it is not known
        groups.setdefault(repr(sorted(how.items())), (how, []))[1].append((track, row))
    for how, members in groups.values():
        prompts = list(dict.fromkeys(track.prompt for track, _ in members))
        asked = heeded(how, [prompt.text for prompt in prompts])
        slices = sorted({plan.canonical_index(row) for _, row in members})
        here = plan.canonical_index(stage.row(image))
        start = min(slices, key=lambda index: abs(index - here))
        job = session().segment(image.volume, prompts, start=start, slices=slices, samples=SEEDS, **asked)
        running.follow(running.new(image, prompts, job, how, warnings={}, whole=True, kind=Sureness))


REST_MS = 500


class Counting:
    """Of the chosen image's masks."""

    def __init__(self, tracks: Tracks, work: Work, timers: Timers) -> None:
        self.objects: dict[str, Counts] = {}
        """Counted so far, by the mask's key."""
        self.counted: list[Callable[[], None]] = []
        """There is another number."""
        self._tracks, self._work = tracks, work
        self._due: set[str] = set()
        self._rest = timers.after(REST_MS, self.now)

    def later(self, track: Track) -> None:
        """It changed: what was counted is not true any more."""
        self.objects.pop(track.key, None)
        self._work.drop(f"objects of {track.key}")
        self._due.add(track.key)
        self._rest.start()

    def now(self) -> None:
        """All that changed since; of another image, once that is chosen again."""
        due = [track for track in self._tracks.chosen() if track.key in self._due]
        self._due.difference_update([track.key for track in due])
        for track in due:
            only = next(iter(track.scores)) if len(track.scores) == 1 and not held_unasked(track) else None
            rows = track.surface.copy() if only is None else track.row(only)[None].copy()
            out = [(row if only is None else 0, *rest) for row, *rest in track.excluded if only in (None, row)]
            done = partial(self._counted, track)
            self._work.do(partial(counts_of, rows, out), done, topic=f"objects of {track.key}")

    def due(self, track: Track) -> None:
        """At the next `now`, without waiting."""
        self._due.add(track.key)

    def answered(self, track: Track) -> None:
        """A run is writing: what was counted is not true any more; it is counted again when the run has ended."""
        self.objects.pop(track.key, None)

    def _counted(self, track: Track, objects: Counts) -> None:
        self.objects[track.key] = objects
        track.kept.left_out = objects.voxels_left_out
        for heard in self.counted:
            heard()
