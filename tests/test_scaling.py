"""The cost model of an archive and its simulation agree, and go on from what was measured."""

import json
import random
from pathlib import Path

import pytest
import torch

from boltzformer.cli.proof_cli import _script
from boltzformer.learn.recipe import read_recipe
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import default, hiera_s

ROOT = Path(__file__).parents[1]


def test_the_cost_model_agrees_with_a_simulation_of_the_same_rules_and_names_what_limits() -> None:
    scaling = _script("scaling")
    chance = random.Random(0)
    steps = [
        {"reader": chance.uniform(1, 3), "model": chance.lognormvariate(0, 0.4), "writer": chance.uniform(1, 2)}
        for _ in range(200)
    ]
    spread = scaling.spread_of(steps)
    cases = {
        "models": (scaling.Work(1, 60, 1, 0.001), 40),
        "readers": (scaling.Work(30, 2, 1, 0.001), 40),
        "writers": (scaling.Work(1, 2, 30, 0.001), 40),
        "scheduler": (scaling.Work(1, 10, 1, 0.5), 200),
    }
    for name, (work, models) in cases.items():
        cluster = scaling.Cluster.of(models)
        pace, limit = scaling.predicted(work, cluster)
        found = scaling.Simulation(work, cluster, spread, 2000, seed=1).run()
        assert limit == name
        assert found == pytest.approx(pace, rel=0.1)
        assert found == scaling.Simulation(work, cluster, spread, 2000, seed=1).run()
    full = scaling.predicted(scaling.Work(1, 60, 1, 0.001, bytes_in=1e8), scaling.Cluster.of(1000))
    assert full == (10.0, "file server")


def test_the_page_tells_what_the_kept_measurements_give(capsys: pytest.CaptureFixture[str]) -> None:
    found = _script("scaling").main([])
    assert json.loads(capsys.readouterr().out) == found
    page = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    for row in (*found["cores"], *found["gpus"]):
        told = [row["workers"], f"{row['volumes_per_hour']:.0f}", f"{row['simulated_per_hour']:.0f}", row["limit"]]
        assert f"| {' | '.join(map(str, told))} | {row['dollars_per_1000']:.2f} |" in page
    assert 0.9 < found["two_workers"]["measured_over_model"] < 1.1
    for row in found["training"]["rows"]:
        told = [row["workers"], row["network"], row["megabytes_per_step"], f"{row['seconds_per_step']:.2f}"]
        told += [f"{row[name]:.3f}" for name in ("efficiency", "efficiency_overlapped")]
        assert f"| {' | '.join(map(str, told))} |" in page
    assert found["training"]["two_processes"] == {"megabytes_per_step": 28.8, "model": 0.97, "measured": 0.75}
    assert f"the model says {found['training']['two_processes']['model']}" in " ".join(page.split())


def test_training_sends_what_a_ring_sends_and_a_backward_pass_hides_what_fits_into_it() -> None:
    scaling = _script("scaling")
    work = scaling.Training(parameters=1_000_000, sample=0.1, batch=32)
    assert work.bytes_per_step(1) == 0
    assert work.bytes_per_step(4) == 6_000_000
    assert work.efficiency(1, 1e3, overlap=False) == 1
    assert work.step(4, 1e7, overlap=False) == pytest.approx(0.8 + 0.6)
    assert work.step(4, 1e7, overlap=True) == pytest.approx(0.8 + 0.6 - 0.8 * scaling.BACKWARD)
    assert work.step(4, 1e8, overlap=True) == pytest.approx(0.8)
    by_count = [work.efficiency(count, 1e7, overlap=False) for count in (2, 4, 8, 16)]
    assert by_count == sorted(by_count, reverse=True)


def test_the_recipe_and_the_models_are_those_that_the_costs_are_told_of() -> None:
    scaling, measured = _script("scaling"), json.loads((ROOT / "benchmarks/measured/training.json").read_text("utf-8"))
    recipe = read_recipe("paper")
    assert {"batch": recipe.batch, "side": recipe.side} == scaling.PAPER
    for name, config in (("default", default()), ("hiera_s", hiera_s())):
        with torch.device("meta"):
            learn = [one.numel() for one in BoltzFormer(config).parameters() if one.requires_grad]
        assert sum(learn) == measured[name]["parameters"]
