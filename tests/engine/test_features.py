"""The feature cache: what it saves, and what it gives up first."""

from dataclasses import replace
from pathlib import Path

import torch
from phantom_model import PHANTOM_MODEL

import boltzformer
from boltzformer.engine.devices import answer_side, feature_bytes, need
from boltzformer.engine.features import FeatureCache, Scope, one_by_one
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.model.boltzformer import BoltzFormer, ImageState
from boltzformer.model.config import biomedparse_v2
from boltzformer.weights import checkpoint


def encoder_calls(model: BoltzFormer) -> list[int]:
    """Grows by one entry for every call of the image encoder."""
    calls: list[int] = []
    model.backbone.register_forward_pre_hook(lambda _, given: calls.append(len(given[0])))
    return calls


def run(engine: boltzformer.Engine, made: Phantom, prompts: object = BRIGHT, **how: object) -> None:
    boltzformer.segment(made.volume, prompts, model=engine, slices=[3, 4, 5], **how)


def test_a_seen_slice_is_not_encoded_again(small: Phantom) -> None:
    engine = boltzformer.load(PHANTOM_MODEL)
    calls = encoder_calls(engine.model)
    run(engine, small, [BRIGHT, DARK])
    assert len(calls) == 3
    run(engine, small, DARK, seed=9)
    run(engine, small, samples=2)
    engine.trace(small.volume, BRIGHT, 4)
    assert len(calls) == 3
    run(engine, small, window=boltzformer.Window(0, 500))
    assert len(calls) == 6
    other = boltzformer.Volume(small.volume.array + 1, small.volume.grid)
    boltzformer.segment(other, BRIGHT, model=engine, slices=[3], window=small.volume.window())
    assert len(calls) == 7


def test_a_tuned_decoder_keeps_the_features_and_a_tuned_encoder_does_not(small: Phantom, tmp_path: Path) -> None:
    first = boltzformer.load(PHANTOM_MODEL)
    run(first, small)
    for part, again in (("sem_seg_head.predictor.query_feat_", 0), ("backbone", 3)):
        model, about = checkpoint.load(PHANTOM_MODEL)
        with torch.no_grad():
            next(model.get_submodule(part).parameters()).mul_(1.5)
        checkpoint.save(tmp_path / f"{part}.safetensors", model, replace(about.history, name=part))
        tuned = boltzformer.load(tmp_path / f"{part}.safetensors", features=first.features)
        calls = encoder_calls(tuned.model)
        run(tuned, small)
        assert len(calls) == again, part


def test_memory_says_what_the_formula_says(small: Phantom) -> None:
    engine = boltzformer.load(PHANTOM_MODEL)
    run(engine, small)
    config = engine.about.config
    assert engine.features.used == 3 * feature_bytes(config)
    last = boltzformer.segment(small.volume, BRIGHT, model=engine, slices=[3])
    assert last.slices[0].logits.shape == (1, answer_side(config), answer_side(config))


def test_a_large_model_and_a_long_volume_fit_into_six_gigabytes(engine: boltzformer.Engine, small: Phantom) -> None:
    shape = need(biomedparse_v2(), 371_800_000, volume=512 * 512 * 300 * 2, slices=300, prompts=10)
    assert shape.cache == 2_000_000_000
    assert shape.peak < 6_000_000_000
    assert engine.need(small.volume, 2).answers == 16 * 2 * 48 * 48


def kept(cache: FeatureCache, scope: Scope) -> list[int]:
    return [index for index in range(100) if cache.get(scope, index) is not None]


def states(made: Phantom, engine: boltzformer.Engine) -> tuple[Scope, Scope, ImageState]:
    plan, window = engine.plan(made.volume), made.volume.window()
    scope = Scope("one", plan, window, "weights", "cpu", "float32")
    with torch.inference_mode():
        return scope, replace(scope, volume="two"), engine.model.encode_image(torch.zeros(1, 3, 96, 96))


def test_a_sweep_over_a_longer_volume_evicts_nothing_that_it_needs_first(
    engine: boltzformer.Engine, small: Phantom
) -> None:
    scope, other, state = states(small, engine)
    cache = FeatureCache(5 * state.nbytes + 1)
    for _ in range(2):
        cache.focus(scope, 50)
        for away in range(50):
            for index in (50 - away, 50 + away):
                cache.put(scope, index, state)
        assert kept(cache, scope) == [48, 49, 50, 51, 52]
        assert cache.used == 5 * state.nbytes
    cache.focus(scope, 60)  # the user scrolled on: what is far from there makes room
    for index in (60, 61):
        cache.put(scope, index, state)
    assert kept(cache, scope) == [50, 51, 52, 60, 61]
    cache.focus(other, 7)  # another volume makes room first
    for index in (7, 8):
        cache.put(other, index, state)
    assert kept(cache, other) == [7, 8]
    assert kept(cache, scope) == [52, 60, 61]
    cache.budget = 2 * state.nbytes
    assert cache.used <= cache.budget
    assert kept(cache, other) == [7, 8]


def test_a_batch_is_kept_as_single_slices(engine: boltzformer.Engine) -> None:
    with torch.inference_mode():
        parts = one_by_one(engine.model.encode_image(torch.rand(3, 3, 96, 96) * 255))
    assert len(parts) == 3
    for part in parts:
        tensor = part.tokens.semantic
        assert len(tensor) == 1
        assert tensor.untyped_storage().nbytes() == tensor.nbytes
