"""The benchmark of a first pass gives complete rows, and says what it can't measure."""

from __future__ import annotations

import pytest
import torch

from benchmarks.slice import measure, model_of
from boltzformer.cli.cli import run


def test_a_run_gives_one_complete_row_per_precision() -> None:
    with torch.inference_mode():
        rows = list(measure("tiny", model_of("tiny"), rounds=1))
    assert [(row["model"], row["side"], row["precision"]) for row in rows] == [
        ("tiny", 96, "float32"),
        ("tiny", 96, "bfloat16"),
    ]
    assert [row["feature_error"] == 0 for row in rows] == [True, False]
    assert [row["default"] for row in rows] == [True, False]
    for row in rows:
        assert row["ratio_cpu"] > 0
        assert {"cpu_s", "dense_cpu_s", "load", "noisy", "rounds", "threads"} <= row.keys()
        assert sum(row["parts_s"].values()) == pytest.approx(row["cpu_s"], abs=0.002)


def test_an_unknown_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "slice", "resnet"]) == 2
    assert "There is no model 'resnet' to measure" in capsys.readouterr().err
