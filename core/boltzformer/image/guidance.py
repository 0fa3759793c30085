"""`Guidance`: a user's hand on the sampler, in voxels of the stored image; and what it says about one slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import BoltzFormerError
from boltzformer.image.slicing import SlicePlan

STRENGTH, WIDTH = 0.5, 16.0
"""Of guidance, unless said otherwise; what other values did is in benchmarks/RESULTS.md."""
MOST_POINTS = 1000
"""Of one guidance: nobody clicks more often."""
Voxel = tuple[float, float, float]
"""A place i, j, k in the stored array (along x, y, z), 0-based: whole numbers are the centres of voxels."""


@dataclass(frozen=True)
class Guidance:
    """A user's hand on the sampler: looks are drawn with p ∝ exp((U + strength · g)/τ) instead of exp(U/τ).

    It says something about the slices that its points and its box lie in, and nothing about others.
    """

    here: tuple[Voxel, ...] = ()
    """The object is here: g rises to 1, and the slice has a mask whatever its existence."""
    not_here: tuple[Voxel, ...] = ()
    """It is not: g falls to −1."""
    box: tuple[Voxel, Voxel] | None = None
    """Two corners: nothing outside is looked at, in the slices between them."""
    prompt: str = ""
    """The text of the prompt that is meant; empty for all."""
    strength: float = STRENGTH
    """λ: by how much of a sure guess (U = 1) a point changes what the model believes of its place."""
    width: float = WIDTH
    """Standard deviation of g around a point, in pixels of the network's input."""
    bend: bool = True
    """Whether the answer itself obeys as well (`obeying`); False leads the looks alone."""

    def __post_init__(self) -> None:
        if not (0 <= self.strength < np.inf and 0 < self.width < np.inf):
            raise BoltzFormerError(
                f"Guidance can't have strength {self.strength} and width {self.width}: "
                "give a strength of 0 or more and a width above 0."
            )
        if len(self.here) + len(self.not_here) > MOST_POINTS:
            raise BoltzFormerError(f"Guidance has more than {MOST_POINTS} points: give fewer, or a mask to begin from.")
        object.__setattr__(self, "here", tuple(map(_voxel, self.here)))
        object.__setattr__(self, "not_here", tuple(map(_voxel, self.not_here)))
        if self.box is not None:
            corners = tuple(map(_voxel, self.box))
            if len(corners) != 2:
                raise BoltzFormerError(f"A box of guidance has two corners, not {len(corners)}.")
            low, high = (tuple(end(pair) for pair in zip(*corners, strict=True)) for end in (min, max))
            object.__setattr__(self, "box", (low, high))

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self.here or self.not_here or self.box)


@dataclass(frozen=True)
class HintPoint:
    """A point in pixels of the network's input, counted from its edge."""

    row: float
    column: float
    strength: float
    """Below 0 where the object is not."""
    width: float
    here: bool = True
    """Whether the object is there, whatever the strength."""


@dataclass(frozen=True)
class HintBox:
    """A box, likewise."""

    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True)
class Hint:
    """What guidance says about one slice and prompt."""

    points: tuple[HintPoint, ...] = ()
    boxes: tuple[HintBox, ...] = ()
    """What lies outside of all of them is not looked at."""
    lifts: bool = False
    """Whether the user pointed at the object here."""
    bends: int = 0
    """Side of the network's input, where the answer obeys as well; 0 where it does not."""

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self.points or self.boxes)


def hint(guidance: Sequence[Guidance], plan: SlicePlan, index: int, prompt: str) -> Hint:
    """For the slice with stored number `index`. A point outside the plan's region says nothing."""
    points: list[HintPoint] = []
    boxes: list[HintBox] = []
    lifts = bends = False
    for one in guidance:
        if one.prompt not in ("", prompt):
            continue
        bends |= one.bend
        for sign, places in ((1, one.here), (-1, one.not_here)):
            for place in places:
                number, row, column = plan.to_pixels(place)
                if _nearest(number) == index and 0 <= row <= plan.size and 0 <= column <= plan.size:
                    points.append(HintPoint(row, column, sign * one.strength, one.width, sign > 0))
                    lifts |= sign > 0
        if one.box is not None:
            # Voxels are areas: a box reaches half a voxel beyond their centres.
            corners = [[place + reach for place in corner] for corner, reach in zip(one.box, (-0.5, 0.5), strict=True)]
            (first, *a), (last, *b) = map(plan.to_pixels, corners)
            if first <= index <= last:
                (top, bottom), (left, right) = (sorted(edges) for edges in zip(a, b, strict=True))
                boxes.append(HintBox(top, left, bottom, right))
    said = bool(points or boxes)
    return Hint(tuple(points), tuple(boxes), lifts, plan.size if bends and said else 0)


