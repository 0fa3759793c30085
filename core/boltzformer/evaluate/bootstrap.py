"""Means with intervals: groups (patients) are drawn anew with replacement, all their cases with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from boltzformer.image.geometry import Array

RESAMPLES = 1000
LEVEL = 0.95
"""Of all intervals."""
T = TypeVar("T")


def interval(groups: Sequence[str], statistic: Callable[[Array], float | None], seed: int) -> list[float] | None:
    """Of a statistic of how often each case counts; None for a single group."""
    names, group = np.unique(list(groups), return_inverse=True)
    if len(names) < 2:
        return None
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    values = [value for one in counts if (value := statistic(one[group])) is not None]
    if not values:
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def macro_interval(
    kinds: Sequence[str], groups: Sequence[str], values: Sequence[float], seed: int
) -> list[float] | None:
    """Of the mean over kinds of the mean over their cases; a kind none of whose groups was drawn is left out."""
    names = sorted(set(kinds))
    member = np.array([[kind == name for kind in kinds] for name in names], float).reshape(len(names), len(kinds))
    known = np.array(values, float)

    def drawn(weights: Array) -> float | None:
        counts = member @ weights
        with np.errstate(invalid="ignore"):
            return float(np.nanmean((member @ (weights * known)) / counts)) if counts.any() else None

    return interval(groups, drawn, seed)


def weighted(values: Sequence[float], weights: Array) -> float | None:
    """A mean in which each counts so often; None where none does."""
    return float(np.average(values, weights=weights)) if weights.any() else None


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def grouped(several: Sequence[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """By that key, in the order of their first."""
    found: dict[str, list[T]] = {}
    for one in several:
        found.setdefault(key(one), []).append(one)
    return found
