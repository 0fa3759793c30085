"""From a volume to network slices and back: equal to the reference, and to itself in all 48 ways to store a volume."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from storage_orders import ORDERS, grid_of, rotation, stored

from boltzformer import BoltzFormerError, GeometryError, Grid, LabelMap, SlicePlan, Volume, Window
from boltzformer.image.resampling import nearest, resize
from boltzformer.image.slicing import axis_by_shape, to_int8

settings.register_profile("busy machine", deadline=None, max_examples=60)
settings.load_profile("busy machine")
GOLDENS = Path(__file__).parent / "goldens"
AS_STORED = Window(0, 255)
TILT = np.array([(1, 0, 0), (0, 1, np.tan(np.radians(20))), (0, 0, 1)])
VOLUMES = {
    "isotropic": grid_of((12, 15, 18), (1, 1, 1)),
    "thick slices": grid_of((7, 21, 16), (5, 0.7, 0.7)),
    "oblique": grid_of((9, 14, 11), (2.5, 0.8, 0.8), rotation(12, -7, 23)),
    "sheared": grid_of((9, 14, 11), (3, 0.9, 0.9), rotation(5, 3, -8) @ TILT),
    "at 45°": grid_of((6, 6, 6), (1, 1, 1), rotation(45, 45, 0)),
    "one slice": grid_of((1, 17, 12), (1, 1, 1), rotation(4, 0, 90)),
}


def golden(name: str):
    return load_file(GOLDENS / f"{name}.safetensors"), json.loads((GOLDENS / f"{name}.json").read_text("utf-8"))


def picture(shape, dtype=np.uint8) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, shape, endpoint=True).astype(dtype)


def reference_plan(shape, size: int, **how) -> SlicePlan:
    return SlicePlan.of(Grid.pixels(shape), size, axis_by_shape(shape), resampler="bicubic", orient=False, **how)


# --- equal to the reference -------------------------------------------------------------------------------------------


def test_packing_is_the_references():
    tensors, _ = golden("v2_slice_packing")
    mean, deviation = (tensors[f"outputs/pixel_{name}"].mean() for name in ("mean", "std"))
    names = [name for name in tensors if name.startswith("inputs/")]
    assert names
    for name in names:
        volume = tensors[name][0]
        expected = tensors[name.replace("inputs", "outputs").replace("volume", "packed_normalised")]
        plan = SlicePlan.of(Grid.pixels(volume.shape), max(volume.shape), 0, orient=False)
        for index in range(plan.count):
            packed = (volume[list(plan.neighbours(index))] - mean) / deviation
            assert np.allclose(packed, expected[index], rtol=1e-6, atol=1e-6)


def test_a_network_slice_holds_the_references_channels():
    tensors, _ = golden("v2_slice_packing")
    mean, deviation = (tensors[f"outputs/pixel_{name}"].mean() for name in ("mean", "std"))
    volume = tensors["inputs/D5/volume"][0]
    rows, columns = volume.shape[1:]
    plan = reference_plan(volume.shape, max(rows, columns))
    top, left = ((plan.size - n) // 2 for n in (rows, columns))
    for index in range(plan.count):
        seen = plan.network_slice(volume, AS_STORED, index)[:, top : top + rows, left : left + columns]
        expected = tensors["outputs/D5/packed_normalised"][index]
        assert np.allclose((seen - mean) / deviation, expected, rtol=1e-6, atol=1e-6)


def test_padding_and_resizing_are_the_references():
    tensors, facts = golden("v2_pre_post_processing")
    names = [name for name in tensors if name.startswith("inputs/") and name.endswith("/volume")]
    assert names
    for name in names:
        volume, case = tensors[name], facts["cases"][name.split("/")[1].split("_")[0]]
        resized = tensors[name.replace("inputs", "outputs").replace("volume", "resized")]
        as_int = tensors[name.replace("inputs", "outputs").replace("volume", "as_int")]
        plan = reference_plan(volume.shape, case["size"])
        assert plan.axis == case["valid_axis"]
        ours = np.stack([plan.to_network(plane) for plane in plan.view.apply(volume)])
        assert ours.dtype == resized.dtype
        if volume.dtype == np.uint8:
            assert np.array_equal(ours, resized)
            assert np.array_equal(ours.astype(np.int32), as_int)
            stack = np.stack([plan.network_slice(volume, AS_STORED, index)[0] for index in range(plan.count)])
            assert np.array_equal(stack, resized)
        else:
            assert np.abs(ours - resized).max() <= 2e-3
            cut_off = np.abs(resized - np.rint(resized)) > 2e-3  # where a rounding error can't move it
            assert np.array_equal(ours.astype(np.int32)[cut_off], as_int[cut_off])


def test_label_maps_go_back_as_the_references_do():
    tensors, facts = golden("v2_pre_post_processing")
    cases = [case for case in facts["cases"] if f"inputs/{case}/label_map_at_model_size" in tensors]
    pipelines = [case for case in facts["cases"] if f"outputs/{case}/merged_labels" in tensors]
    assert cases
    assert pipelines
    for case in cases:
        original = tensors[f"outputs/{case}/label_map_original_space"]
        plan = reference_plan(original.shape, facts["cases"][case]["size"])
        assert np.array_equal(plan.restore(tensors[f"inputs/{case}/label_map_at_model_size"]), original)
    for case in pipelines:
        plan = reference_plan(facts["cases"][case]["original_shape"], facts["cases"][case]["model_size"])
        labels = plan.restore(tensors[f"outputs/{case}/merged_labels"])
        assert np.array_equal(labels, tensors[f"outputs/{case}/final_labels"])


def test_logits_grow_as_the_references_do():
    tensors, _ = golden("v2_pre_post_processing")
    names = [name for name in tensors if name.startswith("inputs/pipeline") and name.endswith("/logits")]
    assert names
    for name in names:
        expected = tensors[name.replace("inputs", "outputs").replace("logits", "upsampled_logits")]
        for prompt, slices in enumerate(tensors[name]):
            for index, logits in enumerate(slices):
                ours = resize(logits, expected.shape[2:], "antialiased")
                assert np.abs(ours - expected[prompt, index]).max() <= 3e-5


def test_the_reference_chooses_its_axis_by_shape():
    _, facts = golden("v2_pre_post_processing")
    for shape, axis in facts["cases"]["get_axis_table"]:
        assert axis_by_shape(shape) == axis


sides = st.integers(1, 70)


@given(sides, sides, sides, st.integers(2, 70), st.sampled_from(("bicubic", "antialiased")), st.booleans())
def test_uint8_is_resized_bit_for_bit_as_by_torch(h, w, rows, columns, resampler, black_and_white):
    plane = picture((h, w)) if not black_and_white else (picture((h, w)) > 127).astype(np.uint8) * 255
    whole = torch.from_numpy(plane)[None, None]
    antialias = resampler == "antialiased"
    expected = torch.nn.functional.interpolate(whole, (rows, columns), mode="bicubic", antialias=antialias)
    assert np.array_equal(resize(plane, (rows, columns), resampler), expected[0, 0].numpy())


@given(sides, sides, sides, st.integers(2, 70), st.sampled_from(("bicubic", "antialiased")))
def test_decimals_are_resized_as_by_torch(h, w, rows, columns, resampler):
    plane = np.random.default_rng(h + 99 * w).normal(0, 4, (h, w)).astype(np.float32)
    whole = torch.from_numpy(plane)[None, None]
    antialias = resampler == "antialiased"
    expected = torch.nn.functional.interpolate(whole, (rows, columns), mode="bicubic", antialias=antialias)
    ours = resize(plane, (rows, columns), resampler)
    assert np.abs(ours - expected[0, 0].numpy()).max() < 2e-4
    part = resize(plane, (rows, columns), resampler, (slice(rows // 3, rows), slice(0, columns // 2 + 1)))
    assert np.array_equal(part, ours[rows // 3 :, : columns // 2 + 1])


@given(sides, sides, sides, sides)
def test_labels_are_resized_as_by_torch(h, w, rows, columns):
    labels = picture((2, h, w))
    expected = torch.nn.functional.interpolate(torch.from_numpy(labels)[None].float(), (rows, columns), mode="nearest")
    assert np.array_equal(nearest(labels, (rows, columns)), expected[0].numpy())


# --- equal to itself, however it is stored ----------------------------------------------------------------------------


@pytest.mark.parametrize("grid", VOLUMES.values(), ids=list(VOLUMES))
@pytest.mark.parametrize("colour", [False, True], ids=["gray", "colour"])
def test_network_slices_are_bit_equal_in_all_48_ways_to_store_a_volume(grid, colour):
    array = picture((*grid.shape, 3) if colour else grid.shape, np.int16) * 3 - 200
    channels = "rgb" if colour else "neighbours"
    plan, window = SlicePlan.of(grid, 16, channels=channels), Window.guess(array)
    expected = [plan.network_slice(array, window, plan.canonical_index(number)) for number in range(plan.count)]
    for order, flips in ORDERS:
        other, its_grid = stored(array, grid, order, flips)
        its_plan, its_window = SlicePlan.of(its_grid, 16, channels=channels), Window.guess(other)
        assert (its_plan.count, its_plan.plane) == (plan.count, plan.plane)
        for number in range(plan.count):
            seen = its_plan.network_slice(other, its_window, its_plan.canonical_index(number))
            assert np.array_equal(seen, expected[number]), (order, flips, number)


@pytest.mark.parametrize("grid", VOLUMES.values(), ids=list(VOLUMES))
def test_masks_lie_at_the_same_place_in_the_world_in_all_48_ways(grid):
    answers = to_int8(np.random.default_rng(8).normal(0, 3, (max(grid.shape), 6, 6)))  # by canonical slice number

    def marked(grid: Grid) -> np.ndarray:
        plan = SlicePlan.of(grid, 24)
        mask = plan.masks((plan.canonical_index(number), answers[number]) for number in range(plan.count))
        return grid.world(np.argwhere(mask)[:, ::-1])

    def sorted_points(points: np.ndarray) -> np.ndarray:
        return points[np.lexsort(np.round(points, 5).T)]

    expected = sorted_points(marked(grid))
    assert len(expected) > 10
    for order, flips in ORDERS:
        _, its_grid = stored(np.broadcast_to(np.uint8(0), grid.shape), grid, order, flips)
        points = sorted_points(marked(its_grid))
        assert points.shape == expected.shape
        assert np.abs(points - expected).max() < 1e-6, (order, flips)


# --- there and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(9, 61, 40), (9, 40, 61), (1, 33, 47), (5, 64, 64), (4, 90, 31)])
@pytest.mark.parametrize("size", [32, 48, 96])
@pytest.mark.parametrize("turned", [np.eye(3), np.diag([-1.0, -1.0, -1.0]), rotation(90, 0, 0)])
def test_what_the_network_marks_comes_back_where_it_was(shape, size, turned):
    grid = grid_of(shape, (3, 1, 1), turned)
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    disc = (y - 0.4 * shape[1]) ** 2 + (x - 0.6 * shape[2]) ** 2 < (0.25 * min(shape[1:])) ** 2
    disc &= (z != 1) | (shape[0] == 1)
    plan = SlicePlan.of(grid, size)
    seen = [plan.network_slice(disc * np.uint8(255), AS_STORED, index)[0] for index in range(plan.count)]
    back = plan.masks((index, to_int8((plane - 127.5) / 32)) for index, plane in enumerate(seen))
    assert 2 * (back & disc).sum() / (back.sum() + disc.sum()) > 0.97
    assert not back[1].any() if shape[0] > 1 else back[0].any()
    assert np.abs(np.argwhere(back).mean(0) - np.argwhere(disc).mean(0)).max() < 0.3


@given(
    st.tuples(*[st.integers(1, 12)] * 3),
    st.sampled_from((0, 1, 2)),
    st.sampled_from((np.uint8, np.int16, np.uint16, np.float32, np.float64, np.bool_, ">i2")),
    st.sampled_from(("neighbours", "repeat", "rgb")),
    st.sampled_from(("bicubic", "antialiased")),
    st.booleans(),
    st.integers(1, 20),
    st.tuples(*[st.floats(-180, 180)] * 3),
)
def test_any_shape_and_type_goes_there_and_back(shape, axis, dtype, channels, resampler, colour, size, degrees):
    grid = grid_of(shape, (2, 1, 1), rotation(*degrees))
    array = picture((*shape, 3) if colour else shape).astype(dtype)
    plan = SlicePlan.of(grid, size, axis, channels=channels, resampler=resampler)
    window = Window.guess(array)
    for index in (0, plan.count - 1):
        seen = plan.network_slice(array, window, index)
        assert (seen.shape, seen.dtype) == ((3, size, size), np.float32)
        assert 0 <= seen.min() <= seen.max() <= 255
        assert plan.canonical_index(plan.canonical_index(index)) == index
        assert plan.mask(to_int8(seen[0])).shape == plan.slice_shape
    everything = np.full((size, size), 127, np.int8)
    marked = plan.masks([(plan.count - 1, everything)])
    assert np.array_equal(np.flatnonzero(marked.any(axis=tuple({0, 1, 2} - {axis}))), [plan.count - 1])
    assert marked.sum() == marked.size // plan.count
    label_numbers = np.arange(1, plan.count + 1)[:, None, None] * np.ones((1, size, size), np.int64)
    assert np.array_equal(plan.view.apply(plan.restore(label_numbers))[:, 0, 0], np.arange(1, plan.count + 1))


# --- channels ---------------------------------------------------------------------------------------------------------


def gradient(*shape) -> np.ndarray:
    """Slice n holds the value 10·n everywhere."""
    return np.broadcast_to(10 * np.arange(shape[0], dtype=np.uint8)[:, None, None], shape)


def test_neighbours_are_before_and_after_and_mirror_at_the_ends():
    plan = SlicePlan.of(Grid.pixels((4, 8, 8)), 8, 0)
    seen = [plan.network_slice(gradient(4, 8, 8), AS_STORED, n)[:, 0, 0].tolist() for n in range(4)]
    assert seen == [[0, 10, 10], [10, 0, 20], [20, 10, 30], [30, 20, 20]]


def test_before_is_before_in_the_canonical_order_not_in_the_file():
    downwards = grid_of((4, 8, 8), (1, 1, 1), np.diag([1.0, 1.0, -1.0]))
    plan = SlicePlan.of(downwards, 8, 0)
    assert plan.network_slice(gradient(4, 8, 8), AS_STORED, 1)[:, 0, 0].tolist() == [10, 20, 0]


def test_repeat_shows_one_slice_three_times():
    plan = SlicePlan.of(Grid.pixels((4, 8, 8)), 8, 0, channels="repeat")
    assert plan.network_slice(gradient(4, 8, 8), AS_STORED, 2)[:, 0, 0].tolist() == [20, 20, 20]


def test_colour_is_luma_for_a_gray_model_and_gray_is_repeated_for_a_colour_model():
    colour = np.zeros((3, 8, 8, 3), np.uint8)
    colour[0], colour[1], colour[2] = (255, 255, 255), (200, 100, 50), (0, 0, 255)
    grid = Grid.pixels((3, 8, 8))

    def seen(channels, array):
        return SlicePlan.of(grid, 8, 0, channels=channels).network_slice(array, AS_STORED, 1)[:, 0, 0].tolist()

    assert seen("rgb", colour) == [200, 100, 50]
    assert seen("neighbours", colour) == [124, 255, 29]
    assert seen("repeat", colour) == [124, 124, 124]
    assert seen("rgb", gradient(3, 8, 8)) == [10, 10, 10]


# --- what is refused, and small things --------------------------------------------------------------------------------


def test_thresholds_at_both_ends_and_beyond():
    plan = SlicePlan.of(Grid.pixels((1, 8, 8)), 8)
    logits = np.full((8, 8), -128, np.int8)
    assert plan.mask(logits, 0).all()
    assert not plan.mask(-1 - logits, 1).any()
    assert plan.mask(np.zeros((8, 8), np.int8), 0.5).all()
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(BoltzFormerError, match="from 0 to 1"):
            plan.mask(logits, threshold)


def test_an_image_on_another_grid_is_refused():
    plan = SlicePlan.of(Grid.pixels((4, 8, 8)), 8)
    with pytest.raises(GeometryError, match="make a plan for the grid of this image"):
        plan.network_slice(np.zeros((4, 8, 9)), AS_STORED, 0)


@pytest.mark.parametrize("wrong", [{"axis": 3}, {"size": 0}, {"channels": "hsv"}, {"resampler": "lanczos"}])
def test_impossible_plans_are_refused(wrong):
    with pytest.raises(BoltzFormerError, match=r"can't be cut|does not know"):
        SlicePlan.of(Grid.pixels((4, 8, 8)), **{"size": 8, **wrong})


def test_a_known_stacking_axis_wins_over_the_guess_and_is_no_part_of_the_grid():
    grid = grid_of((20, 30, 30), (1, 1, 1))  # isotropic: would be cut axially
    array = picture(grid.shape)
    assert Volume(array, grid).slice_axis == 0
    assert Volume(array, grid, stacking_axis=2).slice_axis == 2
    assert SlicePlan.of(grid, 8, Volume(array, grid, stacking_axis=2).slice_axis).plane == "sagittal"
    assert Volume(array, grid, stacking_axis=2).grid == Volume(array, grid).grid
    with pytest.raises(GeometryError, match="give 0, 1 or 2"):
        Volume(array, grid, stacking_axis=3)


def test_a_label_map_holds_uint8_labels_from_1_to_255():
    grid = Grid.pixels((1, 4, 4))
    for layers, names in ((np.zeros((1, 1, 4, 4), int), {1: "a"}), (np.zeros((1, 1, 4, 4), np.uint8), {0: "a"})):
        with pytest.raises(GeometryError, match="labels from 1 to 255"):
            LabelMap(layers, grid, names)


def test_plans_are_values():
    grid = grid_of((4, 5, 6), (1, 1, 1))
    assert len({SlicePlan.of(grid, 8), SlicePlan.of(grid, 8), SlicePlan.of(grid, 9)}) == 2
