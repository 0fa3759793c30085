"""How good a mask and a claim are: overlap, borders, objects, and existence. One definition for tables and training."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from boltzformer.image.geometry import Array
from boltzformer.masks.objects import pieces

TOLERANCE = 2.0
"""A border that lies within so many millimetres (pixels, where spacing is unknown) of the true one is right."""
SAME_OBJECT = 0.1
"""Two objects are one and the same from this intersection over union on: small objects are rarely met exactly."""


def dice(mask: Array, truth: Array) -> float:
    """2 |A ∩ B| / (|A| + |B|). Two empty masks have none: whoever asks must treat them apart."""
    whole = int(np.count_nonzero(mask)) + int(np.count_nonzero(truth))
    if whole == 0:
        raise ValueError("two empty masks have no Dice")
    return 2 * int(np.count_nonzero(mask & truth)) / whole


@dataclass(frozen=True)
class Border:
    """How well two borders fit."""

    nsd: float
    """Normalised surface Dice: share of both borders that lies within `TOLERANCE` of the other."""
    hd95: float
    """95th percentile of the distances between the borders."""


def border(mask: Array, truth: Array, spacing: tuple[float, ...]) -> Border | None:
    """By MONAI, of masks (y, x) or (z, y, x) with the spacing of their axes; None where one of them is empty."""
    both = mask | truth
    if not (mask.any() and truth.any()):
        return None
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_dice import compute_surface_dice

    # Only what lies around the objects: distances between borders don't depend on the rest, the time does.
    inside = tuple(
        slice(max(int(hit[0]) - 1, 0), int(hit[-1]) + 2)
        for axis in range(both.ndim)
        for hit in [np.flatnonzero(both.any(tuple(other for other in range(both.ndim) if other != axis)))]
    )
    a, b = (torch.from_numpy(np.pad(one[inside], 1))[None, None] for one in (mask, truth))
    steps = list(spacing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI calls its own functions in ways that it calls outdated
        nsd = compute_surface_dice(a, b, [TOLERANCE], include_background=True, spacing=steps)
        hd95 = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=steps)
    return Border(float(nsd[0, 0]), float(hd95[0, 0]))


@dataclass(frozen=True)
class Objects:
    """Counts of separate objects; sums over cases are counts again."""

    true: int
    claimed: int
    met: int
    """True objects with a claimed one of their own."""

    def __add__(self, other: Objects) -> Objects:
        return Objects(self.true + other.true, self.claimed + other.claimed, self.met + other.met)

    @property
    def precision(self) -> float | None:
        return self.met / self.claimed if self.claimed else None

    @property
    def recall(self) -> float | None:
        return self.met / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        whole = self.true + self.claimed
        return 2 * self.met / whole if whole else None


def objects(mask: Array, truth: Array) -> Objects:
    """Pairs claimed and true objects one to one, best overlap first, from an IoU of `SAME_OBJECT` on."""
    claimed, true = pieces(mask), pieces(truth)
    sizes, true_sizes = np.bincount(claimed.ravel()), np.bincount(true.ravel())
    both = (claimed > 0) & (true > 0)
    pairs, shared = np.unique(np.stack([claimed[both], true[both]]), axis=1, return_counts=True)
    iou = shared / (sizes[pairs[0]] + true_sizes[pairs[1]] - shared)
    mine: set[int] = set()
    theirs: set[int] = set()
    for k in np.argsort(-iou, kind="stable"):
        a, b = int(pairs[0, k]), int(pairs[1, k])
        if iou[k] >= SAME_OBJECT and a not in mine and b not in theirs:
            mine.add(a)
            theirs.add(b)
    return Objects(len(true_sizes) - 1, len(sizes) - 1, len(mine))


def auroc(scores: Array, present: Array, weights: Array | None = None) -> float | None:
    """Chance that a present object gets the higher score than an absent one, ties counting half; None without both.

    `weights` says how often each case counts (for bootstraps).
    """
    count = np.ones(len(scores)) if weights is None else np.asarray(weights, float)
    levels, level = np.unique(scores, return_inverse=True)
    yes = np.bincount(level, count * present, len(levels))
    no = np.bincount(level, count * ~np.asarray(present, bool), len(levels))
    if yes.sum() == 0 or no.sum() == 0:
        return None
    below = np.cumsum(no) - no
    return float((yes * (below + no / 2)).sum() / (yes.sum() * no.sum()))
