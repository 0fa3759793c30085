"""Whose is a slice? On masks in memory: the contract of every surface, runs taken back, work of another day."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from surfaces import ROWS, SHAPE, SIDE, answer_in, contract, image, masks, plan_for, rows

from boltzformer import Prompt, SliceResult
from boltzformer.desk.masks.kept import Mark, Thresholds
from boltzformer.desk.masks.told import NUMBERS, Told
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks, revert_last
from boltzformer.desk.memory import MemoryMask, MemoryStage
from boltzformer.desk.runs.run import Run
from boltzformer.desk.words import ViewerWords


class MemoryRig:
    def __init__(self) -> None:
        self.surface = MemoryMask("mask", SHAPE)
        self._known = 0

    def stroke(self, row: int, y: int, x: int, label: int, size: int) -> None:
        brush = np.zeros(SHAPE[1:], bool)
        brush[max(0, y - size + 1) : y + size, max(0, x - size + 1) : x + size] = True
        self.surface.paint(row, brush, label)

    def undo(self) -> None:
        self.surface.undo()
        self._known = self.surface.steps

    def redo(self) -> None:
        self.surface.redo()
        self._known = self.surface.steps

    def noted(self) -> int:
        new, self._known = self.surface.steps - self._known, self.surface.steps
        return new


TestMemoryMask = contract(MemoryRig)


def track() -> Track:
    return Track(MemoryMask("mask", SHAPE), image(), Prompt("x"))


def voxel(y: int, x: int) -> Any:
    mask = np.zeros(SHAPE[1:], bool)
    mask[y, x] = True
    return mask


def test_a_viewer_that_cannot_say_which_rows_changed_is_looked_through() -> None:
    one = track()
    one.begin_run(plan_for(), 0.5)
    for row in (0, 1):
        answer_in(one, row, None, 0.9, 64)
    one.surface.row(0)[2, 2] = 0  # behind our back, as an editor writes
    one.surface.tell(None, undone=False)  # type: ignore[attr-defined]
    assert one.touched == {0}
    assert one.edited_rows() == [0]


def test_an_undo_that_takes_the_models_answers_away_brings_them_back_where_no_person_was() -> None:
    one, seen = track(), []
    one.changed = lambda: seen.append(1)
    one.begin_run(plan_for(), 0.5)
    for row in (0, 1, 2):
        answer_in(one, row, None, 0.9, 64)
    one.surface.paint(0, voxel(1, 1), 0)  # type: ignore[attr-defined]
    for row in (0, 1, 2):
        one.surface.row(row)[...] = 0  # a snapshot of the time before the run
    one.surface.tell(None, undone=True)  # type: ignore[attr-defined]
    assert [bool(one.row(row).any()) for row in range(ROWS)] == [False, True, True, False]
    assert one.edited_rows() == [0]  # a person's: what undo says there holds
    assert seen


@settings(max_examples=15, deadline=None)
@given(first=masks, second=masks, row=rows)
def test_reverting_a_run_brings_back_what_was_there_but_for_strokes(first: Any, second: Any, row: int) -> None:
    one = track()
    other = (row + 1) % ROWS
    for mask in (first, second):
        one.begin_run(plan_for(), 0.5)
        one.put(row, mask)
        one.put(other, mask)
    one.surface.paint(other, voxel(0, 0), 0 if second[0, 0] else 1)  # type: ignore[attr-defined]
    painted = one.row(other).copy()
    assert one.revert() == 1
    assert np.array_equal(one.row(row), first)
    assert np.array_equal(one.row(other), painted)


def asked(stage: MemoryStage, tracks: Tracks, *slices: int, logit: int) -> Run:
    """A run that looks into some slices of the open image, and ends."""
    (shown,) = stage.images()
    needs: Any = {"stage": stage, "tracks": tracks, "words": ViewerWords(), "warnings": {}, "whole": True}
    run = Run(shown, [Prompt("x")], None, {"seed": logit}, **needs)  # type: ignore[arg-type]
    run.begin(plan_for(), len(slices), {"thresholds": {"existence": 0.5}, "seed": logit})
    for index in slices:
        looked = np.full((1, SIDE, SIDE), logit, np.int8)
        run.write(SliceResult(index, looked, np.array([0.9], np.float32)))
    run.end("finished")
    return run


def test_runs_are_taken_back_one_after_the_other_and_none_that_was_has_made_the_mask() -> None:
    stage = MemoryStage()
    stage.open(image().volume)
    tracks = Tracks(stage)
    (one,) = asked(stage, tracks, 0, 1, 2, logit=64).tracks
    assert asked(stage, tracks, 1, 3, logit=80).tracks == [one]
    one.surface.paint(3, voxel(0, 0), 0)  # type: ignore[attr-defined]  # a person goes on with what the second wrote
    assert [run["seed"] for run in one.runs] == [64, 80]
    assert one.revert() == 1
    assert one.how[1] == {"seed": 64}
    assert [(run["seed"], run.get("taken back")) for run in one.runs] == [(64, None), (80, [1])]
    assert one.last_run
    assert one.revert() == 3
    assert [run["seed"] for run in one.runs] == [80]
    assert [bool(one.row(row).any()) for row in range(ROWS)] == [False, False, False, True]
    assert not one.last_run


def test_a_run_is_taken_back_whole_though_another_one_overtook_it() -> None:
    one = track()
    volume = one.begin_run(plan_for(), 0.5)
    answer_in(one, 0, None, 0.9, 64, volume)
    overtakes = one.begin_run(plan_for(), 0.5)
    answer_in(one, 2, None, 0.8, 64, overtakes)
    answer_in(one, 1, None, 0.9, 64, volume)
    answer_in(one, 2, None, 0.9, 64, volume)
    assert one.revert() == 1  # the one that began last; what was found after it stays
    assert one.scores == {row: np.float32(0.9) for row in range(3)}
    assert one.revert() == 3
    assert not one.scores
    assert not one.surface.copy().any()


def test_only_the_masks_of_the_last_run_are_taken_back() -> None:
    first, second = track(), track()
    for one in (first, second):
        one.begin_run(plan_for(), 0.5, run := next(NUMBERS))
        answer_in(one, 0, None, 0.9, 64, run)
    assert revert_last([first, second]) == 1
    assert (bool(first.last_run), bool(second.last_run)) == (True, False)
    assert revert_last([first, second]) == 1
    assert revert_last([first, second]) == 0


def test_a_look_into_a_box_leaves_a_mask_of_another_day_around_it() -> None:
    one, yesterday = track(), np.zeros(SHAPE, bool)
    yesterday[1, 0:3, 0:3] = True
    one.restore(yesterday, ())
    one.recall({1: 0.9}, (), 0.5)
    box = ((0, ROWS), (2, 6), (2, 6))
    wanted = yesterday[1].copy()
    for score, logit, inside in ((0.6, 64, True), (0.1, -64, False), (0.7, 64, True)):
        one.begin_run(plan_for(box), 0.5)
        answer_in(one, 1, box, score, logit)
        wanted[2:6, 2:6] = inside
        assert np.array_equal(one.row(1), wanted)
        assert one.kept.mark(1).voxels == wanted.sum()
        assert one.kept.best() == (one.scores[1], 1)
    assert one.scores == {1: 0.9}  # the highest of all that was looked at
    assert one.kept.in_box_only == 0
    one.kept.thresholds = Thresholds(0.5, 0.99)
    one.show_again(1, one.kept.mask(1))
    wanted[2:6, 2:6] = False
    assert np.array_equal(one.row(1), wanted)
    answer_in(one, 1, None, 0.8, 127)  # the whole slice: nothing of yesterday's is left
    assert one.row(1).all()
    assert one.scores == {1: np.float32(0.8)}


@pytest.mark.parametrize("box", [None, ((0, ROWS), (2, 6), (2, 6))])
def test_reverting_a_run_brings_back_the_score_of_another_day(box: Any) -> None:
    one, yesterday = track(), np.zeros(SHAPE, bool)
    yesterday[1, 0:3, 0:3] = True
    one.restore(yesterday, ())
    one.recall({1: 0.9}, (), 0.5)
    one.begin_run(plan_for(box), 0.5)
    answer_in(one, 1, box, 0.6, 64)
    answer_in(one, 2, box, 0.6, 64)
    assert one.revert() == 2
    assert one.scores == {1: 0.9}
    assert set(one.kept.looked) == {1}
    assert one.kept.mark(1) == Mark(0.9, 9)
    assert np.array_equal(one.surface.copy() > 0, yesterday)


def test_an_offer_for_a_box_that_is_taken_leaves_the_slice_a_persons_around_it() -> None:
    one = track()
    one.surface.paint(1, voxel(0, 0))  # type: ignore[attr-defined]
    answer_in(one, 1, ((0, ROWS), (2, 6), (2, 6)), 0.6, 64)
    one.take(1)
    wanted = np.zeros(SHAPE[1:], bool)
    wanted[0, 0], wanted[2:6, 2:6] = True, True
    assert np.array_equal(one.row(1), wanted)
    one.kept.thresholds = Thresholds(0.7)
    assert not one.show_again(1, one.kept.mask(1))
    assert np.array_equal(one.row(1), wanted)


def test_an_answer_that_was_offered_in_a_volume_and_is_dropped_was_never_asked_for() -> None:
    one = track()
    one.begin_run(plan_for(), 0.5)
    answer_in(one, 1, None, 0.9, 64)
    one.surface.paint(1, voxel(0, 0), 0)  # type: ignore[attr-defined]
    kept, how = one.kept.of(1), one.how[1]
    for score in (0.6, 0.7):
        one.begin_run(plan_for(), 0.5)
        answer_in(one, 1, None, score, -64)
    assert (one.scores[1], bool(one.proposed(1).any())) == (np.float32(0.7), False)
    one.drop(1)
    assert one.kept.of(1) is kept
    assert (one.scores[1], one.kept.mark(1).score) == (np.float32(0.9), np.float32(0.9))
    assert one.how[1] is how
    one.surface.undo()  # type: ignore[attr-defined]
    one.kept.thresholds = Thresholds(0.5, 0.9)
    assert one.show_again(1, one.kept.mask(1))
    assert one.row(1).all()


def test_a_run_of_which_all_went_back_in_two_steps_has_not_made_the_mask() -> None:
    story = Told()
    story.begin(None)
    run = story.last
    story.note({"model": "x", "slices": [0, 1, 2]}, run)
    story.took_back(run, [0])
    assert [one["taken back"] for one in story.runs] == [[0]]
    story.took_back(run, [1, 2])
    assert story.runs == []
