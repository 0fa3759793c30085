"""From the logits of several prompts to one label map, as BiomedParse v2 does it; and maps beside the masks, of each
voxel's probability before any threshold. Numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array
from boltzformer.image.resampling import resize
from boltzformer.image.slicing import LOGIT_STEP
from boltzformer.types import Prediction

Float = NDArray[np.float32]


def sigmoid(logits: Array) -> Array:
    """1 / (1 + e^-x), without overflow."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def upsample(logits: Float, size: int) -> Float:
    """(P, D, h, w) → (P, D, size, size): logits are resized before the sigmoid; borders of small objects need that."""
    planes = [resize(plane, (size, size), "antialiased") for plane in logits.reshape(-1, *logits.shape[-2:])]
    return np.stack(planes).reshape(*logits.shape[:2], size, size)


def suppress(probability: Float, existence: Float, overlap: float = 0.5) -> list[int]:
    """Which prompts keep their mask in one slice, surest first: (P, h, w) and (P,) → indices.

    A prompt that is less likely than not, an empty mask, and a mask whose IoU with a surer one is above `overlap` go.
    """
    masks = probability > 0.5
    kept: list[int] = []
    for prompt in np.argsort(-existence, kind="stable"):
        if existence[prompt] < 0.5:
            break
        if masks[prompt].any() and all(_iou(masks[prompt], masks[other]) <= overlap for other in kept):
            kept.append(int(prompt))
    return kept


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def gate(logits: Float, existence_logits: Float) -> Float:
    """(P, D, H, W) logits and (P, D) existence logits → probabilities, 0 where a prompt is dropped from a slice.

    One prompt is kept where it exists at all; several compete in each slice.
    """
    probability, existence = sigmoid(logits).astype(np.float32), sigmoid(existence_logits)
    keep = np.zeros(existence.shape, bool)
    if len(existence) == 1:
        keep = existence > 0.5
    else:
        for depth in range(existence.shape[1]):
            keep[suppress(probability[:, depth], existence[:, depth]), depth] = True
    return probability * keep[..., None, None]


def merge(probability: Float, ids: Sequence[int]) -> NDArray[np.int64]:
    """(P, D, H, W) → (D, H, W) label values: the surest prompt wins where it is above 0.5, the first one in a tie."""
    background = np.full_like(probability[:1], 0.5)
    winner = np.concatenate([background, probability]).argmax(axis=0)
    return np.array([0, *ids], np.int64)[winner]


def smoothed(existence: Float, width: int) -> Float:
    """(P, S) existence of neighbouring slices → mean over a window of `width` slices, shorter at the ends.

    A lesion spans neighbours: one doubtful slice between two sure ones is filled, a lonely claim is damped.
    """
    reach = width // 2
    columns = [existence[:, max(0, s - reach) : s + reach + 1].mean(axis=1) for s in range(existence.shape[1])]
    return np.stack(columns, axis=1).astype(np.float32)


def probabilities(prediction: Prediction, prompt: int) -> NDArray[np.float32]:
    """(z, y, x): each voxel's probability before threshold and existence gate; 0 in slices that were not looked at."""
    plan = prediction.plan
    stored = np.zeros(plan.grid.shape, np.float32)
    seen = plan.view.apply(stored)
    for one in prediction.slices:
        seen[plan.canonical_index(one.index)] = sigmoid(plan.expand(one.plane(prompt)))
    return stored


def spread(prediction: Prediction, prompt: int) -> NDArray[np.float32] | None:
    """(z, y, x): standard deviation of each voxel's probability over the samples; None for a single one."""
    plan = prediction.plan
    stored = np.zeros(plan.grid.shape, np.float32)
    seen = plan.view.apply(stored)
    for one in prediction.slices:
        if one.spread is None:
            return None
        levels = (one.spread[prompt] // 2).astype(np.int8)  # 127 is the largest there is, 0.5
        seen[plan.canonical_index(one.index)] = np.clip(plan.expand(levels) / LOGIT_STEP / 254, 0, 0.5)
    return stored
