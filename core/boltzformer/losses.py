"""What the model is taught: masks where the object is present, existence everywhere."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import interpolate

from boltzformer.model.boltzformer import Answer


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Squared-denominator Dice loss over the last two axes."""
    p = logits.sigmoid()
    return 1 - (2 * (p * target).sum((-2, -1)) + 1e-5) / ((p * p).sum((-2, -1)) + target.sum((-2, -1)) + 1e-5)


def prompted(answer: Answer, target: Tensor) -> dict[str, Tensor]:
    """target (B, P, H, W) 0/1 → the terms; absent objects teach existence only."""
    logits = interpolate(answer.logits, size=target.shape[-2:], mode="bicubic", antialias=True)
    present = target.flatten(2).amax(-1)  # (B, P)
    share = present / present.sum().clamp(min=1)
    pixels = bce(logits, target, reduction="none").mean((-2, -1))
    return {
        "dice": (dice(logits, target) * share).sum(),
        "bce": (pixels * share).sum(),
        "existence": bce(answer.existence, present),
    }
