"""A user's energy beside the guess: the law with it, nothing outside a box, and without it the same bits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from boltzformer.image.guidance import Hint, HintBox, HintPoint
from boltzformer.model import boltzmann
from boltzformer.model.boltzmann import energy
from boltzformer.model.config import DecoderConfig
from boltzformer.model.decoder import Decoded, Decoder, SliceTokens

TRIALS = 10_000
GRID, STRIDE = (5, 7), 8
KINDS = {
    "bernoulli": {},
    "multinomial": {"draw": "multinomial"},
    "heads of their own": {"law": "per_head"},
    "threshold": {"mask_threshold": 0.6},
    "hardly any draws": {"sample_ratio": 0.01},
    "masked": {"attention": "masked", "mask_threshold": 0.5},
    "full": {"attention": "full"},
}


def make(kind: str) -> DecoderConfig:
    small = DecoderConfig(
        hidden=16, heads=4, text_channels=16, in_channels=16, mask_channels=16, ffn=24, queries=3, law="per_query"
    )
    return replace(small, **{"layers": 4, "sample_ratio": 0.2, **KINDS[kind]})  # type: ignore[arg-type]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def opened(config: DecoderConfig, guess: Tensor, layer: int, added: Tensor | None, seed: int = 0) -> Tensor:
    """(B, P, heads or 1, Q, L): what is visited in the end."""
    heads = config.heads if config.law == "per_head" else 1
    uniform = numbers(*guess.shape[:2], heads, *guess.shape[2:], seed=seed)
    blocked = boltzmann.blocked(guess, layer, config, uniform, added)
    return torch.ones_like(uniform, dtype=torch.bool) if blocked is None else ~boltzmann.open_empty_rows(blocked, added)


places = st.tuples(st.floats(0, GRID[0] * STRIDE), st.floats(0, GRID[1] * STRIDE))
points = st.builds(lambda at, s, w: HintPoint(*at, s, w), places, st.floats(-8, 8), st.floats(0.5, 40))
boxes = st.builds(
    lambda a, b: HintBox(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])), places, places
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [0, 3])
def test_without_guidance_or_with_none_in_effect_every_bit_is_the_same(kind: str, layer: int) -> None:
    config, guess = make(kind), numbers(2, 3, 3, 35)
    zero = energy(Hint((HintPoint(8, 8, 0.0, 16),)), GRID, STRIDE)[None, None, None]
    assert torch.equal(opened(config, guess, layer, None), opened(config, guess, layer, zero))
    plain = boltzmann.chance_of_visit(guess, layer, config)
    assert torch.equal(plain, boltzmann.chance_of_visit(guess, layer, config, zero))


@pytest.mark.parametrize("draw", ["bernoulli", "multinomial"])
@pytest.mark.parametrize("layer", [0, 7])
def test_tokens_are_visited_as_often_as_the_guided_law_says(draw: str, layer: int) -> None:
    config = replace(make("bernoulli"), draw=draw)
    guess = numbers(1, 1, 3, 35)
    added = energy(Hint((HintPoint(20, 30, 1.5, 9), HintPoint(4, 4, -0.7, 12))), GRID, STRIDE)[None, None, None]
    chance = 1 - (1 - ((guess.double() + added) * (1 + layer)).softmax(-1)) ** 7  # 20 % of 35 tokens are 7 draws
    torch.testing.assert_close(boltzmann.chance_of_visit(guess.double(), layer, config, added), chance)
    uniform = numbers(TRIALS, 1, 1, 3, 35)
    blocked = boltzmann.blocked(guess.expand(TRIALS, -1, -1, -1), layer, config, uniform, added)
    assert blocked is not None
    seen = (~blocked).double().mean(0)[0, 0]
    deviation = (chance * (1 - chance) / TRIALS).sqrt().clamp(min=1e-4)
    assert ((seen - chance[0, 0]) / deviation).abs().max() < 6


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(KINDS)), st.lists(points, max_size=3), st.lists(boxes, min_size=1, max_size=2), st.data())
def test_nothing_outside_the_boxes_is_ever_visited_and_something_inside_always(
    kind: str, some: list[HintPoint], given_boxes: list[HintBox], data: st.DataObject
) -> None:
    config, layer, seed = make(kind), data.draw(st.integers(0, 8)), data.draw(st.integers(0, 999))
    added = energy(Hint(tuple(some), tuple(given_boxes)), GRID, STRIDE)
    guess = numbers(1, 2, 3, 35, seed=seed + 1) * data.draw(st.sampled_from([0.0, 1.0]))  # all sure of nothing, or not
    guess = guess + data.draw(st.sampled_from([0.0, 1.0])) * (1 - guess)  # or all sure of all
    visited = opened(config, guess, layer, added[None, None, None], seed)
    outside = added.isneginf()
    assert not outside.all()
    assert not visited[..., outside].any()
    assert visited.any(-1).all()
    chance = boltzmann.chance_of_visit(guess, layer, config, added[None, None, None])
    assert (chance[..., outside] == 0).all()
    assert ((chance >= 0) & (chance <= 1)).all()


@given(boxes)
def test_a_box_opens_the_tokens_whose_centres_it_holds_or_the_nearest(box: HintBox) -> None:
    open_ = (~energy(Hint((), (box,)), GRID, STRIDE).isneginf()).nonzero()[:, 0].tolist()
    centres = [(STRIDE * (n // GRID[1] + 0.5), STRIDE * (n % GRID[1] + 0.5)) for n in range(35)]
    held = [n for n, (y, x) in enumerate(centres) if box.top <= y <= box.bottom and box.left <= x <= box.right]
    if held:
        assert open_ == held
    else:
        y, x = (box.top + box.bottom) / 2, (box.left + box.right) / 2
        away = [(a - y) ** 2 + (b - x) ** 2 for a, b in centres]
        assert len(open_) == 1
        assert away[open_[0]] == pytest.approx(min(away), abs=1e-3)


@given(points.filter(lambda point: abs(point.strength) > 0.01))
def test_a_point_pulls_or_pushes_most_at_its_own_token_and_never_more_than_its_strength(point: HintPoint) -> None:
    pull = energy(Hint((point,)), GRID, STRIDE) * (1 if point.strength > 0 else -1)
    assert (pull >= 0).all()
    assert pull.max() <= abs(point.strength) * (1 + 1e-6)
    here = min(int(point.row // STRIDE), GRID[0] - 1) * GRID[1] + min(int(point.column // STRIDE), GRID[1] - 1)
    assert pull[here] == pytest.approx(float(pull.max()), rel=1e-4)
    # However narrow: the nearest centre is at most half a diagonal away, one standard deviation of the token itself
    assert pull.max() >= abs(point.strength) * 0.36


def test_a_point_raises_the_chance_of_its_place_and_not_here_lowers_it() -> None:
    guess = numbers(1, 1, 3, 35)
    for kind in ("bernoulli", "multinomial", "heads of their own"):
        config = make(kind)
        plain = boltzmann.chance_of_visit(guess, 2, config)
        for strength, sign in ((2.0, 1), (-2.0, -1)):
            added = energy(Hint((HintPoint(20, 28, strength, 6),)), GRID, STRIDE)[None, None, None]
            changed = boltzmann.chance_of_visit(guess, 2, config, added)
            assert (sign * (changed - plain)[..., 2 * GRID[1] + 3] > 0).all()
            assert (sign * (changed - plain)[..., 0] < 0).all()  # the chance is taken from, or given to, the others


def tokens_of(net: Decoder) -> SliceTokens:
    maps = [numbers(1, 16, 2**n * 2, 2**n * 3, seed=n).double() - 0.5 for n in range(3)]
    return net.prepare(maps, numbers(1, 16, 16, 24, seed=5).double() - 0.5)


def decoded(net: Decoder, hints: list[Hint], **how: object) -> Decoded:
    image, text = tokens_of(net), numbers(len(hints), 4, 16, seed=8).double() - 0.5
    grids = zip(image.sizes, net.config.strides, strict=True)
    energies = [torch.stack([energy(one, size, stride) for one in hints])[None, :, None] for size, stride in grids]

    def noise(layer: int) -> Tensor:
        shape = net.noise_shape(image, len(hints), layer)
        return torch.stack([numbers(*shape[2:], seed=100 * p + layer) for p in range(len(hints))])[None]

    with torch.no_grad():
        return net(image, text, noise=noise, energies=energies if any(hints) else None, **how)


@pytest.mark.parametrize("kind", KINDS)
def test_a_guided_decoder_is_the_same_by_every_way_and_leaves_other_prompts_alone(kind: str) -> None:
    torch.manual_seed(0)
    net = Decoder(make(kind)).double().eval()
    led = Hint((HintPoint(10, 12, 3.0, 10), HintPoint(40, 60, -2.0, 8)), (HintBox(0, 0, 40, 70),))
    wanted = decoded(net, [led, Hint()], way="dense")
    for way in (None, "sdpa", "projected", "absorbed"):
        assert torch.allclose(decoded(net, [led, Hint()], way=way).masks, wanted.masks, atol=1e-9)
    plain = decoded(net, [Hint(), Hint()], way="dense")
    assert torch.equal(plain.masks[:, 1], wanted.masks[:, 1])
    assert not torch.allclose(plain.masks[:, 0], wanted.masks[:, 0])


def test_the_trace_shows_the_guided_chances_and_the_models_own_guess() -> None:
    torch.manual_seed(0)
    net = Decoder(make("bernoulli")).double().eval()
    plain = decoded(net, [Hint()], trace=True).trace
    led = decoded(net, [Hint((), (HintBox(0, 0, 31, 31),))], trace=True).trace
    assert torch.equal(plain[0].guess, led[0].guess)
    for look in led:
        inside = torch.zeros(look.size, dtype=torch.bool)
        inside[: 32 // look.scale, : 32 // look.scale] = True
        assert (look.probability[0, 0][~inside] == 0).all()
        assert (look.visited[0, 0][~inside] == 0).all()
        assert (look.probability[0, 0][inside] > 0).all()
