"""`Following`: the mask of one slice leads the next one, and that one the next, as long as the model stays sure; all of
it is one step of undo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from boltzformer.client import Session
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.pointing import Pointed, guidance_of
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.masks.whole import whole_of
from boltzformer.desk.notice import STEP, Notice
from boltzformer.desk.ports import Mask, Stage
from boltzformer.desk.runs.run import Run
from boltzformer.desk.runs.running import Running
from boltzformer.desk.words import ViewerWords, counted, ranges
from boltzformer.errors import BoltzFormerError
from boltzformer.image.guidance import Guidance
from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.objects import box_of, pieces
from boltzformer.types import SliceResult, Volume

MARGIN, LEAST_MARGIN = 0.25, 4
"""By so much of its side, and at least by so many pixels, an object may reach beyond its neighbour's box."""
OVERLAP, GROWTH = 0.3, 3.0
"""An object shares at least this part of the smaller of two neighbouring masks, and is at most so many times larger."""
MOST_LEADS = 16
"""Objects of a slice that lead the next one: the largest."""


class Step(Run):
    """One slice, asked where its neighbour's mask lies; it writes nothing itself."""

    spoken_of = False

    def __init__(self, *asked: Any, **needs: Any) -> None:
        super().__init__(*asked, **needs)
        self.result: SliceResult | None = None
        self.plan: SlicePlan | None = None
        self.state = ""
        self.made: Mapping[str, Any] = {}

    def begin(self, plan: SlicePlan, total: int, made: Mapping[str, Any]) -> None:
        """Makes no mask."""
        self._begin(plan, total, made)
        self.plan, self.made = plan, made

    def write(self, result: SliceResult) -> None:
        """Kept for whoever judges it."""
        self.looked.add(result.index)
        self.result = result

    def end(self, state: str, made: Mapping[str, Any] | None = None) -> None:
        """As it came out."""
        self.state, self.made = state, made or self.made

    def summary(self) -> str:
        """Whoever follows says what came of all steps."""
        return ""

    @property
    def soon_over(self) -> bool:
        """Other steps come behind it."""
        return False

    def mask(self, at: Thresholds) -> Mask:
        """Of the whole slice, as it is shown at these thresholds."""
        assert self.plan is not None
        assert self.result is not None
        return self.plan.mask(self.result.plane(0), at.outline)


@dataclass
class _Way:
    """One direction: where it stands, and what was found on it."""

    by: int
    row: int
    lead: Mask
    found: dict[int, Mask] = field(default_factory=dict[int, Mask])
    why: str = ""
    """It has come to its end."""


