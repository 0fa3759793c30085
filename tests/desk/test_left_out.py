"""Objects that are left out: the table, exports, what is accepted and what comes back another day agree about them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from bench import Bench, cone
from PIL import Image

from boltzformer import Grid
from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.lesions import Lesion, csv_of, included
from boltzformer.desk.keeping.table_file import ask_and_save
from boltzformer.desk.masks.track import Track
from boltzformer.desk.settings import Settings
from boltzformer.types import SliceState

pytestmark = pytest.mark.without_engine

SHAPE = 60, 90
GRID = Grid.pixels((1, *SHAPE))


def cells() -> np.ndarray:
    """Five, of which the last two are as large as each other."""
    found = np.zeros((1, *SHAPE), bool)
    for number, (row, column) in enumerate(((5, 5), (5, 40), (5, 70), (40, 70), (40, 5))):
        side = max(10 - number, 7)
        found[0, row : row + side, column : column + side] = True
    return found


def answered(bench: Bench) -> Track:
    track = bench.answered(bench.open(GRID), "cell", cells())
    bench.desk.overview.reapplying.choose_objects(apart=True)
    bench.idle()
    return track


def measured(bench: Bench) -> list[Lesion]:
    found: list[Lesion] = []
    bench.desk.measure(found.extend)
    bench.idle()
    return found


def leave_out(bench: Bench, track: Track, number: int) -> None:
    one = next(one for one in measured(bench) if one.finding.number == number)
    bench.desk.leave_out(track, one.voxel, out=True)
    bench.idle()


def areas(bench: Bench, track: Track) -> dict[int, int]:
    """As the table's file has them, by number."""
    lines = csv.DictReader(csv_of(measured(bench), {track.key: track}).splitlines())
    return {int(line["number"]): int(line["area_px"]) for line in lines}


def exported(bench: Bench, file: Path) -> dict[int, int]:
    """As the picture of numbers has them."""
    bench.desk.exporting.to(file)
    with Image.open(file.with_name(f"{file.stem}.cell.objects.png")) as image:
        numbers, counts = np.unique(np.asarray(image), return_counts=True)
    return {int(one): int(count) for one, count in zip(numbers, counts, strict=True) if one}


def test_an_object_has_the_same_number_in_the_table_and_in_the_picture_of_numbers(bench: Bench, tmp_path: Path) -> None:
    track = answered(bench)
    assert exported(bench, tmp_path / "all.png") == areas(bench, track) == {1: 100, 2: 81, 3: 64, 4: 49, 5: 49}
    leave_out(bench, track, 1)
    leave_out(bench, track, 4)
    assert exported(bench, tmp_path / "some.png") == areas(bench, track) == {2: 81, 3: 64, 5: 49}
    told = json.loads((tmp_path / "some.provenance.json").read_text("utf-8"))
    assert "what is missing was left out" in told["object numbers"]["some.cell.objects.png"]["meaning"]
    assert told["masks"]["cell"]["objects excluded"] == 2


def accepted(folder: Path) -> int:
    """So many pixels lie in the annotation folder, as other programs read it."""
    dataset = Dataset(folder)
    (name,) = dataset.entries()
    return int(np.count_nonzero(dataset.case(name).labels.layers))


def test_what_is_accepted_is_what_is_exported(bench: Bench, tmp_path: Path) -> None:
    track, keeper, folder = answered(bench), bench.desk.keeper, tmp_path / "kept"
    bench.desk.settings.folder = str(folder)
    bench.desk.overview.reapplying.choose_objects(apart=True, smallest_mm3=60)
    bench.idle()
    leave_out(bench, track, 1)
    keeper.accept()
    bench.idle()
    assert accepted(folder) == sum(exported(bench, tmp_path / "some.png").values()) == 81 + 64
    assert track.state(0) is SliceState.REVIEWED

    leave_out(bench, track, 2)  # of what was accepted already
    keeper.autosave()
    bench.idle()
    assert bench.speaker.sentence.startswith("'cell' is accepted as it counts now. Kept as revision 2 in ")
    assert accepted(folder) == sum(exported(bench, tmp_path / "fewer.png").values()) == 64
    assert track.surface.copy().sum() == 100 + 81 + 64  # all is on screen still


