"""CVPR 2025, text: organs by overlap and surface, lesions one by one; the very numbers of `CVPR25_text_eval.py`.

Its oddities are kept, for they are in everybody's numbers: the spacing is taken as stored, though files count x, y, z
and arrays z, y, x; labels that are not in the truth are not scored, whatever is marked there; a truth without any
background loses its lowest label; a binary answer is split into its pieces in 8-bit numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.metrics import dice
from boltzformer.evaluate.yardsticks.cvpr25 import Asked, Labels, about, asked_in, cases_in, labels_in, spacing_in
from boltzformer.evaluate.yardsticks.measures import Counts, in_sequence, meet, surface_dice, values_in
from boltzformer.evaluate.yardsticks.scores import Case, Scores, rounded

COLUMNS = ("DSC", "NSD", "F1", "DSC_TP")
TOLERANCE = 2.0
"""In the unit of the spacing."""
SAME = 0.5
"""Intersection over union from which an object counts as found."""
WRAPS = 256
"""Numbers there are in 8 bits."""


def score(truth: Path, answers: Path) -> Scores:
    """Every case that has an answer."""
    cases, left = cases_in(truth, answers)
    return Scores(COLUMNS, [_scored(*case) for case in cases], unanswered=left)


def _scored(name: str, truth: Path, answer: Path) -> Case:
    told = about(truth)
    gts = labels_in(truth, "gts")
    return numbers(name, gts, labels_in(answer, "segs", gts.shape), spacing_in(told), asked_in(told), truth)


def numbers(
    name: str, gts: Labels, segs: Labels, spacing: tuple[float, float, float], asked: Asked, where: Path
) -> Case:
    """Of one case."""
    if not gts.any():
        raise BoltzFormerError(f"The truth of {where} is empty: such a case has no score, leave it out.")
    values = overlaps(gts, segs, spacing, asked) if not asked.instances else objects(gts, segs)
    told = {column: rounded(values.get(column, np.nan)) for column in COLUMNS}
    return Case(name, told, f"{name}.npz")


def overlaps(gts: Labels, segs: Labels, spacing: tuple[float, float, float], asked: Asked) -> dict[str, float]:
    """Means over labels that are in the truth and asked for."""
    present = [label for label in values_in(gts)[1:] if label in asked.prompts]
    if not present:
        return {}
    pairs = [(segs == label, gts == label) for label in present]
    return {
        "DSC": float(np.mean([dice(*pair) for pair in pairs])),
        "NSD": float(np.mean([surface_dice(*pair, spacing, TOLERANCE) for pair in pairs])),
    }


def objects(gts: Labels, segs: Labels) -> dict[str, float]:
    """F1 of finding each, and how well the found ones fit."""
    met = meet(in_sequence(numbered(segs)), in_sequence(gts), SAME)
    return {"F1": met.f1, "DSC_TP": float(np.mean(met.dices)) if met.dices else 0.0}


def numbered(segs: Labels) -> Labels | Counts:
    """A binary answer as its face-connected pieces; one that has numbers as it is.

    In 8 bits the numbers begin behind the answer's own value and wrap around, so that one piece may be lost, as it is
    officially. From 256 pieces on the official script breaks and leaves the case out: then each keeps its number here.
    """
    if len(values_in(segs)) != 2:
        return segs
    from skimage.measure import label

    pieces = label(segs, connectivity=1).astype(np.int64)
    if pieces.max() >= WRAPS:
        return pieces
    wrapped: Counts = np.where(pieces > 0, (pieces + int(segs.max())) % WRAPS, 0)
    return wrapped
