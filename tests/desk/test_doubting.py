"""Next doubtful: painted and not accepted, then gaps and edges, then near scores; in reading order, once, with why."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from bench import Bench
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzformer import Grid, Prompt
from boltzformer.desk.masks.doubting import after, doubtful
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.track import Track
from boltzformer.types import SliceState

COUNT, SIDE = 24, 6
GRID = Grid.from_lps((COUNT, SIDE, SIDE), np.diag([1.0, 1.0, 2.0, 1.0]))


@pytest.fixture
def bench() -> Iterator[Bench]:
    one = Bench()
    yield one
    one.leave()


def found_in(*rows: int) -> np.ndarray:
    whole = np.zeros((COUNT, SIDE, SIDE), bool)
    whole[list(rows), 2:4, 2:4] = True
    return whole


def stroke(track: Track, row: int) -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[0, 0] = True
    track.surface.paint(row, mask)  # type: ignore[attr-defined]


def whys(*tracks: Track) -> list[tuple[int, str]]:
    return [(one.row, one.why) for one in doubtful(tracks)]


def test_painted_first_then_gaps_and_edges_then_near_scores_in_reading_order(bench: Bench) -> None:
    scores = dict.fromkeys(range(COUNT), 0.05) | dict.fromkeys([10, 11, 12, 15, 16], 0.9) | {20: 0.45, 4: 0.4}
    track = bench.answered(bench.open(GRID), "x", found_in(10, 11, 12, 15, 16), scores)
    stroke(track, 23)
    stroke(track, 1)
    assert whys(track) == [
        (1, "'x' painted, not accepted yet"),
        (23, "'x' painted, not accepted yet"),
        (10, "first slice of 'x'"),
        (12, "last slice of 'x'"),
        (13, "gap between slices of 'x'"),
        (14, "gap between slices of 'x'"),
        (15, "first slice of 'x'"),
        (16, "last slice of 'x'"),
        (4, "'x' score 0.40, threshold 0.50"),
        (20, "'x' score 0.45, threshold 0.50"),
    ]
    assert all(len(why.split()) <= 5 for _, why in whys(track))


def test_what_is_accepted_is_no_doubt_until_it_is_painted_again(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "x", found_in(4, 5), dict.fromkeys(range(COUNT), 0.9))
    stroke(track, 20)
    for row in (20, 4, 5):
        track.say(row, SliceState.REVIEWED)
    assert whys(track) == []
    bench.desk.keeper.next_doubtful()
    assert bench.speaker.sentence == "No slice is left to doubt; asking several seeds tells more."
    track.surface.undo()  # type: ignore[attr-defined]
    stroke(track, 4)
    assert whys(track)[0] == (4, "'x' painted, not accepted yet")


def test_where_nothing_was_asked_nobody_hears_that_nothing_is_left_to_doubt(bench: Bench) -> None:
    bench.open(GRID)
    bench.desk.keeper.next_doubtful()
    assert bench.speaker.sentence.startswith("No mask is shown that could be doubted: ask for something first")


def test_where_nobody_looked_beyond_there_is_no_edge_and_far_objects_have_no_gap_between(bench: Bench) -> None:
    track = bench.desk.tracks.new(bench.open(GRID), Prompt("x"))
    whole = found_in(3, 12)
    bench.answer(track, {row: whole[row] for row in (3, 12, 13)})
    assert whys(track) == [(12, "last slice of 'x'")]


def test_doubts_follow_the_thresholds(bench: Bench) -> None:
    scores = dict.fromkeys(range(COUNT), 0.05) | {4: 0.9, 5: 0.6, 6: 0.9}
    track = bench.answered(bench.open(GRID), "x", found_in(4, 5, 6), scores)
    assert [row for row, _ in whys(track)] == [4, 6, 5]
    bench.desk.overview.reapplying.choose(existence=0.7)
    bench.idle()
    assert (5, "gap between slices of 'x'") in whys(track)


def test_keys_walk_through_all_of_them_and_begin_again(bench: Bench) -> None:
    image = bench.open(GRID)
    track = bench.answered(
        image, "x", found_in(4, 5, 6), dict.fromkeys(range(COUNT), 0.05) | dict.fromkeys([4, 5, 6], 0.9)
    )
    stroke(track, 20)
    walked = []
    for _ in range(4):
        bench.desk.keeper.next_doubtful()
        walked.append(bench.stage.row(image))
    assert walked == [20, 4, 6, 20]
    assert bench.speaker.sentence == "Slice 20: 'x' painted, not accepted yet."


@settings(max_examples=40, deadline=None)
@given(
    found=st.sets(st.integers(0, COUNT - 1)),
    painted=st.sets(st.integers(0, COUNT - 1), max_size=5),
    accepted=st.sets(st.integers(0, COUNT - 1), max_size=8),
    gate=st.floats(0.1, 0.9),
    seed=st.integers(0, 99),
)
def test_each_slice_once_none_accepted_and_no_stroke_forgotten(
    found: set[int], painted: set[int], accepted: set[int], gate: float, seed: int
) -> None:
    bench = Bench()
    try:
        scores = dict(enumerate(np.random.default_rng(seed).random(COUNT).round(2).tolist()))
        image = bench.open(GRID)
        image.thresholds = Thresholds(gate)
        track = bench.answered(image, "x", found_in(*found) if found else np.zeros((COUNT, SIDE, SIDE), bool), scores)
        for row in painted:
            stroke(track, row)
        for row in accepted:
            track.say(row, SliceState.REVIEWED)
        doubts = doubtful([track])
        rows = [one.row for one in doubts]
        assert len(rows) == len(set(rows))
        assert not set(rows) & accepted
        open_strokes = sorted(painted - accepted)
        assert rows[: len(open_strokes)] == open_strokes
        near = [one.row for one in doubts if one.why.startswith("score")]
        assert near == sorted(near)
        if doubts:
            at, walked = rows[-1], []
            for _ in doubts:
                at = after(doubts, at, at).row
                walked.append(at)
            assert walked == rows
    finally:
        bench.leave()


def test_in_another_image_at_the_same_slice_it_begins_at_the_first(bench: Bench) -> None:
    first, second = bench.open(GRID), bench.open(GRID)
    for image, rows in ((first, (4, 9)), (second, (2, 4, 9))):
        track = bench.desk.tracks.new(image, Prompt("x"))
        for row in rows:
            stroke(track, row)
        bench.stage.go(image, 4)
    bench.stage.choose(first)
    bench.stage.go(first, 0)
    bench.desk.keeper.next_doubtful()
    bench.stage.choose(second)
    bench.desk.keeper.next_doubtful()
    assert (bench.stage.row(first), bench.stage.row(second)) == (4, 2)


def test_a_score_of_one_is_doubtful_at_no_gate(bench: Bench) -> None:
    track = bench.answered(bench.open(Grid.pixels((6, 20, 20))), "nucleus", np.ones((6, 20, 20), bool), scores=1.0)
    for gate in (0.85, 0.95, 0.5):
        track.kept.thresholds = replace(track.kept.thresholds, existence=gate)
        assert not [one for one in doubtful([track]) if "score" in one.why]
    track.scores[2] = 0.96
    assert [one.row for one in doubtful([track]) if "score" in one.why] == []
    track.kept.thresholds = replace(track.kept.thresholds, existence=0.94)
    assert [one.row for one in doubtful([track]) if "score" in one.why] == [2]
