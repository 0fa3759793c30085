"""Objects and the lesion table, against shapes whose size is known on paper."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from skimage.measure import label, regionprops

from boltzformer import Engine, LabelMap
from boltzformer.image.geometry import Grid
from boltzformer.image.slicing import SlicePlan
from boltzformer.io.phantom import KINDS, Phantom
from boltzformer.masks.lesions import edges_of, longest_in_plane, table, to_csv
from boltzformer.masks.objects import kept, pieces, without_doubles
from boltzformer.masks.postprocess import smoothed
from boltzformer.types import Prediction, Prompt, SliceResult

SHAPE = (6, 20, 30)
GRID = Grid(SHAPE, ((0.5, 0, 0), (0, 2.0, 0), (0, 0, 3.0)), (10.0, -20.0, 30.0))


def sure_of(existence: np.ndarray, grid: Grid = GRID, logit: int = 32) -> Prediction:
    """A prediction with these (P, S) existences and one logit everywhere."""
    plan = SlicePlan.of(grid, 30, 0)
    logits = np.full((len(existence), 8, 8), logit, np.int8)
    slices = tuple(SliceResult(index, logits, existence[:, index]) for index in range(grid.shape[0]))
    return Prediction(tuple(Prompt(f"thing {p}") for p in range(len(existence))), slices, plan)


def layers(*boxes: tuple[slice, slice, slice]) -> LabelMap:
    made = np.zeros((len(boxes), *SHAPE), np.uint8)
    for number, box in enumerate(boxes):
        made[(number, *box)] = number + 1
    return LabelMap(made, GRID, {n + 1: f"thing {n}" for n in range(len(boxes))})


def test_a_box_has_the_volume_diameter_and_centre_of_a_box():
    labels = layers((slice(1, 4), slice(5, 8), slice(10, 18)))
    existence = np.array([[0.1, 0.2, 0.9, 0.4, 0.99, 0.99]], np.float32)
    (row,) = table(labels, sure_of(existence))
    assert (row.voxels, row.first_slice, row.last_slice) == (72, 1, 3)
    assert row.volume_mm3 == pytest.approx(72 * 3.0)
    # 8 columns of 0.5 mm and 3 rows of 2 mm; from the middles of the outer sides, corner pixel to corner pixel
    assert row.longest_mm == pytest.approx(np.hypot(7 * 0.5, 3 * 2.0))
    assert row.centroid_lps_mm == pytest.approx((10 + 13.5 * 0.5, -20 + 6 * 2, 30 + 2 * 3))
    assert row.existence == pytest.approx(0.9)
    assert row.mean_probability == pytest.approx(1 / (1 + np.exp(-2)))


def test_one_pixel_is_one_pixel_long_and_skimage_agrees_on_larger_things():
    steps = np.array([[0, 1.0, 0], [1.0, 0, 0]])
    assert longest_in_plane(np.ones((1, 1), bool), steps) == pytest.approx(1)
    assert longest_in_plane(np.ones((1, 9), bool), steps) == pytest.approx(9)
    blob = np.hypot(*np.mgrid[-9:10, -7:12]) < 6.3
    (theirs,) = regionprops(label(np.pad(blob, 2)))
    assert longest_in_plane(blob, steps) == pytest.approx(theirs.feret_diameter_max, abs=0.6)


def test_the_table_is_ordered_by_size_and_its_csv_has_one_line_per_object():
    labels = layers((slice(0, 1), slice(0, 1), slice(0, 1)))
    labels.layers[0, 3:5, 4:9, 3:9] = 1
    rows = table(labels, sure_of(np.ones((1, 6), np.float32)))
    assert [(row.number, row.voxels) for row in rows] == [(1, 60), (2, 1)]
    read = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert [line["voxels"] for line in read] == ["60", "1"]
    assert set(read[0]) >= {"volume_mm3", "longest_mm", "first_slice", "centroid_x_lps_mm", "existence"}
    assert table(layers((slice(0, 0), slice(0, 0), slice(0, 0))), sure_of(np.ones((1, 6), np.float32))) == []


def test_what_is_a_millionth_of_a_cubic_millimetre_is_not_written_as_nothing():
    labels = layers((slice(0, 1), slice(0, 1), slice(0, 1)))
    (row,) = table(labels, sure_of(np.ones((1, 6), np.float32)))
    (line,) = csv.DictReader(io.StringIO(to_csv([replace(row, volume_mm3=9.12345e-10)])))
    assert line["volume_mm3"] == "9.123e-10"


def test_edges_part_objects_that_touch_and_lose_no_voxel():
    mask = np.zeros(SHAPE, bool)
    mask[2, 5:12, 4:12] = mask[2, 5:12, 12:20] = True
    edges = np.zeros(SHAPE, bool)
    edges[2, 5:12, 11:13] = True
    assert pieces(mask).max() == 1
    parted = pieces(mask, edges)
    assert parted.max() == 2
    assert np.array_equal(parted > 0, mask)
    assert parted[2, 6, 5] != parted[2, 6, 18]
    assert np.array_equal(pieces(mask, mask) > 0, mask)  # nothing but edge is still an object


def test_the_models_outlines_part_the_objects_of_the_table():
    labels = layers((slice(2, 3), slice(5, 12), slice(4, 20)))
    logits, edges = np.full((1, 30, 30), 32, np.int8), np.full((1, 30, 30), -64, np.int8)
    edges[:, :, 11:13] = 64
    plan = SlicePlan.of(GRID, 30, 0)
    slices = tuple(SliceResult(k, logits, np.ones(1, np.float32), edges=edges) for k in range(SHAPE[0]))
    prediction = Prediction((Prompt("thing"),), slices, plan)
    outlines = edges_of(prediction)
    assert outlines is not None
    assert len(table(labels, prediction)) == 1
    parted = table(labels, prediction, outlines)
    assert sorted(row.voxels for row in parted) == [56, 56]
    assert edges_of(sure_of(np.ones((1, 6), np.float32))) is None


def test_small_objects_go_by_volume_and_only_the_largest_stay_when_asked():
    labels = layers((slice(0, 1), slice(0, 1), slice(0, 2)), (slice(4, 6), slice(4, 9), slice(4, 9)))
    labels.layers[0, 3:5, 4:9, 3:9] = 1
    both = kept(labels, smallest_mm3=6.0)  # two voxels of 3 mm³ are just large enough
    assert np.array_equal(both.layers, labels.layers)
    large = kept(labels, smallest_mm3=6.1)
    assert [int((large.layers == value).sum()) for value in (1, 2)] == [60, 50]
    one = kept(labels, largest=1)
    assert [int((one.layers == value).sum()) for value in (1, 2)] == [60, 50]
    empty = layers((slice(0, 0), slice(0, 0), slice(0, 0)))
    assert not kept(empty, smallest_mm3=1, largest=1).layers.any()


def test_a_tumour_in_a_liver_stays_and_the_less_sure_of_two_doubles_goes():
    liver, same = (slice(0, 6), slice(2, 18), slice(2, 28)), (slice(0, 6), slice(2, 18), slice(3, 28))
    tumour = (slice(2, 4), slice(5, 9), slice(8, 14))
    labels = layers(liver, tumour, same)
    existence = np.array([[0.8] * 6, [0.7] * 6, [0.9] * 6], np.float32)
    left = without_doubles(labels, sure_of(existence))
    assert [int((left.layers == value).sum()) for value in (1, 2, 3)] == [0, 48, int((labels.layers == 3).sum())]
    surer = without_doubles(labels, sure_of(existence[[2, 1, 0]]))
    assert [bool((surer.layers == value).any()) for value in (1, 2, 3)] == [True, True, False]
    tie = without_doubles(labels, sure_of(np.ones((3, 6), np.float32)))
    assert [bool((tie.layers == value).any()) for value in (1, 2, 3)] == [True, True, False]


def test_a_tumour_that_fills_its_slice_of_the_organ_is_no_double():
    labels = layers((slice(0, 6), slice(2, 18), slice(2, 28)), (slice(5, 6), slice(2, 18), slice(2, 28)))
    left = without_doubles(labels, sure_of(np.ones((2, 6), np.float32)))
    assert np.array_equal(left.layers, labels.layers)


def test_only_the_doubled_object_goes_not_the_others_of_its_prompt():
    labels = layers((slice(0, 2), slice(2, 6), slice(2, 6)), (slice(0, 2), slice(2, 6), slice(2, 6)))
    labels.layers[1, 4:6, 10:14, 10:14] = 2
    left = without_doubles(labels, sure_of(np.array([[0.9] * 6, [0.6] * 6], np.float32)))
    assert not (left.layers[1, :2] == 2).any()
    assert int((left.layers[1] == 2).sum()) == 32


def test_smoothing_fills_one_doubtful_slice_and_damps_a_lonely_claim():
    existence = np.array([[0.9, 0.9, 0.3, 0.9, 0.9], [0.1, 0.1, 0.9, 0.1, 0.1]], np.float32)
    steady = smoothed(existence, 3)
    assert (steady[0] >= 0.5).all()
    assert (steady[1] < 0.5).all()
    assert np.array_equal(smoothed(existence, 1), existence)


def test_the_phantoms_lesions_are_where_the_table_says(engine: Engine, made: Phantom):
    *_, prediction = engine.segment(made.volume, KINDS, seed=0)
    rows = table(prediction.labels(), prediction)
    for lesion in made.lesions:
        centre = made.volume.grid.world(lesion.centre)
        mine = [row for row in rows if row.name == lesion.kind]
        near = min(mine, key=lambda row: float(np.linalg.norm(np.array(row.centroid_lps_mm) - centre)))
        assert np.linalg.norm(np.array(near.centroid_lps_mm) - centre) < 2.5 * max(made.volume.grid.spacing_mm)
        assert near.first_slice <= lesion.centre[2] <= near.last_slice
        assert near.existence > 0.5
