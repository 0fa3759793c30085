"""`boltzformer finetune` as its user runs it: killed, gone on, refused with a sentence."""

import json
import random
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest
from finetune_runs import ENVIRONMENT, command, manifest, run
from PIL import Image
from processes import ended

from boltzformer.cli.cli import run as cli
from boltzformer.dataset import Dataset
from boltzformer.knowledge.card import Card
from boltzformer.weights import checkpoint

pytestmark = pytest.mark.slow  # processes that load torch, one after the other

STEPS = "20"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path, base: Path) -> Path:
    """A run that nobody interrupted."""
    output = tmp_path_factory.mktemp("whole") / "run"
    done = run(*command(data, base, output, "--steps", STEPS))
    assert done.returncode == 0, done.stderr
    (output / "stdout").write_text(done.stdout)
    return output


def test_lines_tell_every_fifth_step_and_only_they_carry_the_key(whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "stdout").read_text("utf-8").splitlines()]
    steps = [line["step"] for line in lines if "step" in line]
    assert steps == [5, 10, 15, 20]
    assert all(type(step) is int for step in steps)
    assert next(line["event"] for line in lines if "step" not in line) == "plan"
    assert lines[-1]["event"] == "finished"
    assert lines[0]["memory_gb"] > 0


def test_the_model_tells_its_parent_and_what_it_was_taught_but_not_where_or_when(whole: Path, base: Path) -> None:
    about = checkpoint.read(whole / "model.safetensors")
    assert about.history.parent == checkpoint.read(base).sha256
    assert about.history.licence == "CC0-1.0"
    card = Card.of(about.history.notes)
    assert card is not None
    assert {"cell nucleus", "fetal head"} <= {target.name for target in card.targets}
    assert "existence threshold" in about.history.notes
    header = json.dumps([about.history.__dict__, about.config.to_dict()], default=str)
    for secret in (str(whole.parent), str(base.parent), socket.gethostname()):
        assert secret not in header


def test_the_folder_tells_the_whole_story(whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert {"config.json", "log.jsonl", "checks.jsonl", "gate.json", "report.html", "model.safetensors"} <= names
    page = (whole / "report.html").read_text("utf-8")
    assert "data:image/png;base64," in page
    assert "<polyline" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "promoted" in json.loads((whole / "gate.json").read_text("utf-8"))
    checks = [json.loads(line) for line in (whole / "checks.jsonl").read_text("utf-8").splitlines()]
    for check in checks:  # a small picture as it went: the truth, before, now
        image = Image.open(whole / check["picture"])
        assert image.size[0] > 2.5 * image.size[1] > 0
    told = [json.loads(line) for line in (whole / "stdout").read_text("utf-8").splitlines()]
    assert [one["picture"] for one in told if one.get("event") == "validation"] == [one["picture"] for one in checks]
    assert checks


def test_a_run_is_its_owners_alone(whole: Path) -> None:
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (whole, *whole.rglob("*"))}
    del found["stdout"]  # which this test wrote
    assert set(found.values()) <= {0o700, 0o600}, found


