"""`Neighbours`: what the lessons of other slices say about this one, as logits, and how much that can be believed.

Between two lessons the outline is interpolated by signed distances; an empty one lies wholly outside, so that an object
ends half-way to it; beside the outermost the nearest one goes on and is believed less and less. How far
an outline wanders from slice to slice is a random walk whose pace is fitted by leaving every lesson out once: between
two lessons at a and b mm its variance is that of a Brownian bridge, pace² · ab/(a + b), beside them pace² · a.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.lessons import Fit
from boltzformer.masks.objects import pieces
from boltzformer.types import Lesson

Field = NDArray[np.float32]
PACES = (0.1, 0.15, 0.25, 0.4, 0.6, 0.9, 1.4, 2.2, 3.5)
"""mm per √mm that are tried."""
CLEAR = 2.0
"""Standard deviations from the outline beyond which a place is clearly inside or outside."""
BESIDE = 0.25
"""How much a lesson counts in the fit that had to be foretold from one side: nobody asks so far out of most slices."""
USUAL = 0.05
"""Share of strays and holes of one imagined lesson more, so that one good guess is not taken for certainty."""


class _Shape:
    """One lesson as a field of distances."""

    def __init__(self, lesson: Lesson, spacing: tuple[float, float]) -> None:
        from scipy.ndimage import center_of_mass, distance_transform_edt

        mask = lesson.mask
        self.index, self.mask, self.there = lesson.index, mask, bool(mask.any())
        self.lone, self.centre = False, (0.0, 0.0)
        if self.there:
            inside, outside = (distance_transform_edt(one, spacing) for one in (mask, ~mask))
            self.distance: Field = (inside - outside).astype(np.float32)
            self.radius = float(self.distance.max())
            self.lone = int(pieces(mask).max()) == 1
            row, column = center_of_mass(mask)
            self.centre = (float(row), float(column))
        else:
            self.distance, self.radius = np.zeros(mask.shape, np.float32), 0.0


class Neighbours:
    """For one case; cheap to ask, slice by slice, in any order."""

    def __init__(self, lessons: Sequence[Lesson], plan: SlicePlan, fit: Fit | None = None) -> None:
        through, rows, columns = (plan.grid.spacing_mm[2 - stored] for stored in plan.view.order)
        self.thickness, self.spacing = through, (rows, columns)
        self.shapes = sorted((_Shape(one, self.spacing) for one in lessons), key=lambda shape: shape.index)
        self.fit = fit or Fit()

    @cached_property
    def radius(self) -> float:
        """Of the object, in mm: of the thickest place of a usual lesson."""
        return float(np.median([shape.radius for shape in self.shapes if shape.there] or [1.0]))

    @property
    def scattered(self) -> bool:
        """Whether most lessons show several objects."""
        lone = [shape.lone for shape in self.shapes if shape.there]
        return 2 * sum(lone) < len(lone)

    def logits(self, index: int, without: Collection[int] = ()) -> Field | None:
        """(rows, columns) of the canonical slice; None where no lesson says anything."""
        found = self._field(index, without)
        if found is None:
            return None
        distance, wandered, doubt = found
        fit = self.fit
        low, high = _logit(fit.strays) * doubt, _logit(1 - fit.holes) * doubt
        walked = max(fit.pace * math.sqrt(wandered), 0.5 * min(self.spacing))
        return np.clip(distance / np.float32(walked), np.float32(min(low, 0)), np.float32(max(high, 0)))

    def survival(self, index: int, without: Collection[int] = ()) -> float:
        """Logit, at most 0, of the object going on so far beyond the outermost lesson that shows it.

        Of n lessons anywhere in an object, those between which L mm lie, one expects it to reach t mm further with a
        chance of (L / (L + t))ⁿ⁻¹; of a single one, to be about as deep as it is wide.
        """
        there = [one.index for one in self.shapes if one.there and one.index not in without]
        known = [one.index for one in self.shapes if one.index not in without]
        if not there or min(known) < index < max(known):
            return 0.0
        away = max(min(there) - index, index - max(there), 0) * self.thickness
        reach, count = (max(there) - min(there)) * self.thickness, len(there) - 1
        if count == 0:
            reach, count = 2 * max(self.radius, self.thickness), 1
        chance = (reach / (reach + away)) ** count
        return min(0.0, _logit(min(max(chance, 1e-3), 0.999)))

    def mask(self, index: int, without: Collection[int] = ()) -> NDArray[np.bool_]:
        """The interpolated outline itself; nothing beyond the outermost lesson."""
        found = self._field(index, without)
        if found is None or found[2] < 1:
            return np.zeros(self.shapes[0].mask.shape, bool)
        return found[0] > 0

    def _field(self, index: int, without: Collection[int]) -> tuple[Field, float, float] | None:
        """Signed distances in mm; the mm between slices that count; 1, or less where only one side says something."""
        below, above = self._around(index, without)
        if below is not None and above is not None:
            a, b = (steps * self.thickness for steps in (index - below.index, above.index - index))
            return self._between(below, above, a / (a + b)), a * b / (a + b), 1.0
        nearest = below if below is not None else above
        if nearest is None:
            return None
        away = abs(index - nearest.index) * self.thickness
        field = nearest.distance if nearest.there else np.full_like(nearest.distance, -self.radius)
        return field, away, 1 / (1 + away / (2 * max(self.radius, self.thickness)))

    def _around(self, index: int, without: Collection[int] = ()) -> tuple[_Shape | None, _Shape | None]:
        """The nearest lessons on both sides."""
        known = [shape for shape in self.shapes if shape.index != index and shape.index not in without]
        below = max((one for one in known if one.index < index), key=lambda one: one.index, default=None)
        above = min((one for one in known if one.index > index), key=lambda one: one.index, default=None)
        return below, above

    def _between(self, first: _Shape, last: _Shape, share: float) -> Field:
        if not first.there and not last.there:
            return np.full_like(first.distance, -self.radius)
        if not (first.there and last.there):
            shape, gone = (first, share) if first.there else (last, 1 - share)
            return (1 - gone) * shape.distance - np.float32(gone * shape.radius)
        a, b = first.distance, last.distance
        if first.lone and last.lone:  # single objects move as they change
            from scipy.ndimage import shift

            way = np.subtract(last.centre, first.centre)
            if np.abs(way).max() > 0.5:
                a = shift(a, share * way, order=1, mode="nearest", prefilter=False)
                b = shift(b, (share - 1) * way, order=1, mode="nearest", prefilter=False)
        mixed: Field = np.float32(1 - share) * a + np.float32(share) * b
        return mixed


def fitted(lessons: Sequence[Lesson], plan: SlicePlan, start: Fit | None = None) -> Fit:
    """Pace, strays and holes that foretell every lesson best from the others; as before where there is only one."""
    near = Neighbours(lessons, plan, start)
    shapes = near.shapes
    told: list[tuple[Field, float, NDArray[np.bool_], float]] = []
    for one in shapes:
        found, around = near._field(one.index, ()), [other for other in near._around(one.index) if other is not None]
        # Left out beside an empty one, the object's last slice is foretold to be half gone: that it is not is no stray.
        if found is not None and one.there and all(other.there for other in around):
            told.append((found[0], found[1], one.mask, 1.0 if len(around) == 2 else BESIDE))
    if sum(shape.there for shape in shapes) < 2 or not told:
        return near.fit
    floor, band = 0.5 * min(near.spacing), max(near.radius, 2 * min(near.spacing))

    def loss(pace: float) -> float:
        total = 0.0
        for distance, wandered, mask, weight in told:
            near_it = np.abs(distance) <= band
            walked = max(pace * math.sqrt(wandered), floor)
            logits = np.clip(distance[near_it] / walked, -6, 6)
            total += (
                weight * float(np.logaddexp(0, np.where(mask[near_it], -logits, logits)).mean()) if len(logits) else 0
            )
        return total

    pace = min(PACES, key=lambda one: (loss(one), one))
    strays, holes = [(USUAL, 1.0)], [(USUAL, 1.0)]
    for distance, wandered, mask, weight in told:
        clear = CLEAR * max(pace * math.sqrt(wandered), floor)
        inside = distance > clear
        if mask.any():
            strays.append((float((distance[mask] < -clear).mean()), weight))
        if inside.any():
            holes.append((float((~mask[inside]).mean()), weight))
    return replace(near.fit, pace=pace, strays=_mean(strays), holes=_mean(holes))


def _mean(weighed: Sequence[tuple[float, float]]) -> float:
    """Kept away from certainty on both sides."""
    mean = sum(value * weight for value, weight in weighed) / sum(weight for _, weight in weighed)
    return min(max(mean, 0.003), 0.5)


def _logit(chance: float) -> float:
    return math.log(chance / (1 - chance))
