"""The loop learns, the seed decides what, and what it computes is what it says."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from boltzformer.errors import BoltzFormerError, CheckpointError
from boltzformer.knowledge.manifest import Row
from boltzformer.learn.corpus import Corpus
from boltzformer.learn.recipe import Recipe, read_recipe
from boltzformer.learn.train import Trainer, batch_of, fit, rate_at
from boltzformer.learn.training_run import Plan, RunFolder, begin, hash_of_run, take_over
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History

CPU = torch.device("cpu")
RECORDED = Path(__file__).parent / "losses.json"
"""Of the shipped recipe's first twenty steps on the mini set: `RECORD=1 pytest tests/train/test_loop.py`."""


def trained(
    recipe: Recipe, rows: tuple[Row, ...], corpus: Corpus, steps: int
) -> tuple[Trainer, list[dict[str, float]]]:
    trainer = begin(recipe, rows, corpus, None, CPU)
    return trainer, [dict(progress.losses) for progress in fit(trainer, corpus, until=steps)]


def test_the_loss_falls_and_a_second_run_is_the_same(recipe: Recipe, rows: tuple[Row, ...], corpus: Corpus) -> None:
    recipe = replace(recipe, steps=60)
    _, losses = trained(recipe, rows, corpus, 30)
    _, again = trained(recipe, rows, corpus, 5)
    assert losses[:5] == again
    first, last = (sum(one["total"] for one in part) for part in (losses[:5], losses[-5:]))
    assert last < 0.9 * first


def test_another_seed_sees_other_samples(recipe: Recipe, corpus: Corpus) -> None:
    one, other = batch_of(corpus, recipe, 0), batch_of(corpus, replace(recipe, seed=4), 0)
    assert not torch.equal(one.images, other.images)
    assert torch.equal(one.images, batch_of(corpus, recipe, 0).images)


def test_stopping_is_not_asking_for_the_next_step(recipe: Recipe, rows: tuple[Row, ...], corpus: Corpus) -> None:
    trainer = begin(recipe, rows, corpus, None, CPU)
    steps = fit(trainer, corpus)
    assert next(steps).step == 1
    steps.close()
    assert trainer.step == 1


def test_the_last_steps_show_whole_images_at_the_size_of_use(recipe: Recipe, corpus: Corpus) -> None:
    assert batch_of(corpus, recipe, 17).images.shape == (3, 3, 64, 64)
    assert batch_of(corpus, recipe, 18).images.shape == (2, 3, 96, 96)


def test_the_rate_climbs_in_a_line_and_falls_along_a_cosine(recipe: Recipe) -> None:
    rates = [rate_at(recipe, step) for step in range(25)]
    assert np.allclose(rates[:4], [5e-4, 1e-3, 1.5e-3, 2e-3])
    assert math.isclose(rates[14], 1e-3)
    assert rates[24] == 0


