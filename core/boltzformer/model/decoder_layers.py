"""The blocks that the decoder is stacked from, with the published parameter names. All post-norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer.model.attention import Grid, Way, attend
from boltzformer.model.layers import Attention, Linear, product


class SelfAttentionLayer(nn.Module):
    """Queries and words read each other. Positions enter queries and keys, never values."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(channels, heads)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, position: Tensor, readable: Tensor | None) -> Tensor:
        """(N, R, C); `readable` (N, 1, 1, R) is False where a row is padding."""
        placed = x + position
        out: Tensor = self.norm(x + self.self_attn(placed, placed, x, readable))
        return out


class ImageAttentionLayer(nn.Module):
    """Queries look at image tokens."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.multihead_attn = Attention(channels, heads)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, position: Tensor, grid: Grid, blocked: Tensor | None, way: Way) -> Tensor:
        """(B, P, Q, C); `blocked` (B, P, heads or 1, Q, L)."""
        out: Tensor = self.norm(x + attend(way, self.multihead_attn, x + position, grid, blocked))
        return out


class ClassifierAttentionLayer(nn.Module):
    """The existence token reads queries and words. It has no position."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.multihead_attn = Attention(channels, heads)
        self.norm = nn.LayerNorm(channels)

    def forward(self, token: Tensor, x: Tensor, position: Tensor, readable: Tensor | None) -> Tensor:
        """(N, 1, C) from the token (N, 1, C) and what it reads (N, R, C)."""
        out: Tensor = self.norm(token + self.multihead_attn(token, x + position, x, readable))
        return out


class FeedForwardLayer(nn.Module):
    """Each row by itself."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = Linear(channels, inner), Linear(inner, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        out: Tensor = self.norm(x + self.linear2(F.relu(self.linear1(x))))
        return out


class MaskEmbed(nn.Module):
    """From a query to its direction in the semantic map."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Linear(channels, size) for size in (channels, channels, out)])

    def forward(self, x: Tensor) -> Tensor:
        """(…, out)."""
        first, second, last = self.layers
        out: Tensor = last(F.relu(second(F.relu(first(x)))))
        return out


def semantic_product(embedded: Tensor, semantic: Tensor, way: Way | None) -> Tensor:
    """(B, P, Q, H, W) from embedded queries (B, P, Q, M) and a semantic map (B, M, H, W)."""
    few, many = embedded.flatten(1, 2), semantic.flatten(2)
    logits = few @ many if way in ("dense", "sdpa") else product(few, many)
    return logits.view(*embedded.shape[:3], *semantic.shape[-2:])


def resized_guess(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, P, Q, L) probabilities at token resolution from full-size mask logits (B, P, Q, H, W)."""
    small = F.interpolate(logits.flatten(0, 1), size=size, mode="bilinear", align_corners=False)
    return torch.sigmoid(small.unflatten(0, logits.shape[:2]).flatten(3))
