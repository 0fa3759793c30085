"""The other decoders of the zoo: shapes, the same answer again, no prompt heeds another, everything learns."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from boltzformer.image.guidance import Hint, HintBox
from boltzformer.model import boltzmann
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ConfigError, DecoderConfig, DecoderKind, tiny
from boltzformer.model.decoders import DECODERS, make_decoder
from boltzformer.model.decoding import AnyDecoder, Decoded, SliceTokens

STRIDES = {"sam": (16,), "sam2": (16, 8), "emcad": (32, 16, 8)}
KINDS = list(STRIDES)
HEIGHT, WIDTH = 96, 128
"""Of the network's input."""


def config_of(kind: str, **other: object) -> DecoderConfig:
    sizes = {"hidden": 32, "heads": 4, "layers": 2, "ffn": 48, "queries": 3, "in_channels": 20, "mask_channels": 24}
    how = {"version": 2, "attention": "full", "existence": True, "text_channels": 32, "strides": STRIDES[kind]}
    return DecoderConfig(**{**sizes, **how, "kind": kind, **other})  # type: ignore[arg-type]


def made(config: DecoderConfig) -> AnyDecoder:
    torch.manual_seed(0)
    return make_decoder(config).double().eval()


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seen_by(net: AnyDecoder, images: int) -> SliceTokens:
    config = net.config
    maps = [numbers(s, images, config.in_channels, HEIGHT // s, WIDTH // s) for s in config.strides]
    return net.prepare(maps, numbers(4, images, config.mask_channels, HEIGHT // 4, WIDTH // 4))


def asked(net: AnyDecoder, image: SliceTokens, words: Tensor, known: Tensor | None = None) -> Decoded:
    with torch.no_grad():
        answer: Decoded = net(image, words, known, trace=True)
    return answer


def close(ours: Decoded, theirs: Decoded) -> bool:
    assert ours.existence is not None
    assert theirs.existence is not None
    return torch.allclose(ours.masks, theirs.masks) and torch.allclose(ours.existence, theirs.existence)


def test_every_kind_that_a_configuration_may_name_can_be_made() -> None:
    assert set(DECODERS) == set(get_args(DecoderKind)) == {"queries", *KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_masks_lie_on_the_grid_of_stride_four_and_existence_is_a_number_per_prompt(kind: str) -> None:
    net = made(config_of(kind))
    image, words = seen_by(net, 2), numbers(1, 5, 7, 32)
    answer = asked(net, image, words)
    assert answer.masks.shape == (2, 5, 3, HEIGHT // 4, WIDTH // 4)
    assert answer.existence is not None
    assert answer.existence.shape == (2, 5)
    assert close(answer, asked(net, image, words))
    with torch.no_grad():
        mean = net(image, words, mean=True)
    torch.testing.assert_close(mean.masks[:, :, 0], answer.masks.mean(2))
    assert made(config_of(kind, existence=False))(image, words).existence is None


@pytest.mark.parametrize("kind", KINDS)
def test_neither_the_prompts_nor_the_images_beside_nor_padding_change_an_answer(kind: str) -> None:
    net = made(config_of(kind))
    image, words = seen_by(net, 2), numbers(1, 3, 6, 32)
    known = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [True] * 6])
    together = asked(net, image, words, known)
    alone = asked(net, seen_by(net, 1), words[1:2, :4])
    one = Decoded(together.masks[:1, 1:2], None, together.existence[:1, 1:2], None, ())  # type: ignore[index]
    assert torch.equal(image.semantic[:1], seen_by(net, 1).semantic)
    assert close(one, alone)
    other = asked(net, image, words.flip(0), known.flip(0))
    assert close(replace(other, masks=other.masks.flip(1), existence=other.existence.flip(1)), together)  # type: ignore[union-attr]
    assert not torch.allclose(together.masks[:, 0], together.masks[:, 2])  # but it is the prompt that is answered


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter_and_what_a_training_hears_is_there(kind: str) -> None:
    net = made(config_of(kind)).train()
    image, words, outs = seen_by(net, 2), numbers(1, 2, 3, 5, 32), list[Tensor]()
    for part in net.heard:
        part.register_forward_hook(lambda _, __, out: outs.append(out))
    answer = net(image, words)
    inside = net.insides(outs, image, 3, torch.float64)
    guesses = {"sam": 2, "sam2": 2, "emcad": 3}[kind]
    assert inside.guesses.shape == (guesses, 2, 3, HEIGHT // 4, WIDTH // 4)
    assert inside.rows.shape[::2] == (6, 32)
    (answer.masks.square().mean() + answer.existence.square().mean() + inside.guesses.square().mean()).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_looks_say_that_nothing_is_drawn(kind: str) -> None:
    net = made(config_of(kind))
    trace = asked(net, seen_by(net, 1), numbers(1, 2, 5, 32)).trace
    assert len(trace) == {"sam": 3, "sam2": 3, "emcad": 4}[kind]
    for look in trace:
        assert look.size == (HEIGHT // look.scale, WIDTH // look.scale)
        assert look.guess.shape == (1, 2, *look.size)
        assert (look.visited == 1).all()
        assert (look.probability == 1).all()
        assert look.of(2).guess.shape == (1, 2, *look.size)
    assert not trace[0].guess.any()  # before the first look nothing is guessed
    assert trace[1].guess.any()


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_tokens_look_only_into_the_boxes_of_a_user(kind: str) -> None:
    net = made(config_of(kind))
    image, words = seen_by(net, 1), numbers(1, 1, 5, 32)
    hint = Hint(boxes=(HintBox(0, 0, 40, 60),), bends=HEIGHT)
    grids = zip(image.sizes, STRIDES[kind], strict=True)
    energies = [boltzmann.energy(hint, size, stride)[None, None, None] for size, stride in grids]
    with torch.no_grad():
        led = net(image, words, energies=energies, trace=True)
    assert not torch.allclose(led.masks, asked(net, image, words).masks)
    assert 0 < led.trace[0].visited.mean() < 0.5


@pytest.mark.parametrize(
    ("kind", "change", "sentence"),
    [
        ("sam", {"attention": "boltzmann"}, "does not sample: set attention = 'full'"),
        ("emcad", {"edge_queries": 1}, "draws no outlines"),
        ("sam", {"strides": (32, 16)}, r"reads maps at \(16,\)"),
        ("sam2", {"hidden": 20, "heads": 5}, "multiple of 40"),
        ("emcad", {"hidden": 24, "heads": 4}, "multiple of 32"),
    ],
)
def test_a_decoder_that_cannot_work_is_refused_with_a_sentence(kind: str, change: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        config_of(kind, **change)


def test_an_unknown_kind_and_a_side_that_does_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="kind = 'unet' is unknown"):
        DecoderConfig(kind="unet")  # type: ignore[arg-type]
    config = tiny()
    sam = replace(config.decoder, kind="sam", attention="full", strides=(16,))
    assert BoltzFormer(replace(config, decoder=sam)).decoder.config == sam
    with pytest.raises(ConfigError, match="multiple of 16"):
        replace(config, decoder=sam, image_size=100)
