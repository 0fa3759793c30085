"""An archive on Ray: the same bytes as without it, whatever dies meanwhile; and what is refused before it starts."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from phantom_model import PHANTOM_MODEL
from processes import ended

from boltzformer import io
from boltzformer.cli.cli import run
from boltzformer.cli.cluster_cli import with_address
from boltzformer.cli.cluster_work import Errand, Model, Reader, Writer, models_per_device, repeat
from boltzformer.cli.request import Request
from boltzformer.cli.show import Show
from boltzformer.io.cases import Case
from boltzformer.io.phantom import BRIGHT, phantom
from boltzformer.model.config import biomedparse_v2, tiny
from boltzformer.weights import checkpoint

with_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra cluster is not installed")
ARCHIVE = 10


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Small volumes and a broken one."""
    (tmp_path / "scans").mkdir()
    for number in range(ARCHIVE):
        image = phantom(number, (8, 48, 48), (BRIGHT,)).volume
        io.write_volume(image, tmp_path / "scans" / f"case{number:02}.nii.gz")
    (tmp_path / "scans" / "broken.nii.gz").write_bytes(b"no image")
    return tmp_path / "scans"


def command(scans: Path, output: Path, *more: str) -> list[str]:
    return ["segment", str(scans), "-p", BRIGHT, "-o", str(output), "--lesions", "--model", str(PHANTOM_MODEL), *more]


def files(folder: Path) -> dict[str, bytes]:
    """All that lies in folders of whole cases, by name."""
    whole = [path for path in folder.glob("*/*") if not path.parent.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in whole}


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


# --- without Ray ------------------------------------------------------------------------------------------------------


