"""What a run answered, kept per prompt: masks, marks and totals at any thresholds, without the model. No Qt."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from boltzformer import SlicePlan, SliceResult
from boltzformer.slicing import LOGIT_STEP

OVERSHOOT = 0.3
"""Resizing with bicubic weights can raise a peak beside a valley: by less than this share of what lies between."""


@dataclass(frozen=True)
class Thresholds:
    """What a voxel needs to be shown."""

    existence: float = 0.5
    """The score of its slice, from here on."""
    outline: float = 0.5
    """Its own probability, from here on."""


@dataclass(frozen=True)
class Mark:
    """One prompt's answer in one slice, as far as the slice bar draws it."""

    score: float
    voxels: int
    """So many the model's mask has at the present thresholds."""
    hidden: bool = False
    """There is an outline, but a threshold hides it."""


@dataclass(frozen=True)
class Kept:
    """One slice's answer."""

    plan: SlicePlan
    result: SliceResult
    number: int
    """Of the prompt among those that were asked together."""
    peak: float
    """The highest logit."""

    @property
    def ceiling(self) -> float:
        """No voxel's logit is higher, at any size."""
        return self.peak + OVERSHOOT * (self.peak - np.iinfo(np.int8).min * LOGIT_STEP)

    @property
    def score(self) -> float:
        return float(self.result.existence[self.number])

    def shows(self, at: Thresholds) -> bool:
        return self.result.passes(self.number, at.existence) and self.ceiling >= _logit(at.outline)


class Answers:
    """One prompt's answers by row: the slice's number as a viewer counts it, in the canonical view."""

    def __init__(self, gate: float = 0.5) -> None:
        self.thresholds = Thresholds(existence=gate)
        """What masks are asked at."""
        self._kept: dict[int, Kept] = {}
        self._asked_at: dict[int, Thresholds] = {}
        self._voxels: dict[int, int] = {}
        self._recalled: dict[int, float] = {}
        """Scores of an earlier day, whose logits are gone."""

    @property
    def rows(self) -> Collection[int]:
        """Where the model has looked and its answer is held."""
        return self._kept.keys()

    @property
    def looked(self) -> Collection[int]:
        """Where the model has looked."""
        return self._kept.keys() | self._recalled.keys()

    def recall(self, row: int, score: float, voxels: int) -> None:
        """An answer of an earlier day: no threshold re-applies to it."""
        self._recalled[row], self._voxels[row] = score, voxels

    def keep(self, plan: SlicePlan, result: SliceResult, number: int) -> int:
        """Holds an answer (its logits stay packed) → its row."""
        row = plan.canonical_index(result.index)
        self._kept[row] = Kept(plan, result, number, float(result.plane(number).max()) * LOGIT_STEP)
        self._asked_at.pop(row, None)
        self._recalled.pop(row, None)
        return row

    def forget(self, row: int) -> None:
        """As if the model had never looked there."""
        for known in (self._kept, self._asked_at, self._voxels, self._recalled):
            known.pop(row, None)

    def of(self, row: int) -> Kept | None:
        """What is held of a slice."""
        return self._kept.get(row)

    def bring_back(self, row: int, kept: Kept | None) -> None:
        """What was held before."""
        self.forget(row)
        if kept is not None:
            self._kept[row] = kept

    def alone(self) -> list[SliceResult]:
        """This prompt's part of all answers, in the order of the stored slices."""
        return sorted((_alone(kept.result, kept.number) for kept in self._kept.values()), key=lambda one: one.index)

    def at_present(self, row: int) -> NDArray[np.bool_]:
        """The slice's mask in the canonical view, at the present thresholds."""
        kept, at = self._kept[row], self.thresholds
        if kept.shows(at):
            return kept.plan.mask(kept.result.plane(kept.number), at.outline)
        return np.zeros(kept.plan.slice_shape, bool)

    def mask(self, row: int) -> NDArray[np.bool_]:
        """The same for somebody who shows it: until the thresholds change again, it is not stale."""
        shown = self.at_present(row)
        self._asked_at[row], self._voxels[row] = self.thresholds, int(np.count_nonzero(shown))
        return shown

    def stale(self, row: int) -> bool:
        """Whether the mask would be another one than when it was last asked for."""
        kept, before, now = self._kept[row], self._asked_at.get(row), self.thresholds
        if before is None or kept.shows(before) != kept.shows(now):
            return True
        return kept.shows(now) and before.outline != now.outline

    def mark(self, row: int) -> Mark:
        """What the slice bar draws; the voxels are those of the mask that was last asked for."""
        voxels = self._voxels.get(row, 0)
        if row not in self._kept:
            return Mark(self._recalled[row], voxels)
        kept = self._kept[row]
        return Mark(kept.score, voxels, hidden=not voxels and kept.peak >= min(0.0, _logit(self.thresholds.outline)))

    def best(self) -> tuple[float, int]:
        """The highest score, and its row."""
        scores = {**self._recalled, **{row: kept.score for row, kept in self._kept.items()}}
        row = max(scores, key=lambda one: (scores[one], -one))
        return scores[row], row

    def total(self, count: int, voxel_ml: float | None, painted: Mapping[int, int]) -> str:
        """How much is shown, and in how many of the image's `count` slices the model has looked.

        `painted`: voxels of the rows that a person changed, which count as they are. `voxel_ml`: None without a scale.
        """
        looked = len(self.looked)
        if not looked:
            return f"not looked yet, 0 of {_slices(count)}"
        voxels = {**{row: self._voxels.get(row, 0) for row in self.looked}, **painted}
        amount, partial = _amount(sum(voxels.values()), voxel_ml), looked < count
        filled = sum(one > 0 for one in voxels.values())
        if filled and partial:
            return f"{amount} so far, {looked} of {_slices(count)}"
        if filled:
            return f"{amount} in {filled} of {_slices(count)}"
        score, row = self.best()
        where = f"looked in {looked} of {_slices(count)} so far" if partial else f"looked in {_slices(count)}"
        least = self.thresholds.existence
        digits = 2 if f"{score:.2f}" != f"{least:.2f}" else 4  # rounding must not make it reach what it misses
        if score < least:
            why = f"below {least:.{digits}f}"
        elif self.mark(row).hidden:
            why = f"but nothing reaches the outline's {self.thresholds.outline:.2f}"
        else:
            why = "but no outline"
        return f"{where}, best score {score:.{digits}f} (slice {row}), {why}"


def _alone(result: SliceResult, number: int) -> SliceResult:
    only = slice(number, number + 1)
    return replace(
        result,
        logits=result.plane(number)[None],
        existence=result.existence[only],
        spread=None if result.spread is None else result.spread[only],
        edges=None if result.edges is None else result.edges[only],
        lifted=None if result.lifted is None else result.lifted[only],
    )


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _amount(voxels: int, voxel_ml: float | None) -> str:
    if voxel_ml is None:
        return f"{voxels:,} px"
    ml = voxels * voxel_ml
    return f"{ml:.1f} mL" if ml >= 0.95 else f"{ml:.2g} mL"


def _slices(count: int) -> str:
    return "1 slice" if count == 1 else f"{count} slices"
