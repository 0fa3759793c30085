"""An evaluation and the queue of the zoo on Ray: the bytes of a plain run."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from phantom_model import PHANTOM_MODEL
from zoo_data import brief, manifest

from boltzformer import load
from boltzformer.cli.cli import run
from boltzformer.cli.cluster_each import Caller, Calls, Evaluation, Evaluator
from boltzformer.evaluate.evaluate import answers_of, by_image, evaluate
from boltzformer.io.cases import Case
from boltzformer.knowledge.absent import Listed
from boltzformer.knowledge.manifest import read_manifest
from boltzformer.weights import checkpoint

QUEUE = Path(__file__).parents[1] / "benchmarks" / "zoo.py"
with_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra cluster is not installed")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--cluster=somewhere"], "is no address"),
        (["--workers", "2"], "add --cluster"),
        (["--cluster", "--as", "biomedparse"], "--cluster belong to manifests"),
    ],
)
@with_ray
def test_what_is_wrong_is_said_before_anything_starts(
    more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, _ = manifest(tmp_path)
    assert run(["evaluate", str(data), "-o", str(tmp_path / "out"), "--model", str(PHANTOM_MODEL), *more]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_process_scores_an_image_as_a_plain_run_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZFORMER_THREADS", "1")
    rows, about = read_manifest(manifest(tmp_path)[0]), checkpoint.read(PHANTOM_MODEL)
    told = Evaluation(about, "cpu", "float32", 1, Path.cwd(), rows, Listed.of(rows), (), 0, None)
    worker = Evaluator(told)
    assert worker.ready()[1] == load(PHANTOM_MODEL, device="cpu", dtype="float32").place
    image, mine = next(iter(by_image(rows).items()))
    note, scored = worker.work(Case(image.name, image))
    assert not note.error
    assert scored == list(evaluate(answers_of(load(PHANTOM_MODEL, device="cpu")), mine, Listed.of(rows)))
    image.write_bytes(b"no image")
    assert image.name in worker.work(Case(image.name, image))[0].error


def test_a_call_that_fails_is_a_sentence(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("def main(given):\n    open(given[0], 'x').close()\n", encoding="utf-8")
    worker = Caller(Calls(script, {"one": (str(tmp_path / "made"),)}, 1, Path.cwd()))
    case = Case("one", tmp_path)
    assert not worker.work(case)[0].error
    assert (tmp_path / "made").exists()
    again = worker.work(case)[0]
    assert again.again
    assert "made" in again.error


TWO = ["--cluster", "--workers", "2"]


@pytest.fixture
def environment() -> dict[str, str]:
    """One thread, and processes of Ray that are as important as others."""
    paths = os.pathsep.join(sys.path)
    return {**os.environ, "BOLTZFORMER_THREADS": "1", "RAY_worker_niceness": "0", "PYTHONPATH": paths}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@with_ray
def test_two_workers_evaluate_to_the_bytes_of_a_plain_run(tmp_path: Path, environment: dict[str, str]) -> None:
    data, _ = manifest(tmp_path)
    ours = [sys.executable, "-m", "boltzformer", "evaluate", str(data), "--model", str(PHANTOM_MODEL), "--save-masks"]
    for name, more in (("plain", []), ("cluster", TWO)):
        subprocess.run([*ours, "-o", str(tmp_path / name), *more], env=environment, check=True)
    made = files(tmp_path / "plain")
    assert {"metrics.json", "report.txt", "contact.png", "predictions.jsonl"} <= set(made)
    assert any(name.startswith("masks") for name in made)
    assert files(tmp_path / "cluster") == made


@pytest.mark.slow
@pytest.mark.timeout(1800)
@with_ray
def test_two_workers_train_the_zoo_to_the_bytes_of_a_plain_queue(tmp_path: Path, environment: dict[str, str]) -> None:
    data, split = manifest(tmp_path)
    queue = [sys.executable, str(QUEUE), str(data), str(split)]
    short = ["--seeds", "0", "--recipes", str(brief(tmp_path / "recipes")), "--names", "boltzmann", "full"]
    for name, more in (("plain", []), ("cluster", TWO)):
        subprocess.run([*queue, str(tmp_path / name), *short, *more], env=environment, check=True)
    kept = ("model.safetensors", "predictions.jsonl", "metrics.json", "contact.png")
    plain, clustered = (
        {name: content for name, content in files(tmp_path / one).items() if name.endswith(kept)}
        for one in ("plain", "cluster")
    )
    assert len(plain) == 2 * len(kept)
    assert plain == clustered
    rows = (tmp_path / "cluster" / "rows.jsonl").read_text("utf-8").splitlines()
    assert sorted(json.loads(line)["name"] for line in rows) == ["boltzmann", "full"]
