"""The cheap ways of looking at image tokens give the numbers and gradients of the plain way."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from boltzformer.model.attention import Grid, Way, attend, cheapest, picks_tokens
from boltzformer.model.boltzmann import open_empty_rows
from boltzformer.model.config import DecoderConfig, default, focal_l, tiny
from boltzformer.model.layers import Attention, sine_positions
from boltzformer.model.slice_tokens import axes_of

CHEAP: tuple[Way, ...] = ("sdpa", "projected", "absorbed", "gathered", "sparse")


def scene(
    dtype: torch.dtype, shape: tuple[int, int, int, int, int], density: float, seed: int
) -> tuple[Attention, Tensor, Grid, Tensor]:
    """Attention, queries (B, P, Q, 16), grid, shared mask (B, P, 1, Q, L) with some empty rows."""
    b, p, q, height, width = shape
    generator = torch.Generator().manual_seed(seed)

    def numbers(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)

    attention = Attention(16, 4).to(dtype)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(numbers(*parameter.shape) * 0.4)
    axes = axes_of(numbers(1), (height, width), 16)
    grid = Grid(numbers(b, height * width, 16).requires_grad_(), *axes, numbers(16).requires_grad_())
    blocked = torch.rand(b, p, 1, q, height * width, generator=generator) > density
    blocked[0, 0, 0, 0] = True
    return attention, numbers(b, p, q, 16).requires_grad_(), grid, open_empty_rows(blocked)


SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.floats(0.05, 1.0), st.integers(0, 999), st.sampled_from(CHEAP))
def test_every_way_gives_the_same_answer_and_gradients_in_fp64(
    shape: tuple[int, int, int, int, int], density: float, seed: int, way: Way
) -> None:
    attention, query, grid, blocked = scene(torch.float64, shape, density, seed)
    sources = [query, grid.tokens, grid.level, *attention.parameters()]
    wanted = attend("dense", attention, query, grid, blocked)
    weight = torch.linspace(-1, 1, wanted.numel(), dtype=torch.float64).view_as(wanted)
    wanted_grads = torch.autograd.grad((wanted * weight).sum(), sources)
    made = attend(way, attention, query, grid, blocked)
    grads = torch.autograd.grad((made * weight).sum(), sources)
    assert (made - wanted).abs().max() <= 1e-10
    for ours, theirs in zip(grads, wanted_grads, strict=True):
        assert (ours - theirs).abs().max() <= 1e-10 * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("way", CHEAP)
@pytest.mark.parametrize("seed", range(3))
def test_every_way_gives_the_same_answer_in_fp32(way: Way, seed: int) -> None:
    attention, query, grid, blocked = scene(torch.float32, (2, 3, 4, 9, 7), 0.1, seed)
    wanted = attend("dense", attention, query, grid, blocked)
    assert (attend(way, attention, query, grid, blocked) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("way", ["sdpa", "projected", "absorbed", "sparse"])
def test_heads_may_have_masks_of_their_own_or_none_at_all(way: Way) -> None:
    attention, query, grid, _ = scene(torch.float64, (2, 2, 3, 4, 5), 0.3, 0)
    own = open_empty_rows(torch.rand(2, 2, 4, 3, 20, generator=torch.Generator().manual_seed(1)) > 0.2)
    for blocked in (own, None)[: 1 if way == "sparse" else 2]:
        wanted = attend("dense", attention, query, grid, blocked)
        torch.testing.assert_close(attend(way, attention, query, grid, blocked), wanted, rtol=0, atol=1e-10)


def test_a_grid_larger_than_a_tile_gives_the_same_answer() -> None:
    attention, query, grid, blocked = scene(torch.float64, (2, 2, 3, 50, 60), 0.1, 0)
    wanted = attend("dense", attention, query, grid, blocked)
    torch.testing.assert_close(attend("sparse", attention, query, grid, blocked), wanted, rtol=0, atol=1e-10)


def test_positions_are_the_sine_code_of_row_and_column() -> None:
    _, _, grid, _ = scene(torch.float32, (1, 1, 1, 4, 6), 1.0, 0)
    assert torch.equal(grid.positions(), sine_positions(4, 6, 16).flatten(1).T)


def test_the_path_follows_from_configuration_and_shapes() -> None:
    released, ours = focal_l().decoder, replace(focal_l().decoder, law="per_query")
    assert cheapest(released, 10, 16384, heads_share=False, picks=False) == "absorbed"
    assert cheapest(released, 101, 16384, heads_share=False, picks=False) == "projected"
    assert cheapest(released, 10, 16384, heads_share=False, picks=True) == "sparse"
    assert cheapest(released, 10, 16384, heads_share=False, picks=True, learns=True) == "absorbed"
    assert cheapest(released, 101, 16384, heads_share=False, picks=True) == "sparse"
    assert cheapest(ours, 10, 16384, heads_share=True, picks=True) == "gathered"
    assert cheapest(ours, 101, 16384, heads_share=True, picks=True) == "gathered"
    assert cheapest(ours, 10, 16384, heads_share=False, picks=True) == "sparse"  # recorded masks per head
    # On a small grid one product is cheaper than a dozen calls per query.
    assert cheapest(tiny().decoder, 12, 576, heads_share=True, picks=True) == "projected"
    assert cheapest(default().decoder, 12, 4096, heads_share=True, picks=True) == "absorbed"


def test_tokens_are_picked_only_where_few_are_visited_on_a_cpu_in_full_precision() -> None:
    ours = DecoderConfig(law="per_query")
    cpu, half = torch.zeros(1), torch.zeros(1, dtype=torch.bfloat16)
    assert picks_tokens(ours, cpu)
    assert not picks_tokens(ours, half)
    assert not picks_tokens(ours, torch.zeros(1, device="meta"))
    assert not picks_tokens(replace(ours, mask_threshold=0.5), cpu)
    assert not picks_tokens(replace(ours, sample_ratio=0.5), cpu)
    assert not picks_tokens(replace(ours, attention="full"), cpu)
