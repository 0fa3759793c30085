"""Small-object mode: a box is looked at enlarged, and its masks lie where the object is."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from storage_orders import ORDERS, grid_of, rotation, stored

import boltzformer
from boltzformer import GeometryError, Grid, Region, SlicePlan, Window
from boltzformer.image.slicing import to_int8
from boltzformer.io.phantom import Phantom, phantom

GRID = Grid.from_lps((9, 20, 30), np.array([[0.7, 0, 0, -3], [0, 0.8, 0, 5], [0, 0, 2.5, 40], [0, 0, 0, 1.0]]))


def test_a_region_is_the_voxels_between_two_corners_made_square_in_the_plane() -> None:
    region = Region.of_voxels(GRID, (10, 4, 2), (13, 9, 6))
    assert region.box(GRID, 0) == ((2, 7), (4, 10), (9, 15))
    assert Region(region.high_lps_mm, region.low_lps_mm) == region
    assert Region.of_voxels(GRID, (0, 0, 0), (29, 2, 0)).box(GRID, 0) == ((0, 1), (0, 20), (0, 30))  # as far as it goes
    flat = (1, 0, 0), (0, 1, 0), (1, 1, 0)
    with pytest.raises(GeometryError, match="span no region"):
        Region((0, 0, 0), (1, 1, 1), flat)
    for wrong in (((0, 0), (1, 1)), ((0, 0, np.nan), (1, 1, 1))):
        with pytest.raises(GeometryError, match="two corners"):
            Region(*wrong)


def test_along_a_turned_grid_a_region_holds_the_voxels_that_were_named_and_survives_json() -> None:
    turned = grid_of((9, 20, 30), (2.5, 0.8, 0.7), rotation(12, -7, 30))
    region = Region.of_voxels(turned, (10, 4, 2), (15, 9, 6))
    assert region.box(turned, 0) == ((2, 7), (4, 10), (10, 16))
    mask = np.zeros(turned.shape, bool)
    mask[2:7, 4:10, 10:16] = True
    assert Region.around(turned, mask, 0).box(turned, 0) == region.box(turned, 0)
    assert Region.around(turned, mask, 1.61).box(turned, 0)[1:] == ((2, 12), (8, 18))  # 2 more each way
    back = TypeAdapter(Region).validate_json(json.dumps(asdict(region)))  # as a backend reads it
    assert back.box(turned, 0) == region.box(turned, 0)
    assert Region(**json.loads(json.dumps(asdict(region)))) == back


def test_around_what_a_first_pass_found() -> None:
    mask = np.zeros(GRID.shape, bool)
    mask[3:5, 8:11, 20:22] = True
    low, high = (np.array(corner) for corner in (GRID.world((20, 8, 3)), GRID.world((21, 10, 4))))
    region = Region.around(GRID, mask, 5)
    assert np.allclose(region.low_lps_mm, low - 5)
    assert np.allclose(region.high_lps_mm, high + 5)
    with pytest.raises(GeometryError, match="found nothing"):
        Region.around(GRID, np.zeros(GRID.shape))
    with pytest.raises(GeometryError, match="shape"):
        Region.around(GRID, np.ones((2, 2, 2)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2), st.data())
def test_what_is_seen_in_the_box_is_put_back_in_the_box(axis: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(0)
    first = tuple(data.draw(st.integers(0, n - 1)) for n in GRID.shape[::-1])
    last = tuple(data.draw(st.integers(low, n - 1)) for low, n in zip(first, GRID.shape[::-1], strict=True))
    box = Region.of_voxels(GRID, first, last).box(GRID, axis)
    inside = tuple(slice(*part) for part in box)
    array = rng.integers(0, 256, GRID.shape, dtype=np.uint8)
    shape = [high - low for low, high in box]
    side = max(n for other, n in enumerate(shape) if other != axis)
    plan = SlicePlan.of(GRID, side, axis, channels="repeat", box=box)  # nothing is resized, so all is exact
    answers = []
    for index in plan.indices:
        seen = plan.network_slice(array, Window(0, 255), index)[0]
        answers.append((index, to_int8(np.where(seen > 127, 4.0, -4.0))))
    mask = plan.masks(answers)
    expected = np.zeros_like(mask)
    expected[inside] = array[inside] > 127
    assert np.array_equal(mask, expected)


def test_all_storage_orders_see_the_same_region(small: Phantom) -> None:
    region = Region.of_voxels(small.volume.grid, (20, 30, 5), (45, 61, 8))
    seen = set()
    for order, flips in ORDERS:
        array, grid = stored(small.volume.array, small.volume.grid, order, flips)
        plan = SlicePlan.of(grid, 32, grid.axis_of("axial"), box=region.box(grid, grid.axis_of("axial")))
        middle = sorted(plan.indices, key=plan.canonical_index)[1]
        seen.add(plan.network_slice(array, Window(0, 1000), middle).tobytes())
    assert len(seen) == 1


def test_a_small_object_is_found_in_its_region_and_nothing_outside(engine: boltzformer.Engine) -> None:
    large = phantom(11, (24, 288, 288))  # balls of 5 to 10 pixels, shown to the network at a third of their size
    lesion = large.lesions[0]
    i, j, k = lesion.centre
    grid = large.volume.grid
    region = Region.of_voxels(grid, (i - 48, j - 48, k - 2), (i + 47, j + 47, k + 2))
    near = boltzformer.segment(large.volume, lesion.kind, model=engine, region=region)
    assert [one.index for one in near.slices] == list(range(k - 2, k + 3))
    mask = near.labels().layers[0] > 0
    truth = large.labels.layers[0] == {"bright blob": 1, "dark blob": 2}[lesion.kind]
    assert mask[k, j, i]
    box = np.zeros_like(mask)
    box[k - 2 : k + 3, j - 48 : j + 48, i - 48 : i + 48] = True
    assert not (mask & ~box).any()
    far = boltzformer.segment(large.volume, lesion.kind, model=engine, slices=list(range(k - 2, k + 3))).labels()

    def dice(found: np.ndarray) -> float:
        return 2 * float((found & truth & box).sum()) / float((found & box).sum() + (truth & box).sum())

    assert dice(mask) > max(0.6, dice(far.layers[0] > 0))
    with pytest.raises(boltzformer.BoltzFormerError, match="region has slices"):
        engine.segment(large.volume, lesion.kind, region=region, slices=[0])
