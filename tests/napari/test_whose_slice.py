"""Whose is a slice? Model writes, strokes and undo at random: what a person drew survives, undo knows only strokes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from napari.components import ViewerModel
from napari.layers import Image, Labels
from storage_orders import grid_of

from boltzformer import Prompt, SlicePlan, SliceResult
from boltzformer.desk.masks.answers import Mark, Thresholds
from boltzformer.types import SliceState
from napari_boltzformer.host.mask import NUMBERS, Track, revert_last
from napari_boltzformer.run import Run

ROWS, SIDE = 4, 8
rows = st.integers(0, ROWS - 1)
places = st.integers(0, SIDE - 1)
masks = st.integers(0, 2**16 - 1).map(lambda seed: np.random.default_rng(seed).random((SIDE, SIDE)) < 0.4)


def track() -> Track:
    layer = Labels(np.zeros((ROWS, SIDE, SIDE), np.uint8))
    return Track(layer, Image(np.zeros((ROWS, SIDE, SIDE))), Prompt("x"), "#000000")


class Interleaved(RuleBasedStateMachine):
    """Our own book of the history: what each step of undo must bring back, bit for bit."""

    def __init__(self) -> None:
        super().__init__()
        self.track = track()
        self.layer = self.track.layer
        self.undone: list[tuple[int, Any, Any]] = []
        self.steps: list[tuple[int, Any, Any]] = []
        self.heard = 0
        self.layer.events.paint.connect(self._on_paint)
        self.accepted: dict[int, Any] = {}

    def _on_paint(self, event: Any) -> None:
        self.heard += 1

    def step(self, row: int, before: Any) -> None:
        """If napari noted a step, so do we."""
        if self.heard:
            assert self.heard == 1
            self.steps.append((row, before, self.layer.data[row].copy()))
            self.undone.clear()
        self.heard = 0

    @rule(row=rows, y=places, x=places, label=st.integers(0, 3), size=st.integers(1, 4))
    def stroke(self, row: int, y: int, x: int, label: int, size: int) -> None:
        before = self.layer.data[row].copy()
        self.layer.brush_size = size
        self.layer.paint((row, y, x), label)
        self.step(row, before)

    @rule(row=rows, mask=masks)
    def model_writes(self, row: int, mask: Any) -> None:
        before, held = self.layer.data.copy(), self.track.belongs_to_a_person(row)
        written = self.track.put(row, mask)
        assert written is not held
        after = self.layer.data
        others = [other for other in range(ROWS) if other != row]
        assert np.array_equal(before[others], after[others])
        if held:
            assert np.array_equal(before[row], after[row])
        else:
            assert np.array_equal(after[row], mask)
            assert not self.track.edited(row)
        self.step(row, before[row])

    @rule(row=rows)
    def a_person_accepts(self, row: int) -> None:
        self.track.say(row, SliceState.REVIEWED)

    @precondition(lambda self: self.track.proposals)
    @rule(data=st.data())
    def a_proposal_is_taken(self, data: Any) -> None:
        row = data.draw(st.sampled_from(sorted(self.track.proposals)))
        before = self.layer.data[row].copy()
        self.track.take(row)
        assert not self.track.edited(row)
        self.step(row, before)

    @rule()
    def a_new_run_begins(self) -> None:
        self.track.begin_run(None, 0.5)  # type: ignore[arg-type]  # the plan is not looked at here

    @precondition(lambda self: self.steps)
    @rule()
    def undo(self) -> None:
        row, before, after = self.steps.pop()
        rest = self.layer.data.copy()
        self.layer.undo()
        rest[row] = before
        assert np.array_equal(self.layer.data, rest)
        self.undone.append((row, before, after))

    @precondition(lambda self: self.undone)
    @rule()
    def redo(self) -> None:
        row, before, after = self.undone.pop()
        rest = self.layer.data.copy()
        self.layer.redo()
        rest[row] = after
        assert np.array_equal(self.layer.data, rest)
        self.steps.append((row, before, after))

    @invariant()
    def nothing_is_left_to_undo_that_we_do_not_know(self) -> None:
        assert self.heard == 0


Interleaved.TestCase.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStrokesSurvive = Interleaved.TestCase


@settings(max_examples=15, deadline=None)
@given(first=masks, second=masks, row=rows)
def test_reverting_a_run_brings_back_what_was_there_but_for_strokes(first: Any, second: Any, row: int) -> None:
    one = track()
    other = (row + 1) % ROWS
    one.begin_run(None, 0.5)  # type: ignore[arg-type]
    one.put(row, first)
    one.put(other, first)
    one.begin_run(None, 0.5)  # type: ignore[arg-type]
    one.put(row, second)
    one.put(other, second)
    one.layer.paint((other, 0, 0), 0 if second[0, 0] else 1)
    painted = one.rows[other].copy()
    assert one.revert() == 1
    assert np.array_equal(one.rows[row], first)
    assert np.array_equal(one.rows[other], painted)


def asked(viewer: ViewerModel, *slices: int, logit: int) -> Run:
    """A run that looks into some slices of the viewer's image, and ends."""
    image, plan = viewer.layers[0], SlicePlan.of(grid_of((ROWS, SIDE, SIDE), (1.0, 1.0, 1.0)), SIDE, 0)
    run = Run(viewer, image, [Prompt("x")], None, {"seed": logit}, warnings={}, whole=True)  # type: ignore[arg-type]
    run.begin(plan, len(slices), {"thresholds": {"existence": 0.5}, "seed": logit})
    for index in slices:
        looked = np.full((1, SIDE, SIDE), logit, np.int8)
        run.write(SliceResult(index, looked, np.array([0.9], np.float32)))
    run.end("finished")
    return run


