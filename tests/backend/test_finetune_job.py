"""Fine-tuning through the backend: a process of its own, which outlives everyone and is found again."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from finetune_runs import annotated, manifest
from serving import MODEL, Served, serving

from boltzformer import BackendError, Failed, Progress, Session
from boltzformer.client import Errand
from boltzformer.dataset import Dataset
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.protocol import ErrandFolder, ErrandState, FinetuneRequest

pytestmark = pytest.mark.slow  # processes that load torch, one after the other

STEPS = 60
SMALL = {"batch": 2, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Dataset.at(tmp_path_factory.mktemp("store") / "annotations")
    for patient in range(4):
        annotated(made, patient)
    return made.path


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """A folder for runs; whatever still works in one of them is ended, for nobody else would."""
    yield tmp_path
    for pid in tmp_path.glob("*/errand/pid"):
        if not (pid.parent / "ended.json").is_file():
            end(pid.parent.parent)


def end(run: Path) -> None:
    """As the system does it when memory is full."""
    try:
        os.kill(int((run / "errand" / "pid").read_text("utf-8")), signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_for(
    errand: Errand, what: Callable[[Progress | ErrandState | Failed], bool]
) -> Progress | ErrandState | Failed:
    for event in errand:
        if what(event):
            return event
    raise AssertionError(f"it never came; the last state: {errand.state}")


def begun(event: object) -> bool:
    return isinstance(event, Progress)


def test_it_trains_while_we_segment_is_stopped_goes_on_and_takes_a_name(
    served: Served, store: Path, runs: Path, small: Phantom
) -> None:
    session, run = served.session(), runs / "run"
    errand = session.finetune(store, run, steps=STEPS, **SMALL)
    first = wait_for(errand, begun)
    assert isinstance(first, Progress)
    assert (first.step, first.steps) == (1, STEPS)
    assert first.losses["total"] > 0
    assert session.segment(small.volume, BRIGHT, slices=[3]).result().slices  # nobody waits for the training
    assert session.finetuning(run).state == "running"
    assert os.getpriority(os.PRIO_PROCESS, pid_of(run)) >= 10
    assert os.getsid(pid_of(run)) == pid_of(run)
    with pytest.raises(BackendError, match="already holds a run"):
        session.finetune(store, run, steps=5).result()

    errand.stop()
    stopped = errand.result()
    assert stopped.state == "stopped"
    assert 1 <= stopped.step < STEPS
    assert Path(stopped.model).is_file()  # the best so far is kept
    assert stopped.result["finished"] is False
    assert f"--steps {STEPS}" in stopped.command

    finished = session.resume(run).result()
    assert finished.state == "finished"
    assert finished.step == STEPS
    assert [event.step for event in session.follow(run) if isinstance(event, Progress)] == list(range(1, STEPS + 1))
    before = (run / "model.safetensors").stat().st_mtime_ns
    assert session.resume(run).result().state == "finished"
    assert (run / "model.safetensors").stat().st_mtime_ns == before

    if not finished.result["promoted"]:
        with pytest.raises(BackendError, match="is not promoted: "):
            session.promote(run, "mine")
    assert len(session.promote(run, "mine", anyway=True, note="first").models) == 1
    assert "mine" in {model.name for model in session.models()}
    assert len(session.promote(run, "mine", anyway=True, note="again").models) == 2
    assert [one["note"] for one in session.roll_back("mine").models] == ["first"]
    assert session.lineage("mine").models[0]["sha256"] == finished.result["sha256"]
    old = session.segment(small.volume, BRIGHT, slices=[3], model=finished.before).result()
    new = session.segment(small.volume, BRIGHT, slices=[3], model=finished.model).result()
    assert old.provenance["seed"] == new.provenance["seed"]
    assert not np.array_equal(old.slices[0].logits, new.slices[0].logits)


def pid_of(run: Path) -> int:
    return int((run / "errand" / "pid").read_text("utf-8"))


def test_the_backend_is_killed_and_the_training_goes_on_and_is_found_again(store: Path, runs: Path) -> None:
    run = runs / "run"
    with Session.local(MODEL) as session:
        errand = session.finetune(store, run, steps=400, **SMALL)
        wait_for(errand, lambda event: isinstance(event, ErrandState))
        assert session.finetuning(run).state == "running"
        worker = pid_of(run)
        session.backend().process.kill()
        assert isinstance(wait_for(errand, begun), Progress)  # the same handle asks the fresh backend
        errand.leave()
    os.kill(worker, 0)  # the session was closed, too; the process is there
    with Session.local(MODEL) as another:
        found = another.follow(run)
        assert isinstance(wait_for(found, begun), Progress)
        assert pid_of(run) == worker
        end(run)
        ended = found.result()
        assert ended.state == "stopped"
        assert "without a word" in ended.notes[-1]
        again = another.resume(run)
        assert wait_for(again, lambda event: isinstance(event, ErrandState) and event.state == "running")
        assert pid_of(run) != worker
        again.stop()
        assert again.result().state == "stopped"


def test_what_it_would_take_is_told_for_every_mode(served: Served, store: Path, runs: Path) -> None:
    session = served.session()
    request = session.finetune_request(store, runs / "run", steps=10, **SMALL)
    plan = session.plan(request)
    modes = plan.facts["modes"]
    assert set(modes) == {"existence", "decoder", "lora", "full"}
    assert modes["existence"]["memory_gb"] < modes["full"]["memory_gb"]
    assert plan.facts["mode"] == "full"
    assert plan.command.startswith(f"boltzformer finetune {store}")
    assert not (runs / "run").exists()


def test_a_dataset_says_what_it_holds_and_lacks(served: Served, store: Path, tmp_path: Path) -> None:
    session = served.session()
    assert session.holding(store).sentence == (
        "12 accepted slices of 4 patients: enough to tell whether a new model is better."
    )
    assert session.holding(store).prompts == {"box": "bright box in CT"}
    few = Dataset.at(tmp_path / "few")
    assert session.holding(few.path).sentence.startswith("No slice is accepted yet")
    annotated(few, 1)
    told = session.holding(few.path)
    assert told.sentence == (
        "3 accepted slices of 1 patient: 10 slices and 3 patients are needed to tell whether a new model is better."
    )
    assert (told.targets, told.empty, told.enough) == ({"box": 2}, 1, False)
    rows = session.holding(manifest(tmp_path, ("cell nucleus",)))
    assert rows.sentence.startswith(f"{rows.slices} accepted images of {rows.groups} groups")


def test_bad_input_gets_one_sentence_and_nothing_begins(served: Served, store: Path, runs: Path) -> None:
    session, empty = served.session(), Dataset.at(runs / "empty").path
    file = runs / "file"
    file.write_text("")
    for source, output, how, sentence in (
        (empty, "a", {}, "No slice is accepted yet"),
        (runs / "nothing", "b", {}, "There is nothing at"),
        (runs, "c", {}, "no annotation dataset"),
        (store, "file", {}, "can't be written"),
        (store, "d", {"mode": "some"}, "There is no mode 'some'"),
        (store, "e", {"steps": 5, "minutes": 1.0}, "give one of them"),
        (store, "f", {"model": runs / "none.safetensors"}, "none.safetensors"),
        (store, "g", {"targets": ["unicorn"]}, "no target 'unicorn'"),
    ):
        with pytest.raises(BackendError, match=sentence) as said:
            session.finetune(source, runs / output, **how).result()
        assert "\n" not in str(said.value)
        assert not (runs / output / "config.json").exists()
    assert session.finetuning(runs / "g").error.endswith("it has box.")
    assert session.finetuning(runs / "nothing").state == "absent"
    for refused, sentence in (
        (lambda: session.resume(runs / "nothing").result(), "holds no fine-tuning"),
        (lambda: session.promote(runs / "nothing", "mine"), "no finished fine-tuning"),
        (lambda: session.promote(runs / "nothing", "../mine"), "can't name a model"),
        (lambda: session.roll_back("mine"), "nothing before 'mine'"),
        (lambda: session.plan(session.finetune_request(store, runs / "h", mode="some")), "no mode 'some'"),
        (lambda: session.plan(FinetuneRequest("here", "there")), "no whole path"),
    ):
        with pytest.raises(BackendError, match=sentence):
            refused()


def test_a_backend_for_others_opens_no_path(store: Path, runs: Path) -> None:
    folder = asdict(ErrandFolder(str(runs)))
    request = asdict(FinetuneRequest(str(store), str(runs / "run")))
    with serving(own_files=False) as served:
        for path, content in (
            ("/errands/finetune", request),
            ("/errands/plan", request),
            ("/errands/evaluate", {"manifest": str(store), "output": str(runs)}),
            ("/errands/resume", folder),
            ("/errands/state", folder),
            ("/errands/stop", folder),
            ("/datasets/holding", {"path": str(store)}),
            ("/models/promote", {"run": str(runs), "name": "mine"}),
            ("/models/rollback", {"name": "mine"}),
            ("/models/hub/offer", {"what": "clinic/blobs"}),
            ("/models/hub/fetch", {"what": "clinic/blobs"}),
            ("/models/hub/state", {"what": "clinic/blobs"}),
            ("/models/hub/stop", {"what": "clinic/blobs"}),
        ):
            assert served.http.post(path, json=content).status_code == 403, path
        with pytest.raises(BackendError, match="opens no files"):
            served.session().finetune(store, runs / "run").result()
    assert list(runs.iterdir()) == []


def test_a_log_that_is_being_written_is_read_as_far_as_it_is_whole(served: Served, runs: Path) -> None:
    run = runs / "run"
    run.mkdir()
    (run / "config.json").write_text(
        json.dumps({"source": "/s", "model": "default", "mode": "full", "parent": "0" * 64, "recipe": {"steps": 9}})
    )
    (run / "log.jsonl").write_text('{"step": 1, "total": 2.5}\n{"step": 2, "total": NaN}\n{"step": 3, "to')
    told = served.session().finetuning(run)
    assert (told.state, told.step, told.steps) == ("stopped", 2, 9)
    assert told.curve == [{"step": 1, "total": 2.5}, {"step": 2}]
    assert served.session().finetuning(run, after=1).curve == [{"step": 2}]


def test_an_evaluation_is_an_errand_as_well(served: Served, runs: Path) -> None:
    rows = manifest(runs, ("foveal avascular zone",))
    session = served.session()
    told = session.evaluate(rows, runs / "results", model=MODEL).result()
    assert told.state == "finished"
    assert told.result["data"]["rows"] == len(rows.read_text("utf-8").splitlines())
    assert (runs / "results" / "report.txt").is_file()
    with pytest.raises(BackendError, match="can't be read"):
        session.evaluate(runs / "none.jsonl", runs / "b").result()