def looked_at(guidance: Sequence[Guidance], plan: SlicePlan, index: int, prompt: str) -> NDArray[np.bool_] | None:
    """Of a slice in the canonical view, what a plan or boxes let be looked at; None: all of it."""
    boxes = [] if plan.box is None else [plan.crop]
    for one in guidance if plan.box is None else ():
        if one.box is not None and one.prompt in ("", prompt) and hint([Guidance(box=one.box)], plan, index, ""):
            ends = zip(*one.box, plan.grid.shape[::-1], strict=True)
            i, j, k = ((max(_nearest(low), 0), min(_nearest(high), n - 1) + 1) for low, high, n in ends)
            boxes.append(replace(plan, box=(k, j, i)).crop)
    if not boxes:
        return None
    seen = np.zeros(plan.slice_shape, bool)
    for box in boxes:
        seen[box] = True
    return seen


def lies_in(place: Voxel, shape: Sequence[int]) -> bool:
    """Whether a place i, j, k lies in one of so many voxels along x, y, z."""
    return all(-0.5 <= at <= n - 0.5 for at, n in zip(place, shape, strict=True))


def reaches_in(box: tuple[Voxel, Voxel], seen: Sequence[tuple[int, int]]) -> bool:
    """Whether a box has something in it of the voxels `seen` along x, y, z: the first, and the one after the last."""
    return all(low < end - 0.5 and high > start - 0.5 for low, high, (start, end) in zip(*box, seen, strict=True))


def check(guidance: Sequence[Guidance], plan: SlicePlan, prompts: Sequence[str]) -> None:
    """Refuses what points nowhere: places outside the image, boxes outside the region, prompts nobody asked for."""
    shape = plan.grid.shape[::-1]
    size = "×".join(map(str, shape))
    seen = plan.box[::-1] if plan.box is not None else tuple((0, n) for n in shape)
    for one in guidance:
        if one.prompt and one.prompt not in prompts:
            raise BoltzFormerError(
                f"Guidance is given for the prompt '{one.prompt}', which is not asked: ask for it too."
            )
        for place in (*one.here, *one.not_here):
            if not lies_in(place, shape):
                raise BoltzFormerError(
                    f"The point {_shown(place)} lies outside the image ({size} voxels): give a 0-based voxel i,j,k."
                )
        if one.box is not None and not reaches_in(one.box, seen):
            where = f"image ({size} voxels)" if plan.box is None else "region that is looked at"
            raise BoltzFormerError(
                f"The box from {_shown(one.box[0])} to {_shown(one.box[1])} lies outside the {where}: give one in it."
            )


def as_guidance(guidance: Guidance | Sequence[Guidance] | None) -> tuple[Guidance, ...]:
    """Nothing, one, or several (for other prompts); those that say nothing are left out."""
    several = () if guidance is None else [guidance] if isinstance(guidance, Guidance) else guidance
    return tuple(one for one in several if one)


def _voxel(place: Sequence[float]) -> Voxel:
    try:
        i, j, k = map(float, place)
    except (TypeError, ValueError):
        i = j = k = np.nan
    if not np.isfinite((i, j, k)).all():
        raise BoltzFormerError(f"The point {place} is no place in an image: give three numbers i, j, k.")
    return i, j, k


def _nearest(number: float) -> int:
    """Halves go up, for every slice alike."""
    return floor(number + 0.5)


def _shown(place: Voxel) -> str:
    return ",".join(f"{at:g}" for at in place)
