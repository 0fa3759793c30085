"""How good a mask and a claim are: overlap, borders, objects, existence, slice by slice in a volume; and means with
intervals over groups (patients) drawn anew. One definition for tables and training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array, Grid
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


CALIBRATION_STEPS = 10
"""Of equal width, from 0 to 1."""


def calibration(scores: Array, truth: Array) -> dict[str, Any] | None:
    """How often it is there when its score says so: `curve`, a row per step that holds a score; `error`, the mean
    distance of score and share, each question counting once. None where nothing was asked."""
    if not len(scores):
        return None
    step = np.minimum((scores * CALIBRATION_STEPS).astype(int), CALIBRATION_STEPS - 1)
    curve = [
        {
            "from": k / CALIBRATION_STEPS,
            "to": (k + 1) / CALIBRATION_STEPS,
            "n": int(np.count_nonzero(step == k)),
            "score": float(scores[step == k].mean()),
            "present": float(truth[step == k].mean()),
        }
        for k in np.unique(step).tolist()
    ]
    return {"curve": curve, "error": sum(one["n"] * abs(one["score"] - one["present"]) for one in curve) / len(scores)}


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


MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class InVolume:
    """One question about a volume, answered on all slices."""

    present: NDArray[np.bool_]
    """(slices,): whether the object is in each."""
    marked: NDArray[np.bool_]
    """(slices,): whether the answer marks anything there."""
    existence: NDArray[np.float64]
    """(slices,): how sure the answer is that something is there; without an own word, whether it marks."""
    true_ml: float
    claimed_ml: float

    @property
    def empty(self) -> int:
        """Slices without the object."""
        return int(np.count_nonzero(~self.present))

    @property
    def empty_marked(self) -> int:
        """How many of them are marked all the same."""
        return int(np.count_nonzero(self.marked & ~self.present))

    @property
    def ratio(self) -> float | None:
        """Claimed volume over the true one."""
        return self.claimed_ml / self.true_ml if self.true_ml else None


def in_volume(
    mask: NDArray[np.bool_],
    truth: NDArray[np.bool_] | None,
    grid: Grid,
    axis: int,
    existence: NDArray[np.float32] | None,
) -> InVolume | None:
    """None for a picture. Without truth the object is nowhere; `axis` is the one that slices are counted along."""
    if mask.shape[axis] == 1:
        return None
    true = np.zeros_like(mask) if truth is None else truth
    voxel_ml = abs(float(np.linalg.det(np.array(grid.axes)))) / MM3_PER_ML
    present, marked = _slices(true, axis), _slices(mask, axis)
    sure = marked if existence is None else existence
    return InVolume(
        present,
        marked,
        sure.astype(float),
        int(np.count_nonzero(true)) * voxel_ml,
        int(np.count_nonzero(mask)) * voxel_ml,
    )


def _slices(mask: Array, axis: int) -> NDArray[np.bool_]:
    return np.asarray(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
