"""`SliceTokens`: what the decoder needs of a slice, made once and shared by all prompts; `Trace`: where the queries
looked in them, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from boltzformer.model import boltzmann
from boltzformer.model.config import DecoderConfig
from boltzformer.model.layers import sine_axis

Size = tuple[int, int]


@dataclass(frozen=True)
class SliceTokens:
    """Of B slices: the token grids from coarse to fine, and the map that becomes the masks."""

    tokens: tuple[Tensor, ...]
    """(B, L, C) per grid, row-major."""
    sizes: tuple[Size, ...]
    """(h, w) per grid, with h·w = L."""
    axes: tuple[tuple[Tensor, Tensor], ...]
    """(h, C/2) and (w, C/2) per grid: the sine codes of rows and columns."""
    semantic: Tensor
    """(B, M, H, W): a query's mask is its embedding times this map."""
    semantic_tokens: tuple[Tensor, ...]
    """(B, M, L) per grid: `semantic` at token resolution, for guesses without full-size masks. No gradients.
    Empty where the readable computation is to be used."""


def rows(grid: Tensor, contiguous: bool) -> Tensor:
    """(B, L, C) from a map (B, C, h, w): a view, unless single tokens will be picked from it."""
    flat = grid.flatten(2)
    if not contiguous or flat.stride(1) == 1:  # a channels_last map has its rows already
        return flat.transpose(1, 2)
    made = flat.new_empty(len(flat), flat.shape[2], flat.shape[1])
    for number, image in enumerate(flat):
        made[number] = image.T  # one matrix at a time: torch copies those in blocks, twice as fast as a batch of them
    return made


@torch.no_grad()
def at_tokens(semantic: Tensor, size: Size) -> Tensor:
    """(B, M, L): the semantic map resized as the released code resizes masks, bilinearly without antialiasing.

    Resizing is linear, so doing it before the product with the queries gives the same guesses.
    """
    if semantic.shape[-2:] == size:
        return semantic.detach().flatten(2)
    scale = semantic.shape[-2] // size[0]
    if scale % 2 or semantic.shape[-2:] != (scale * size[0], scale * size[1]):
        return F.interpolate(semantic, size=size, mode="bilinear", align_corners=False).flatten(2)
    # For an even scale it is the mean of the central 2×2 of each block. Few channels at a time stay in the core's own
    # cache: 35 ms for the three grids at 1024², where interpolation takes 430.
    first = scale // 2 - 1
    small = semantic.new_empty(*semantic.shape[:2], *size)
    for some, out in zip(semantic.split(16, 1), small.split(16, 1), strict=True):
        half = (some[:, :, first::scale] + some[:, :, first + 1 :: scale]).mul_(0.25)
        torch.add(half[..., first::scale], half[..., first + 1 :: scale], out=out)
    return small.flatten(2)


def axes_of(like: Tensor, size: Size, channels: int) -> tuple[Tensor, Tensor]:
    """Sine codes of the rows and of the columns of a grid: half of a position's channels each."""
    rows, columns = (sine_axis(length, channels // 2, like.device).to(like.dtype) for length in size)
    return rows, columns


def sizes_of(maps: Sequence[Tensor]) -> tuple[Size, ...]:
    """(h, w) of each map."""
    return tuple((int(grid.shape[-2]), int(grid.shape[-1])) for grid in maps)


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
