"""`Trace`: where the queries looked, layer by layer.

It keeps what the decoder has anyway, and makes maps when asked for them, so a trace costs the decoder nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boltzformer.model import boltzmann
from boltzformer.model.config import DecoderConfig


@dataclass(frozen=True)
class Look:
    """One layer's look at one token grid, for B images, P prompts, Q queries."""

    layer: int
    size: tuple[int, int]
    """(h, w) of the token grid."""
    config: DecoderConfig
    own_guess: Tensor
    """(B, P, Q, L): each query's mask probability before this look."""
    blocked: Tensor | None
    """(B, P, heads or 1, Q, L) after the rule for empty rows; None if every query saw everything."""
    energy: Tensor | None = None
    """(B or 1, P, 1, L): what a user's guidance added to the guess."""

    @property
    def scale(self) -> int:
        """Stride of the token grid, in pixels of the network's input."""
        return self.config.strides[self.layer % len(self.config.strides)]

    @property
    def temperature(self) -> float:
        """How sharp the draw was."""
        return boltzmann.temperature(self.layer, self.config.base_temperature)

    @property
    def guess(self) -> Tensor:
        """(B, P, h, w): the model's own guess, mean over queries."""
        return self.own_guess.mean(2).unflatten(-1, self.size)

    @property
    def probability(self) -> Tensor:
        """(B, P, h, w): chance of a token to be visited, mean over queries."""
        chance = boltzmann.chance_of_visit(self.own_guess, self.layer, self.config, self.energy)
        return chance.mean(2).unflatten(-1, self.size)

    @property
    def visited(self) -> Tensor:
        """(B, P, h, w): share of queries and heads that visited a token."""
        if self.blocked is None:
            return torch.ones_like(self.guess)
        return 1 - self.blocked.to(self.own_guess.dtype).mean((2, 3)).unflatten(-1, self.size)

    def of(self, query: int) -> Look:
        """The look of one query alone."""
        one = slice(query, query + 1)
        blocked = None if self.blocked is None else self.blocked[..., one, :]
        return replace(self, own_guess=self.own_guess[:, :, one], blocked=blocked)

    def visited_by(self, query: int, head: int = 0) -> Tensor:
        """(B, P, h, w) bool: the exact set of one query and head (its heads share one set under `per_query`)."""
        if self.blocked is None:
            return torch.ones_like(self.guess, dtype=torch.bool)
        shared = self.blocked.shape[2] == 1
        return ~self.blocked[:, :, 0 if shared else head, query].unflatten(-1, self.size)


Trace = tuple[Look, ...]
"""One look per layer; empty unless asked for."""
