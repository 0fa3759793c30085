"""The gate: is the new model no worse than its parent? And from which claim of existence on is a mask shown?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from boltzformer.learn.corpus import band
from boltzformer.learn.finetune.asking import Case, macro

TOLERANCE = 0.02
"""The macro over the other taught targets may fall by so much."""
MASKS, GROUPS = 10, 5
"""A stratum is judged from so many masks of so many groups on."""
RESAMPLES = 2000
THRESHOLDS = np.round(np.arange(0.1, 0.61, 0.05), 2)
BANDS = ("<0.1%", "0.1-1%", "1-10%", ">10%")


@dataclass(frozen=True)
class Compared:
    """The same questions, put to parent and candidate."""

    parent: tuple[Case, ...]
    candidate: tuple[Case, ...]
    parent_gate: float
    candidate_gate: float

    def differences(self) -> list[tuple[Case, float]]:
        """Candidate minus parent, of present objects."""
        return [
            (old, new.dice(self.candidate_gate) - old.dice(self.parent_gate))
            for old, new in zip(self.parent, self.candidate, strict=True)
            if old.area > 0
        ]


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate may take its parent's place, and why not."""

    promoted: bool
    reasons: tuple[str, ...]
    numbers: Mapping[str, Any] = field(default_factory=dict[str, Any])


def judge(validation: Compared, rest: Compared, taught: Sequence[str], known: frozenset[str] | None) -> Verdict:
    """`taught` are the targets of the run; `known` those that the parent's card says were taught (None: all)."""
    reasons: list[str] = []
    own = [pair for pair in validation.differences() if pair[0].target in taught]
    if not own:
        reasons.append("there is no validation mask of what was taught, so nobody can tell whether it is better")
    was = macro([case for case in validation.parent if case.target in taught], validation.parent_gate)
    became = macro([case for case in validation.candidate if case.target in taught], validation.candidate_gate)
    if own and was is not None and became is not None and became <= was:
        held = f"{len(own)} held-back {'mask' if len(own) == 1 else 'masks'}"
        reasons.append(f"what was taught is no better: {was:.3f} before, {became:.3f} now, on {held}")

    def other(case: Case) -> bool:
        return case.target not in taught and (known is None or case.target in known)

    def mean(name: str) -> float | None:
        cases = [c for one in (validation, rest) for c in getattr(one, name) if other(c)]
        return macro(cases, getattr(rest, f"{name}_gate"))

    before, after = mean("parent"), mean("candidate")
    if before is not None and after is not None and after < before - TOLERANCE:
        reasons.append(f"the other targets fell from {before:.3f} to {after:.3f}, by more than {TOLERANCE}")
    strata = {}
    for name, pairs in _strata([*validation.differences(), *rest.differences()]).items():
        if len(pairs) < MASKS or len({case.group for case, _ in pairs}) < GROUPS:
            continue
        low, high = interval(pairs)
        strata[name] = {"n": len(pairs), "difference": _mean(pairs), "interval": [low, high]}
        if high < 0:
            reasons.append(f"{name} fell by {-_mean(pairs):.3f} (95 % interval {low:.3f} to {high:.3f})")
    numbers = {
        "taught": {"n": len(own), "parent": was, "candidate": became},
        "others": {"parent": before, "candidate": after},
        "strata": strata,
    }
    return Verdict(not reasons, tuple(reasons), numbers)


def interval(pairs: Sequence[tuple[Case, float]], seed: int = 0) -> tuple[float, float]:
    """Of the mean difference: groups (patients) are drawn anew with replacement, all their masks with them."""
    names, group = np.unique([case.group for case, _ in pairs], return_inverse=True)
    values = np.array([value for _, value in pairs])
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    weights = counts[:, group]  # (resamples, masks)
    means = (weights @ values) / np.maximum(weights.sum(1), 1)
    low, high = np.quantile(means[weights.sum(1) > 0], [0.025, 0.975])
    return float(low), float(high)


def threshold(present: Sequence[Sequence[Case]], absent: Sequence[Sequence[float]], own: float) -> float:
    """The least existence to believe: each part of the data counts the same, what is gated away counts 0.

    Among equally good ones the nearest to what the parent had.
    """
    scores = np.zeros(len(THRESHOLDS))
    for cases in present:
        there = [case for case in cases if case.area > 0]
        if there:
            scores += [np.mean([case.dice(t) for case in there]) for t in THRESHOLDS]
    for claims in absent:
        if claims:
            scores += [0.5 * np.mean(np.asarray(claims) < t) for t in THRESHOLDS]
    best = THRESHOLDS[scores >= scores.max() - 0.005]
    return float(best[np.argmin(np.abs(best - own))])


def by_band(cases: Sequence[Case], gate: float) -> dict[str, float]:
    """Mean Dice of present objects by size."""
    found: dict[str, list[float]] = {}
    for case in cases:
        if case.area > 0:
            found.setdefault(BANDS[band(case.area)], []).append(case.dice(gate))
    return {name: round(float(np.mean(found[name])), 4) for name in BANDS if name in found}


def _strata(pairs: Sequence[tuple[Case, float]]) -> dict[str, list[tuple[Case, float]]]:
    found: dict[str, list[tuple[Case, float]]] = {}
    for pair in pairs:
        for name in (pair[0].target, f"objects of {BANDS[band(pair[0].area)]} of the image"):
            found.setdefault(name, []).append(pair)
    return found


def _mean(pairs: Sequence[tuple[Case, float]]) -> float:
    return float(np.mean([value for _, value in pairs]))