def test_runs_are_taken_back_one_after_the_other_and_none_that_was_has_made_the_mask() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((ROWS, SIDE, SIDE)))
    (one,) = asked(viewer, 0, 1, 2, logit=64).tracks
    assert asked(viewer, 1, 3, logit=80).tracks == [one]
    one.layer.brush_size = 1
    one.layer.paint((3, 0, 0), 0)  # a person goes on with what the second wrote
    assert [run["seed"] for run in one.runs] == [64, 80]
    assert one.revert() == 1
    assert one.how[1] == {"seed": 64}
    assert [(run["seed"], run.get("taken back")) for run in one.runs] == [(64, None), (80, [1])]
    assert one.can_revert
    assert one.revert() == 3
    assert [run["seed"] for run in one.runs] == [80]
    assert one.rows.any(axis=(1, 2)).tolist() == [False, False, False, True]
    assert not one.can_revert


def test_a_run_is_taken_back_whole_though_another_one_overtook_it() -> None:
    one = track()
    volume = one.begin_run(None, 0.5)  # type: ignore[arg-type]
    answer_in(one, 0, None, 0.9, 64, volume)
    overtakes = one.begin_run(None, 0.5)  # type: ignore[arg-type]
    answer_in(one, 2, None, 0.8, 64, overtakes)
    answer_in(one, 1, None, 0.9, 64, volume)
    answer_in(one, 2, None, 0.9, 64, volume)
    assert one.revert() == 1  # the one that began last; what was found after it stays
    assert one.scores == {row: np.float32(0.9) for row in range(3)}
    assert one.revert() == 3
    assert not one.scores
    assert not one.rows.any()


def test_only_the_masks_of_the_last_run_are_taken_back() -> None:
    first, second = track(), track()
    for one in (first, second):
        one.begin_run(None, 0.5, run := next(NUMBERS))  # type: ignore[arg-type]
        answer_in(one, 0, None, 0.9, 64, run)
    assert revert_last([first, second]) == 1
    assert (first.can_revert, second.can_revert) == (True, False)
    assert revert_last([first, second]) == 1
    assert revert_last([first, second]) == 0


def answer_in(one: Track, row: int, box: Any, score: float, logit: int, run: int | None = None) -> None:
    """The model's, of a box or of the whole slice: the same everywhere it looked."""
    plan = SlicePlan.of(grid_of((ROWS, SIDE, SIDE), (1.0, 1.0, 1.0)), SIDE, 0, box=box)
    looked = np.full((1, SIDE, SIDE), logit, np.int8)
    one.answer(plan, SliceResult(row, looked, np.array([score], np.float32)), 0, {}, run)


def test_a_look_into_a_box_leaves_a_mask_of_another_day_around_it() -> None:
    one, yesterday = track(), np.zeros((ROWS, SIDE, SIDE), bool)
    yesterday[1, 0:3, 0:3] = True
    one.restore(yesterday, ())
    one.recall({1: 0.9}, (), 0.5)
    box = ((0, ROWS), (2, 6), (2, 6))
    wanted = yesterday[1].copy()
    for score, logit, inside in ((0.6, 64, True), (0.1, -64, False), (0.7, 64, True)):
        one.begin_run(None, 0.5)  # type: ignore[arg-type]
        answer_in(one, 1, box, score, logit)
        wanted[2:6, 2:6] = inside
        assert np.array_equal(one.rows[1], wanted)
        assert one.kept.mark(1).voxels == wanted.sum()
        assert one.kept.best() == (one.scores[1], 1)
    assert one.scores == {1: 0.9}  # the highest of all that was looked at
    assert one.kept.in_box_only == 0
    one.kept.thresholds = Thresholds(0.5, 0.99)
    one.show_again(1, one.kept.mask(1))
    wanted[2:6, 2:6] = False
    assert np.array_equal(one.rows[1], wanted)
    answer_in(one, 1, None, 0.8, 127)  # the whole slice: nothing of yesterday's is left
    assert one.rows[1].all()
    assert one.scores == {1: np.float32(0.8)}


@pytest.mark.parametrize("box", [None, ((0, ROWS), (2, 6), (2, 6))])
def test_reverting_a_run_brings_back_the_score_of_another_day(box: Any) -> None:
    one, yesterday = track(), np.zeros((ROWS, SIDE, SIDE), bool)
    yesterday[1, 0:3, 0:3] = True
    one.restore(yesterday, ())
    one.recall({1: 0.9}, (), 0.5)
    one.begin_run(None, 0.5)  # type: ignore[arg-type]
    answer_in(one, 1, box, 0.6, 64)
    answer_in(one, 2, box, 0.6, 64)
    assert one.revert() == 2
    assert one.scores == {1: 0.9}
    assert set(one.kept.looked) == {1}
    assert one.kept.mark(1) == Mark(0.9, 9)
    assert np.array_equal(one.rows > 0, yesterday)


def test_an_offer_for_a_box_that_is_taken_leaves_the_slice_a_persons_around_it() -> None:
    one = track()
    one.layer.brush_size = 1
    one.layer.paint((1, 0, 0), 1)
    answer_in(one, 1, ((0, ROWS), (2, 6), (2, 6)), 0.6, 64)
    one.take(1)
    wanted = np.zeros((SIDE, SIDE), bool)
    wanted[0, 0], wanted[2:6, 2:6] = True, True
    assert np.array_equal(one.rows[1], wanted)
    one.kept.thresholds = Thresholds(0.7)
    assert not one.show_again(1, one.kept.mask(1))
    assert np.array_equal(one.rows[1], wanted)
