"""BA-SAM: attention over more tokens than in training, for images larger than the model was made for.

With more keys a softmax flattens, and far tokens that no training image had get their share. So weights become

    exp(λ (q·k − β d)),  λ = log_{N train}(N) / √(channels of a head),  d = distance of two tokens on their grid

Self-attention over a grid gets both corrections; the decoder's queries, which have no place, only λ. Up to the trained
number of tokens nothing changes, to the bit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

BETA = 0.1
"""Per token of distance, in units of q·k. The paper's are for distances along one axis, so this one is our own. With
the shipped model at twice its size it made no difference (benchmarks/RESULTS.md); for larger models it is a guess."""
TILE = 2**18
"""Pairs of tokens whose distances are held at a time: 1 MB, where all of a large image are 1 GB."""


def tokens_at(side: int | None, stride: int) -> int | None:
    """Of a square image on the grid of a stride."""
    return None if side is None else (-(-side // stride)) ** 2


def sharpness(tokens: int, trained: int | None) -> float:
    """λ √d: 1 up to the trained number of tokens, then the logarithm to its base."""
    if trained is None or tokens <= trained:
        return 1.0
    return math.log(tokens) / math.log(max(trained, 2))  # a single token has no logarithm to stand on


class Extrapolation(nn.Module):
    """Of one self-attention over a grid. It has a parameter only where β is learned."""

    def __init__(self, trained: int | None, learned_beta: bool) -> None:
        """`trained`: number of tokens; None: any."""
        super().__init__()
        self.trained = trained
        self.beta: nn.Parameter | float = nn.Parameter(torch.tensor(BETA)) if learned_beta else BETA

    def forward(self, q: Tensor, k: Tensor, v: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, heads, N, d) from queries, keys and values of that shape, of a grid (h, w) with h·w = N."""
        sharp = sharpness(q.shape[2], self.trained)
        if sharp == 1:
            return F.scaled_dot_product_attention(q, k, v)
        scale = sharp * q.shape[-1] ** -0.5
        place = torch.cartesian_prod(*(torch.arange(n, device=q.device, dtype=torch.float32) for n in size))  # (N, 2)
        rows = max(1, TILE // len(place))
        tiles = list(zip(q.split(rows, 2), place.split(rows), strict=True))

        def tile(asking: Tensor, here: Tensor) -> Tensor:
            distance = torch.hypot(here[:, :1] - place[:, 0], here[:, 1:] - place[:, 1])  # (rows, N)
            bias = (-scale * self.beta * distance).to(q.dtype)
            return F.scaled_dot_product_attention(asking, k, v, attn_mask=bias, scale=scale)

        if torch.is_grad_enabled():  # what a tile needs is made again for its gradient, or all of them would be held
            return torch.cat([checkpoint(tile, *one, use_reentrant=False) for one in tiles], 2)
        return torch.cat([tile(*one) for one in tiles], 2)