def test_the_kept_weights_are_the_running_mean(recipe: Recipe, rows: tuple[Row, ...], corpus: Corpus) -> None:
    trainer = begin(recipe, rows, corpus, None, CPU)
    name = "sem_seg_head.pixel_decoder.mask_features.weight"
    expected = trainer.weights[name].detach().clone()
    for step, _ in enumerate(fit(trainer, corpus, until=4), start=1):
        decay = min(0.999, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * trainer.weights[name].detach()
    torch.testing.assert_close(trainer.mean[name], expected, rtol=0, atol=1e-6)
    before = trainer.weights[name].detach().clone()
    with trainer.averaged() as model:
        assert torch.equal(model.get_parameter(name), trainer.mean[name])
    assert torch.equal(trainer.weights[name], before)


def test_a_step_is_never_longer_than_the_clip_allows(recipe: Recipe, rows: tuple[Row, ...], corpus: Corpus) -> None:
    trainer = begin(recipe, rows, corpus, None, CPU)
    (progress,) = fit(trainer, corpus, until=1)
    assert progress.losses["gradient"] > recipe.optimizer.clip  # so it was cut
    norm = math.sqrt(sum(float((p.grad**2).sum()) for p in trainer.weights.values() if p.grad is not None))
    assert math.isclose(norm, recipe.optimizer.clip, rel_tol=1e-3)


def test_the_shipped_recipe_does_what_it_did(rows: tuple[Row, ...], corpus: Corpus) -> None:
    """Smaller samples, fewer of them, in full precision; all else is the recipe that made the default model."""
    recipe = replace(read_recipe("default"), batch=2, side=128, precision="float32")
    _, losses = trained(recipe, rows, corpus, 20)
    made = [[one[name] for name in ("mask", "existence", "deep", "dense")] for one in losses]
    if os.environ.get("RECORD"):
        RECORDED.write_text(json.dumps([[round(value, 5) for value in step] for step in made]) + "\n", "utf-8")
    np.testing.assert_allclose(made, json.loads(RECORDED.read_text("utf-8")), rtol=1e-3, atol=1e-3)


def test_the_encoder_learns_at_a_rate_of_its_own(recipe: Recipe, rows: tuple[Row, ...], corpus: Corpus) -> None:
    slow = replace(recipe, optimizer=replace(recipe.optimizer, encoder=0.25, schedule="constant"))
    trainer = begin(slow, rows, corpus, None, CPU)
    list(fit(trainer, corpus, until=5))
    rates = {id(p): group["lr"] for group in trainer.optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(trainer.weights)
    for name, parameter in trainer.weights.items():
        assert math.isclose(rates[id(parameter)], 2e-3 * (0.25 if name.startswith("backbone.") else 1)), name


def test_a_model_with_another_encoder_gives_what_fits(
    tmp_path: Path, recipe: Recipe, rows: tuple[Row, ...], corpus: Corpus
) -> None:
    start = tmp_path / "start.safetensors"
    checkpoint.save(start, begin(recipe, rows, corpus, None, CPU).model, History("start"))
    lite = {"kind": "lite", "stem": 8, "widths": [8, 8, 8, 8, 16, 16, 24], "repeats": [1] * 7, "expansion": 2}
    other = replace(recipe, seed=9, config={**recipe.config, "encoder": lite, "pixel_mean": [127.0] * 3})
    model, before = begin(other, rows, corpus, start, CPU).model, checkpoint.load(start)[0].state_dict()
    now = model.state_dict()
    assert model.config.encoder.kind == "lite"
    assert float(now["pixel_mean"].flatten()[0]) == 127
    kept = {name for name, tensor in now.items() if name in before and torch.equal(tensor, before[name])}
    new = {name for name in now if name not in kept}
    assert all(name.startswith(("backbone.", "pixel_mean", "sem_seg_head.pixel_decoder.")) for name in new)
    assert any("adapter_1" in name for name in new)  # it reads the encoder's channels
    assert model.text.tokenizer("nodule") == checkpoint.load(start)[0].text.tokenizer("nodule")
    (progress,) = fit(begin(other, rows, corpus, start, CPU), corpus, until=1)
    assert math.isfinite(progress.losses["total"])
    wider = {**other.config, "decoder": {**recipe.config["decoder"], "layers": 2}}
    with pytest.raises(CheckpointError, match="more than the image encoder"):
        begin(replace(other, config=wider), rows, corpus, start, CPU)
    with pytest.raises(CheckpointError, match="not 'lite'"):
        begin(recipe, rows, corpus, None, CPU, encoder=start)


def test_a_run_is_taken_over_with_all_that_it_had_learnt(
    tmp_path: Path, recipe: Recipe, rows: tuple[Row, ...], corpus: Corpus
) -> None:
    run, before = RunFolder(tmp_path, Plan(recipe, "", 1, "")), begin(recipe, rows, corpus, None, CPU)
    list(fit(before, corpus, until=3))
    run.save(before)
    with pytest.raises(BoltzFormerError, match="no folder of a training that was saved"):
        hash_of_run(tmp_path)  # it has made no model yet
    run.export(before, History("small"))
    assert len(hash_of_run(tmp_path)) == 64
    after = begin(replace(recipe, seed=8, steps=5, side=96), rows, corpus, tmp_path / "model.safetensors", CPU)
    take_over(after, tmp_path)
    assert after.step == 0
    now, then = after.state(), before.state()
    for part, tensors in then.items():
        assert all(torch.equal(now[part][name], tensor) for name, tensor in tensors.items())
    assert "dense.weight" in now["exp_avg"]  # heads that only training has come along
    (progress, *_) = fit(after, corpus, until=2)
    assert progress.step == 1
    wider = replace(recipe, config={**recipe.config, "image_size": 96})
    stranger = begin(wider, rows[:3], Corpus(rows[:3]), None, CPU)
    with pytest.raises(CheckpointError, match="of the same model"):
        take_over(stranger, tmp_path)


def test_a_state_is_in_files_that_may_be_carried(tmp_path: Path, rows: tuple[Row, ...], corpus: Corpus) -> None:
    recipe = read_recipe("default")
    run, trainer = RunFolder(tmp_path, Plan(recipe, "", 1, "")), begin(recipe, rows, corpus, None, CPU)
    run.save(trainer)
    sizes = [file.stat().st_size for file in (tmp_path / "state-00000000").iterdir()]
    assert sum(sizes) > 2 * 4 * 7e6
    assert max(sizes) <= 16 * 2**20
    before = {name: tensor.clone() for name, tensor in trainer.weights.items()}
    other = begin(replace(recipe, seed=1), rows, corpus, None, CPU)
    run.resume(other)
    assert all(torch.equal(other.weights[name], tensor) for name, tensor in before.items())
