"""One slice's answer to one prompt, and what a voxel needs to be shown of it. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array
from boltzformer.image.slicing import LOGIT_STEP, SlicePlan, to_int8
from boltzformer.image.tiling import Tiling
from boltzformer.types import SliceResult

OVERSHOOT = 0.3
"""Resizing with bicubic weights can raise a peak beside a valley: by less than this share of what lies between."""


@dataclass(frozen=True)
class Thresholds:
    """What a voxel, and the object that it belongs to, needs to be shown."""

    existence: float = 0.5
    """The score of its slice, from here on."""
    outline: float = 0.5
    """Its own probability, from here on."""
    smallest_mm3: float = 0.0
    """The volume of its object, from here on, as the grid counts it (a picture without a scale: in pixels)."""
    largest: int | None = None
    """Whether its object is one of so many of the largest; None: any."""

    apart: bool = False
    """In a picture, objects that touch are parted: one label per object."""

    @property
    def of_objects(self) -> bool:
        """Whether anything is asked of objects, which no slice can tell alone."""
        return self.smallest_mm3 > 0 or self.largest is not None or self.apart


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
    under: Kept | None = None
    """Where this one looked in a box only: the answer before it, which still holds outside of the box."""

    @property
    def parts(self) -> Iterator[Kept]:
        """This answer, and what lies under it."""
        yield self
        if self.under is not None:
            yield from self.under.parts

    @property
    def tiling(self) -> Tiling | None:
        """How the picture was cut, where it was asked in tiles."""
        tiling = Tiling.of(self.plan)
        return tiling if tiling is not None and self.result.side == max(self.plan.crop_shape) else None

    @property
    def only_in_box(self) -> bool:
        """Whether nobody ever asked for the whole slice."""
        return all(part.plan.box is not None for part in self.parts)

    @property
    def ceiling(self) -> float:
        """No voxel's logit is higher, at any size."""
        return self.peak + OVERSHOOT * (self.peak - np.iinfo(np.int8).min * LOGIT_STEP)

    @property
    def score(self) -> float:
        """The highest of all parts."""
        return max(float(part.result.existence[part.number]) for part in self.parts)

    def shows(self, at: Thresholds) -> bool:
        """Whether this part may have a mask."""
        return self.result.passes(self.number, at.existence) and self.ceiling >= logit(at.outline)

    def mask(self, at: Thresholds) -> NDArray[np.bool_]:
        """Of the whole slice, in the canonical view."""
        seen = np.zeros(self.plan.slice_shape, bool)
        if self.shows(at):
            seen = self.plan.mask(self.result.plane(self.number), at.outline)
        return self._over(seen, lambda under: under.mask(at))

    def logits(self) -> NDArray[np.float32]:
        """The same before thresholds; −∞ where it was not looked."""
        return self._over(self.plan.expand(self.result.plane(self.number)), Kept.logits)

    def _over(self, seen: Array, beneath: Callable[[Kept], Array]) -> Array:
        if self.under is None:
            return seen
        whole = beneath(self.under)
        whole[self.plan.crop] = seen[self.plan.crop]
        return whole

    def outside(self, plan: SlicePlan) -> Kept | None:
        """What of this remains where another plan looks in its box alone."""
        under = None if self.under is None else self.under.outside(plan)
        hidden = all(a.start >= b.start and a.stop <= b.stop for a, b in zip(self.plan.crop, plan.crop, strict=True))
        return under if hidden else replace(self, under=under)


def alone(result: SliceResult, number: int) -> SliceResult:
    only = slice(number, number + 1)
    return replace(
        result,
        logits=result.plane(number)[None],
        existence=result.existence[only],
        spread=None if result.spread is None else result.spread[only],
        edges=None if result.edges is None else result.edges[only],
        lifted=None if result.lifted is None else result.lifted[only],
    )


def at_size(kept: Kept, plan: SlicePlan) -> SliceResult:
    """All parts of an answer as one, seen by another plan."""
    logits = to_int8(plan.to_network(np.maximum(kept.logits(), np.iinfo(np.int8).min * LOGIT_STEP)))
    existence = np.array([kept.score], kept.result.existence.dtype)
    return SliceResult(kept.result.index, logits[None], existence)


def logit(probability: float) -> float:
    """Of a threshold: what a voxel's logit needs."""
    return math.log(probability / (1 - probability))
