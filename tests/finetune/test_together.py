"""`torchrun … boltzformer finetune`: two processes make one model; a lost one costs the steps since the last state."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from finetune_runs import ENVIRONMENT, command
from processes import ended

from boltzformer.weights import checkpoint

pytestmark = pytest.mark.slow  # processes that load torch, one after the other

STEPS = "12"


def call(data: Path, base: Path, output: Path, *more: str) -> list[str]:
    alone = command(data, base, output, "--steps", STEPS, "--batch", "4", *more)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    return [*launch, *alone[alone.index("boltzformer") :]]


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    told = {**ENVIRONMENT, **environment}
    return subprocess.run(arguments, capture_output=True, text=True, env=told, check=False)


def logged(folder: Path) -> list[int]:
    log = folder / "log.jsonl"
    return [json.loads(line)["step"] for line in log.read_text("utf-8").splitlines()] if log.is_file() else []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path, base: Path) -> Path:
    """A run of two processes that nobody interrupted; told once, not by every process."""
    output = tmp_path_factory.mktemp("together") / "run"
    done = run(call(data, base, output))
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["step"] for one in told if "step" in one] == [5, 10, 12]
    assert sum(one.get("event") == "finished" for one in told) == 1
    return output


def lose_one(arguments: list[str], folder: Path, after: int) -> None:
    """Kills a process of a run that has taken so many steps; the launcher ends the other."""
    with ended(
        subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    ) as launcher:
        while launcher.poll() is None and len(logged(folder)) < after:
            time.sleep(0.01)  # another process writes it
        at_work = [one for one in psutil.Process(launcher.pid).children(recursive=True) if "finetune" in one.cmdline()]
        assert len(at_work) == 2
        os.kill(at_work[-1].pid, signal.SIGKILL)
        assert launcher.wait() != 0


def test_one_of_two_processes_is_lost_and_the_run_that_goes_on_makes_the_same_model(
    tmp_path: Path, whole: Path, data: Path, base: Path
) -> None:
    cut = tmp_path / "cut"
    lose_one(call(data, base, cut), cut, after=4)
    done = run(call(data, base, cut, "--resume"))
    assert done.returncode == 0, done.stderr
    assert logged(cut) == list(range(1, int(STEPS) + 1))
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_model_that_two_processes_hold_in_parts_is_lost_goes_on_and_becomes_what_whole_ones_become(
    tmp_path: Path, whole: Path, data: Path, base: Path
) -> None:
    parts = tmp_path / "parts"
    arguments = call(data, base, parts, "--mode", "full", "--shard-model")
    lose_one(arguments, parts, after=7)
    assert (parts / "state-00000005").is_dir()
    done = run([*arguments, "--resume"])
    assert done.returncode == 0, done.stderr
    assert logged(parts) == list(range(1, int(STEPS) + 1))
    assert json.loads((whole / "config.json").read_text("utf-8"))["mode"] == "full"
    lines = [(folder / "log.jsonl").read_text("utf-8").splitlines() for folder in (parts, whole)]
    for mine, other in zip(*([json.loads(line) for line in some] for some in lines), strict=True):
        assert {**mine, "seconds": 0} == pytest.approx({**other, "seconds": 0}, rel=1e-2), mine["step"]
    (one, _), (two, _) = (checkpoint.load(folder / "model.safetensors") for folder in (parts, whole))
    for name, tensor in one.state_dict().items():
        assert (tensor - two.state_dict()[name]).abs().max() < 1e-2, name


def test_two_processes_that_share_a_model_take_the_steps_of_two_that_have_all_of_it(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = run([*launch, str(Path(__file__).with_name("shares.py")), str(told)])
    assert done.returncode == 0, done.stderr
    for name, found in json.loads(told.read_text("utf-8")).items():
        assert 0.49 < found.pop("share") < 0.51
        assert all(apart < 1e-9 for apart in found.values()), (name, found)


def test_what_torchrun_starts_anew_goes_on_with_its_own_run_alone(tmp_path: Path, data: Path, base: Path) -> None:
    alone = command(data, base, tmp_path / "run", "--steps", STEPS, "--batch", "4")
    first = run(alone, TORCHELASTIC_RUN_ID="mine")
    assert first.returncode == 0, first.stderr
    for other in ("another", "none"):  # torchrun calls itself 'none' unless it is told a name
        refused = run(alone, TORCHELASTIC_RUN_ID=other, TORCHELASTIC_RESTART_COUNT="1")
        assert refused.returncode == 2
        assert "already holds a run" in refused.stderr
    model = (tmp_path / "run" / "model.safetensors").read_bytes()
    for name in ("model.safetensors", "done.json", "log.jsonl"):
        (tmp_path / "run" / name).unlink()
    for state in sorted((tmp_path / "run").glob("state-*"))[1:]:
        shutil.rmtree(state)
    again = run(alone, TORCHELASTIC_RUN_ID="mine", TORCHELASTIC_RESTART_COUNT="1")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == model
