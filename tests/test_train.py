"""The loop learns, and the seed decides what."""

import torch

from boltzformer import train
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import tiny


def fit(steps: int) -> tuple[BoltzFormer, list[dict[str, float]]]:
    torch.manual_seed(0)
    model = BoltzFormer(tiny())
    batches = train.phantom_batches(model.config, seed=1, size=4)
    losses = [dict(progress.losses) for progress in train.fit(model, batches, steps=steps, seed=0)]
    return model, losses


def test_the_loss_falls_and_a_second_run_is_the_same() -> None:
    model, losses = fit(30)
    _, again = fit(30)
    assert losses == again
    first, last = (sum(one["mask"] for one in part) for part in (losses[:5], losses[-5:]))
    assert last < 0.75 * first
    assert not model.training


def test_stopping_is_not_asking_for_the_next_step() -> None:
    model = BoltzFormer(tiny())
    steps = train.fit(model, train.phantom_batches(model.config, seed=1, size=4), steps=100, seed=0)
    assert next(steps).step == 1
    steps.close()
