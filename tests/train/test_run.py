"""`boltzformer train` as its user runs it: killed, gone on, refused with a sentence."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import ended

import boltzformer
from boltzformer.cli import cli
from boltzformer.knowledge.card import Card
from boltzformer.weights import checkpoint

MINI = Path(boltzformer.__file__).parent / "assets" / "mini" / "manifest.jsonl"
RECIPE = Path(__file__).parent / "small.toml"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(output: Path, *more: str, recipe: str = str(RECIPE), data: Path = MINI) -> list[str]:
    own = ["train", recipe, "--data", str(data), "--output", str(output), "--threads", "1", "--device", "cpu", "--json"]
    return [sys.executable, "-m", "boltzformer", *own, *more]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, encoding="utf-8", env=ENVIRONMENT, check=False)


@pytest.mark.slow
def test_killed_in_the_middle_it_makes_the_weights_of_the_uninterrupted_run(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(*command(whole)).returncode == 0
    with ended(subprocess.Popen(command(cut), stdout=subprocess.PIPE, encoding="utf-8", env=ENVIRONMENT)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("step") == 10:
                process.send_signal(signal.SIGKILL)
                break
    assert not (cut / "model.safetensors").exists()
    again = run(*command(cut))
    assert again.returncode == 0, again.stderr
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    logs = [
        [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()] for folder in (whole, cut)
    ]
    assert [line["total"] for line in logs[0]] == [line["total"] for line in logs[1]]
    assert [line["step"] for line in logs[1]] == list(range(1, 25))
    about = checkpoint.read(cut / "model.safetensors")
    assert about.history.licence == "CC-BY-SA-4.0"
    assert Card.of(about.history.notes).knows("MS lesion in brain MRI") is not None
    finished = run(*command(cut))
    assert finished.returncode == 0
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_damaged_state_gives_way_to_the_one_before(tmp_path: Path) -> None:
    assert run(*command(tmp_path, "--minutes", "0")).returncode == 0  # a single step
    assert run(*command(tmp_path, "--minutes", "0")).returncode == 0  # one more
    states = sorted(tmp_path.glob("state-*"))
    assert [state.name for state in states] == ["state-00000001", "state-00000002"]
    (states[-1] / "mean-0.safetensors").write_bytes(b"cut off")
    assert json.loads(run(*command(tmp_path, "--minutes", "0")).stdout.splitlines()[-1])["at_step"] == 2


def test_interrupted_it_keeps_what_it_has(tmp_path: Path) -> None:
    with ended(
        subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, encoding="utf-8", env=ENVIRONMENT)
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("step") == 5:
                process.send_signal(signal.SIGINT)
            last = line
    assert process.returncode == 0
    step = json.loads(last)["at_step"]
    assert 5 <= step < 24
    assert (tmp_path / f"state-{step:08d}").is_dir()
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.slow
def test_another_recipe_does_not_go_on_in_the_same_folder(tmp_path: Path) -> None:
    assert run(*command(tmp_path, "--minutes", "0")).returncode == 0
    other = tmp_path / "other.toml"
    other.write_text(RECIPE.read_text("utf-8").replace("seed = 3", "seed = 4"))
    refused = run(*command(tmp_path, recipe=str(other)))
    assert refused.returncode == 2
    assert "another recipe" in refused.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("steps = 24", "steps = 0"), "steps is 0"),
        (("steps = 24", 'steps = "many"'), "give a int"),
        (("seed = 3", "sed = 3"), "sed, which is unknown"),
        (("side = 64", "side = 60"), "multiples of 32"),
        (("name =", "name"), "no TOML"),
    ],
)
def test_a_wrong_recipe_gets_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], sentence: str
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(RECIPE.read_text("utf-8").replace(*change, 1))
    assert cli.run(command(tmp_path / "run", recipe=str(wrong))[3:]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def test_wrong_manifests_get_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = MINI.read_text("utf-8").splitlines()[0]
    for text, sentence in (
        ("", "has no rows"),
        (good + "\n{", "Line 2"),
        (json.dumps({"image": "a.png"}), "lacks mask, target, prompts, group_id"),
        (good.replace('"licence_allows"', '"no"'), "whose licence allows"),
        (json.dumps({**json.loads(good), "group_id": "ljubljana_ms:19"}), "no row to train on"),  # the sample's patient
        (good, "does not exist"),
    ):
        manifest = tmp_path / "manifest.jsonl"
        manifest.write_text(text)
        assert cli.run(command(tmp_path / "run", data=manifest)[3:]) == 2, text
        said = capsys.readouterr().err
        assert sentence in said
        assert "Traceback" not in said
        for leftover in (tmp_path / "run").glob("*"):
            leftover.unlink()


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tmp_path: Path) -> None:
    """The same samples, noise and losses, but for the order in which a sum is made."""
    assert run(*command(tmp_path / "one")).returncode == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    both = run(*launch, *command(tmp_path / "two")[1:])
    assert both.returncode == 0, both.stderr
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text("utf-8").splitlines()]
        for name in ("one", "two")
    ]
    assert [line["step"] for line in logs[1]] == list(range(1, 25))
    first = [[line[name] for name in ("total", "existence", "deep", "dense", "gradient")] for line in logs[0][:3]]
    again = [[line[name] for name in ("total", "existence", "deep", "dense", "gradient")] for line in logs[1][:3]]
    np.testing.assert_allclose(again, first, rtol=0.02)
    np.testing.assert_allclose(again[0], first[0], rtol=1e-4)
    assert (tmp_path / "two" / "model.safetensors").is_file()
    refused = run(*command(tmp_path / "two"))
    assert refused.returncode == 2
    assert "another processes" in refused.stderr
