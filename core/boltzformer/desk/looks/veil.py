"""The picture that dims a slice but for where a look went: what a viewer lays over its canvas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.pictures import CYAN, DIM, WHITE, border, on_slice, smooth_on_slice
from boltzformer.types import LookTrace


def veil(
    plan: SlicePlan, light: NDArray[np.float32], look: LookTrace, mask: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    """(rows, columns, 4): black that lets the image through where it is lit, the guess in cyan, the mask in white."""
    rows, columns = plan.slice_shape
    seen = np.full((rows, columns), DIM, np.float32)
    seen[plan.crop] = on_slice(light, plan, *plan.crop_shape)
    picture = np.zeros((rows, columns, 4), np.uint8)
    picture[..., 3] = np.rint(255 * (1 - seen))
    inside = picture[plan.crop]
    inside[border(smooth_on_slice(look.guess, plan, *plan.crop_shape) >= 0.5)] = (*CYAN, 255)
    if mask is not None:
        picture[border(mask)] = (*WHITE, 255)
    return picture
