"""The decoder: fast equals readable, prompts do not disturb each other, a trace changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from boltzformer.model import boltzmann
from boltzformer.model.config import DecoderConfig
from boltzformer.model.decoder import Decoded, Decoder, SliceTokens, Way
from boltzformer.weights.parity import replay

GOLDENS = Path(__file__).parents[1] / "goldens"
SHARED = Path(__file__).parents[2] / "../shared/parity/goldens"
FAST: tuple[Way | None, ...] = (None, "sdpa", "projected", "absorbed", "gathered", "sparse")
SMALL = DecoderConfig(
    version=2,
    hidden=32,
    heads=4,
    layers=7,
    ffn=48,
    queries=5,
    edge_queries=2,
    existence=True,
    in_channels=32,
    mask_channels=24,
    text_channels=32,
    law="per_query",
    sample_ratio=0.2,
)


def make(config: DecoderConfig, dtype: torch.dtype = torch.float64, seed: int = 0) -> Decoder:
    """Every parameter random: a forgotten one would show."""
    net = Decoder(config).to(dtype).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            numbers = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(dtype)
            scale = 0.3 if name.endswith("norm.weight") else max(parameter.shape[-1], 4) ** -0.5
            parameter.copy_(numbers * scale + (1 if name.endswith("norm.weight") else 0))
    return net


def features(config: DecoderConfig, images: int, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    """Token maps 3×4, 6×8, 12×16 and a semantic map 24×32."""
    generator = torch.Generator().manual_seed(1)

    def numbers(channels: int, height: int, width: int) -> Tensor:
        return torch.randn(images, channels, height, width, generator=generator, dtype=torch.float64).to(dtype)

    maps = [numbers(config.in_channels, 3 * 2**level, 4 * 2**level) for level in range(len(config.strides))]
    return maps, numbers(config.mask_channels, 24, 32)


def words(config: DecoderConfig, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """(*shape, C): P, T or B, P, T."""
    generator = torch.Generator().manual_seed(2)
    return torch.randn(*shape, config.hidden, generator=generator, dtype=torch.float64).to(dtype)


def noise_of(net: Decoder, image: SliceTokens, prompts: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [
        torch.rand(net.noise_shape(image, prompts, layer), generator=generator) for layer in range(net.config.layers)
    ]


def masks_of(net: Decoder, image: SliceTokens, text: Tensor) -> list[Tensor]:
    """What the readable computation draws."""
    noise = noise_of(net, image, text.shape[-3])
    with torch.no_grad():
        trace = net(image, text, noise=lambda layer: noise[layer], trace=True, way="dense").trace
    return [look.blocked for look in trace if look.blocked is not None]


def worst(ours: Decoded, theirs: Decoded) -> float:
    """Largest difference of any output, as a share of the largest logit of its kind."""
    pairs = [(ours.masks, theirs.masks), (ours.edges, theirs.edges), (ours.existence, theirs.existence)]
    pairs.append((ours.captions, theirs.captions))
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs if a is not None and b is not None)


VARIANTS = {
    "version 2": SMALL,
    "heads of their own": replace(SMALL, law="per_head"),
    "version 1": replace(SMALL, version=1, existence=False, edge_queries=0),
    "input projections": replace(SMALL, in_channels=20),
    "no text prior": replace(SMALL, text_prior=False),
    "threshold": replace(SMALL, mask_threshold=0.5),
    "masked": replace(SMALL, attention="masked", mask_threshold=0.5),
    "full": replace(SMALL, attention="full"),
    "multinomial": replace(SMALL, draw="multinomial"),
    "two grids": replace(SMALL, strides=(32, 16)),
    "base temperature": replace(SMALL, base_temperature=0.25),
    "one query": replace(SMALL, queries=1, edge_queries=0),
}


def suits(way: Way | None, config: DecoderConfig) -> bool:
    """Picking needs something to leave out, `gathered` one mask for all heads."""
    shared = config.attention == "masked" or config.law == "per_query"
    return (way != "gathered" or shared) and (way not in ("gathered", "sparse") or config.attention != "full")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("way", FAST)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_fast_equals_readable_with_the_same_masks(
    variant: str, way: Way | None, dtype: torch.dtype, bound: float
) -> None:
    config = VARIANTS[variant]
    if not suits(way, config):
        way = None
    net, (maps, semantic) = make(config, dtype), features(config, 2, dtype)
    text, image = words(config, 3, 6, dtype=dtype), net.prepare(maps, semantic)
    masks = masks_of(net, image, text) or None
    with torch.no_grad():
        wanted = net(image, text, masks=masks, way="dense")
        assert worst(net(image, text, masks=masks, way=way), wanted) <= bound
        mean = net(image, text, masks=masks, way=way, mean=True)
    assert mean.masks.shape == (2, 3, 1, 24, 32)
    inner = config.queries - config.edge_queries
    difference = (mean.masks[:, :, 0] - wanted.masks[:, :, :inner].mean(2)).abs().max()
    assert difference <= bound * wanted.masks.abs().max()
    if wanted.edges is not None and mean.edges is not None:
        assert (mean.edges - wanted.edges).abs().max() <= bound * wanted.edges.abs().max()


@pytest.mark.parametrize("way", FAST)
def test_fast_and_readable_have_the_same_gradients(way: Way | None) -> None:
    net, (maps, semantic) = make(SMALL), features(SMALL, 2)
    text, masks = words(SMALL, 2, 4), masks_of(net, net.prepare(*features(SMALL, 2)), words(SMALL, 2, 4))
    inputs = [*maps, semantic, text]
    sources = [tensor.requires_grad_() for tensor in inputs] + [p for p in net.parameters() if p.requires_grad]

    def gradients(chosen: Way | None) -> list[Tensor]:
        out = net(net.prepare(maps, semantic), text, masks=masks, way=chosen)
        assert out.edges is not None
        assert out.existence is not None
        loss = out.masks.sigmoid().mean() + out.edges.sigmoid().mean() + out.existence.sum()
        return list(torch.autograd.grad(loss, sources))

    for ours, theirs in zip(gradients(way), gradients("dense"), strict=True):
        assert (ours - theirs).abs().max() <= 1e-10 * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("way", ["dense", None])
@pytest.mark.parametrize("law", ["per_head", "per_query"])
def test_prompts_together_answer_as_prompts_one_by_one(way: Way | None, law: str) -> None:
    config = replace(SMALL, law=law)  # type: ignore[arg-type]
    net, (maps, semantic) = make(config), features(config, 2)
    image, text = net.prepare(maps, semantic), words(config, 3, 6)
    known = torch.arange(6) < torch.tensor([6, 4, 2])[:, None]
    masks = masks_of(net, image, text)
    with torch.no_grad():
        together = net(image, text, known, masks=masks, way=way)
        for p, length in enumerate((6, 4, 2)):
            alone = net(image, text[p : p + 1, :length], masks=[mask[:, p : p + 1] for mask in masks], way=way)
            for ours, theirs in ((together.masks, alone.masks), (together.existence, alone.existence)):
                assert ours is not None
                assert theirs is not None
                torch.testing.assert_close(ours[:, p : p + 1], theirs, rtol=0, atol=1e-10)


def test_the_content_of_padding_changes_nothing_if_it_is_marked_and_something_if_it_is_not() -> None:
    net, (maps, semantic) = make(SMALL), features(SMALL, 1)
    image, text = net.prepare(maps, semantic), words(SMALL, 1, 6)
    other = text.clone()
    other[:, 4:] = -1
    known = (torch.arange(6) < 4)[None]
    masks = masks_of(net, image, text)
    with torch.no_grad():
        first, second = (net(image, t, known, masks=masks) for t in (text, other))
        third, fourth = (net(image, t, masks=masks) for t in (text, other))
    assert torch.equal(first.masks, second.masks)
    assert first.existence is not None
    assert second.existence is not None
    assert torch.equal(first.existence, second.existence)
    assert (third.masks - fourth.masks).abs().max() > 1e-3


def test_images_may_have_prompts_of_their_own() -> None:
    net, (maps, semantic) = make(SMALL), features(SMALL, 2)
    image, text = net.prepare(maps, semantic), words(SMALL, 2, 3, 4)
    masks = masks_of(net, image, text)
    with torch.no_grad():
        both = net(image, text, masks=masks)
        second = net(net.prepare([m[1:] for m in maps], semantic[1:]), text[1], masks=[m[1:] for m in masks])
    torch.testing.assert_close(both.masks[1:], second.masks, rtol=0, atol=1e-10)


def test_a_trace_changes_nothing_and_shows_the_exact_visits() -> None:
    config = replace(SMALL, law="per_head")
    net, (maps, semantic) = make(config), features(config, 2)
    image, text = net.prepare(maps, semantic), words(config, 3, 6)
    noise = noise_of(net, image, 3)
    with torch.no_grad():
        plain = net(image, text, noise=lambda layer: noise[layer])
        traced = net(image, text, noise=lambda layer: noise[layer], trace=True)
    assert plain.trace == ()
    assert torch.equal(plain.masks, traced.masks)
    assert [look.scale for look in traced.trace] == [32, 16, 8, 32, 16, 8, 32]
    assert [look.temperature for look in traced.trace] == [1 / (1 + layer) for layer in range(7)]
    for layer, look in enumerate(traced.trace):
        height, width = image.sizes[layer % 3]
        assert look.guess.shape == look.probability.shape == look.visited.shape == (2, 3, height, width)
        drawn = boltzmann.blocked(look.own_guess, layer, config, noise[layer])
        assert drawn is not None
        opened = ~boltzmann.open_empty_rows(drawn)
        assert torch.equal(look.visited_by(4, 1).flatten(-2), opened[:, :, 1, 4])
        torch.testing.assert_close(look.visited.flatten(-2), opened.double().mean((2, 3)))


def test_the_trace_of_full_attention_says_that_everything_was_visited() -> None:
    config = replace(SMALL, attention="full")
    net = make(config)
    with torch.no_grad():
        trace = net(net.prepare(*features(config, 1)), words(config, 1, 4), trace=True).trace
    assert all((look.visited == 1).all() and look.visited_by(0).all() for look in trace)
    assert all((look.probability == 1).all() for look in trace)


def test_the_existence_token_teaches_nothing_to_the_queries() -> None:
    net = make(SMALL)
    image, text = net.prepare(*features(SMALL, 1)), words(SMALL, 1, 4)
    existence = net(image, text, masks=masks_of(net, image, text)).existence
    assert existence is not None
    existence.sum().backward()
    taught = {name.split(".")[0] for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert taught == {
        "classifier",
        "classifier_query",
        "classifier_cross_attention_layers",
        "classifier_ffn_layers",
    }


class Exported(nn.Module):
    """Tensors in, tensors out: what a compiler sees."""

    def __init__(self, net: Decoder) -> None:
        super().__init__()
        self.net = net

    def forward(self, maps: list[Tensor], semantic: Tensor, text: Tensor, noise: list[Tensor]) -> tuple[Tensor, Tensor]:
        image = self.net.prepare(maps, semantic, dense=True)
        out = self.net(image, text, noise=lambda layer: noise[layer], way="dense")
        assert out.existence is not None
        return out.masks, out.existence


@pytest.mark.slow
@pytest.mark.parametrize("draw", ["bernoulli", "multinomial"])
def test_the_readable_computation_compiles_as_one_graph_and_exports(draw: str) -> None:
    config = replace(SMALL, layers=3, draw=draw)  # type: ignore[arg-type]
    net = make(config, torch.float32)
    maps, semantic = features(config, 1, torch.float32)
    text, noise = words(config, 2, 4, dtype=torch.float32), noise_of(net, net.prepare(maps, semantic), 2)
    module = Exported(net)
    with torch.no_grad():
        wanted = module(maps, semantic, text, noise)
        compiled = torch.compile(module, backend="eager", fullgraph=True)(maps, semantic, text, noise)
        exported = torch.export.export(module, (maps, semantic, text, noise)).module()(maps, semantic, text, noise)
    for made in (compiled, exported):
        for ours, theirs in zip(made, wanted, strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("law", ["per_head", "per_query"])
@pytest.mark.parametrize("seed", range(4))
def test_bf16_stays_within_five_percent_of_the_largest_logit(law: str, seed: int) -> None:
    config = replace(SMALL, law=law)  # type: ignore[arg-type]
    net, (maps, semantic) = make(config, torch.float32, seed), features(config, 1, torch.float32)
    image, text = net.prepare(maps, semantic), words(config, 2, 6, dtype=torch.float32)
    masks = masks_of(net, image, text)
    half = make(config, torch.bfloat16, seed)
    small = half.prepare([m.bfloat16() for m in maps], semantic.bfloat16())
    with torch.no_grad():
        wanted = net(image, text, masks=masks)
        made = half(small, text.bfloat16(), masks=masks)
        drawn = half(small, text.bfloat16(), noise=lambda layer: noise_of(net, image, 2)[layer])
    assert made.masks.dtype == torch.bfloat16
    assert (made.masks.float() - wanted.masks).abs().max() <= 0.05 * wanted.masks.abs().max()  # 3.5 % measured
    assert drawn.masks.isfinite().all()


def test_noise_has_the_shape_that_the_law_asks_for() -> None:
    net = make(replace(SMALL, law="per_head"))
    image = net.prepare(*features(SMALL, 2))
    assert net.noise_shape(image, 3, 4) == (2, 3, 4, 5, 48)
    assert make(SMALL).noise_shape(image, 3, 4) == (2, 3, 1, 5, 48)


@pytest.mark.parametrize("folder", [GOLDENS, SHARED], ids=["small copies", "all"])
def test_recorded_decoders_are_met(folder: Path) -> None:
    if not folder.exists():
        pytest.skip("the recordings of the reference are not beside this checkout")
    rows = [row for row in replay(folder) if "decoder_" in row.file and not row.file.startswith("pixel")]
    assert rows
    assert [row for row in rows if not row.passed] == []
    assert {row.way for row in rows} == {"dense", "fast"}
