"""CVPR 2025, interactive: a box, then five clicks, each in the middle of the largest error; `CVPR25_iter_eval.py`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.metrics import dice
from boltzformer.evaluate.yardsticks.cvpr25 import Labels, about, cases_in, has, labels_in, spacing_in, whole
from boltzformer.evaluate.yardsticks.measures import surface_dice, values_in
from boltzformer.evaluate.yardsticks.scores import Case, Scores, rounded
from boltzformer.io.npz import read_array

CLICKS = 5
ROUNDS = CLICKS + 1
"""Answers: to the box, and to each click."""
COLUMNS = (
    *("DSC_AUC", "NSD_AUC", "DSC_Final", "NSD_Final"),
    *(f"{measure}_{number + 1}" for measure in ("DSC", "NSD") for number in range(ROUNDS)),
)
SECONDS = 90.0
"""An answer may take for each class, all rounds together; whoever takes longer has 0."""
TOLERANCE = 2.0
POOR = 0.2
"""With a lower Dice the surface is not looked at: it counts as 0."""
MARGIN = 0.25
"""Of an error's box, that is put around it on each side before its middle is sought."""
Place = tuple[int, int, int]


def score(truth: Path, answers: Path) -> Scores:
    """Every case that has an answer; with `all_segs` in it, all rounds, else only the last."""
    cases, left = cases_in(truth, answers)
    return Scores(COLUMNS, [_scored(*case) for case in cases], unanswered=left)


def _scored(name: str, truth: Path, answer: Path) -> Case:
    gts = labels_in(truth, "gts")
    rounds = rounds_in(answer, gts.shape) if has(answer, "all_segs") else [labels_in(answer, "segs", gts.shape)]
    return numbers(name, gts, rounds, spacing_in(about(truth)), truth)


def rounds_in(path: Path, shape: Sequence[int]) -> list[Labels | None]:
    """The answers of all six rounds; None for the first where there was no box.

    The official script keeps every answer twice, before and after each click, so its files hold 11 (10 without a box).
    """
    stack = read_array(path, "all_segs")
    if stack.ndim != 4 or stack.shape[1:] != tuple(shape):
        raise BoltzFormerError(
            f"`all_segs` of {path} has the shape {stack.shape}, its truth {tuple(shape)}: give (rounds, z, y, x)."
        )
    labels = whole(stack, f"`all_segs` of {path}")
    match len(labels):
        case 6 | 5:
            kept = list(labels)
        case 11:
            kept = list(labels[::2])
        case 10:
            kept = list(labels[1::2])
        case count:
            raise BoltzFormerError(f"`all_segs` of {path} holds {count} answers: give one for each of {ROUNDS} rounds.")
    return kept if len(kept) == ROUNDS else [None, *kept]


def numbers(
    name: str,
    gts: Labels,
    rounds: Sequence[Labels | None],
    spacing: tuple[float, float, float],
    where: Path,
) -> Case:
    """Of one case: of every round, at the end, and the areas under the curve over the clicks."""
    if not gts.any():
        raise BoltzFormerError(f"The truth of {where} is empty: such a case has no score, leave it out.")
    each = [(0.0, 0.0) if segs is None else quality(gts, segs, spacing) for segs in rounds]
    told: dict[str, float] = {}
    for column, measure in enumerate(("DSC", "NSD")):
        values = [one[column] for one in each]
        told[f"{measure}_Final"] = values[-1]
        if len(values) == ROUNDS:
            told[f"{measure}_AUC"] = area(values[-CLICKS:])
            told |= {f"{measure}_{number + 1}": value for number, value in enumerate(values)}
    return Case(name, {one: rounded(told.get(one, np.nan)) for one in COLUMNS}, f"{name}.npz")


def area(values: Sequence[float]) -> float:
    """Under the curve, by trapezoids of width 1."""
    return sum((a + b) / 2 for a, b in pairwise(values))


def classes(gts: Labels) -> list[int]:
    """What a truth holds, the background left out."""
    return values_in(gts)[1:]


def quality(gts: Labels, segs: Labels, spacing: tuple[float, float, float]) -> tuple[float, float]:
    """DSC and NSD, means over the classes."""
    pairs = [(segs == label, gts == label) for label in classes(gts)]
    dsc = float(np.mean([dice(*pair) for pair in pairs]))
    if dsc <= POOR:
        return dsc, 0.0
    return dsc, float(np.mean([surface_dice(*pair, spacing, TOLERANCE) for pair in pairs]))


def next_click(true: NDArray[np.bool_], claimed: NDArray[np.bool_]) -> tuple[Place, bool] | None:
    """z, y, x in the middle of the largest error, and whether the object is there; None where there is no error."""
    from scipy.ndimage import distance_transform_edt
    from skimage.measure import label

    errors = label(true != claimed, connectivity=3)
    sizes = np.bincount(errors.ravel())
    sizes[0] = 0
    if not sizes.any():
        return None
    places = np.argwhere(errors == int(sizes.argmax()))
    low, high = places.min(0), places.max(0) + 1
    around = np.maximum(((high - low) * MARGIN).astype(int), 1)
    box = np.pad(errors[tuple(map(slice, low, high))] == int(sizes.argmax()), [(n, n) for n in around])
    depth = distance_transform_edt(box)
    middles = np.argwhere(depth == depth.max())
    chosen = middles[np.random.RandomState(42).choice(len(middles))] - around + low  # drawn as officially
    z, y, x = map(int, chosen)
    return (z, y, x), bool(true[z, y, x])