class Following:
    """One mask of one image at a time, upwards and downwards in turn."""

    def __init__(
        self,
        running: Running,
        stage: Stage,
        tracks: Tracks,
        notice: Notice,
        words: ViewerWords,
        session: Callable[[], Session],
    ) -> None:
        self.followed: list[Callable[[Track], None]] = []
        """This mask was followed to its end."""
        self._running, self._stage, self._tracks, self._notice = running, stage, tracks, notice
        self._words, self._session = words, session
        self._track: Track | None = None
        self._step: Step | None = None
        self._ways: list[_Way] = []
        self._from = 0
        self._notes: list[tuple[dict[str, Any], int]] = []
        running.ended.append(self._ended)

    def start(self) -> None:
        """From the selected mask in the slice on screen."""
        track = self._tracks.active()
        if self._step is not None:
            self._notice.say("A mask is being followed already: wait, or cancel it.")
            return
        row = 0 if track is None else self._stage.row(track.image)
        if track is None or not track.mask(row).any():
            self._notice.say("There is no mask in this slice to follow: point at the object first.")
            return
        if track.count == 1:
            self._notice.say("A picture has no other slices to follow a mask into.")
            return
        if not self._running.can_be_asked(track.image):
            return
        self._track, self._from, self._notes = track, row, []
        self._ways = [_Way(by, row, track.mask(row)) for by in (1, -1)]
        self._go_on()

    def leave(self, image: OpenImage) -> None:
        """Its image goes, or is gone: what was found so far is kept where its mask is still there."""
        if self._track is not None and self._track.image is image:
            if self._step is not None:
                self._step.job.cancel()
            self._finish(say=False)

    def _go_on(self) -> None:
        """The next step of the way that has come less far; where both are at their ends, that is all."""
        assert self._track is not None
        if not self._track.surface.alive:
            self._notice.say(f"The mask '{self._track.prompt.name}' was removed: it is followed no further.")
            self._finish(say=False)
            return
        for way in self._ways:
            if not way.why:
                way.why = _end_of(self._track, way.row + way.by)
        open_ways = [way for way in self._ways if not way.why]
        if not open_ways:
            self._finish()
            return
        way = min(open_ways, key=lambda one: len(one.found))
        try:
            self._ask(self._track, way)
        except BoltzFormerError as error:
            self._notice.fail(str(error))
            self._finish(say=False)

    def _ask(self, track: Track, way: _Way) -> None:
        image, row = track.image, way.row + way.by
        volume, index = image.volume, image.plan.canonical_index(row)
        how = self._running.led(image, [track.prompt.text])  # what is pointed at in that slice counts, too
        led = lead(volume, track.prompt.text, way.lead, row)
        how = {**how, "guidance": (led, *(how["guidance"] or ())), "region": None}
        job = self._session().segment(volume, [track.prompt], start=index, slices=[index], **how)
        run = self._running.new(image, [track.prompt], job, how, warnings={}, whole=False, kind=Step)
        assert isinstance(run, Step)
        self._step = run
        self._running.follow(run)
        done = sum(len(one.found) for one in self._ways)
        self._notice.say(f"Following '{track.name}' into slice {row}, {counted(done)} so far…")

    def _ended(self, run: Run) -> None:
        if run is not self._step or self._track is None:
            return
        self._step, track = None, self._track
        assert isinstance(run, Step)
        if run.state != "finished" or run.result is None:
            self._finish(say=run.state != "failed")
            return
        row = run.row_of(run.result.index)
        way = next(one for one in self._ways if not one.why and one.row + one.by == row)
        at = track.kept.thresholds
        mask, score = run.mask(at), float(run.result.existence[0])
        way.why = doubt(mask, way.lead, score, at.existence)
        if not way.why:
            way.row, way.lead = row, mask
            way.found[row] = mask
            self._notes.append(({**run.made, "state": "followed", "slices": [run.result.index]}, run.number))
        self._go_on()

    def _finish(self, *, say: bool = True) -> None:
        """What was found becomes the person's, as one step; where they painted meanwhile, that stays."""
        track, ways = self._track, self._ways
        self._track, self._step, self._ways = None, None, []
        if track is None or not track.surface.alive:
            return
        found = {row: mask for way in ways for row, mask in way.found.items() if not track.belongs_to_a_person(row)}
        shown = _sifted(track, found)
        less = any((found[row] & ~mask).any() for row, mask in shown.items())
        changed = track.follow(shown, self._notes)
        track.surface.draw()
        if say and changed and track.image is self._stage.chosen():
            self._stage.activate(track.surface)  # points may be selected, and have no undo
        if say:
            self._notice.say(self._told(track, len(shown), changed, ways, less=less), topic=STEP)
        for heard in self.followed:
            heard(track)

    def _told(self, track: Track, through: int, changed: list[int], ways: list[_Way], *, less: bool) -> str:
        """`through`: so many slices. `less`: there is more of it, which is too small to be shown."""
        last = track.count - 1  # beyond it there is no slice to name
        ends = "; ".join(f"slice {min(max(way.row + way.by, 0), last)}: {way.why}" for way in ways if way.why)
        ends = f" It ends at {ends}." if ends else ""
        ends += " Objects that the size filter hides were left out." if less else ""
        what = f"'{track.name}' of slice {self._from}"
        if not through:
            return f"{what} could not be followed.{ends}"
        if not changed:
            return f"Followed {what} through {counted(through)}, where it was marked already.{ends}"
        into = f"into {counted(through)}: {ranges(changed)}"
        if len(changed) < through:
            into = f"through {counted(through)}, {len(changed)} changed: {ranges(changed)}"
        return f"Followed {what} {into}.{ends} {self._words.undo}"


def lead(volume: Volume, prompt: str, mask: Mask, row: int) -> Guidance:
    """What the mask of a neighbour says about a row: the innermost point of each object, and a box around all."""
    from scipy.ndimage import distance_transform_edt

    found = pieces(mask)
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    sizes = np.bincount(found.ravel())[1:]
    largest = np.argsort(-sizes, kind="stable")[:MOST_LEADS] + 1
    points = []
    for one in largest.tolist():
        y, x = np.unravel_index(int(np.where(found == one, depth, -1).argmax()), mask.shape)
        points.append(Pointed((row, int(y), int(x)), True, prompt))
    ends = [[float(row), float(row)]]
    for part, size in zip(box_of(mask), mask.shape, strict=True):
        margin = max(LEAST_MARGIN, MARGIN * (part.stop - part.start))
        ends.append([max(part.start - margin, 0.0), min(part.stop - 1 + margin, size - 1.0)])
    return guidance_of(volume, prompt, points, np.array(ends).T)


def doubt(mask: Mask, before: Mask, score: float, gate: float) -> str:
    """Why this is not taken for the same object any more; '' where it is."""
    if score < gate:
        return f"score {score:.2f}, below {gate:.2f}"
    if not mask.any():
        return "no outline"
    size, was = int(np.count_nonzero(mask)), int(np.count_nonzero(before))
    if np.count_nonzero(mask & before) < OVERLAP * min(size, was):
        return "it lies elsewhere"
    if max(size, was) > GROWTH * min(size, was):
        return "it is of another size"
    return ""


def _end_of(track: Track, row: int) -> str:
    """Why nobody is asked about a row; '' where it can be."""
    if not 0 <= row < track.count:
        return "the end of the image"
    return "your own work" if track.belongs_to_a_person(row) else ""


def _sifted(track: Track, found: Mapping[int, Mask]) -> dict[int, Mask]:
    """More of it in some rows, of which only the objects are shown that are large enough, together with what there is
    of them elsewhere; what is shown already stays."""
    rows = {row: mask | track.mask(row) for row, mask in found.items()}
    if not rows or not track.kept.thresholds.of_objects:
        return rows
    whole = whole_of(track)()
    for row, mask in rows.items():
        whole.rows[row] |= mask
    gone = whole.gone()[0]
    return {row: (mask & ~gone[row]) | track.mask(row) for row, mask in rows.items()}
