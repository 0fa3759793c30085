"""Larger images than in training: the law of BA-SAM, in tiles, and nothing at all up to the trained size."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from boltzformer.model import layers
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import HieraConfig, ModelConfig, PixelDecoderConfig, tiny
from boltzformer.model.layers import BETA, Extrapolation, sharpness, tokens_at
from boltzformer.model.pigma import PigmaV1, pyramid
from boltzformer.model.text import ByteTokenizer
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History

HIERA = HieraConfig(width=16, stages=(1, 1, 2, 1), global_blocks=(3,), windows=(8, 4, 4, 3), neck=32)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(config: ModelConfig) -> BoltzFormer:
    torch.manual_seed(0)
    return BoltzFormer(config, ByteTokenizer()).eval()


def hiera(side: int) -> ModelConfig:
    strides = replace(tiny().decoder, strides=(32, 16, 8))
    return replace(tiny(), encoder=HIERA, decoder=strides, image_size=side)


def answer(model: BoltzFormer, side: int) -> Tensor:
    picture = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)) * 255
    with torch.inference_mode():
        image, text = model.encode_image(picture), model.encode_text(["a small thing"])

        def noise(layer: int) -> Tensor:
            shape = model.decoder.noise_shape(image.tokens, 1, layer)
            return torch.rand(shape, generator=torch.Generator().manual_seed(layer))

        return model.decode(image, text, noise).logits


@pytest.mark.parametrize("config", [tiny(), hiera(96)], ids=["plain", "hiera"])
def test_up_to_the_trained_size_not_a_bit_changes_and_above_it_does(config: ModelConfig) -> None:
    ours, larger = make(config), make(replace(config, image_size=9600))  # what is larger was never seen as large
    for side in (64, 96):
        assert torch.equal(answer(ours, side), answer(larger, side))
    assert not torch.equal(answer(ours, 192), answer(larger, 192))


def test_scores_are_sharpened_by_the_logarithm_of_the_tokens() -> None:
    assert sharpness(256, 256) == sharpness(255, 256) == sharpness(10**6, None) == 1
    assert sharpness(1024, 256) == pytest.approx(math.log(1024, 256))
    assert sharpness(4, 0) == sharpness(4, 1) == 2  # where so few were drawn that no logarithm has them as its base
    assert (tokens_at(1024, 32), tokens_at(100, 32), tokens_at(None, 32)) == (1024, 16, None)


def formula(q: Tensor, k: Tensor, v: Tensor, size: tuple[int, int], trained: int, beta: float) -> Tensor:
    """As written in the paper, all pairs at once."""
    places = torch.tensor([(y, x) for y in range(size[0]) for x in range(size[1])], dtype=torch.float64)
    distance = (places[:, None] - places).pow(2).sum(-1).sqrt()
    factor = math.log(len(places)) / math.log(trained) / math.sqrt(q.shape[-1])
    return torch.softmax(factor * (q @ k.transpose(-1, -2) - beta * distance), -1) @ v


@pytest.mark.parametrize("tile", [1, 100, 2**18])
def test_attention_is_the_formula_however_it_is_cut_into_tiles(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "TILE", tile)
    q, k, v = (numbers(2, 3, 54, 8, seed=n) for n in range(3))
    ours = Extrapolation(20, learned_beta=False)(q, k, v, (6, 9))
    torch.testing.assert_close(ours, formula(q, k, v, (6, 9), 20, BETA), atol=1e-6, rtol=1e-6)


def test_a_learned_beta_starts_at_the_fixed_one_and_gets_its_gradient() -> None:
    q, k, v = (numbers(1, 2, 54, 8, seed=n) for n in range(3))
    learned = Extrapolation(20, learned_beta=True).double()
    torch.testing.assert_close(learned(q, k, v, (6, 9)), Extrapolation(20, learned_beta=False)(q, k, v, (6, 9)))
    assert isinstance(learned.beta, torch.nn.Parameter)
    learned(q, k, v, (6, 9)).square().sum().backward()
    beta = torch.tensor(BETA, dtype=torch.float64, requires_grad=True)
    formula(q, k, v, (6, 9), 20, beta).square().sum().backward()  # type: ignore[arg-type]
    assert learned.beta.grad is not None
    torch.testing.assert_close(learned.beta.grad, beta.grad, atol=0, rtol=1e-5)


def test_learned_betas_are_saved_and_loaded_with_the_model(tmp_path: Path) -> None:
    model = make(hiera(96))
    before = answer(model, 192)
    model.learn_beta()
    torch.testing.assert_close(answer(model, 192), before)
    names = [name for name, _ in model.named_parameters() if name.endswith("beta")]
    assert len(names) == 1 + model.config.pixel_decoder.layers  # Hiera's global block, and the pixel decoder's layers
    with torch.no_grad():
        model.get_parameter(names[0]).fill_(0.3)
    checkpoint.save(tmp_path / "one.safetensors", model, History("one", data="nothing"))
    again, about = checkpoint.load(tmp_path / "one.safetensors")
    assert about.config.learned_beta
    assert torch.equal(answer(again, 192), answer(model, 192))
    assert not [name for name, _ in make(hiera(96)).named_parameters() if name.endswith("beta")]


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor that was made has."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else [made]:
            self.numel = max(self.numel, one.numel() if isinstance(one, Tensor) else 0)
        return made


def test_at_twice_1024_pixels_there_is_never_a_tensor_of_all_pairs() -> None:
    tokens, config = 64 * 64, PixelDecoderConfig(16, 16, 2, 16, layers=1, groups=2)
    q, k, v = (numbers(1, config.heads, tokens, 8, seed=n).float() for n in range(3))
    with torch.inference_mode(), Largest() as seen:
        Extrapolation(32 * 32, learned_beta=False)(q, k, v, (64, 64))
    assert seen.numel <= max(layers.TILE, q.numel())
    assert seen.numel < tokens**2 / 16


def test_the_linear_up_scaling_follows_the_size_of_the_image_and_is_as_published_at_1024() -> None:
    torch.manual_seed(0)
    pigma = PigmaV1(queries=2, channels=3)
    for side, small in ((1024, 256), (1021, 256), (2048, 512), (512, 128)):
        image, masks = torch.rand(1, 3, side, side), torch.rand(1, 2, small, small)
        sizes = pyramid(image, (small, small))
        assert [tuple(one.shape[2:]) for one in sizes] == [(small, small), (2 * small, 2 * small)]
        assert pigma(sizes, masks).shape == (1, 1, 2 * small, 2 * small)
    model = make(replace(tiny(), pigma="v1"))  # whatever the size of its images
    assert [answer(model, side).shape[-1] for side in (96, 100, 192)] == [48, 50, 96]
