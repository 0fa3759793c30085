"""Who is held back from a fine-tuning, and what is said of it before it begins: the same rule."""

from pathlib import Path

import numpy as np
import pytest
from finetune_runs import SHAPE

from boltzformer.dataset import Dataset
from boltzformer.dataset.held_back import held_back, lacking
from boltzformer.dataset.holding import holding
from boltzformer.image.geometry import Grid
from boltzformer.types import Annotation, LabelMap, Prompt, SliceState, Volume

PATIENTS = [f"p{number}" for number in range(4)]
TARGETS = ("spleen", "kidney", "spinal cord", "MS lesion")


def marked(store: Dataset, patient: str, target: str) -> None:
    """The object on three slices, and one without."""
    mask = np.zeros((1, *SHAPE), np.uint8)
    mask[0, :3, 10:20, 12:20] = 1
    volume = Volume(
        np.random.default_rng([*patient.encode()]).integers(0, 60, SHAPE).astype(np.uint8), Grid.pixels(SHAPE), "CT"
    )
    states = (SliceState.REVIEWED,) * 3 + (SliceState.EMPTY,)
    store.add(
        Annotation(volume, LabelMap(mask, volume.grid, {1: target}), (Prompt(target),), {target: states}, axis=0),
        patient=patient,
    )


def test_those_who_are_held_back_must_show_what_is_taught() -> None:
    alone = {name: {name} for name in PATIENTS}
    (held,) = held_back(alone)
    assert lacking(alone, (), {held: "as asked"}, "patient") == "'as asked' in another patient, too"
    for name in set(PATIENTS) - {held}:
        assert lacking({**alone, name: {held}}, (), {}, "patient") == ""
    assert lacking({**alone, held: set()}, (), {}, "patient") == "the same object in another patient, too"
    assert lacking({"one": {"a"}, "two": {"a"}}, (), {}, "patient") == "slices of 1 more patient"
    assert lacking({"one": {"a"}, "two": {"a"}}, {"two"}, {}, "patient") == ""


def test_a_split_that_was_drawn_holds_unless_it_parts_nobody() -> None:
    assert held_back(PATIENTS, {"p1", "p2", "elsewhere"}) == {"p1", "p2"}
    assert held_back(PATIENTS, PATIENTS) == held_back(PATIENTS, {"elsewhere"}) == held_back(PATIENTS)


def test_what_is_said_beforehand_is_what_the_run_can_tell(tmp_path: Path) -> None:
    lessons = pytest.importorskip("boltzformer.learn.finetune.lessons")
    store = Dataset.at(tmp_path / "kept")
    for patient, target in zip(PATIENTS, TARGETS, strict=True):
        marked(store, patient, target)
    (held,) = store.cases("validation")
    told = holding(store.path)
    assert told.sentence == (
        f"16 accepted slices of 4 patients. To tell whether a new model is better, accept {told.lacks}."
    )
    assert not told.enough
    (warning,) = lessons.read_lessons(store.path).warnings()
    assert warning.startswith("Nothing that is taught is shown by a patient who was held back")

    shown = told.lacks.split("'")[1]
    assert shown in held.states
    another = next(name for name, target in zip(PATIENTS, TARGETS, strict=True) if target != shown)
    marked(store, another, shown)
    told = holding(store.path)
    assert told.sentence.endswith(" of 4 patients: enough to tell whether a new model is better.")
    assert (told.enough, told.lacks) == (True, "")
    assert lessons.read_lessons(store.path).warnings() == ()