def test_cluster_alone_means_this_computer_and_an_address_is_one_by_its_look() -> None:
    said = [["x", "--cluster"], ["--cluster", "scans"], ["--cluster", "-o", "x"], ["--cluster", "10.0.0.1:6379"]]
    assert [with_address(one) for one in said] == [
        *(["x", "--cluster=local"], ["--cluster=local", "scans"], ["--cluster=local", "-o", "x"]),
        ["--cluster", "10.0.0.1:6379"],
    ]
    for address in ("auto", "local", "ray://head:10001", "node-3.example.org:6379", "[::1]:6379"):
        assert with_address(["--cluster", address, "x"]) == ["--cluster", address, "x"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--cluster=somewhere"], "is no address"),
        (["--workers", "2"], "add --cluster"),
        (["--cluster", "--shard", "3/2"], "is no share"),
        (["--cluster", "--precision", "float7"], "no precision 'float7'"),
        (["--cluster", "--model", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
@with_ray
def test_what_is_wrong_is_said_before_anything_starts(
    more: list[str], said: str, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(scans, tmp_path / "out", *more)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@with_ray
def test_a_file_is_no_place_for_an_archive(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command(scans, tmp_path / "mask.nii.gz", "--cluster")) == 2
    assert "needs a folder" in capsys.readouterr().err


def test_several_models_share_a_gpu_where_they_fit() -> None:
    small, large = (tiny(), 1_000_000), (biomedparse_v2(), 250_000_000)
    assert models_per_device(*small, memory=80 * 10**9) == 4
    assert models_per_device(*large, memory=8 * 10**9) == 1
    counts = [models_per_device(*large, memory=gigabytes * 10**9) for gigabytes in (8, 16, 24, 40, 80, 140)]
    assert counts == sorted(counts)


@pytest.mark.parametrize("looks", [False, True])
def test_what_travels_between_processes_gives_the_bytes_of_a_plain_run(
    looks: bool, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOLTZFORMER_THREADS", "1")
    more = ["--sampling-maps"] if looks else []
    assert run([*command(scans / "case03.nii.gz", tmp_path / "plain", *more), "--probabilities"]) == 0
    plain_said = capsys.readouterr().err
    request = Request((BRIGHT,), lesions=True, probabilities=True, sampling_maps=looks)
    about = checkpoint.read(PHANTOM_MODEL)
    errand = Errand(request, tmp_path / "out", about, "cpu", "float32", 1, Path.cwd())
    reader, model, writer = (role(_travelled(errand)) for role in (Reader, Model, Writer))
    _, place = model.ready()
    case = Case("case03", scans / "case03.nii.gz")
    read, opened = _travelled(reader.read(case, place))
    asked, answered = _travelled(model.answer(opened))
    assert asked.kept == looks
    written = asked if looks else _travelled(writer.write(opened, answered, place))[0]
    assert files(tmp_path / "out") == files(tmp_path / "plain")
    capsys.readouterr()
    with Show(False) as show:
        for note in (read, asked, *([] if looks else [written])):
            repeat(note, show)
    assert capsys.readouterr().err.splitlines() == [
        line.replace("plain", "out") for line in plain_said.splitlines() if line.startswith(("case03", "wrote"))
    ]
    again, nothing = reader.read(case, place)
    assert (again.skipped, nothing) == (True, None)
    bad, nothing = reader.read(Case("broken", scans / "broken.nii.gz"), place)
    assert nothing is None
    assert "broken.nii.gz is no readable NIfTI file" in bad.error
    assert not bad.again


def _travelled(one: Any) -> Any:
    return pickle.loads(pickle.dumps(one))


def test_another_model_under_the_same_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZFORMER_THREADS", "1")
    here = tmp_path / "model.safetensors"
    here.write_bytes(PHANTOM_MODEL.read_bytes())
    about = checkpoint.read(here)
    assert about.sha256
    checkpoint.save(here, checkpoint.load(here)[0], checkpoint.History("another", data="nothing"))
    note, place = Model(Errand(Request((BRIGHT,)), tmp_path, about, "cpu", "float32", 1, Path.cwd())).ready()
    assert "is another model than here" in note.error
    assert place is None


# --- with Ray ---------------------------------------------------------------------------------------------------------

Watch = Callable[[dict[str, Any]], bool]


def events(arguments: list[str], watch: Watch) -> tuple[int, list[dict[str, Any]]]:
    """Of a process of its own; where `watch` says so, it is killed. Its exit code, and all it told."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "BOLTZFORMER_THREADS": "1"}
    told: list[dict[str, Any]] = []
    line = [sys.executable, "-m", "boltzformer", *arguments, "--json"]
    with ended(subprocess.Popen(line, stdout=subprocess.PIPE, env=environment, text=True)) as running:
        assert running.stdout is not None
        for text in running.stdout:
            told.append(json.loads(text))
            if watch(told[-1]):
                running.send_signal(signal.SIGKILL)
                break
    return running.returncode, told


def process(worker: str) -> int:
    """Of `machine:number`."""
    return int(worker.rpartition(":")[2])


@pytest.fixture
def plain(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What a run without Ray writes."""
    monkeypatch.setenv("BOLTZFORMER_THREADS", "1")
    assert run(command(scans, tmp_path / "plain")) == 3
    return files(tmp_path / "plain")


@pytest.mark.slow
@with_ray
def test_a_worker_and_the_driver_are_killed_and_every_output_is_there_once_as_in_a_plain_run(
    scans: Path, tmp_path: Path, plain: dict[str, bytes]
) -> None:
    out, seen = tmp_path / "out", Counter[str]()

    def watch(event: dict[str, Any]) -> bool:
        """A model is killed at its first case, the driver in the midst of the others."""
        seen[event["event"]] += 1
        if event["event"] == "working" and seen["working"] == 1:
            os.kill(process(event["worker"]), signal.SIGKILL)
        return seen["again"] > 0 and seen["finished"] >= 3

    call = command(scans, out, "--cluster", "--workers", "2")
    code, first = events(call, watch)
    assert code == -signal.SIGKILL
    done = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    cases = len({Path(name).parent for name in done})
    assert 3 <= cases < ARCHIVE
    code, second = events(call, lambda _: False)
    assert code == 3
    assert files(out) == plain
    assert {name: (out / name).stat().st_mtime_ns for name in done} == done
    told = Counter(row["status"] for row in rows(out / "status.jsonl"))
    assert told["skipped"] + told["finished"] == ARCHIVE
    assert told["skipped"] >= cases  # a process may have outlived its driver by a case
    assert told["quarantined"] == 1
    written = Counter(event["case"] for event in (*first, *second) if event["event"] == "finished")
    assert max(written.values()) == 1
    (bad,) = rows(out / "quarantine.jsonl")
    assert "no readable NIfTI file" in bad["error"]
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]
    assert second[-1]["event"] == "totals"
    assert second[-1]["quarantined"] == 1


@pytest.mark.slow
@with_ray
def test_a_volume_that_ends_every_process_is_quarantined_and_stops_no_other(
    scans: Path, tmp_path: Path, plain: dict[str, bytes]
) -> None:
    killed = Counter[str]()

    def watch(event: dict[str, Any]) -> bool:
        if event["event"] == "working" and event["case"] == "case04":
            os.kill(process(event["worker"]), signal.SIGKILL)
            killed[event["case"]] += 1
        return False

    out = tmp_path / "out"
    code, _ = events(command(scans, out, "--cluster", "--workers", "2"), watch)
    assert (code, killed["case04"]) == (3, 3)
    bad = {row["case"]: row for row in rows(out / "quarantine.jsonl")}
    assert set(bad) == {"broken", "case04"}
    assert "ended 3 times" in bad["case04"]["error"]
    assert files(out) == {name: content for name, content in plain.items() if not name.startswith("case04")}
    assert events(command(scans, out, "--cluster"), lambda _: False)[0] == 3
    assert files(out) == plain
    assert {row["case"] for row in rows(out / "quarantine.jsonl")} == {"broken"}


@pytest.mark.slow
@with_ray
def test_a_cluster_that_is_not_there_gets_a_sentence(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(scans, tmp_path / "out", "--cluster", "127.0.0.1:1")) == 2
    assert "No Ray cluster answers at '127.0.0.1:1'" in capsys.readouterr().err


@with_ray
def test_a_computer_too_busy_for_ray_gets_a_sentence(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    def waited_in_vain(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup.")  # its very words and kind

    monkeypatch.setattr(ray, "init", waited_in_vain)
    assert run(command(scans, tmp_path / "out", "--cluster")) == 2
    said = capsys.readouterr().err
    assert "Ray can't start on this computer (The current node timed out during startup.): try again" in said
    assert not (tmp_path / "out").exists()
