"""Which slice teaches most: where the answer is in doubt and leaps from slice to slice, and where no lesson is near.

Each alone misleads. A broad, soft outline that goes on alike is mostly right; a sure one that leaps may be where the
object really ends; and far from all lessons there is often nothing at all. Where the model wavers and its neighbours
say otherwise, it is wrong. Of many scattered objects each slice shows others, and those beside a lesson teach little
that is new: there the distance counts in full.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.neighbours import Neighbours
from boltzformer.types import Lesson

DOUBT = 32
"""Quantised logits (2) from the outline within which a place is in doubt."""


def in_doubt(logits: NDArray[np.int8]) -> int:
    """Of a slice's quantised logits, so many places are near the outline's."""
    return int(np.count_nonzero((logits > -DOUBT) & (logits < DOUBT)))


def most_telling(
    doubts: Mapping[int, int], mask: Callable[[int], NDArray[np.bool_]], lessons: Sequence[Lesson], plan: SlicePlan
) -> list[int]:
    """Slices where a lesson would teach most, best first.

    `doubts`: `in_doubt` of the slices that were asked, by their number in the file; `mask`: what is shown of one of
    them. As far from a lesson as the object is wide is far enough: what lies farther away is no more in doubt.
    """
    given = {one.index: one.mask for one in lessons}
    known, near = np.array(list(given)), Neighbours(lessons, plan)
    reach, power = (math.inf, 1.0) if near.scattered else (max(1.0, 2 * near.radius / near.thickness), 0.5)
    leaps = _leaps(sorted(doubts.keys() | given), lambda index: given[index] if index in given else mask(index))
    score: dict[int, float] = {}
    for index, doubt in doubts.items():
        if index not in given:
            away = min(reach, float(np.abs(known - index).min())) if len(known) else 1.0
            score[index] = away**power * (1 + doubt) * (1 + leaps[index])
    return sorted(score, key=lambda index: (-score[index], index))


def _leaps(indices: Sequence[int], mask: Callable[[int], NDArray[np.bool_]]) -> dict[int, int]:
    """Pixels that differ in the slices beside each. What nobody asked is no neighbour: it may hold anything."""
    leaps, last, before = dict.fromkeys(indices, 0), -2, np.zeros(0, bool)
    for index in indices:
        here = mask(index)
        if index == last + 1:
            changed = int(np.count_nonzero(here ^ before))
            leaps[last] += changed
            leaps[index] += changed
        last, before = index, here
    return leaps
