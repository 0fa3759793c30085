"""Where a user points, from voxels of the stored image to pixels of what the network sees."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_orders import ORDERS, stored

from boltzformer import BoltzFormerError, Grid, Guidance, Region, SlicePlan, Window
from boltzformer.engine.answering import obeyed
from boltzformer.image.geometry import Array
from boltzformer.image.guidance import Hint, HintBox, HintPoint, as_guidance, check, hint

GRID = Grid.from_lps((7, 20, 30), np.diag([0.8, 0.8, 3.0, 1.0]))


def test_guidance_holds_plain_numbers_and_says_whether_it_says_anything() -> None:
    one = Guidance([[1, 2, 3]], box=[[9, 2, 4], [1, 5, 0]])  # type: ignore[arg-type]  # as JSON gives it
    assert one == Guidance(((1.0, 2.0, 3.0),), (), ((1.0, 2.0, 0.0), (9.0, 5.0, 4.0)))
    assert hash(one) is not None
    assert one
    assert not Guidance()
    assert as_guidance(None) == as_guidance([Guidance()]) == ()
    assert as_guidance(one) == as_guidance([one, Guidance()]) == (one,)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"here": ((1, 2),)}, "three numbers"),
        ({"here": ((1, 2, np.nan),)}, "three numbers"),
        ({"not_here": ("abc",)}, "three numbers"),
        ({"box": ((1, 2, 3),)}, "two corners"),
        ({"here": ((1, 2, 3),), "strength": -1}, "strength"),
        ({"here": ((1, 2, 3),), "width": 0}, "width"),
        ({"here": ((1, 2, 3),), "strength": np.inf}, "strength"),
    ],
)
def test_guidance_that_means_nothing_is_refused(how: dict[str, object], sentence: str) -> None:
    with pytest.raises(BoltzFormerError, match=sentence):
        Guidance(**how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (Guidance(((30, 0, 0),)), r"point 30,0,0 lies outside the image \(30×20×7 voxels\)"),
        (Guidance((), ((0, 0, -1),)), "point 0,0,-1 lies outside"),
        (Guidance(box=((31, 0, 0), (40, 5, 5))), "box from 31,0,0 to 40,5,5 lies outside the image"),
        (Guidance(((1, 1, 1),), prompt="liver"), "'liver', which is not asked"),
    ],
)
def test_places_outside_the_image_and_prompts_nobody_asks_for_are_refused(one: Guidance, sentence: str) -> None:
    with pytest.raises(BoltzFormerError, match=sentence):
        check([one], SlicePlan.of(GRID, 64, 0), ["spleen"])
    check(
        [Guidance(((29.4, 19, 6),), box=((-5, -5, 6), (3, 3, 9)), prompt="spleen")], SlicePlan.of(GRID, 64), ["spleen"]
    )


def test_a_box_outside_the_region_is_refused_and_a_point_says_nothing() -> None:
    region = Region.of_voxels(GRID, (0, 0, 1), (9, 9, 4))
    plan = SlicePlan.of(GRID, 64, 0, box=region.box(GRID, 0))
    with pytest.raises(BoltzFormerError, match="outside the region"):
        check([Guidance(box=((15, 12, 2), (20, 18, 2)))], plan, [])
    assert hint([Guidance(((20, 15, 2),))], plan, 2, "") == Hint()
    assert hint([Guidance(((5, 5, 2),))], plan, 2, "").lifts


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(ORDERS), st.sampled_from(["axial", "coronal", "sagittal"]), st.booleans(), st.data())
def test_a_point_lies_where_the_network_sees_its_voxel_however_the_image_is_stored(
    how: tuple[tuple[int, ...], tuple[bool, ...]], plane: str, boxed: bool, data: st.DataObject
) -> None:
    array, grid = stored(np.zeros(GRID.shape, np.uint8), GRID, *how)
    k, j, i = (data.draw(st.integers(0, n - 1)) for n in array.shape)
    array[k, j, i] = 255
    axis = grid.axis_of(plane)
    low = (max(i - 3, 0), max(j - 2, 0), max(k - 1, 0))
    region = Region.of_voxels(grid, low, (i, j, k)) if boxed else None
    box = None if region is None else region.box(grid, axis)
    plain = SlicePlan.of(grid, 1, axis, channels="repeat", box=box)
    plan = SlicePlan.of(grid, 4 * max(plain.crop_shape), axis, channels="repeat", box=box)  # a voxel is 4×4 pixels
    number, row, column = plan.to_pixels((i, j, k))
    seen = plan.network_slice(array, Window(0, 255), int(number))[0]
    assert number == (k, j, i)[axis]
    brightest = np.argwhere(seen == seen.max()) + 0.5  # centres of pixels
    assert np.allclose(brightest.mean(0), (row, column), atol=1.6)  # at the edge, resizing draws it outwards
    assert seen[int(row), int(column)] > 200


def test_points_and_boxes_speak_of_their_own_slices_and_prompts_only() -> None:
    plan = SlicePlan.of(GRID, 60, 0)
    points = Guidance(((3, 4, 2),), ((5, 6, 4),), prompt="a")
    boxed = Guidance(box=((2, 3, 1), (8, 9, 3)))
    for index, prompt in product(range(7), "ab"):
        said = hint([points, boxed], plan, index, prompt)
        assert len(said.points) == (index in (2, 4) and prompt == "a")
        assert len(said.boxes) == (1 <= index <= 3)
        assert said.lifts == (index == 2 and prompt == "a")
        assert bool(said) == bool(said.points or said.boxes)
    found = hint([points, boxed], plan, 2, "a")
    assert (found.points[0].row, found.points[0].column) == pytest.approx((19.0, 7.0))  # 5 rows of black above
    box = found.boxes[0]
    assert (box.top, box.left, box.bottom, box.right) == pytest.approx((16, 4, 30, 18))
    assert hint([points], plan, 4, "a").points[0].strength == -points.strength


def test_a_slice_of_one_voxel_between_two_belongs_to_the_upper_one() -> None:
    plan = SlicePlan.of(GRID, 60, 0)
    assert [hint([Guidance(((3, 4, 2.5),))], plan, index, "").lifts for index in (2, 3)] == [False, True]
    assert [bool(hint([Guidance(box=((0, 0, 2.2), (9, 9, 2.3)))], plan, n, "")) for n in (1, 2, 3)] == [0, 1, 0]


def square(low: float, high: float) -> Array:
    """(16, 16) logits: `high` on a square in the middle, `low` elsewhere."""
    logits = np.full((16, 16), low, np.float32)
    logits[6:10, 6:10] = high
    return logits


def test_an_answer_holds_where_the_user_pointed() -> None:
    doubted, sure = square(-6, -1), square(-6, 3)
    here = Hint((HintPoint(32, 32, 0, 12, True),), lifts=True, bends=64)
    assert np.array_equal(obeyed(doubted, here) > 0, square(0, 1) > 0)  # the outline is the model's own
    assert np.array_equal(obeyed(sure, here), sure)
    away = Hint((HintPoint(32, 32, 0, 4, False),), bends=64)
    assert not (obeyed(sure, away) > -7).any(where=square(0, 1) > 0)  # the whole object, at any threshold
    assert obeyed(sure, away)[0, 0] == -6
    both = Hint((*here.points, HintPoint(34, 34, 0, 4, False)), bends=64)
    assert obeyed(sure, both)[8, 8] > 0  # what was said to be there stays
    inside = obeyed(sure, Hint((), (HintBox(24, 24, 32, 40),), bends=64)) > 0
    assert inside[6:8, 6:10].all()
    assert inside.sum() == 8
    for silent in (Hint(), Hint(here.points, lifts=True)):
        assert obeyed(doubted, silent) is doubted
