"""Boltzmann sampling: which image tokens may a query look at in this layer? (paper, section 3.2.2)

Each query has a guess of its own, the mask probability U of every token. Tokens are drawn with p ∝ exp(U/τ), and τ
falls from layer to layer: the first looks are broad, the last are sharp. Plain tensor algebra over the last axis, the
L tokens of one grid; all randomness comes in as an argument.

A mask is True where a token is *blocked*. `DecoderConfig` names the law: whether the heads of a query share one draw
(`law`), how tokens are drawn (`draw`), and the ablations without sampling (`attention`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

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


def chance_of_visit(guess: Tensor, layer: int, config: DecoderConfig) -> Tensor:
    """Chance of each token to be visited in a layer, before the rule for empty rows."""
    if config.attention == "full":
        return torch.ones_like(guess)
    sure = guess >= config.mask_threshold
    if config.attention == "masked":
        return sure.to(guess.dtype)
    return torch.where(sure, 1.0, 1 - chance_to_miss(guess, layer, config))


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


def blocked(guess: Tensor, layer: int, config: DecoderConfig, uniform: Tensor | None) -> Tensor | None:
    """What each query may not see: (B, P, heads or 1, Q, L), or None if everything is open.

    `guess` is (B, P, Q, L); `uniform` the same with a heads axis (1 for the law `per_query`), leading 1s allowed.
    """
    if config.attention == "full":
        return None
    guess = guess[:, :, None]  # equal for all heads
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


def open_empty_rows(blocked: Tensor) -> Tensor:
    """A query that may see nothing at all sees everything."""
    full = blocked.view(torch.uint8).amin(dim=-1, keepdim=True)  # ten times as fast as `all`
    return (blocked.view(torch.uint8) * (1 - full)).view(torch.bool)  # ten times as fast as `&`


def expected_density(config: DecoderConfig) -> float:
    """The largest share of tokens that a query can be expected to visit: known before any image is seen.

    With N = ratio·L draws it is largest when all tokens are equally likely: 1 − (1 − 1/L)^N → 1 − exp(−ratio).
    A threshold up to 1 opens an unknown number of sure tokens.
    """
    if config.attention != "boltzmann" or config.mask_threshold <= 1:
        return 1.0
    return 1 - math.exp(-config.sample_ratio)
