"""Opened, painted, pointed at, accepted, put away, undone, kept, crashed in any order: never two images over
each other, and what a person did is on screen again whenever its image is."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from storage_orders import grid_of
from test_coming_back import answered, at_work, stroke

from boltzformer import Volume
from boltzformer.desk.keeping.one_patient import PUT_AWAY
from boltzformer.types import SliceState

PLACES = st.integers(0, 3)
NAMES = st.sampled_from(("bright blob", "dark blob"))
SIDE = 12


def volume(number: int) -> Volume:
    rng = np.random.default_rng(number)
    shape = 4, SIDE, SIDE + number
    return Volume(rng.integers(0, 99, shape, np.int16), grid_of(shape, (1.0, 1.0, 1.0)), name=f"patient {number}")


class Work(RuleBasedStateMachine):
    """Our own book of what a person did, by patient: strokes, ticks, points."""

    home: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.home))
        self.viewer: Any = None
        self.strokes: dict[int, dict[tuple[str, int], Any]] = {}
        self.ticks: dict[int, set[tuple[str, int]]] = {}
        self.points: dict[int, dict[str, Any]] = {}

    @initialize()
    def begin(self) -> None:
        self.viewer = at_work(self.folder / "kept")

    @property
    def desk(self) -> Any:
        return self.viewer.desk

    def image(self) -> Any:
        return self.viewer.stage.chosen()

    def patient(self, image: Any = None) -> int:
        return int((image or self.image()).name.split()[-1])

    def track(self, name: str) -> Any:
        return next((one for one in self.desk.tracks.of(self.image()) if one.name == name), None)

    @rule(number=st.integers(1, 3))
    def open(self, number: int) -> None:
        if self.image() is None or self.patient() != number:
            image = self.desk.patients.open(volume(number))
            self.desk.keeper.look_for(image)
            self.desk.chosen()
            self.viewer.idle()

    @precondition(lambda self: self.image() is not None)
    @rule(name=NAMES, row=PLACES, at=st.integers(0, SIDE - 4))
    def paint(self, name: str, row: int, at: int) -> None:
        track = self.track(name) or answered(self.viewer, self.image(), name)
        self.viewer.stage.go(self.image(), row)
        before = track.row(row).copy()
        stroke(track, row, at)
        if not np.array_equal(before, track.row(row)):
            self.strokes.setdefault(self.patient(), {})[name, row] = track.row(row).copy()
            self.ticks.get(self.patient(), set()).discard((name, row))

    @precondition(lambda self: bool(self.desk.tracks.chosen()))
    @rule(row=PLACES)
    def accept(self, row: int) -> None:
        self.viewer.stage.go(self.image(), row)
        self.desk.scrolled()
        said = {(one.name, row) for one in self.desk.tracks.shown() if one.can_be_accepted(row)}
        self.desk.keeper.accept()
        self.ticks.setdefault(self.patient(), set()).update(said)
        self.viewer.idle()

    @precondition(lambda self: bool(self.desk.tracks.chosen()))
    @rule(row=PLACES)
    def point(self, row: int) -> None:
        told = {"points": [[[float(row), 1.0, 2.0], True, "bright blob"]]}
        self.viewer.stage.guide(self.image(), told)
        self.desk.keeper.touch(self.image())
        self.points[self.patient()] = told

    @precondition(lambda self: any(one.topic == PUT_AWAY for one in self.desk.notice.offers))
    @rule(label=st.sampled_from(("Undo", "Keep both")))
    def answer(self, label: str) -> None:
        self.desk.notice.answer(PUT_AWAY, label)
        self.desk.chosen()
        self.viewer.idle()

    @rule()
    def crash(self) -> None:
        self.desk.keeper.autosave()
        self.viewer.idle()
        self.desk.leave()
        self.viewer = at_work(self.folder / "kept")

    @invariant()
    def one_patient_is_on_screen(self) -> None:
        if self.viewer is not None:
            images = list(self.viewer.stage.images())
            assert len(images) <= 1 or images == self.desk.patients.beside == self.viewer.stage.beside

    @invariant()
    def all_that_a_person_did_is_on_screen(self) -> None:
        for image in () if self.viewer is None else self.viewer.stage.images():
            number = self.patient(image)
            tracks = {one.name: one for one in self.desk.tracks.of(image)}
            for (name, row), mask in self.strokes.get(number, {}).items():
                assert np.array_equal(tracks[name].row(row) > 0, mask > 0)
            for name, row in self.ticks.get(number, ()):
                assert tracks[name].state(row) is SliceState.REVIEWED
            if number in self.points:
                assert self.viewer.stage.guides(image) == self.points[number]

    def teardown(self) -> None:
        if self.viewer is not None:
            self.desk.leave()
        shutil.rmtree(self.folder, ignore_errors=True)


def test_whatever_is_done_in_whatever_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    Work.home = tmp_path
    slow = settings(
        max_examples=8, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )
    run_state_machine_as_test(Work, settings=slow)
