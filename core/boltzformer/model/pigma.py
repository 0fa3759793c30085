"""PiGMA: pixel-grounded mask aggregation, the ensemble's mean corrected by the image itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate


class Pigma(nn.Module):
    """Mask logits (B, P, Q, h, w) and image (B, 3, S, S) → logits (B, P, 2h, 2w)."""

    def __init__(self, queries: int, width: int = 16) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(queries + 3, width, 4, 2, 1)
        self.norm = nn.GroupNorm(1, width)
        self.mix, self.out = nn.Conv2d(width + 3, width, 1), nn.Conv2d(width, 1, 1)

    def forward(self, masks: Tensor, image: Tensor) -> Tensor:
        b, p, _, h, w = masks.shape
        small, large = (
            interpolate(image, size=(h * f, w * f), mode="bilinear", align_corners=False).repeat_interleave(p, 0)
            for f in (1, 2)
        )
        flat = masks.flatten(0, 1)  # (B·P, Q, h, w)
        x = gelu(self.norm(self.enlarge(torch.cat([small, flat], 1))))
        correction = self.out(gelu(self.mix(torch.cat([large, x], 1))))
        mean = interpolate(flat.mean(1, keepdim=True), scale_factor=2, mode="bilinear", align_corners=False)
        return ((mean + correction) / 2)[:, 0].unflatten(0, (b, p))
