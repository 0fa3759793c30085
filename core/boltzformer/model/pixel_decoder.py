"""The pixel decoder: a transformer layer on the coarsest map, then a pyramid down to the semantic map."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from boltzformer.model.attention import Attention, sine_position


class PixelDecoder(nn.Module):
    """Encoder maps (fine to coarse) → (maps coarse to fine, semantic map at the finest stride)."""

    def __init__(self, channels: Sequence[int], width: int, heads: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.smooth = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(8, width)) for _ in channels
        )
        self.attend = Attention(width, heads)
        self.norm = nn.LayerNorm(width)
        self.semantic = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        coarse = self.project[-1](maps[-1])  # (B, C, h, w)
        tokens = coarse.flatten(2).transpose(1, 2)
        placed = tokens + sine_position(coarse.shape[-1], coarse.shape[1]).to(tokens)
        tokens = self.norm(tokens + self.attend(placed, placed, tokens))
        y = relu(self.smooth[-1](tokens.transpose(1, 2).unflatten(2, coarse.shape[-2:])))
        pyramid = [y]
        for level in range(len(maps) - 2, -1, -1):
            lateral = self.project[level](maps[level])
            y = relu(self.smooth[level](lateral + interpolate(y, size=lateral.shape[-2:], mode="nearest")))
            pyramid.append(y)
        return pyramid, self.semantic(y)
