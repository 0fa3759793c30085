"""Boltzmann sampling: which image tokens may a query look at in this layer?"""

from __future__ import annotations

import torch
from torch import Tensor


def temperature(layer: int, base: float) -> float:
    """Cools from layer to layer: the first looks are broad, the last are sharp (paper, section 3.2.2)."""
    return base / (1 + layer)


def distribution(guess: Tensor, temperature: float) -> Tensor:
    """p ∝ exp(U/τ) over the tokens; `guess` (…, L) is U, the query's own mask probability."""
    return torch.softmax(guess / temperature, dim=-1)


def chance_of_visit(probability: Tensor, ratio: float) -> Tensor:
    """Chance that a token is among ratio·L draws with replacement (paper, footnote 1)."""
    draws = int(probability.shape[-1] * ratio)
    return 1 - (1 - probability) ** draws


def visited(chance: Tensor, uniform: Tensor) -> Tensor:
    """The drawn set, True = may be attended. A query that drew nothing looks everywhere."""
    drawn = uniform < chance
    return drawn | ~drawn.any(dim=-1, keepdim=True)
