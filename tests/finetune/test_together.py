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


def test_one_of_two_processes_is_lost_and_the_run_that_goes_on_makes_the_same_model(
    tmp_path: Path, whole: Path, data: Path, base: Path
) -> None:
    cut = tmp_path / "cut"
    with ended(
        subprocess.Popen(call(data, base, cut), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    ) as launcher:
        while launcher.poll() is None and len(logged(cut)) < 4:
            time.sleep(0.01)  # another process writes it
        at_work = [one for one in psutil.Process(launcher.pid).children(recursive=True) if "finetune" in one.cmdline()]
        assert len(at_work) == 2
        os.kill(at_work[-1].pid, signal.SIGKILL)
        assert launcher.wait() != 0
    done = run(call(data, base, cut, "--resume"))
    assert done.returncode == 0, done.stderr
    assert logged(cut) == list(range(1, int(STEPS) + 1))
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


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
