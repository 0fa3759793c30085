"""What runs answered to one prompt: masks, marks and totals at any thresholds, without the model. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.masks.kept import Kept, Mark, Thresholds, alone, at_size, logit
from boltzformer.desk.masks.recalled import Recalled
from boltzformer.desk.scale import Scale
from boltzformer.desk.words import counted
from boltzformer.image.geometry import Array
from boltzformer.image.slicing import LOGIT_STEP, SlicePlan
from boltzformer.masks.postprocess import sigmoid
from boltzformer.types import Prediction, Prompt, SliceResult

LEAST_OUTLINE = 0.01
"""No slider goes lower."""


class Answers:
    """One prompt's answers by row: the slice's number as a viewer counts it, in the canonical view."""

    def __init__(self, gate: float = 0.5) -> None:
        self._thresholds = Thresholds(existence=gate)
        self._marks: dict[int, Mark] = {}
        """As they were drawn last: a bar of 300 slices asks for all of them at every scroll."""
        self._kept: dict[int, Kept] = {}
        self._asked_at: dict[int, Thresholds] = {}
        self._voxels: dict[int, int] = {}
        self._cut: set[int] = set()
        """Where objects are hidden for their size."""
        self._recalled: dict[int, Recalled] = {}
        """Also beneath answers of boxes, outside of which they still hold."""
        self.left_out = 0
        """Voxels of objects that a person left out, when they were counted last."""
        self.outline_then: dict[int, float] = {}
        """By row, at which what is recalled was outlined."""
        self.came_apart = False
        """Whether what is recalled had one label per object then."""

    def as_now(self) -> Answers:
        """For work beside the viewer: what is answered, taken back or shown meanwhile does not change it."""
        one = Answers()
        one.thresholds = self.thresholds
        one._kept, one._asked_at = dict(self._kept), dict(self._asked_at)
        one._voxels, one._recalled = dict(self._voxels), dict(self._recalled)
        return one

    @property
    def thresholds(self) -> Thresholds:
        """What masks are asked at."""
        return self._thresholds

    @thresholds.setter
    def thresholds(self, thresholds: Thresholds) -> None:
        if thresholds != self._thresholds:
            self._thresholds = thresholds
            self._marks.clear()

    @property
    def rows(self) -> Collection[int]:
        """Where the model has looked and its answer is held."""
        return self._kept.keys()

    @property
    def looked(self) -> Collection[int]:
        """Where the model has looked."""
        return self._kept.keys() | self._recalled.keys()

    def earlier(self, those: Callable[[Recalled], bool]) -> dict[int, Recalled]:
        """By row, some of the answers of an earlier day that no newer one lies on."""
        return {row: one for row, one in self._recalled.items() if row not in self._kept and those(one)}

    def recall(self, row: int, score: float, mask: Array, *, shown: bool = True, lifted: bool | None = None) -> None:
        """An answer of an earlier day; not `shown`: its score was too low. `lifted`: None where nobody knows."""
        self._marks.pop(row, None)
        voxels = self._voxels[row] = int(np.count_nonzero(mask)) if shown else 0
        one = Recalled(score, np.packbits(mask), voxels, mask.shape, shown)
        was = voxels > 0 and not one.shows(self.thresholds) if lifted is None else lifted
        self._recalled[row] = replace(one, lifted=was)

    def hold_again(self, row: int, kept: Kept, at: Thresholds) -> None:
        """The answer itself, of which the mask as it is shown `at` was recalled."""
        self._kept[row], self._asked_at[row] = kept, at
        if not kept.only_in_box:
            del self._recalled[row]
        self._marks.pop(row, None)

    def recall_beside(self, row: int, more: NDArray[np.bool_]) -> None:
        """Objects of it that were hidden for their size: what is shown again begins with them."""
        if (known := self._recalled.get(row)) is not None:
            self._recalled[row] = replace(known, bits=known.bits | np.packbits(more))

    @property
    def hidden(self) -> list[int]:
        """Where there is an outline that a threshold hides."""
        return [row for row in self.looked if self.mark(row).hidden]

    def recall_hidden(self, rows: Collection[int]) -> None:
        """Of answers of an earlier day: where that was so."""
        for row in self._recalled.keys() & set(rows):
            self._recalled[row] = replace(self._recalled[row], lost=not self._recalled[row].outlined)
            self._marks.pop(row, None)

    def keep(self, plan: SlicePlan, result: SliceResult, number: int) -> int:
        """Holds an answer (its logits stay packed) → its row. One of a box covers what was known there, no more."""
        row = plan.canonical_index(result.index)
        before = None if plan.box is None else self._kept.get(row)
        under = None if before is None else before.outside(plan)
        self._kept[row] = Kept(plan, result, number, float(result.plane(number).max()) * LOGIT_STEP, under)
        self._asked_at.pop(row, None)
        self._marks.pop(row, None)
        if plan.box is None:
            self._recalled.pop(row, None)
        return row

    def forget(self, row: int) -> None:
        """As if the model had never looked there."""
        for known in (self._kept, self._asked_at, self._voxels, self._recalled, self._marks):
            known.pop(row, None)
        self._cut.discard(row)

    def of(self, row: int) -> Kept | None:
        """What is held of a slice."""
        return self._kept.get(row)

    def logits(self, row: int) -> NDArray[np.int8]:
        """Of a slice whose answer is held, as they came and as large: of what was looked at last, maybe in a box."""
        kept = self._kept[row]
        return kept.result.plane(kept.number)

    def score(self, row: int) -> float:
        """The slice's: the highest of all that is held."""
        held = (self._kept.get(row), self._recalled.get(row))
        return max(one.score for one in held if one is not None)

    def recalled(self, row: int) -> Recalled | None:
        """What an earlier day's answer left."""
        return self._recalled.get(row)

    def bring_back(self, row: int, kept: Kept | None, recalled: Recalled | None) -> None:
        """What was held before."""
        self.forget(row)
        if kept is not None:
            self._kept[row] = kept
        if recalled is not None:
            self._recalled[row], self._voxels[row] = recalled, recalled.voxels

    @property
    def in_box_only(self) -> int:
        """In so many slices nothing but a box was looked at."""
        return sum(kept.only_in_box for row, kept in self._kept.items() if row not in self._recalled)

    def prediction(self, prompt: Prompt, plan: SlicePlan) -> Prediction:
        """This prompt's part of all answers, in the order of the stored slices; `plan`: any of the image.

        Where some looked at the whole slice and others in a box, all of them at the size of the image's own voxels.
        """
        parts = [part for kept in self._kept.values() for part in kept.parts]
        plans = {part.plan for part in parts}
        if len(plans) > 1:
            plan = replace(plan, size=max(plan.slice_shape), box=None)
            found = [at_size(kept, plan) for kept in self._kept.values()]
        else:
            plan = next(iter(plans), plan)
            found = [alone(part.result, part.number) for part in parts]
        return Prediction((prompt,), tuple(sorted(found, key=lambda one: one.index)), plan)

    def at_present(self, row: int) -> NDArray[np.bool_]:
        """The slice's mask in the canonical view, at the present thresholds."""
        kept, recalled = self._kept.get(row), self._recalled.get(row)
        if kept is None:
            return self._recalled[row].seen(self.thresholds)
        seen = kept.mask(self.thresholds)
        crops = (part.plan.crop for part in kept.parts)
        return seen if recalled is None else recalled.around(seen, crops, self.thresholds)

    def mask(self, row: int) -> NDArray[np.bool_]:
        """The same for somebody who shows it: until the thresholds change again, it is not stale."""
        shown = self.at_present(row)
        self.showed(row, shown)
        return shown

    def showed(self, row: int, shown: NDArray[np.bool_]) -> None:
        """It is written as it is at present."""
        self._asked_at[row], self._voxels[row] = self.thresholds, int(np.count_nonzero(shown))
        self._marks.pop(row, None)
        self._cut.discard(row)

    def is_another(self, row: int) -> None:
        """What is shown of it is not at the present thresholds."""
        self._asked_at.pop(row, None)

    def remains(self, row: int, voxels: int, *, cut: bool) -> None:
        """Of the mask that was last asked for, so many voxels are shown. `cut`: others are of objects too small."""
        (self._cut.add if cut else self._cut.discard)(row)
        if self._voxels.get(row, 0) != voxels:
            self._voxels[row] = voxels
            self._marks.pop(row, None)

    def stale(self, row: int) -> bool:
        """Whether the mask would be another one than when it was last asked for."""
        before, now, earlier = self._asked_at.get(row), self.thresholds, self._recalled.get(row)
        if row not in self._kept and earlier is not None:
            return (earlier.shown if before is None else earlier.shows(before)) != earlier.shows(now)
        parts = list(self._kept[row].parts)
        shown = [one.shows for one in parts] + ([earlier.shows] if earlier is not None else [])
        if before is None or any(shows(before) != shows(now) for shows in shown):
            return True
        return before.outline != now.outline and any(part.shows(now) for part in parts)

    def mark(self, row: int) -> Mark:
        """What the slice bar draws; the voxels are those of the mask that was last asked for."""
        known = self._marks.get(row)
        if known is None:
            known = self._marks[row] = self._mark(row)
        return known

    def _mark(self, row: int) -> Mark:
        voxels = self._voxels.get(row, 0)
        if row not in self._kept:
            earlier = self._recalled[row]
            return Mark(earlier.score, voxels, hidden=not voxels and (earlier.lost or earlier.outlined))
        kept = self._kept[row]
        peak = max(part.peak for part in kept.parts)
        return Mark(self.score(row), voxels, hidden=not voxels and peak >= min(0.0, logit(self.thresholds.outline)))

    def best(self) -> tuple[float, int]:
        """The highest score, and its row."""
        scores = {row: self.score(row) for row in self.looked}
        row = max(scores, key=lambda one: (scores[one], -one))
        return scores[row], row

    def total(self, count: int, scale: Scale, painted: Mapping[int, int]) -> str:
        """How much is shown, and in how many of the image's `count` slices the model has looked.

        `painted`: voxels of the rows that a person changed, which count as they are.
        """
        looked = len(self.looked)
        if not looked:
            return "not looked yet" + (f", 0 of {counted(count)}" if count > 1 else "")
        voxels = {**{row: self._voxels.get(row, 0) for row in self.looked}, **painted}
        shown, partial = scale.amount(max(sum(voxels.values()) - self.left_out, 0)), looked < count
        filled, boxed = sum(one > 0 for one in voxels.values()), _boxed(self.in_box_only, looked)
        if filled and partial and set(voxels) - set(self.looked):  # a person filled slices that nobody asked about
            return f"{shown} in {filled} of {counted(count)}, looked in {looked}{boxed}"
        if filled and partial:
            return f"{shown} so far, {looked} of {counted(count)}{boxed}"
        if filled and count == 1:
            return f"{shown}{boxed}"
        if filled:
            return f"{shown} in {filled} of {counted(count)}{boxed}"
        score, row = self.best()
        where = "looked at this picture" if count == 1 else f"looked in {counted(count)}"
        where = f"looked in {looked} of {counted(count)} so far" if partial else where
        where += boxed
        there = "" if count == 1 else f" (slice {row})"
        least = self.thresholds.existence
        digits = 2 if f"{score:.2f}" != f"{least:.2f}" else 4  # rounding must not make it reach what it misses
        if score < least:
            why = f"below {least:.{digits}f}"
        elif self._cut:
            why = "but no object is large enough"
        else:
            why = self._not_outlined(row)
        return f"{where}, best score {score:.{digits}f}{there}, {why}"

    def _not_outlined(self, row: int) -> str:
        """Why a slice whose score is high enough shows nothing, and what can be done."""
        outline, kept = self.thresholds.outline, self._kept.get(row)
        sure = 1.0 if kept is None else float(sigmoid(np.array([one.peak for one in kept.parts], np.float32)).max())
        if sure >= outline:  # of an earlier day, or outside of where it was led
            return "but nothing is outlined"
        if sure < LEAST_OUTLINE:
            return "but it cannot tell where: lead it by a point or a box"
        return f"nothing outlined: lower 'outline' to {math.floor(100 * sure) / 100:.2f}"


def _boxed(boxed: int, looked: int) -> str:
    """What must be said where not all of each slice was looked at."""
    if not boxed:
        return ""
    return ", only in the box" if boxed == looked else f", in {boxed} of them only in the box"