@pytest.mark.parametrize("accept", [False, True])
def test_another_day_what_was_left_out_is_left_out_still(bench: Bench, tmp_path: Path, accept: bool) -> None:
    Settings(folder=str(tmp_path / "kept")).save()
    bench.desk.settings.folder = str(tmp_path / "kept")
    track = answered(bench)
    if accept:
        bench.desk.keeper.accept()
    bench.desk.keeper.autosave()
    bench.idle()
    leave_out(bench, track, 1)  # the last that is done
    bench.desk.keeper.autosave()
    bench.idle()
    again = Bench(folder=tmp_path / "kept")
    image = again.open(GRID)
    again.desk.keeper.look_for(image)
    again.until(lambda: bool(again.speaker.offers))
    again.idle()
    (back,) = again.desk.tracks.chosen()
    assert np.array_equal(back.surface.copy() > 0, cells())
    assert again.desk.row_of(back) == "cell · 4 objects, 243 px, 1 left out · score 0.90"
    assert sorted(areas(again, back)) == [2, 3, 4, 5]
    assert back.state(0) is (SliceState.REVIEWED if accept else SliceState.UNSEEN)
    again.desk.leave_out(back, next(iter(back.excluded)), out=False)
    again.desk.keeper.autosave()
    again.idle()
    assert not accept or accepted(tmp_path / "kept") == cells().sum()
    again.leave()


def test_where_an_image_is_stored_turned_the_same_object_comes_back(bench: Bench, tmp_path: Path) -> None:
    grid = Grid.from_lps((4, 30, 40), np.array([[0, 0, -2.0, 0], [1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1]]))
    Settings(folder=str(tmp_path / "kept")).save()
    image = bench.open(grid)
    found = np.zeros((image.count, *image.plan.slice_shape), bool)
    found[1, 2:5, 3:9] = found[2:4, 20:26, 1:4] = True
    track = bench.answered(image, "x", found)
    bench.desk.leave_out(track, (1, 3, 4), (1, 4, 7), out=True)  # of one object, which sliders may cut in two
    bench.desk.leave_out(track, (2, 21, 2), out=True)
    bench.desk.keeper.autosave()
    bench.idle()
    again = Bench(folder=tmp_path / "kept")
    other = again.open(grid)
    again.desk.keeper.look_for(other)
    again.until(lambda: bool(again.speaker.offers))
    (back,) = again.desk.tracks.chosen()
    assert back.excluded == {(1, 3, 4), (1, 4, 7), (2, 21, 2)}
    again.desk.leave_out(back, (1, 3, 4), out=False)
    assert back.excluded == {(2, 21, 2)}
    again.leave()


def test_the_tables_file_holds_what_is_on_screen_however_old_the_table_is(bench: Bench, tmp_path: Path) -> None:
    track, desk = answered(bench), bench.desk
    bench.dialogs.chosen_file = tmp_path / "cells.csv"
    shown: list[Lesion] = []

    def save() -> list[str]:
        ask = desk.stage, desk.tracks, desk.work, desk.dialogs, desk.places, desk.notice
        ask_and_save(*ask, lambda lesions, stood: shown.__setitem__(slice(None), lesions))
        bench.idle()
        assert bench.speaker.sentence == f"Wrote {tmp_path / 'cells.csv'}"
        return (tmp_path / "cells.csv").read_text("utf-8").splitlines()[1:]

    assert len(save()) == len(shown) == 5
    desk.overview.reapplying.choose_objects(apart=True, smallest_mm3=60)
    assert len(save()) == len(shown) == 3  # at once: the viewer has not come to hide them yet
    desk.leave_out(track, shown[0].voxel, out=True)
    assert [line.split(",")[1] for line in save()] == ["2", "3"]
    assert len(shown) == 3


