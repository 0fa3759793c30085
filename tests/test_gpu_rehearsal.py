"""The script for a machine with a GPU runs to its end on a CPU, at tiny sizes: nothing in it is tried there first."""

import json
from pathlib import Path

import pytest

from boltzformer.cli.proof_cli import _script


@pytest.mark.slow
def test_each_part_of_the_gpu_script_tells_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu = _script("gpu")
    told = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu", "--rehearse", "--output", str(told)]) == 0
    rows = json.loads(told.read_text("utf-8"))
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    assert not [row for row in rows if "failed" in row or "left_out" in row]
    by_part = {part: [row for row in rows if row["part"] == part] for part in ("parity", "flips", "slice", "training")}
    assert [row["misses"] for row in by_part["parity"]] == [0]
    assert {row["precision"]: row["flipped"] for row in by_part["flips"]}["float32"] == 0
    assert {row["precision"] for row in by_part["slice"]} == {"float32", "bfloat16"}
    assert all(row["slices_per_second"] > 0 for row in by_part["slice"] if "batch" in row)
    assert by_part["training"][0]["samples_per_second"] > 0
    gpu.main(["--device", "cpu", "--rehearse", "--minutes", "0"])
    left = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["part"] for row in left if "left_out" in row} == {row["part"] for row in rows} - {"machine"}


def test_without_a_gpu_it_says_how_to_rehearse(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert _script("gpu").main([]) == 2
    assert "--device cpu --rehearse" in capsys.readouterr().err
