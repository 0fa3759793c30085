"""Sliders and strokes on a picture: thresholds and sizes move what the model marked, what a person painted or erased
stays on top, whatever is undone; one sentence says so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzformer import Grid, SliceResult, io
from boltzformer.desk.masks.track import Track
from boltzformer.desk.settings import Settings
from boltzformer.image.geometry import Array
from boltzformer.masks.objects import pieces
from boltzformer.types import SliceState

pytestmark = pytest.mark.without_engine

SHAPE = 60, 80
GRID = Grid.pixels((1, *SHAPE))


def disc(row: int, column: int, radius: float) -> Array:
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


LARGE, SPECK = disc(30, 25, 12), disc(12, 60, 2)
RIM = disc(30, 25, 16) & ~LARGE
"""Of which the model is less sure."""
PAINTED, ERASED = disc(50, 70, 1), disc(30, 30, 3)


def answered(bench: Bench, *, second: bool = False) -> Track:
    """Sure of a disc and a speck, less of a rim."""
    image = bench.open(GRID)
    track = bench.answered(image, "cell", (LARGE | SPECK)[None])
    plan = whole(image)
    sure = np.select([LARGE | SPECK, RIM], [4.0, -1.0], -6.0).astype(np.float32)
    square = plan.to_answer(sure, plan.size, -6.0)
    found = SliceResult(0, (square * 16)[None].astype(np.int8), np.array([0.9], np.float32))
    track.begin_run(plan, 0.5)
    track.answer(plan, found, 0, {})
    bench.desk.overview.show_tracks()
    assert np.array_equal(track.mask(0), LARGE | SPECK)
    return track


def paint(track: Track, where: Array, label: int = 1) -> None:
    track.surface.paint(0, where, label)  # type: ignore[attr-defined]


def undo(track: Track) -> None:
    track.surface.undo()  # type: ignore[attr-defined]


def outline(bench: Bench, at: float) -> None:
    bench.desk.overview.reapplying.choose(outline=at)
    bench.idle()


def choose(bench: Bench, **how: Any) -> None:
    bench.desk.overview.reapplying.choose_objects(**how)
    bench.idle()


def another_day(bench: Bench, kept: Path, grid: Grid = GRID) -> tuple[Bench, Track]:
    """The work that was kept of an image of one mask, opened again."""
    bench.desk.keeper.autosave()
    bench.idle()
    again = Bench(folder=kept)
    again.desk.keeper.look_for(again.open(grid))
    again.until(lambda: bool(again.speaker.offers))
    again.idle()
    (track,) = again.desk.tracks.chosen()
    return again, track


def test_thresholds_move_what_the_model_marked_and_strokes_stay(bench: Bench) -> None:
    track = answered(bench)
    paint(track, PAINTED)
    paint(track, ERASED, 0)
    bench.idle()
    steps = track.surface.steps  # type: ignore[attr-defined]
    for at, model in ((0.2, LARGE | SPECK | RIM), (0.99, np.zeros(SHAPE, bool)), (0.5, LARGE | SPECK)):
        outline(bench, at)
        assert np.array_equal(track.mask(0), (model | PAINTED) & ~ERASED)
        assert track.edited(0)
        counted = bench.desk.overview.bar.lanes[0].painted
        assert counted == {0: np.count_nonzero(track.mask(0))}
    assert track.surface.steps == steps  # type: ignore[attr-defined]  # the slider buries no stroke
    assert bench.desk.overview.reapplying.totals[1:] == [
        "cell: the sliders change what the model marked; what you painted or erased stays"
    ]


def test_what_is_painted_stays_when_the_model_reached_it_meanwhile(bench: Bench) -> None:
    track = answered(bench)
    stroke = disc(30, 39, 1)
    assert (stroke <= RIM).all()
    paint(track, stroke)
    outline(bench, 0.2)
    assert track.edited(0)  # though the model says the same now, and no new run may write over it
    outline(bench, 0.99)
    assert np.array_equal(track.mask(0), stroke)


def test_sizes_hide_what_the_model_marked_and_no_stroke_in_table_export_and_counts(
    bench: Bench, tmp_path: Path
) -> None:
    track = answered(bench)
    paint(track, PAINTED)
    choose(bench, smallest_mm3=50)
    left = LARGE | PAINTED
    assert np.array_equal(track.mask(0), left)
    assert bench.desk.sizes.count == 1
    assert bench.desk.counting.objects[track.key].objects == 2
    bench.desk.exporting.to(tmp_path / "cells.png")
    assert np.array_equal(io.read(tmp_path / "cells.png").array[0] > 0, left)
    choose(bench, largest=1)
    assert np.array_equal(track.mask(0), left)
    choose(bench)
    assert np.array_equal(track.mask(0), LARGE | SPECK | PAINTED)
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=50)
    early = bench.desk.exporting.of(tmp_path / "early.png").labels  # before the viewer came to show it
    assert np.array_equal(early.layers[0][0] > 0, left)


def test_an_object_that_a_person_drew_on_is_none_too_small(bench: Bench) -> None:
    track = answered(bench)
    paint(track, disc(12, 63, 2))
    choose(bench, smallest_mm3=100)
    assert np.array_equal(track.mask(0), LARGE | SPECK | disc(12, 63, 2))


def test_a_bridge_and_a_cut_outlive_the_parting(bench: Bench) -> None:
    two = disc(30, 20, 9) | disc(30, 36, 9)
    track = bench.answered(bench.open(GRID), "cell", two[None])
    choose(bench, apart=True)
    assert pieces(track.mask(0)).max() == 2
    bench.desk.join_objects(track, (0, 30, 28))
    bench.idle()
    assert pieces(track.mask(0)).max() == 1
    choose(bench, apart=True, smallest_mm3=10)
    assert pieces(track.mask(0)).max() == 1
    undo(track)
    whole_one = track.mask(0).copy()
    bench.desk.split_object(track, (0, 30, 20))
    bench.idle()
    cut = whole_one & ~track.mask(0)
    assert cut.any()
    assert pieces(track.mask(0)).max() == 3
    choose(bench)
    assert np.array_equal(track.mask(0), two & ~cut)  # the model's two touch again, the person's cut stays


def test_what_was_accepted_stays_as_it_is_and_says_so(bench: Bench) -> None:
    track = answered(bench)
    paint(track, PAINTED)
    track.say(0, SliceState.REVIEWED)
    bench.idle()
    before = track.mask(0).copy()
    outline(bench, 0.2)
    choose(bench, smallest_mm3=50)
    assert np.array_equal(track.mask(0), before)
    assert bench.desk.overview.reapplying.totals[1:] == ["cell: you accepted it, so no slider changes it"]


def test_another_run_is_offered_and_dropping_it_gives_the_sliders_back(bench: Bench) -> None:
    track = answered(bench)
    paint(track, PAINTED)
    bench.answer(track, {0: disc(20, 20, 5)}, 0.6)
    before = LARGE | SPECK | PAINTED
    assert np.array_equal(track.mask(0), before)
    outline(bench, 0.2)
    assert np.array_equal(track.mask(0), before)
    assert np.array_equal(track.proposed(0), disc(20, 20, 5))
    bench.desk.drop(0)
    bench.idle()
    assert track.scores[0] == pytest.approx(0.9)
    assert np.array_equal(track.mask(0), before | RIM)  # as the slider stands by now
    outline(bench, 0.99)
    assert np.array_equal(track.mask(0), PAINTED)


def test_a_stroke_over_a_hidden_object_that_is_undone_hides_it_again(bench: Bench) -> None:
    track = answered(bench)
    choose(bench, smallest_mm3=50)
    assert np.array_equal(track.mask(0), LARGE)
    paint(track, disc(12, 61, 2))
    bench.desk.sizes.now()
    bench.idle()
    assert np.array_equal(track.mask(0), LARGE | SPECK | disc(12, 61, 2))
    undo(track)
    bench.desk.sizes.now()
    bench.idle()
    assert np.array_equal(track.mask(0), LARGE)
    assert not track.edited(0)
    assert bench.desk.sizes.count == 1
    choose(bench, smallest_mm3=0)
    assert np.array_equal(track.mask(0), LARGE | SPECK)


def test_taking_what_is_offered_leaves_no_stroke_behind(bench: Bench) -> None:
    track = answered(bench)
    paint(track, PAINTED)
    bench.answer(track, {0: disc(20, 20, 5)})
    bench.desk.take(0)
    assert not track.edited(0)
    outline(bench, 0.995)
    assert not track.mask(0).any()


def test_a_run_where_strokes_were_is_one_step_with_its_objects_apart(bench: Bench) -> None:
    two = disc(30, 20, 9) | disc(30, 36, 9)
    track = bench.answered(bench.open(GRID), "cell", two[None])
    choose(bench, apart=True)
    paint(track, PAINTED)
    undo(track)
    before, steps = track.mask(0).copy(), track.surface.steps  # type: ignore[attr-defined]
    bench.answer(track, {0: two | SPECK})
    assert pieces(track.mask(0)).max() == 3
    assert track.surface.steps == steps + 1  # type: ignore[attr-defined]
    undo(track)
    bench.idle()
    assert np.array_equal(track.mask(0), before)
    track.surface.redo()  # type: ignore[attr-defined]
    bench.idle()
    assert pieces(track.mask(0)).max() == 3


def test_another_day_sizes_act_beneath_strokes_still(bench: Bench, tmp_path: Path) -> None:
    Settings(folder=str(tmp_path / "kept")).save()
    track = answered(bench)
    paint(track, PAINTED)
    paint(track, ERASED, 0)
    again, track = another_day(bench, tmp_path / "kept")
    assert np.array_equal(track.mask(0), (LARGE | SPECK | PAINTED) & ~ERASED)
    choose(again, smallest_mm3=50)
    assert np.array_equal(track.mask(0), (LARGE | PAINTED) & ~ERASED)
    again.leave()


def test_in_a_volume_what_was_hidden_comes_back_beside_what_a_person_changed_meanwhile(bench: Bench) -> None:
    answer = np.stack([LARGE | SPECK, LARGE | SPECK, LARGE])
    track = bench.answered(bench.open(Grid.pixels((3, *SHAPE))), "lesion", answer)
    choose(bench, smallest_mm3=100)
    assert not (track.mask(0) & SPECK).any()
    paint(track, ERASED, 0)
    track.surface.paint(1, ERASED, 0)  # type: ignore[attr-defined]
    track.say(1, SliceState.REVIEWED)
    bench.idle()
    assert bench.desk.sizes.count == 1
    steps = track.surface.steps  # type: ignore[attr-defined]
    choose(bench)
    assert np.array_equal(track.mask(0), (LARGE | SPECK) & ~ERASED)
    assert np.array_equal(track.mask(1), LARGE & ~ERASED)  # as it was called right
    assert track.surface.steps == steps  # type: ignore[attr-defined]
    undo(track)
    undo(track)
    assert np.array_equal(track.mask(0), LARGE | SPECK)
    assert not track.edited(0)


def test_another_day_objects_that_were_parted_are_apart_still_and_can_be_joined(bench: Bench, tmp_path: Path) -> None:
    Settings(folder=str(tmp_path / "kept")).save()
    two = disc(30, 20, 9) | disc(30, 36, 9)
    track = bench.answered(bench.open(GRID), "cell", (two | SPECK)[None])
    choose(bench, apart=True, smallest_mm3=50)
    assert pieces(track.mask(0)).max() == 2
    shown = track.mask(0).copy()
    again, track = another_day(bench, tmp_path / "kept")
    assert np.array_equal(track.mask(0), shown)
    choose(again)
    assert np.array_equal(track.mask(0), two | SPECK)
    choose(again, apart=True)
    assert pieces(track.mask(0)).max() == 3
    again.leave()


@pytest.mark.parametrize("depth", [1, 3])
def test_another_day_what_was_hidden_where_a_person_drew_comes_back(bench: Bench, tmp_path: Path, depth: int) -> None:
    Settings(folder=str(tmp_path / "kept")).save()
    grid = Grid.pixels((depth, *SHAPE))
    track = bench.answered(bench.open(grid), "cell", np.stack([LARGE | SPECK] * depth))
    choose(bench, smallest_mm3=50 * depth)
    track.surface.paint(0, PAINTED)  # type: ignore[attr-defined]
    bench.idle()
    assert np.array_equal(track.mask(0), LARGE | PAINTED)
    again, track = another_day(bench, tmp_path / "kept", grid)
    assert np.array_equal(track.mask(0), LARGE | PAINTED)
    track.surface.paint(0, PAINTED, 0)  # type: ignore[attr-defined]  # as the model left it
    choose(again)
    assert all(np.array_equal(track.mask(row), LARGE | SPECK) for row in range(depth))
    again.leave()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["paint", "erase", "undo", "outline", "sizes"]), st.integers(0, 99))))
def test_no_slider_ever_takes_a_stroke_back(tmp_path_factory: Any, acts: list[tuple[str, int]]) -> None:
    bench = Bench(folder=tmp_path_factory.mktemp("strokes"))
    try:
        track = answered(bench)
        drawn: list[tuple[Array, bool]] = []
        """Voxels that a stroke changed, and what it made of them; those that were undone are no longer here."""
        for act, number in acts:
            where = disc(10 + number % 40, 5 + (7 * number) % 70, 2)
            if act in ("paint", "erase"):
                changed = where & (track.mask(0) != (act == "paint"))
                paint(track, where, int(act == "paint"))
                if changed.any():
                    drawn.append((changed, act == "paint"))
            elif act == "undo" and drawn:
                undo(track)
                drawn.pop()
            elif act == "outline":
                outline(bench, 0.01 + 0.98 * number / 99)
            elif act == "sizes":
                choose(bench, smallest_mm3=number)
            last = np.full(SHAPE, -1)
            for changed, kind in drawn:
                last[changed] = kind
            assert track.mask(0)[last == 1].all()
            assert not track.mask(0)[last == 0].any()
    finally:
        bench.leave()


def test_no_slider_hides_what_was_accepted_though_it_was_cut_since_nor_another_day(
    bench: Bench, tmp_path: Path
) -> None:
    Settings(folder=str(tmp_path / "kept")).save()
    bench.desk.settings.folder = str(tmp_path / "kept")
    track = answered(bench)
    choose(bench, largest=2)
    bench.desk.keeper.accept()
    bench.desk.split_object(track, (0, 30, 25))
    bench.idle()
    cut = track.mask(0).copy()
    assert pieces(cut).max() == 3
    assert cut[12, 60]  # the speck, which is the third now
    assert bench.desk.sizes.count == 0
    choose(bench, largest=1)
    assert np.array_equal(track.mask(0), cut)
    assert bench.desk.overview.reapplying.totals[1:] == ["cell: it is your own work, so no slider changes it"]
    bench.desk.keeper.autosave()
    bench.idle()
    again = Bench(folder=tmp_path / "kept")
    again.desk.keeper.look_for(again.open(GRID))
    again.until(lambda: bool(again.speaker.offers))
    again.idle()
    choose(again, smallest_mm3=50)
    (back,) = again.desk.tracks.chosen()
    assert np.array_equal(back.mask(0), cut)
    again.leave()


def test_a_cut_takes_no_other_objects_place_among_the_largest(bench: Bench) -> None:
    track = answered(bench)
    choose(bench, largest=2)
    bench.desk.split_object(track, (0, 30, 25))
    bench.idle()
    assert pieces(track.mask(0)).max() == 3
    choose(bench, largest=1)
    assert pieces(track.mask(0)).max() == 2  # both halves, which are a person's
    choose(bench, smallest_mm3=300)  # a half has fewer
    assert pieces(track.mask(0)).max() == 2
    assert bench.desk.sizes.count == 1
