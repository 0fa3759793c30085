"""The sampler: the laws hold in numbers, and all randomness comes from outside."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from boltzformer.model import boltzmann
from boltzformer.model.config import ConfigError, DecoderConfig

TRIALS = 10_000
LAWS = [(law, draw) for law in ("per_head", "per_query") for draw in ("bernoulli", "multinomial")]


def make(**changes: object) -> DecoderConfig:
    return DecoderConfig(**{"hidden": 16, "heads": 4, "text_channels": 16, "sample_ratio": 0.2, **changes})  # type: ignore[arg-type]


def guesses(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def visits(config: DecoderConfig, guess: Tensor, layer: int, seed: int = 0) -> Tensor:
    """(TRIALS, heads or 1, Q, L): True where visited, one independent draw per trial; guess (Q, L)."""
    heads = config.heads if config.law == "per_head" else 1
    uniform = guesses(TRIALS, 1, heads, *guess.shape, seed=seed)
    blocked = boltzmann.blocked(guess.expand(TRIALS, 1, -1, -1), layer, config, uniform)
    assert blocked is not None
    return ~blocked[:, 0]


def z_scores(seen: Tensor, chance: Tensor) -> Tensor:
    """Of the share of visits over the first axis."""
    return (seen.double().mean(0) - chance) / (chance * (1 - chance) / len(seen)).sqrt()


def test_temperature_falls_from_layer_to_layer() -> None:
    assert [boltzmann.temperature(layer, 2.0) for layer in range(4)] == [2.0, 1.0, 2 / 3, 0.5]


@pytest.mark.parametrize(("law", "draw"), LAWS)
@pytest.mark.parametrize("layer", [0, 7])
def test_tokens_are_visited_as_often_as_the_law_says(law: str, draw: str, layer: int) -> None:
    config, guess = make(law=law, draw=draw), guesses(3, 40)
    energy = guess.double() * (1 + layer)
    chance = 1 - (1 - energy.softmax(-1)) ** 8  # 20 % of 40 tokens are 8 draws
    z = z_scores(visits(config, guess, layer), chance)
    assert z.abs().max() < 6
    assert z.shape == (4 if law == "per_head" else 1, 3, 40)
    torch.testing.assert_close(boltzmann.chance_of_visit(guess.double(), layer, config), chance)


@pytest.mark.parametrize("draw", ["bernoulli", "multinomial"])
def test_heads_draw_independently_under_the_released_law(draw: str) -> None:
    config, guess = make(law="per_head", draw=draw), guesses(2, 30)
    seen = visits(config, guess, 1)
    chance = boltzmann.chance_of_visit(guess.double(), 1, config)
    both = seen[:, 0] & seen[:, 1]
    assert z_scores(both, chance**2).abs().max() < 6


@given(st.integers(1, 60), st.floats(0.05, 1.0), st.integers(0, 8), st.integers(0, 999))
def test_multinomial_visits_at_least_one_and_at_most_n_tokens(tokens: int, ratio: float, layer: int, seed: int) -> None:
    config = make(draw="multinomial", law="per_query", sample_ratio=ratio)
    count = boltzmann.draws(tokens, ratio)
    uniform = guesses(1, 2, 1, 3, tokens, seed=seed)
    blocked = boltzmann.blocked(guesses(1, 2, 3, tokens, seed=seed + 1), layer, config, uniform)
    assert blocked is not None
    visited = (~blocked).sum(-1)
    assert (visited >= min(count, 1)).all()
    assert (visited <= count).all()


@pytest.mark.parametrize("draw", ["bernoulli", "multinomial"])
def test_sure_tokens_are_always_visited_and_never_drawn(draw: str) -> None:
    config, guess = make(mask_threshold=0.6, draw=draw, law="per_query"), guesses(3, 50)
    sure = guess >= 0.6
    seen = visits(config, guess, 2)[:, 0]
    assert seen[:, sure].all()
    weight = torch.where(sure, 0.0, (guess.double() * 3).exp())  # the draw is among the others only
    chance = 1 - (1 - weight / weight.sum(-1, keepdim=True)) ** 10
    assert z_scores(seen, chance)[~sure].abs().max() < 6


@pytest.mark.parametrize("draw", ["bernoulli", "multinomial"])
def test_a_row_of_only_sure_tokens_is_all_visited(draw: str) -> None:
    config = make(mask_threshold=0.5, draw=draw)
    uniform = guesses(1, 1, 4, 2, 20)
    blocked = boltzmann.blocked(torch.full((1, 1, 2, 20), 0.9), 0, config, uniform)
    assert blocked is not None
    assert not blocked.any()


def test_a_row_without_any_visit_is_opened_and_no_other_row_changes() -> None:
    blocked = guesses(2, 1, 4, 3, 10) < 0.8
    blocked[0, 0, 1, 2] = True
    opened = boltzmann.open_empty_rows(blocked)
    assert not opened[0, 0, 1, 2].any()
    full = blocked.all(-1)
    assert torch.equal(opened[~full], blocked[~full])
    assert not opened.all(-1).any()


def test_ablations_without_sampling() -> None:
    guess = guesses(2, 3, 5, 12)
    assert boltzmann.blocked(guess, 0, make(attention="full"), None) is None
    masked = boltzmann.blocked(guess, 0, make(attention="masked", mask_threshold=0.5), None)
    assert masked is not None
    assert torch.equal(masked[:, :, 0], guess < 0.5)


def test_sampling_without_noise_is_refused() -> None:
    with pytest.raises(ConfigError, match="noise"):
        boltzmann.blocked(guesses(1, 1, 2, 9), 0, make(), None)


@pytest.mark.parametrize(("law", "draw"), LAWS)
def test_equal_noise_gives_equal_visits_and_global_randomness_is_left_alone(law: str, draw: str) -> None:
    config, guess = make(law=law, draw=draw), guesses(1, 2, 3, 30)
    uniform = guesses(1, 2, 4 if law == "per_head" else 1, 3, 30, seed=5)
    before = torch.get_rng_state()
    first, second = (boltzmann.blocked(guess, 3, config, uniform) for _ in range(2))
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


@settings(max_examples=50)
@given(st.integers(10, 200), st.floats(0.02, 0.5), st.integers(0, 8), st.integers(0, 999))
def test_no_map_is_visited_more_densely_than_expected_density(tokens: int, ratio: float, layer: int, seed: int) -> None:
    config = make(sample_ratio=ratio)
    share = boltzmann.chance_of_visit(guesses(4, tokens, seed=seed).double(), layer, config).mean(-1)
    bound = 1 - (1 - 1 / tokens) ** boltzmann.draws(tokens, ratio)
    assert (share <= bound + 1e-12).all()
    assert boltzmann.expected_density(config) == 1 - math.exp(-ratio)
    assert bound <= boltzmann.expected_density(config) * (1 + 1 / tokens)


def test_a_threshold_that_can_be_reached_promises_nothing_about_density() -> None:
    assert boltzmann.expected_density(make(mask_threshold=0.5)) == 1
    assert boltzmann.expected_density(make(attention="full")) == 1
