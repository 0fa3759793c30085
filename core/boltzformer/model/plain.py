"""The plain encoder: residual 3×3 convolutions at strides 2, 4, 8, 16."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import gelu


class Block(nn.Module):
    """One residual step; the first of a stage halves the resolution."""

    def __init__(self, source: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(source, width, 3, stride, 1)
        self.norm = nn.GroupNorm(1, width)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        self.shortcut = nn.Conv2d(source, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.second(gelu(self.norm(self.first(x))))


class PlainEncoder(nn.Module):
    """(B, 3, S, S) normalised → maps at strides 2, 4, 8, 16."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Block(a, b, 2) for a, b in zip((3, *channels), channels, strict=False))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
