"""`Run`: one run's answers into masks, as they come; what was found, kept back, or lost its surface."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from boltzformer.client import Job
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.pointing import Pointed, led_by, led_nobody
from boltzformer.desk.masks.told import NUMBERS, RUNNING
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import MOST_SHOWN, Tracks
from boltzformer.desk.models.choice import shown_name
from boltzformer.desk.models.knowledge import named_beside
from boltzformer.desk.ports import Stage
from boltzformer.desk.words import ViewerWords, counted
from boltzformer.image.slicing import SlicePlan
from boltzformer.types import Prompt, SliceResult

ENOUGH = 3
"""So many slices tell how long one takes."""


class Run:
    """Which masks it writes to, and how far it is."""

    spoken_of = True
    """Whether it is told how it went; else whoever asked says that."""

    def __init__(
        self,
        image: OpenImage,
        prompts: Sequence[Prompt],
        job: Job,
        how: Mapping[str, Any],
        *,
        stage: Stage,
        tracks: Tracks,
        words: ViewerWords,
        warnings: Mapping[str, str],
        whole: bool,
    ) -> None:
        self.image, self.prompts, self.job, self.whole = image, list(prompts), job, whole
        self.strays: tuple[Pointed, ...] = ()
        """Points in sight that are about no prompt that is asked, or stands in the box."""
        self.how = how
        """What was asked: seed, window, guidance, model."""
        self.tiles = self.tiles_done = 0
        self.scout: int | None = None
        """Every so many slices came first, then only where something may be."""
        """Of a picture that is asked tile by tile."""
        self.tracks: list[Track] = []
        self.looked: set[int] = set()
        self.kept_edits: set[int] = set()
        self.kept_accepted: set[int] = set()
        """Slices that stayed as they were, since a person changed them, or only said something of them."""
        self.same: set[int] = set()
        """Those for which nothing is offered: the answer is what is there already."""
        self.lost: set[str] = set()
        self.number, self.total = next(NUMBERS), 0
        self.together: Sequence[Run] = (self,)
        """Those that were asked at once, in their order: one has learnt, another has not. The engine makes one after
        the other."""
        self.over = False
        self.other_gate = ""
        """What is said where the masks are shown from another score than before: the model's own."""
        self.because = ""
        """A sentence on why it was asked, which stands before what it says."""
        self._stage, self._every, self._words, self._warnings = stage, tracks, words, warnings
        self._made: Mapping[str, Any] = {}
        self._plan: SlicePlan | None = None
        self._dirty: set[Track] = set()
        self._began = self._last = time.monotonic()
        self.expected: float | None = None
        """Seconds that a slice took in a run like it."""

    @property
    def kind(self) -> tuple[object, ...]:
        """Runs of one kind take as long for a slice: the same model, prompts as many, an image of its kind."""
        size = None if self._plan is None else self._plan.size
        return self.how.get("model"), self.image.modality, size, len(self.prompts)

    @property
    def soon_over(self) -> bool:
        """Whether it is about one slice only."""
        return not self.whole or self.image.is_picture

    @property
    def done(self) -> int:
        return len(self.looked)

    @property
    def steps(self) -> tuple[int, int]:
        """So many are done, of so many: slices, or tiles of a picture."""
        return (self.tiles_done, self.tiles) if self.tiles else (self.done, self.total)

    @property
    def in_hand(self) -> str:
        """What is looked at to its end when it is stopped; '' for all of a picture."""
        return "tile" if self.tiles else "" if self._is_picture else "slice"

    @property
    def far(self) -> tuple[int, int]:
        """The same of all that were asked together: a slice is done when every one of them has it."""
        total = max(one.steps[1] for one in self.together)
        return sum(total if one.over else one.steps[0] for one in self.together) // len(self.together), total

    @property
    def found(self) -> dict[str, int]:
        """In so many of its slices each prompt has a mask, at the thresholds of now; also where it is only offered. By
        what the masks are called."""
        rows = [self.row_of(index) for index in self.looked]
        found = {prompt.name: 0 for prompt in self._named}
        for track in self.tracks:  # before it begins there are no masks
            known = track.kept
            found[track.prompt.name] = sum(bool(known.mark(row).voxels) for row in rows if row in known.looked)
        return found

    @property
    def _named(self) -> list[Prompt]:
        """What was asked, as its masks are called: beside another of that name they are called otherwise."""
        return [track.prompt for track in self.tracks] or self.prompts

    def begin(self, plan: SlicePlan, total: int, made: Mapping[str, Any]) -> None:
        """Finds or makes one mask per prompt; `made` is what is known of the answers' making so far."""
        self._begin(plan, total, made)
        self._stage.begin(self.image)
        there = self._every.of(self.image)
        known = {track.prompt.text: track for track in there}
        was = there[-1].gate if any(track.scores for track in there) else None
        for prompt in self.prompts:
            if (track := known.get(prompt.text)) is None:
                names = [one.name for one in self._every.of(self.image)]
                track = self._every.new(self.image, named_beside(prompt, names))
            track.warning = self._warnings.get(prompt.text, "")
            track.begin_run(plan, float(made["thresholds"]["existence"]), self.number)
            self.tracks.append(track)
        now = self._every.of(self.image)[-1].gate
        if was not in (None, now) and self.image.thresholds is None:  # else the one stays that a person chose
            model = shown_name(str(self.how.get("model", "")))
            self.other_gate = f" Score from {now:.2f} now, not {was:.2f}, as '{model}' was checked."

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
        self._last = time.monotonic()
        for number, track in enumerate(self.tracks):
            if not track.surface.alive or track.shape != (self._plan.count, *self._plan.slice_shape):
                self.lost.add(track.prompt.name)
                continue
            if not track.answer(self._plan, result, number, self.how, self.number):
                (self.kept_edits if track.edited(row) else self.kept_accepted).add(result.index)
            self._note(track, RUNNING, self._made)  # who asked is known also after a crash
            if self._stage.sees(self.image, row):
                self._dirty.add(track)
        if not any(row in track.proposals for track in self.tracks):
            self.same.add(result.index)
        if row == self._stage.row(self.image):
            self._every.show_one_that_found(self.tracks, [row])

    def end(self, state: str, made: Mapping[str, Any] | None = None) -> None:
        """Notes in every mask how it was made, for the file beside its export."""
        self._every.show_one_that_found(self.tracks, [self.row_of(index) for index in sorted(self.looked)])
        for track in self.tracks:
            self._dirty.add(track)  # a rendering takes seconds: it is drawn once
            self._note(track, state, made or self._made)

    def draw(self) -> None:
        """What is on screen again, if it changed."""
        for track in self._dirty:
            if track.surface.alive:  # drawing what is gone could crash the viewer
                track.surface.draw()
        self._dirty.clear()

    def progress(self) -> str:
        """'12 of 64 slices, about 3 s left', once three slices tell, or a run before it."""
        (done, total), what = self.far, "tiles" if self.tiles else "slices"
        far = f"{done} of at most {total} {what}" if self.scout else f"{done} of {total} {what}"
        left = self.seconds_left
        if left is not None and not self.scout:
            far = f"{far}, about {left:.0f} s left"
        return f"{self.because} {far}".strip()

    @property
    def seconds_left(self) -> float | None:
        """Once three steps tell; before, where it is known from a run like it. Who has not begun takes as long."""
        done, total = self.steps
        left = total - done + total * sum(not one.total and not one.over for one in self.together)
        if done < ENOUGH:
            return None if self.expected is None or self.tiles else self.expected * left
        return (time.monotonic() - self._began) / done * left

    @property
    def seconds_per_slice(self) -> float | None:
        """Of so many slices that it tells something."""
        return None if self.tiles or self.done < ENOUGH else (self._last - self._began) / self.done

    @property
    def told(self) -> str:
        """What came of all that were asked together; those that looked at the same are told in one sentence."""
        first: dict[object, Run] = {}
        for one in self.together:
            if one.done:
                first.setdefault(one._looks, one)
        return " ".join(one.summary() for one in first.values()) or self.summary()

    @property
    def _looks(self) -> tuple[object, ...]:
        return frozenset(self.looked), self._led

    @property
    def _led(self) -> str:
        names = {prompt.text: prompt.name for one in self.together for prompt in one._named}
        return "" if self._plan is None else led_by(self.how.get("guidance") or (), self._plan, self.looked, names)

    def summary(self) -> str:
        """What was looked at and in how many slices each prompt was found."""
        alike = [one for one in self.together if one is self or one._looks == self._looks]
        edited = {index for one in alike for index in one._theirs(one.kept_edits)}
        accepted = {index for one in alike for index in one._theirs(one.kept_accepted)} - edited
        painted, said = ("What" if self._is_picture else counted(len(one)) for one in (edited, accepted))
        same = {index for one in alike for index in one.same} & edited
        equal = f"; the answer is the same{f' in {len(same)} of them' if same < edited else ''}" if same else ""
        edits = f" {painted} you edited stayed as painted{equal}." if edited else ""
        edits += f" {said} you accepted stayed as before." if accepted else ""
        names, layer = ", ".join(sorted({name for one in alike for name in one.lost})), self._words.layer
        lost = f" The {layer} of '{names}' was removed or changed, so it got no masks." if names else ""
        boxed = ", only in the box" if self._plan is not None and self._plan.box is not None else ""
        every = self._every.of(self.image)
        shown = f" Showing {sum(one.surface.shown for one in every)} of {len(every)} masks: {self._words.another_row}"
        few = shown if len(every) > MOST_SHOWN else ""
        led = f", {self._led}" if self._led else ""
        where = f"at this picture{self._in_tiles}" if self._is_picture else f"in {counted(self.done)}"
        if self.scout and self.done < self.total:
            where = f"in {self.done} of {counted(self.total)}, not at the others"
        found = ", ".join(one._where_found() for one in alike)
        gate = "" if self.image.thresholds else next((one.other_gate for one in alike if one.other_gate), "")
        nobody = led_nobody(self.strays, {self.row_of(one) for one in self.looked}) if self is self.together[0] else ""
        looked = f"Looked {where}{boxed}{led}; found {found}.{nobody}{gate}{edits}{lost}{few}"
        return f"{self.because} {looked}".strip()

    def _theirs(self, stayed: set[int]) -> set[int]:
        """Those that are a person's still: what they undid, or took the answer for, did not stay."""
        alive = [track for track in self.tracks if track.surface.alive and track.prompt.name not in self.lost]
        return {one for one in stayed if any(track.belongs_to_a_person(self.row_of(one)) for track in alive)}

    @property
    def _is_picture(self) -> bool:
        return self._plan is not None and self._plan.count == 1

    @property
    def _in_tiles(self) -> str:
        return f" in {self.tiles} tiles" if self.tiles else ""

    def _where_found(self) -> str:
        """Nothing that is only hidden for its size is said not to have been found."""
        small = {one.prompt.name: one.too_small for one in self.tracks if one.surface.alive and one.too_small}
        hidden = {name: f" (the size filter hides {counted(count, 'object')})" for name, count in small.items()}
        there = []
        for name, count in self.found.items():
            shown = f"'{name}' in {count}" if not self._is_picture else f"'{name}'"
            nothing = self._is_picture and not count and name not in hidden
            there.append(f"nothing of {shown}" if nothing else f"{shown}{hidden.get(name, '')}")
        return ", ".join(there)

    def _note(self, track: Track, state: str, made: Mapping[str, Any]) -> None:
        track.note_run({**made, "state": state, "slices": sorted(self.looked)}, self.number)
