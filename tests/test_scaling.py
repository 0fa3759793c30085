"""The cost model of an archive and its simulation agree, and go on from what was measured."""

import json
import random
from pathlib import Path

import pytest

from boltzformer.cli.proof_cli import _script

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
