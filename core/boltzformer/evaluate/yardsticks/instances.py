"""Objects met one to one: how many true ones an answer finds, by overlap, in the best pairing of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Met:
    """True and claimed objects, and the pairs among them."""

    true: int
    claimed: int
    dices: tuple[float, ...]
    """Of every pair that counts."""

    @property
    def precision(self) -> float:
        return len(self.dices) / self.claimed if self.claimed else 0.0

    @property
    def recall(self) -> float:
        return len(self.dices) / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def in_sequence(labels: Array) -> Counts:
    """The same objects, numbered 1, 2, 3, … in the order of their numbers; 0 stays nothing."""
    there = values_in(labels)
    numbers = np.zeros(there[-1] + 1, np.int64)
    numbers[there] = np.arange(len(there)) + (0 if there[0] == 0 else 1)
    return numbers[labels]


def values_in(labels: Array) -> list[int]:
    """Which numbers there are, the lowest first; several times faster than sorting a volume."""
    return [int(value) for value in np.flatnonzero(np.bincount(labels.ravel()))]


def meet(claimed: Counts, true: Counts, least: float, by: Literal["iou", "dice"] = "iou") -> Met:
    """Pairs of objects (both numbered in sequence) from an overlap of `least` on.

    The pairing with the most such pairs, and among those the one with the highest overlaps (Hungarian method).
    """
    from scipy.optimize import linear_sum_assignment

    n, m = int(true.max()), int(claimed.max())
    if n == 0 or m == 0:
        return Met(n, m, ())
    shared = np.bincount((true * (m + 1) + claimed).ravel(), minlength=(n + 1) * (m + 1)).reshape(n + 1, m + 1)
    sizes, claims = shared.sum(1)[1:, None], shared.sum(0)[None, 1:]
    inside = shared[1:, 1:]
    dice = 2 * inside / (sizes + claims)
    overlap = dice if by == "dice" else inside / (sizes + claims - inside)
    costs = -(overlap >= least).astype(float) - overlap / (2 * min(n, m))
    rows, columns = linear_sum_assignment(costs)
    counts = overlap[rows, columns] >= least
    return Met(n, m, tuple(dice[rows, columns][counts].tolist()))