def test_killed_before_its_first_state_it_begins_anew_and_when_finished_resuming_changes_nothing(
    tmp_path: Path, whole: Path, data: Path, base: Path
) -> None:
    cut = tmp_path / "cut"
    _kill_and_go_on(cut, whole, data, base, 1)
    before = {path: path.read_bytes() for path in cut.rglob("*") if path.is_file()}
    again = run(*command(data, base, cut, "--steps", STEPS, "--resume"))
    assert again.returncode == 0
    assert {path: path.read_bytes() for path in cut.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_a_random_step_it_makes_the_weights_of_the_uninterrupted_run(
    tmp_path: Path, whole: Path, data: Path, base: Path, seed: int
) -> None:
    _kill_and_go_on(tmp_path / "cut", whole, data, base, random.Random(seed).randint(2, int(STEPS) - 1))


def _kill_and_go_on(cut: Path, whole: Path, data: Path, base: Path, at: int) -> None:
    _killed(command(data, base, cut, "--steps", STEPS), cut, at)
    again = run(*command(data, base, cut, "--steps", STEPS, "--resume"))
    assert again.returncode == 0, again.stderr
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    log = [json.loads(line)["step"] for line in (cut / "log.jsonl").read_text("utf-8").splitlines()]
    assert log == list(range(1, int(STEPS) + 1))


def _killed(arguments: list[str], folder: Path, at: int) -> None:
    """Ended without warning, as soon as its log tells of a step."""
    with ended(
        subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    ) as process:
        log = folder / "log.jsonl"
        while process.poll() is None and not (log.is_file() and log.read_text("utf-8").count("\n") >= at):
            time.sleep(0.01)  # another process writes it
        process.send_signal(signal.SIGKILL)


def test_a_folder_with_a_run_is_refused(whole: Path, data: Path, base: Path) -> None:
    refused = run(*command(data, base, whole, "--steps", STEPS))
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_interrupted_it_leaves_a_model_and_can_go_on(tmp_path: Path, whole: Path, data: Path, base: Path) -> None:
    arguments = command(data, base, tmp_path / "run", "--steps", STEPS)
    with ended(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("step") == 5:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert (tmp_path / "run" / "model.safetensors").is_file()
    again = run(*command(data, base, tmp_path / "run", "--resume"))
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_dry_run_writes_nothing(tmp_path: Path, data: Path, base: Path) -> None:
    told = run(*command(data, base, tmp_path / "run", "--dry-run", "--mode", "decoder"))
    assert told.returncode == 0
    assert json.loads(told.stdout)["mode"] == "decoder"
    assert not (tmp_path / "run").exists()


def test_minutes_are_turned_into_steps_once(tmp_path: Path, data: Path, base: Path) -> None:
    done = run(*command(data, base, tmp_path / "run", "--minutes", "0.3", "--batch", "2"))
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()[-1])["step"]
    assert 10 <= last <= config["recipe"]["steps"]
    assert json.loads((tmp_path / "run" / "done.json").read_text("utf-8"))["at_step"] == last


def test_who_gives_fewer_minutes_than_asking_takes_is_told_before_the_first_step(
    tmp_path: Path, data: Path, base: Path
) -> None:
    done = run(*command(data, base, tmp_path / "run", "--minutes", "0.01", "--batch", "2"))
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (told,) = (number for number, event in enumerate(events) if "are too few" in event.get("text", ""))
    assert events[told]["text"].startswith("0.01 min are too few on this computer now: asking took about 1 min")
    steps = json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))["recipe"]["steps"]
    assert events[told]["text"].endswith(f"Only {steps} steps are made.")
    assert not any("step" in event for event in events[:told])


def test_bad_input_gets_one_sentence_before_any_time_is_spent(
    tmp_path: Path, data: Path, base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # in this process, which has its own
    empty = tmp_path / "dataset"
    Dataset.at(empty)
    rows = data.read_text("utf-8").splitlines()
    other_grid = json.loads(rows[0]) | {"mask": json.loads(rows[-1])["mask"]}
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(json.dumps(other_grid) + "\n")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(base.read_bytes()[:5000])
    for arguments, sentence in (
        (command(empty, base, tmp_path / "a"), "no reviewed slice"),
        (command(wrong, base, tmp_path / "b"), "a mask of the same size"),
        (command(data, base, tmp_path / "c", "--target", "unicorn"), "no target 'unicorn'"),
        (command(data, broken, tmp_path / "d"), "not a whole safetensors file"),
        (command(data, base, tmp_path / "e", "--mode", "some"), "no mode 'some'"),
        (command(data, base, tmp_path / "f", "--steps", "5", "--minutes", "1"), "give one of them"),
        (command(tmp_path / "none.jsonl", base, tmp_path / "g"), "is not there: give the folder of a dataset"),
    ):
        assert cli(arguments[3:]) == 2
        said = capsys.readouterr().err
        assert sentence in said
        assert said.count("\n") == 1


def test_one_patient_trains_with_a_warning_and_is_never_promoted(tmp_path: Path, base: Path) -> None:
    one = manifest(tmp_path, ("foveal avascular zone",))
    done = run(*command(one, base, tmp_path / "run", "--steps", "5"))
    assert done.returncode == 0, done.stderr
    assert "never promoted by itself" in done.stdout
    assert json.loads((tmp_path / "run" / "gate.json").read_text("utf-8"))["promoted"] is False
