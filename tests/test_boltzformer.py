"""The whole model: one forward, images and prompts apart, nothing depends on its neighbours."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import FocalConfig, HieraConfig, ModelConfig, default, tiny
from boltzformer.model.losses import gated_loss
from boltzformer.model.text import TextState

PROMPTS = ["lung nodule in chest CT", "liver", "multiple sclerosis lesion in brain MRI"]


def made(config: ModelConfig | None = None) -> BoltzFormer:
    torch.manual_seed(0)
    return BoltzFormer(config or tiny()).eval()


def images(count: int = 1, side: int = 96) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 255


def noise(model: BoltzFormer, batch: int, prompts: int, side: int = 96) -> Callable[[int], Tensor]:
    """Numbers that belong to the slice and the prompt, not to the batch."""
    decoder = model.config.decoder

    def draw(layer: int) -> Tensor:
        tokens = (side // decoder.strides[layer % 3]) ** 2
        heads = decoder.heads if decoder.law == "per_head" else 1
        shape, rows = (heads, decoder.queries, tokens), []
        for image in range(batch):
            seeds = [1000 * image + 10 * prompt + layer for prompt in range(prompts)]
            rows.append(torch.stack([torch.rand(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]))
        return torch.stack(rows)

    return draw


@pytest.fixture(scope="module")
def model() -> BoltzFormer:
    return made()


@torch.no_grad()
def test_the_answer_has_the_shape_that_the_engine_expects(model):
    answer = model(images(2), PROMPTS, noise(model, 2, 3), trace=True)
    assert answer.logits.shape == (2, 3, 48, 48)
    assert answer.existence is not None
    assert answer.existence.shape == (2, 3)
    assert answer.edges is None
    assert [look.scale for look in answer.trace] == [16, 8, 4] * 3


@torch.no_grad()
def test_a_cache_can_know_what_an_image_costs(model):
    one, two = (model.encode_image(images(count)).nbytes for count in (1, 2))
    assert two == 2 * one
    assert 0 < one < 1_000_000


@torch.no_grad()
def test_forward_is_encode_and_decode(model):
    whole = model(images(), PROMPTS, noise(model, 1, 3))
    apart = model.decode(model.encode_image(images()), model.encode_text(PROMPTS), noise(model, 1, 3))
    assert torch.equal(whole.logits, apart.logits)


@torch.no_grad()
def test_an_answer_does_not_depend_on_the_prompts_beside_it():
    model = made().double()
    state = model.encode_image(images().double())
    together = model.decode(state, model.encode_text(PROMPTS), noise(model, 1, 3))
    for index, prompt in enumerate(PROMPTS):
        draw = noise(model, 1, 3)
        alone = model.decode(state, model.encode_text([prompt]), lambda layer, i=index, d=draw: d(layer)[:, i : i + 1])
        assert torch.allclose(alone.logits[:, 0], together.logits[:, index], atol=1e-10)
        assert alone.existence is not None
        assert together.existence is not None
        assert torch.allclose(alone.existence[:, 0], together.existence[:, index], atol=1e-10)


@torch.no_grad()
def test_an_answer_does_not_depend_on_the_images_beside_it():
    model = made().double()
    draw = noise(model, 3, 2)
    together = model(images(3).double(), PROMPTS[:2], draw)
    for index in range(3):
        alone = model(images(3).double()[index : index + 1], PROMPTS[:2], lambda layer, i=index: draw(layer)[i : i + 1])
        assert torch.allclose(alone.logits[0], together.logits[index], atol=1e-10)


@torch.no_grad()
def test_every_image_may_have_its_own_prompts():
    model = made().double()
    state, texts = (
        model.encode_image(images(2).double()),
        [model.encode_text(PROMPTS[:2]), model.encode_text(PROMPTS[1:])],
    )
    longest = max(text.mask.shape[1] for text in texts)
    padded = [
        (torch.nn.functional.pad(t.tokens, (0, 0, 0, longest - t.mask.shape[1])),
         torch.nn.functional.pad(t.mask, (0, longest - t.mask.shape[1])))
        for t in texts
    ]  # fmt: skip
    own = TextState(torch.stack([p[0] for p in padded]), torch.stack([p[1] for p in padded]))
    draw = noise(model, 2, 2)
    together = model.decode(state, own, draw)
    for index, text in enumerate(texts):
        alone = model.decode(
            model.encode_image(images(2).double()[index : index + 1]),
            text,
            lambda layer, i=index: draw(layer)[i : i + 1],
        )
        assert torch.allclose(alone.logits[0], together.logits[index], atol=1e-10)


@torch.no_grad()
def test_nothing_is_random_but_the_noise(model):
    before = torch.get_rng_state()
    draw = noise(model, 1, 1)
    first, second = (model(images(), ["liver"], draw).logits for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())
    other = model(images(), ["liver"], lambda layer: 1 - draw(layer)).logits
    assert not torch.equal(first, other)


@torch.no_grad()
def test_training_mode_changes_nothing(model):
    draw = noise(model, 1, 1)
    assert torch.equal(model.train()(images(), ["liver"], draw).logits, model.eval()(images(), ["liver"], draw).logits)


def test_every_parameter_that_wants_a_gradient_gets_one():
    model = made().train()
    for name, parameter in model.named_parameters():
        if name.endswith("norm2.weight") and name.startswith("backbone"):
            torch.nn.init.ones_(parameter)  # zero at the start, where the convolution before it gets no gradient
    answer = model(images(2), PROMPTS, noise(model, 2, 3))
    labels = torch.zeros(2, 3, 96, 96, dtype=torch.int64)
    labels[:, :, 30:50, 30:50] = 1
    gated_loss(answer.logits, answer.existence, answer.edges, labels).total.backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert silent == []


@torch.no_grad()
def test_recorded_masks_replace_the_draw(model):
    state, text, draw = model.encode_image(images()), model.encode_text(["liver"]), noise(model, 1, 1)
    heard: dict[str, Tensor] = {}
    drawn = model.decode(state, text, draw, watch=heard.__setitem__)
    layers = range(model.config.decoder.layers)
    masks = [heard[f"replay/mask_{layer}"].unflatten(0, (1, 1)) for layer in layers]
    replayed = model.decode(state, text, None, masks=masks)
    assert torch.allclose(drawn.logits, replayed.logits, atol=1e-4)


@torch.no_grad()
def test_bf16_stays_within_its_bound(model):
    """With the same masks: 3 % of the largest logit, and 99 % of the pixels fall on the same side."""
    state, text, draw = model.encode_image(images()), model.encode_text(["liver"]), noise(model, 1, 1)
    heard: dict[str, Tensor] = {}
    exact = model.decode(state, text, draw, watch=heard.__setitem__).logits
    masks = [heard[f"replay/mask_{layer}"].unflatten(0, (1, 1)) for layer in range(model.config.decoder.layers)]
    half = made().bfloat16()
    coarse = half.decode(half.encode_image(images().bfloat16()), half.encode_text(["liver"]), None, masks=masks).logits
    assert (coarse.float() - exact).abs().max() <= 0.03 * exact.abs().max()
    assert ((coarse > 0) == (exact > 0)).float().mean() >= 0.99


@pytest.mark.parametrize(
    "encoder",
    [
        FocalConfig(width=8, depths=(1, 1, 1, 1), focal_levels=(2, 2, 2, 2)),
        HieraConfig(width=8, stages=(1, 2, 3, 1), global_blocks=(4,), neck=32),
    ],
)
@torch.no_grad()
def test_any_encoder_goes_with_any_grid(encoder):
    model = made(replace(tiny(), encoder=encoder))
    assert model(images(), ["liver"], noise(model, 1, 1)).logits.shape == (1, 1, 48, 48)


@torch.no_grad()
def test_edge_queries_draw_an_outline():
    decoder = replace(tiny().decoder, edge_queries=3)
    model = made(replace(tiny(), decoder=decoder, pigma=None))
    answer = model(images(), PROMPTS, noise(model, 1, 3))
    assert answer.edges is not None
    assert answer.edges.shape == answer.logits.shape == (1, 3, 24, 24)


@pytest.mark.parametrize("change", [{"attention": "full"}, {"attention": "masked", "mask_threshold": 0.5}])
@torch.no_grad()
def test_without_sampling_no_noise_is_needed(change):
    model = made(replace(tiny(), decoder=replace(tiny().decoder, **change)))
    assert model(images(), ["liver"], None).logits.isfinite().all()


@torch.no_grad()
def test_the_tiny_model_is_tiny_and_quick(model):
    assert sum(p.numel() for p in model.parameters()) < 500_000
    draw, spent = noise(model, 1, 1), []
    drawn = [draw(layer) for layer in range(9)]
    for _ in range(5):
        start = time.process_time()
        model(images(), ["liver"], drawn.__getitem__)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.1  # ~20 ms on one core; the margin is for slower machines


def test_the_default_model_can_be_laid_out_without_memory():
    with torch.device("meta"):
        model = BoltzFormer(default())
    assert 2_000_000 < sum(p.numel() for p in model.parameters()) < 10_000_000
