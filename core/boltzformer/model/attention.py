"""Multi-head attention and the sine position of tokens on a grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Attention(nn.Module):
    """Queries attend to keys; position terms go to queries and keys, never to values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor:
        """query (N, Q, C), key and value (N, L, C), allowed (N, 1 or heads, Q or 1, L) → (N, Q, C)."""
        q, k, v = self._split(self.query(query)), self._split(self.key(key)), self._split(self.value(value))
        return self.out(scaled_dot_product_attention(q, k, v, attn_mask=allowed).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, L, C / heads)


def sine_position(side: int, width: int) -> Tensor:
    """(side², width): first half from the row, second half from the column, each over one turn of 2π."""
    turn = torch.arange(1, side + 1, dtype=torch.float64) / (side + 1e-6) * 2 * math.pi
    index = torch.arange(width // 2)
    angle = turn[:, None] / 10000 ** (2 * (index // 2) / (width // 2))
    line = torch.where(index % 2 == 0, angle.sin(), angle.cos())  # (side, width / 2)
    rows, columns = line[:, None].expand(side, side, -1), line[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1).float()
