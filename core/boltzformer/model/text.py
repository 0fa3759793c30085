"""Text: a prompt's bytes become tokens, a small transformer reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from boltzformer.model.attention import Attention

START, END, PAD = 256, 257, 258


def tokenize(text: str, length: int) -> list[int]:
    """START, the bytes of the lower-cased text, END; what is longer than `length` is cut."""
    return [START, *text.lower().strip().encode()[: length - 2], END]


@dataclass(frozen=True)
class TextState:
    """What the decoder reads of the prompts."""

    tokens: Tensor
    """(P, T, C), or (B, P, T, C) when each image has its own prompts."""
    mask: Tensor
    """(…, T) bool, True = a real token. Padding is never attended, so prompts don't disturb each other."""


class TextEncoder(nn.Module):
    def __init__(self, width: int, heads: int, layers: int, length: int) -> None:
        super().__init__()
        self.length = length
        self.embed = nn.Embedding(PAD + 1, width)
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        self.attend = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.feed = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers + 1))

    def forward(self, texts: Sequence[str]) -> TextState:
        ids = [tokenize(text, self.length) for text in texts]
        longest = max(len(one) for one in ids)
        padded = torch.tensor([one + [PAD] * (longest - len(one)) for one in ids], device=self.position.device)
        mask = padded != PAD  # (P, T)
        x = self.embed(padded) + self.position[:longest]  # (P, T, C)
        for i, (attend, feed) in enumerate(zip(self.attend, self.feed, strict=True)):
            y = self.norms[2 * i](x)
            x = x + attend(y, y, y, mask[:, None, None])
            x = x + feed(self.norms[2 * i + 1](x))
        return TextState(self.norms[-1](x), mask)
