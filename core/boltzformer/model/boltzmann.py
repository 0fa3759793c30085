"""Boltzmann sampling: which image tokens may a query look at in this layer? (paper, section 3.2.2)

Each query has a guess of its own, the mask probability U of every token. Tokens are drawn with p ∝ exp(U/τ), and τ
falls from layer to layer: the first looks are broad, the last are sharp. Plain tensor algebra over the last axis, the
L tokens of one grid; all randomness comes in as an argument.

A user's guidance is an energy g beside the guess, p ∝ exp((U + g)/τ), with g = −∞ for tokens that may not be looked at.
Everything that follows sees U + g in the place of U.

A mask is True where a token is *blocked*. `DecoderConfig` names the law: whether the heads of a query share one draw
(`law`), how tokens are drawn (`draw`), and the ablations without sampling (`attention`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from boltzformer.image.guidance import Hint
from boltzformer.model.config import ConfigError, DecoderConfig


def temperature(layer: int, base: float) -> float:
    """Cools from layer to layer."""
    return base / (1 + layer)


def draws(tokens: int, ratio: float) -> int:
    """How many tokens a query draws, with replacement."""
    return int(tokens * ratio)


def distribution(guess: Tensor, temperature: float, threshold: float) -> Tensor:
    """Chance of each token in one draw. Tokens at or above the threshold need no draw: they are visited anyway.

    A row without any token below the threshold is NaN, as in the released code; it is never read.
    """
    energy = guess / temperature
    if threshold <= 1:  # above 1 there is nothing to leave out, and half the work
        energy = energy.masked_fill(guess >= threshold, -torch.inf)
    return torch.softmax(energy, dim=-1)


def missed(probability: Tensor, count: int) -> Tensor:
    """Chance of each token not to be among `count` draws."""
    return (1 - probability).pow_(count)


def chance_to_miss(guess: Tensor, layer: int, config: DecoderConfig) -> Tensor:
    """Chance of each token not to be drawn in a layer; without a meaning where the guess reaches the threshold."""
    probability = distribution(guess, temperature(layer, config.base_temperature), config.mask_threshold)
    return missed(probability, draws(guess.shape[-1], config.sample_ratio))


def energy(hint: Hint, size: tuple[int, int], stride: int) -> Tensor:
    """(L,): what a user's guidance adds to the guess of every token of a grid (h, w); −∞ outside the boxes."""
    rows, columns = (stride * (torch.arange(n, dtype=torch.float32) + 0.5) for n in size)  # centres, in pixels

    def around(row: float, column: float) -> Tensor:  # (h, w): squared distance in pixels
        return (rows[:, None] - row) ** 2 + (columns - column) ** 2

    total = torch.zeros(size)
    for point in hint.points:
        # A token is an area: half of one more, so that a coarse grid does not miss a narrow Gaussian.
        variance = point.width**2 + (stride / 2) ** 2
        total += point.strength * (around(point.row, point.column) / (-2 * variance)).exp()
    if not hint.boxes:
        return total.flatten()
    inside = torch.zeros(size, dtype=torch.bool)
    for box in hint.boxes:
        fits = ((rows >= box.top) & (rows <= box.bottom))[:, None] & ((columns >= box.left) & (columns <= box.right))
        if not fits.any():  # smaller than a token: the nearest one
            fits.view(-1)[around((box.top + box.bottom) / 2, (box.left + box.right) / 2).argmin()] = True
        inside |= fits
    return total.masked_fill(~inside, -torch.inf).flatten()


def led(guess: Tensor, energy: Tensor | None) -> Tensor:
    """U + g; without guidance the guess itself, to the bit."""
    return guess if energy is None else guess + energy


def chance_of_visit(guess: Tensor, layer: int, config: DecoderConfig, energy: Tensor | None = None) -> Tensor:
    """Chance of each token to be visited in a layer, before the rule for empty rows; `energy` as for `blocked`."""
    guess = led(guess, energy)
    if config.attention == "full":
        return (guess > -torch.inf).to(guess.dtype)
    sure = guess >= config.mask_threshold
    if config.attention == "masked":
        return sure.to(guess.dtype)
    chance = 1 - chance_to_miss(guess, layer, config)
    if config.mask_threshold <= 1:
        chance = torch.where(sure, 1.0, chance)
    return chance if energy is None else chance.masked_fill(energy.isneginf(), 0.0)


def bernoulli(probability: Tensor, count: int, uniform: Tensor) -> Tensor:
    """Each token by itself, with its chance to be among `count` draws (paper, footnote 1)."""
    return uniform < missed(probability, count)


def multinomial(probability: Tensor, count: int, uniform: Tensor) -> Tensor:
    """Exactly `count` draws with replacement: the first `count` uniform numbers of a row, looked up in its cdf."""
    # fp64: over 16 384 tokens an fp32 sum would shift the last ones by a share of their own chance.
    cdf = probability.double().cumsum(-1).expand(uniform.shape)
    cdf = (cdf / cdf[..., -1:]).contiguous()
    number = uniform[..., :count].double().contiguous()
    drawn = torch.searchsorted(cdf, number, right=True).clamp(max=uniform.shape[-1] - 1)
    return torch.ones_like(uniform, dtype=torch.bool).scatter(-1, drawn, False)


def blocked(
    guess: Tensor, layer: int, config: DecoderConfig, uniform: Tensor | None, energy: Tensor | None = None
) -> Tensor | None:
    """What each query may not see: (B, P, heads or 1, Q, L), or None if everything is open.

    `guess` is (B, P, Q, L); `uniform` the same with a heads axis (1 for the law `per_query`), leading 1s allowed;
    `energy` (B, P, 1, L) is a user's guidance. Without sampling it counts as it does here: `masked` compares U + g
    with the threshold, `full` heeds only what may not be looked at.
    """
    if config.attention == "full":
        return None if energy is None else energy.isneginf().expand_as(guess)[:, :, None]
    guess = led(guess, energy)[:, :, None]  # equal for all heads
    if config.attention == "masked":
        return guess < config.mask_threshold
    if uniform is None:
        raise ConfigError("A sampling decoder needs noise(layer) or recorded masks: randomness is an argument.")
    probability = distribution(guess, temperature(layer, config.base_temperature), config.mask_threshold)
    count = draws(guess.shape[-1], config.sample_ratio)
    draw = bernoulli if config.draw == "bernoulli" else multinomial
    undrawn = draw(probability, count, uniform.expand(*guess.shape[:2], -1, -1, -1))
    if config.mask_threshold > 1:  # a probability never gets there
        return undrawn
    # Without a token below the threshold the row is NaN and all of it is sure: nothing is blocked.
    return undrawn & (guess < config.mask_threshold)


def open_empty_rows(blocked: Tensor, energy: Tensor | None = None) -> Tensor:
    """A query that may see nothing at all sees everything; with guidance, everything that may be looked at."""
    full = blocked.view(torch.uint8).amin(dim=-1, keepdim=True)  # ten times as fast as `all`
    opened = (blocked.view(torch.uint8) * (1 - full)).view(torch.bool)  # ten times as fast as `&`
    return opened if energy is None else opened | energy.isneginf()[:, :, None]


def expected_density(config: DecoderConfig) -> float:
    """The largest share of tokens that a query can be expected to visit: known before any image is seen.

    With N = ratio·L draws it is largest when all tokens are equally likely: 1 − (1 − 1/L)^N → 1 − exp(−ratio).
    A threshold up to 1 opens an unknown number of sure tokens.
    """
    if config.attention != "boltzmann" or config.mask_threshold <= 1:
        return 1.0
    return 1 - math.exp(-config.sample_ratio)
