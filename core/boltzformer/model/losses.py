"""Losses of both published recipes: overlap of the masks (dice and cross-entropy), outline, existence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SMOOTH = 1e-5


@dataclass(frozen=True)
class OverlapLoss:
    """BoltzFormer's loss (v1)."""

    total: Tensor
    dice: Tensor
    cross_entropy: Tensor


@dataclass(frozen=True)
class GatedLoss:
    """BiomedParse v2's loss: where an object is absent, only the existence head learns."""

    total: Tensor
    mask: Tensor
    """(B, P): dice + cross-entropy, not yet gated by presence."""
    existence: Tensor
    """(B, P)."""
    edge: Tensor | None
    """(B, P), not yet gated; None without edge queries."""
    present: Tensor
    """(B, P): 1 where the object is in the image."""


def resize_logits(logits: Tensor, height: int, width: int) -> Tensor:
    """(B, P, h, w) → (B, P, height, width): bicubic with antialias, in logits, as the reference scales its answers.

    At least in fp32: sums over all pixels come next.
    """
    logits = logits.float() if logits.dtype.itemsize < 4 else logits
    if logits.shape[-2:] == (height, width):
        return logits
    return F.interpolate(logits, size=(height, width), mode="bicubic", align_corners=False, antialias=True)


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """(B, P): 1 - overlap, with squared areas below the line."""
    guess = logits.sigmoid()
    shared = (guess * target).sum((-2, -1))
    areas = (target**2).sum((-2, -1)) + (guess**2).sum((-2, -1))
    return 1 - (2 * shared + SMOOTH) / (areas + SMOOTH)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """(B, P): mean over the pixels."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((-2, -1))


def overlap_loss(logits: Tensor, target: Tensor) -> OverlapLoss:
    """From logits (B, P, h, w) and 0/1 masks (B, P, H, W)."""
    logits = resize_logits(logits, target.shape[-2], target.shape[-1])
    target = target.to(logits.dtype)
    overlap, entropy = dice(logits, target).mean(), cross_entropy(logits, target).mean()
    return OverlapLoss(overlap + entropy, overlap, entropy)


def edge_target(labels: Tensor) -> Tensor:
    """(B, P, H, W) 0/1: pixels with more than one label in their 3×3 surroundings; so touching objects get a border."""
    values = F.pad(labels.float(), (1, 1, 1, 1), mode="replicate")
    return (F.max_pool2d(values, 3, 1) + F.max_pool2d(-values, 3, 1) > 0).to(values.dtype)


def gated_loss(
    logits: Tensor,
    existence: Tensor,
    edges: Tensor | None,
    labels: Tensor,
    *,
    existence_weight: float = 1.0,
    positive_weight: float = 3.0,
    edge_weight: float = 1.0,
) -> GatedLoss:
    """From logits and edges (B, P, h, w), existence logits (B, P) and integer labels (B, P, H, W), 0 = background."""
    logits = resize_logits(logits, labels.shape[-2], labels.shape[-1])
    target = (labels > 0).to(logits.dtype)
    present = target.amax((-2, -1))
    mask = dice(logits, target) + cross_entropy(logits, target)
    positive = torch.tensor(positive_weight, dtype=present.dtype, device=present.device)
    claimed = F.binary_cross_entropy_with_logits(
        existence.to(present.dtype), present, pos_weight=positive, reduction="none"
    )
    per_item, edge = existence_weight * claimed + present * mask, None
    if edges is not None:
        edges, outline = resize_logits(edges, labels.shape[-2], labels.shape[-1]), edge_target(labels).to(logits.dtype)
        edge = dice(edges, outline) + cross_entropy(edges, outline)
        per_item = per_item + edge_weight * present * edge
    return GatedLoss(per_item.mean(), mask, claimed, edge, present)
