"""Maps beside the masks: each voxel's probability before any threshold, and how far samples disagreed about it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.slicing import LOGIT_STEP
from boltzformer.masks.postprocess import sigmoid
from boltzformer.types import Prediction


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
