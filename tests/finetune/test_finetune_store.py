"""From accepted slices of the annotation store to a run; promotion and the way back; what to review next."""

import json
from pathlib import Path

import pytest
from finetune_runs import annotated, command, run

from boltzformer.dataset import Dataset
from boltzformer.engine.engine import load
from boltzformer.errors import BoltzFormerError, CheckpointError
from boltzformer.evaluate.review import Unseen, doubts, unseen
from boltzformer.learn.finetune.lessons import read_lessons
from boltzformer.weights import checkpoint, registry
from boltzformer.weights.promotion import history_of, promote, roll_back

pytestmark = pytest.mark.slow  # processes that load torch, one after the other


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    made = Dataset.at(tmp_path_factory.mktemp("store") / "annotations")
    for patient in range(4):
        annotated(made, patient)
    return made


def test_accepted_slices_teach_and_patients_stay_on_their_side(store: Dataset) -> None:
    lessons = read_lessons(store.path)
    assert len(lessons.train) + len(lessons.validation) == 12  # unseen slices are unknown: they teach nothing
    held = {group for group, side in store.groups().items() if side == "validation"}
    assert {picture.group for picture in lessons.validation} == held
    assert not held & {picture.group for picture in lessons.train}
    empty = [picture for picture in lessons.train if not bool(picture.masks["box"].any())]
    assert len(empty) == 3
    assert lessons.targets == {"box": ("bright box in CT",)}


def test_a_run_from_the_store_ends_in_a_model_that_can_be_promoted_and_rolled_back(
    tmp_path: Path, store: Dataset, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    done = run(*command(store.path, base, tmp_path / "run", "--steps", "6", "--batch", "4"))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(BoltzFormerError, match="begun is no finished fine-tuning: the command that began it goes on"):
        promote(tmp_path / "begun", "mine")
    gate = json.loads((folder / "gate.json").read_text("utf-8"))
    (folder / "gate.json").write_text(json.dumps({**gate, "promoted": False, "because": ["it is worse"]}))
    with pytest.raises(BoltzFormerError, match="it is worse"):
        promote(folder, "mine")
    first = promote(folder, "mine", anyway=True, note="first")
    assert first.sha256 == checkpoint.read(folder / "model.safetensors").sha256
    with pytest.raises(CheckpointError, match="nothing before"):
        roll_back("mine")
    (folder / "gate.json").write_text(json.dumps({**gate, "promoted": True}))
    (folder / "model.safetensors").write_bytes(base.read_bytes())
    promote(folder, "mine", note="second")
    assert [one["note"] for one in history_of("mine")] == ["first", "second"]
    assert checkpoint.read(registry.resolve("mine")).sha256 == checkpoint.read(base).sha256
    assert roll_back("mine").sha256 == first.sha256
    assert [one["note"] for one in history_of("mine")] == ["first"]


def test_review_ranks_unseen_slices_and_likes_variety(store: Dataset, base: Path) -> None:
    engine = load(base, device="cpu")
    some = list(unseen(store.path, (), engine))
    assert [one.slices for one in some] == [(3,)] * 4
    assert some[0].prompts == ("bright box in CT",)
    ranked = doubts(engine, some, limit=3)
    assert len(ranked) == 3
    assert all(0 <= one.disagreement <= 1 and one.minutes > 0 for one in ranked)
    twin = [some[0], Unseen("twin", some[0].volume, some[0].prompts, some[0].slices)]
    alone, doubled = doubts(engine, twin[:1]), doubts(engine, twin)
    assert doubled[1].value < 0.5 * alone[0].value
    with pytest.raises(BoltzFormerError, match="--prompt"):
        list(unseen(store.path.parent, (), engine))
