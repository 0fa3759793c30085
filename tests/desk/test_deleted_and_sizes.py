"""What a person deletes in a volume whose size filter is on: the filter goes on acting on what remains of the model's
objects, and nothing that it hid comes up for it."""

from pathlib import Path

import numpy as np
import pytest
from bench import Bench

from boltzformer import Grid
from boltzformer.desk.masks.track import Track
from boltzformer.desk.settings import Settings
from boltzformer.image.geometry import Array

pytestmark = pytest.mark.without_engine

SHAPE = 6, 24, 30
GRID = Grid.from_lps(SHAPE, np.diag([1.0, 1.0, 1.0, 1.0]))
ROWS = slice(1, 5)


def ball(side: int, at: int) -> Array:
    """Through four slices, of which each holds `side`² voxels of it."""
    found = np.zeros(SHAPE, bool)
    found[ROWS, at : at + side, at : at + side] = True
    return found


FIRST, SECOND, THIRD, FOURTH = ball(6, 0), ball(5, 7), ball(4, 13), ball(3, 18)
STROKE = np.zeros(SHAPE[1:], bool)
STROKE[0, -2:] = True


def filtered(bench: Bench, largest: int | None) -> None:
    bench.desk.overview.reapplying.choose_objects(largest=largest)
    bench.idle()


def deleted(bench: Bench, where: Array) -> Track:
    """Of four objects the three largest are shown; then one of them is deleted."""
    track = bench.answered(bench.open(GRID), "x", FIRST | SECOND | THIRD | FOURTH)
    filtered(bench, 3)
    delete(bench, track, where)
    return track


def delete(bench: Bench, track: Track, where: Array) -> None:
    z, y, x = np.argwhere(where)[0]
    bench.desk.delete_object(track, (int(z), int(y), int(x)), only=False)
    bench.idle()
    bench.desk.sizes.now()
    bench.idle()


def shows(track: Track, *objects: Array) -> bool:
    return bool(np.array_equal(track.surface.copy() > 0, np.any(objects, axis=0) if objects else np.zeros(SHAPE)))


def undo(bench: Bench, track: Track) -> None:
    track.surface.undo()  # type: ignore[attr-defined]
    bench.idle()
    bench.desk.sizes.now()
    bench.idle()


def test_nothing_that_was_hidden_comes_up_where_a_person_deleted_an_object(bench: Bench) -> None:
    track = deleted(bench, SECOND)
    assert shows(track, FIRST, THIRD)
    assert bench.desk.sizes.count == 1


def test_the_filter_goes_on_acting_where_a_person_deleted_an_object_and_the_numbers_follow(
    bench: Bench, tmp_path: Path
) -> None:
    track = deleted(bench, SECOND)
    for largest, left in ((1, [FIRST]), (2, [FIRST]), (3, [FIRST, THIRD]), (None, [FIRST, THIRD, FOURTH])):
        bench.desk.overview.reapplying.choose_objects(largest=largest)
        early = bench.desk.exporting.of(tmp_path / "early.nii.gz").labels  # before the viewer came to show it
        bench.idle()
        assert np.array_equal(early.layers[0] > 0, np.any(left, axis=0))
        bench.desk.counting.now()
        bench.idle()
        voxels = sum(int(one.sum()) for one in left)
        assert shows(track, *left), largest
        counts = bench.desk.counting.objects[track.key]
        assert (counts.objects, counts.voxels) == (len(left), voxels)
        amount = track.image.scale.amount(voxels)
        assert bench.desk.overview.reapplying.totals[0] == f"x: {amount} in 4 of 6 slices"
        assert bench.desk.sizes.count == 3 - len(left)
    assert track.surface.steps == 1  # type: ignore[attr-defined]


def test_what_was_deleted_stays_away_until_that_is_undone_and_then_the_filter_holds_for_it(bench: Bench) -> None:
    track = deleted(bench, FIRST)
    filtered(bench, None)
    assert shows(track, SECOND, THIRD, FOURTH)
    filtered(bench, 2)
    assert shows(track, SECOND)
    undo(bench, track)
    assert shows(track, FIRST, SECOND)
    assert not track.edited_rows()
    filtered(bench, None)
    assert shows(track, FIRST, SECOND, THIRD, FOURTH)


def test_a_slice_that_a_person_drew_in_stays_as_it_is_though_they_deleted_there_too(bench: Bench) -> None:
    track = deleted(bench, SECOND)
    track.surface.paint(2, STROKE)  # type: ignore[attr-defined]
    bench.idle()
    filtered(bench, 1)
    drawn = np.zeros(SHAPE, bool)
    drawn[2] = STROKE
    assert shows(track, FIRST, THIRD, drawn)  # of which that slice has a part


def test_a_slice_in_which_a_person_erased_a_part_stays_theirs(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "x", FIRST | SECOND | THIRD | FOURTH)
    track.surface.paint(2, THIRD[2], 0)  # type: ignore[attr-defined]
    bench.idle()
    filtered(bench, 1)
    assert np.array_equal(track.mask(2), FIRST[2] | SECOND[2] | FOURTH[2])


def test_another_day_the_filter_acts_there_still(bench: Bench, tmp_path: Path) -> None:
    Settings(folder=str(tmp_path / "kept")).save()
    deleted(bench, SECOND)
    bench.desk.keeper.autosave()
    bench.idle()
    again = Bench(folder=tmp_path / "kept")
    again.desk.keeper.look_for(again.open(GRID))
    again.until(lambda: bool(again.speaker.offers))
    again.idle()
    (track,) = again.desk.tracks.chosen()
    assert shows(track, FIRST, THIRD)
    filtered(again, 1)
    assert shows(track, FIRST)
    filtered(again, None)
    assert shows(track, FIRST, THIRD, FOURTH)
    again.leave()
