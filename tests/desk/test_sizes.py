"""Objects under a size are hidden, the largest kept, without the model: the same on screen, in counts, table, export,
provenance; what is hidden comes back. What a person drew stays."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzformer import Grid, LabelMap, Prompt, Volume, io
from boltzformer.desk.keeping.bringing_back import as_measured
from boltzformer.desk.keeping.lesions import columns, csv_of, table_name, total
from boltzformer.desk.keeping.snapshot import frozen
from boltzformer.desk.masks.by_hand import Counts
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.overview import sentence
from boltzformer.desk.scale import Scale
from boltzformer.desk.settings import Settings
from boltzformer.image.geometry import Array
from boltzformer.masks.objects import kept

pytestmark = pytest.mark.without_engine

SHAPE = 5, 9, 12
VOXEL = 0.5 * 0.5 * 2.0
GRID = Grid.from_lps(SHAPE, np.diag([0.5, 0.5, 2.0, 1.0]))
blobs = st.integers(0, 2**16 - 1).map(lambda seed: np.random.default_rng(seed).random(SHAPE) < 0.12)


def truth(found: Array, smallest_mm3: float, largest: int | None, grid: Grid = GRID) -> Array:
    """As the command line has it."""
    labels = LabelMap(found[None].astype(np.uint8), grid, {1: "x"})
    return kept(labels, smallest_mm3=smallest_mm3, largest=largest).layers[0] > 0


def choose(bench: Bench, smallest_mm3: float = 0.0, largest: int | None = None) -> None:
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=smallest_mm3, largest=largest)
    bench.idle()


@settings(max_examples=15, deadline=None)
@given(found=blobs, smallest=st.integers(0, 12), largest=st.none() | st.integers(1, 4))
def test_one_filter_on_screen_in_counts_table_export_and_provenance(
    tmp_path_factory: Any, found: Array, smallest: int, largest: int | None
) -> None:
    folder = tmp_path_factory.mktemp("sizes")
    bench = Bench(folder=folder)
    try:
        image = bench.open(GRID)
        track = bench.answered(image, "x", found)
        before = track.surface.copy()
        assert np.array_equal(before > 0, found)
        least = smallest * VOXEL
        left = truth(found, least, largest)
        bench.desk.overview.reapplying.choose_objects(smallest_mm3=least, largest=largest)
        early = bench.desk.exporting.of(folder / "early.nii.gz").labels  # before the viewer came to show it
        bench.idle()
        assert np.array_equal(track.surface.copy() > 0, left)
        assert not track.edited_rows()
        objects = bench.desk.counting.objects[track.key]
        assert objects.voxels == left.sum()
        assert sum(track.kept.mark(row).voxels for row in range(SHAPE[0])) == left.sum()
        lesions: list[Any] = []
        bench.desk.measure(lesions.extend)
        bench.idle()
        assert len(lesions) == objects.objects
        assert sum(one.finding.voxels for one in lesions) == left.sum()
        bench.desk.exporting.to(folder / "mask.nii.gz")
        assert np.array_equal(io.read(folder / "mask.nii.gz").array > 0, left)
        assert np.array_equal(early.layers[0] > 0, left)
        told = json.loads((folder / "mask.provenance.json").read_text("utf-8"))["masks"]["x"]["thresholds, as shown"]
        sizes = {"smallest_mm3": least, "largest": largest, "apart": False} if least or largest else {}
        said = {"smallest": image.scale.small(least)} if least else {}
        assert told == {"existence": 0.5, "outline": 0.5, **sizes, **said}
        choose(bench)
        assert np.array_equal(track.surface.copy(), before)
    finally:
        bench.leave()


def speck_and_ball() -> Array:
    """20 voxels over two slices, and one alone in another."""
    found = np.zeros(SHAPE, bool)
    found[1:3, 2:4, 2:7] = True
    found[3, 8, 10] = True
    return found


def test_what_a_person_drew_stays_however_small_it_is(bench: Bench) -> None:
    image = bench.open(GRID)
    track = bench.answered(image, "x", speck_and_ball())
    stroke = np.zeros(SHAPE[1:], bool)
    stroke[0, 0] = True
    track.surface.paint(0, stroke)  # type: ignore[attr-defined]
    choose(bench, 100 * VOXEL)
    shown = track.surface.copy() > 0
    assert shown.sum() == 1
    assert shown[0, 0, 0]
    track.surface.undo()  # type: ignore[attr-defined]
    bench.idle()
    assert not track.surface.copy().any()
    assert track.surface.steps == 0  # type: ignore[attr-defined]  # hiding is no step of undo
    choose(bench)
    assert np.array_equal(track.surface.copy() > 0, speck_and_ball())


def test_a_stroke_in_a_slice_whose_small_objects_are_hidden_brings_none_of_them_back_before_the_slider_does(
    bench: Bench,
) -> None:
    image = bench.open(GRID)
    track = bench.answered(image, "x", speck_and_ball())
    choose(bench, 5 * VOXEL)
    stroke = np.zeros(SHAPE[1:], bool)
    stroke[0, 0] = True
    track.surface.paint(3, stroke)  # type: ignore[attr-defined]
    bench.idle()
    choose(bench, 5 * VOXEL)
    assert np.array_equal(track.row(3) > 0, stroke)
    choose(bench)
    assert np.array_equal(track.row(3) > 0, stroke | speck_and_ball()[3])
    track.surface.undo()  # type: ignore[attr-defined]
    bench.idle()
    assert np.array_equal(track.surface.copy() > 0, speck_and_ball())


def test_a_stroke_over_what_is_hidden_has_a_rest_and_nothing_of_it_is_lost(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "x", speck_and_ball())
    choose(bench, 25 * VOXEL)
    assert not track.surface.copy().any()
    stroke = np.zeros(SHAPE[1:], bool)
    stroke[3, 3] = stroke[0, 0] = True  # the first is of the object that is hidden there
    track.surface.paint(1, stroke)  # type: ignore[attr-defined]
    bench.idle()
    bench.desk.sizes.now()
    bench.idle()
    choose(bench)
    assert np.array_equal(track.row(1) > 0, speck_and_ball()[1] | stroke)


def test_an_object_that_grows_into_a_slice_that_is_answered_later_is_shown_then(bench: Bench) -> None:
    image = bench.open(GRID)
    found = speck_and_ball()
    track = bench.desk.tracks.new(image, Prompt("x"))
    image.thresholds = Thresholds(smallest_mm3=15 * VOXEL)
    bench.answer(track, {1: found[1]})
    assert not track.surface.copy().any()
    bench.answer(track, {2: found[2]})
    assert np.count_nonzero(track.surface.copy()) == 20


def test_nothing_is_hidden_under_a_stroke(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "x", speck_and_ball())
    bench.timers.pressed = True
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=5 * VOXEL)
    bench.until(lambda: not bench.desk.overview.reapplying.busy and not bench.desk.work.busy)
    assert bench.desk.sizes.busy
    assert np.array_equal(track.surface.copy() > 0, speck_and_ball())
    bench.timers.pressed = False
    bench.idle()
    assert np.count_nonzero(track.surface.copy()) == 20


def test_a_run_that_is_taken_back_brings_what_was_there_with_what_was_hidden(bench: Bench) -> None:
    image = bench.open(GRID)
    track = bench.answered(image, "x", speck_and_ball())
    choose(bench, 5 * VOXEL)
    bench.answer(track, {row: np.zeros(SHAPE[1:], bool) for row in range(SHAPE[0])})
    bench.desk.revert()
    choose(bench)
    assert np.array_equal(track.surface.copy() > 0, speck_and_ball())


def test_where_nothing_is_found_nothing_is_hidden(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "x", np.zeros(SHAPE, bool))
    for largest in (1, None):
        choose(bench, 5 * VOXEL, largest)
        assert bench.speaker.sentence == ""
        assert bench.desk.counting.objects[track.key] == Counts(0, 0)
        assert bench.desk.sizes.count == 0


def test_sentences_say_what_is_hidden_and_why_nothing_is_left(bench: Bench) -> None:
    image = bench.open(GRID)
    track = bench.answered(image, "x", speck_and_ball(), {1: 0.8, 3: 0.7})
    (lines,) = (bench.desk.overview.reapplying.totals,)
    assert lines == ["x: 0.011 mL in 3 of 5 slices"]
    choose(bench, 5 * VOXEL)
    assert bench.desk.overview.reapplying.totals == ["x: 0.01 mL in 2 of 5 slices"]
    assert bench.desk.sizes.count == 1
    assert sentence(track, 1, bench.desk.counting.objects[track.key]) == (
        "x · score 0.80 here · all 5 slices · 1 object, 0.01 mL"
    )
    choose(bench, 50 * VOXEL)
    assert bench.desk.overview.reapplying.totals == [
        "x: looked in 5 slices, best score 0.90 (slice 0), but no object is large enough"
    ]
    assert sentence(track, 3, bench.desk.counting.objects[track.key]).endswith(
        "score 0.70 here · all 5 slices · 0 objects"
    )
    bench.desk.overview.reapplying.reset()
    bench.idle()
    assert bench.desk.sizes.count == 0
    assert np.array_equal(track.surface.copy() > 0, speck_and_ball())


def test_two_answers_that_are_taken_at_once_both_count_and_a_stroke_meanwhile_stays(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "x", speck_and_ball())
    choose(bench, 5 * VOXEL)
    mine, answer = np.zeros(SHAPE[1:], bool), speck_and_ball()[2]
    mine[-1, -1] = True
    for row in (1, 2, 3):
        track.surface.paint(row, mine)  # type: ignore[attr-defined]
    bench.answer(track, dict.fromkeys((1, 2, 3), answer))
    assert set(track.proposals) == {1, 2, 3}
    for row in (1, 2, 3):
        bench.desk.stage.go(track.image, row)  # type: ignore[attr-defined]
        bench.desk.take(row)
    mine[-1, :3] = True
    track.surface.paint(3, mine)  # type: ignore[attr-defined]
    bench.idle()
    assert set(track.proposals) == {3}  # which is newer than the answer
    assert np.array_equal(track.mask(1), answer)
    assert np.array_equal(track.mask(2), answer)
    assert track.mask(3)[-1, :3].all()


def test_another_day_the_sizes_are_known_still(bench: Bench, tmp_path: Path) -> None:
    Settings(folder=str(tmp_path / "kept")).save()
    image = bench.open(GRID)
    bench.answered(image, "x", speck_and_ball())
    choose(bench, 5 * VOXEL)
    bench.desk.keeper.autosave()
    bench.idle()
    again = Bench(folder=tmp_path / "kept")
    other = again.open(GRID)
    again.desk.keeper.look_for(other)
    again.until(lambda: bool(again.speaker.offers))  # which says that it is there again
    again.idle()
    (track,) = again.desk.tracks.chosen()
    assert np.count_nonzero(track.surface.copy()) == 20
    assert track.kept.thresholds.smallest_mm3 == 5 * VOXEL
    assert again.desk.overview.reapplying.thresholds.smallest_mm3 == 5 * VOXEL
    assert again.desk.sizes.count == 1  # said beside the sliders, as before
    again.desk.keeper.touch(other)
    again.desk.keeper.autosave()
    again.idle()
    choose(again)  # and all of it comes back, as on the same day
    assert np.array_equal(track.surface.copy() > 0, speck_and_ball())
    again.leave()


# --- units ------------------------------------------------------------------------------------------------------------


def picture(spacing_mm: float | None, shape: tuple[int, int] = (100, 200)) -> Grid:
    whole = (1, *shape)
    return Grid.pixels(whole) if spacing_mm is None else Grid.from_lps(whole, np.diag([spacing_mm] * 3 + [1.0]))


@pytest.mark.parametrize(
    ("grid", "amount", "small", "density"),
    [
        (picture(None), "1,234 px", "50 px", "500 per megapixel"),
        (picture(0.0005), "308 µm²", "12.5 µm²", "2,000 per mm²"),
        (picture(0.2), "49.4 mm²", "2 mm²", "0.0125 per mm²"),
        (GRID, "0.62 mL", "25 mm³", ""),
        (Grid.pixels(SHAPE), "1,234 voxels", "50 voxels", ""),
    ],
)
def test_sizes_are_said_in_the_images_own_units(
    grid: Grid, amount: str, small: str, density: str, bench: Bench
) -> None:
    scale = bench.open(grid).scale
    assert scale.amount(1234) == amount
    assert scale.small(50 * scale.voxel_mm3) == small
    if scale.flat:
        assert scale.density(10, 20_000) == density


def test_a_file_that_says_where_it_lies_has_a_scale_though_it_be_1_mm_at_the_origin(bench: Bench) -> None:
    grid = Grid.pixels(SHAPE)
    scale = bench.open_volume(Volume(np.zeros(SHAPE, np.uint8), grid, name="one", placed=True)).scale
    assert scale.amount(1234) == "1.2 mL"
    assert scale.small(50) == "50 mm³"


@pytest.mark.parametrize("grid", [picture(None), picture(0.0005), picture(0.2), GRID])
def test_a_slider_begins_at_nothing_and_soon_hides_what_has_one_voxel(grid: Grid, bench: Bench) -> None:
    scale = bench.open(grid).scale
    steps = scale.steps_mm3
    assert steps[0] == 0
    assert list(steps) == sorted(steps)
    assert steps[1] <= scale.voxel_mm3 < steps[6]
    assert scale.voxels is not None
    assert 0.5 * scale.voxels <= steps[-1] / scale.voxel_mm3 <= scale.voxels  # and none reaches beyond the image


def test_what_was_chosen_without_a_scale_is_not_read_as_micrometres(bench: Bench) -> None:
    """The same pixels, first as a PNG, then as a file that says how large they are."""
    plain, known = bench.open(picture(None)), bench.open(picture(0.00025))
    at = Thresholds(0.5, 0.5, smallest_mm3=250.0)
    assert as_measured(plain, at) == at
    least = as_measured(known, at).smallest_mm3
    assert known.scale.small(least) == f"{250 * 0.25**2:.3g} µm²"
    assert as_measured(known, replace(at, smallest_mm3=least)).smallest_mm3 == least
    assert as_measured(known, replace(at, smallest_mm3=1e9)).smallest_mm3 == 0
    assert as_measured(plain, replace(at, smallest_mm3=least)).smallest_mm3 == 0  # and no 2e-05 px the other way round


def test_a_least_area_is_told_as_it_was_chosen(bench: Bench) -> None:
    image = bench.open(picture(0.00065))
    track = bench.answered(image, "cell", np.ones((1, 100, 200), bool))
    least = next(one for one in image.scale.steps_mm3 if image.scale.small(one) == "30 µm²")
    choose(bench, least)
    told = frozen(track).how_made()["thresholds, as shown"]
    assert told["smallest_mm3"] == least
    assert told["smallest"] == "30 µm²"


def test_an_object_that_is_left_out_is_in_no_number(bench: Bench) -> None:
    image = bench.open(picture(None))
    found = np.zeros((1, 100, 200), bool)
    found[0, 10:20, 10:30] = found[0, 50:52, 60:62] = True
    track, desk = bench.answered(image, "cell", found), bench.desk
    lesions: list[Any] = []
    desk.measure(lesions.extend)
    bench.idle()
    small = next(one for one in lesions if one.finding.voxels == 4)
    desk.leave_out(track, small.voxel, out=True)
    bench.idle()
    assert total(lesions, {track.key: track}) == "cell: 1 object, 200 px, 50 per megapixel, 1 left out"
    assert desk.row_of(track) == "cell · 1 object, 200 px, 1 left out · score 0.90"
    assert desk.overview.reapplying.totals == ["cell: 200 px"]
    desk.leave_out(track, small.voxel, out=False)
    bench.idle()
    assert desk.row_of(track) == "cell · 2 objects, 204 px · score 0.90"
    assert desk.overview.reapplying.totals == ["cell: 204 px"]


def test_what_is_left_out_is_told_of_the_prompt_whose_object_it_is(bench: Bench) -> None:
    image = bench.open(GRID)
    two = np.zeros(SHAPE, bool)
    two[3, 1:3, 1:3] = two[3, 6:8, 6:9] = True
    spleen, kidney = (bench.answered(image, name, two) for name in ("spleen", "kidney"))
    tracks = {one.key: one for one in (spleen, kidney)}
    lesions: list[Any] = []
    bench.desk.measure(lesions.extend)
    bench.idle()
    of = [one for one in lesions if one.mask == spleen.key]
    spleen.excluded.add(of[0].voxel)
    first, second = total(lesions, tracks).splitlines()
    assert first.startswith("spleen: 1 object, ")
    assert first.endswith(", 1 left out")
    assert second.startswith("kidney: 2 objects, ")
    assert "left out" not in second
    spleen.excluded.add(of[1].voxel)
    assert total(lesions, tracks).splitlines() == ["spleen: 0 objects, 2 left out", second]
    assert total([], tracks) == "0 objects"


def test_an_object_that_is_left_out_of_one_slice_is_in_no_number_either(bench: Bench) -> None:
    image = bench.open(GRID)
    track = bench.answered(image, "x", np.zeros((0, *SHAPE[1:]), bool))
    rows = np.zeros(SHAPE[1:], bool)
    rows[1:3, 1:3] = rows[6:8, 6:9] = True
    bench.answer(track, {3: rows})
    bench.desk.leave_out(track, (3, 1, 1), out=True)
    bench.idle()
    assert bench.desk.counting.objects[track.key] == Counts(1, 6, 1, 4)


def test_a_picture_has_objects_with_areas_count_and_density(bench: Bench) -> None:
    image = bench.open(picture(0.0005))
    found = np.zeros((1, 100, 200), bool)
    found[0, 10:20, 10:30] = found[0, 50:52, 60:62] = True
    track = bench.answered(image, "cell", found)
    assert table_name(image) == "Object table"
    assert table_name(bench.open(Grid.from_lps(SHAPE, np.diag([0.0003, 0.0003, 0.001, 1])))) == "Object table"
    assert table_name(bench.open(GRID)) == "Lesion table"
    bench.stage.choose(image)
    lesions: list[Any] = []
    bench.desk.measure(lesions.extend)
    bench.idle()
    assert columns(image.scale) == ("In", "Object", "Area, µm²", "Longest, µm", "Score")
    assert [one.texts for one in lesions] == [("cell 1", "50", "11.0", "0.90"), ("cell 2", "1", "1.1", "0.90")]
    tracks = {track.key: track}
    assert total(lesions, tracks) == "cell: 2 objects, 51 µm², 400 per mm²"
    first, second, _ = csv_of(lesions, tracks).splitlines()
    assert first == "name,number,area_px,area_um2,longest_um,x_px,y_px,mean_probability,score"
    assert second.startswith("cell,1,200,50.0,")
    assert ",19.5,14.5," in second
    track.excluded.add(lesions[0].voxel)
    assert total(lesions, tracks) == "cell: 1 object, 1 µm², 200 per mm², 1 left out"


@pytest.mark.parametrize(
    ("grid", "names", "sizes"),
    [
        (Grid.from_lps(SHAPE, np.diag([0.0003, 0.0003, 0.001, 1])), "voxels,volume_um3,longest_um", "6,0.54,0.9,"),
        (Grid.pixels(SHAPE), "voxels,longest_px", "6,"),
    ],
    ids=["micrometres", "no scale"],
)
def test_a_stack_is_saved_in_the_units_of_its_table(bench: Bench, grid: Grid, names: str, sizes: str) -> None:
    """In mm and mm³ a cell would be nothing."""
    found = np.zeros(SHAPE, bool)
    found[2:4, 3, 4:7] = True
    track = bench.answered(bench.open(grid), "cell", found)
    lesions: list[Any] = []
    bench.desk.measure(lesions.extend)
    bench.idle()
    first, second = csv_of(lesions, {track.key: track}).splitlines()
    slices = "longest_slice,first_slice,last_slice,x_px,y_px,z_px"
    assert first == f"name,number,{names},{slices},mean_probability,score"
    assert second.startswith(f"cell,1,{sizes}")
    assert ",2,2,3,5.0,3.0,2.5," in second


def test_a_volume_is_measured_in_millilitres_whatever_else_is_open(bench: Bench) -> None:
    assert columns(bench.open(GRID).scale) == ("In", "Object", "mL", "Longest, mm", "Slices", "Score")
    assert columns(Scale.of(bench.open(Grid.pixels(SHAPE)).volume))[2] == "voxels"


def test_the_plan_of_the_bench_gives_masks_back_as_they_were_given(bench: Bench) -> None:
    assert whole(bench.open(GRID)).size == 12