def test_an_object_that_grew_since_it_was_left_out_is_left_out_in_the_table_too(bench: Bench) -> None:
    track = answered(bench)
    leave_out(bench, track, 3)
    more = np.zeros(SHAPE, bool)
    more[3:7, 74:76] = True  # above it, so that another voxel is its first
    track.surface.paint(0, more)  # type: ignore[attr-defined]
    bench.idle()
    assert sorted(areas(bench, track)) == [1, 2, 4, 5]
    one = next(one for one in measured(bench) if not included(one, {track.key: track}))
    bench.desk.leave_out(track, *one.voxels, out=False)
    assert len(areas(bench, track)) == 5
    assert not track.excluded


def test_both_halves_of_an_object_that_was_left_out_stay_left_out(bench: Bench) -> None:
    track = answered(bench)
    leave_out(bench, track, 1)
    bench.desk.split_object(track, (0, 9, 9))
    bench.idle()
    assert bench.speaker.sentence.startswith("One object is two now: 4 objects of 'cell', 2 left out.")
    assert bench.desk.row_of(track) == "cell · 4 objects, 243 px, 2 left out · score 0.90"
    track.surface.undo()  # type: ignore[attr-defined]
    bench.idle()
    assert bench.desk.row_of(track) == "cell · 4 objects, 243 px, 1 left out · score 0.90"
    one = next(one for one in measured(bench) if not included(one, {track.key: track}))
    bench.desk.leave_out(track, *one.voxels, out=False)
    assert len(areas(bench, track)) == 5


def test_an_undo_of_a_mask_from_elsewhere_leaves_out_again_what_was(bench: Bench) -> None:
    track = answered(bench)
    leave_out(bench, track, 1)
    before = set(track.excluded)
    bench.desk.begin_from(track.image, np.roll(cells(), 3, axis=1), "theirs", "cell")
    bench.idle()
    assert not track.excluded
    track.surface.undo()
    assert track.excluded == before


def test_what_was_left_out_is_left_out_whatever_the_sliders_say(bench: Bench) -> None:
    """What a slider hides of an object, or all of it, is left out when it comes back."""
    track, sliders = cone(bench), bench.desk.overview.reapplying
    (one,) = measured(bench)
    bench.desk.leave_out(track, *one.voxels, out=True)
    for how in ({"outline": 0.55}, {"outline": 0.95}, {"existence": 0.7}, {"existence": 0.95}, {"existence": 0.5}):
        sliders.choose(**how)
        bench.idle()
        assert not any(included(one, {track.key: track}) for one in measured(bench)), how
        assert bool(track.surface.copy().any()) == (how != {"existence": 0.95})
    sliders.choose(outline=0.5, existence=0.95)
    bench.idle()
    sliders.choose(existence=0.7)  # one of two slices
    bench.idle()
    (one,) = measured(bench)
    bench.desk.leave_out(track, *one.voxels, out=False)
    sliders.choose(existence=0.5)
    bench.idle()
    assert [included(one, {track.key: track}) for one in measured(bench)] == [True]


def test_what_is_left_out_and_hidden_by_a_slider_is_left_out_another_day(bench: Bench, tmp_path: Path) -> None:
    Settings(folder=str(tmp_path / "kept")).save()
    track = cone(bench)
    (one,) = measured(bench)
    bench.desk.leave_out(track, *one.voxels, out=True)
    bench.desk.overview.reapplying.choose(existence=0.95)
    bench.idle()
    bench.desk.keeper.autosave()
    bench.idle()
    again = Bench(folder=tmp_path / "kept")
    image = again.open(track.image.volume.grid)
    again.desk.keeper.look_for(image)
    again.until(lambda: bool(again.speaker.offers))
    (back,) = again.desk.tracks.chosen()
    assert not back.surface.copy().any()
    again.desk.overview.reapplying.choose(existence=0.5)
    again.answer(back, {1: np.ones(back.shape[1:], bool)})
    assert [included(one, {back.key: back}) for one in measured(again)] == [False]
    again.leave()
