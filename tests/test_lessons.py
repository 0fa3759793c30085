"""Lessons of a case and what they say about the slices between and beside them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from boltzformer import BoltzFormerError, Grid, LabelMap, Lesson, SlicePlan
from boltzformer.learn.adapt import scattered
from boltzformer.masks.lessons import (
    Adapted,
    Adapter,
    Fit,
    checked,
    hash_of,
    lessons_of,
    packed,
    unpacked,
    without_specks,
)
from boltzformer.masks.neighbours import Neighbours, fitted
from boltzformer.protocol import SentLesson, decode, encode

GRID = Grid.from_lps((20, 40, 48), np.diag([0.5, 0.5, 2.0, 1.0]))
PLAN = SlicePlan.of(GRID, 64, 0)


def disc(row: float, column: float, radius: float) -> NDArray[np.bool_]:
    y, x = np.ogrid[:40, :48]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


EMPTY = np.zeros((40, 48), bool)


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_a_speck_at_the_end_of_an_organ_keeps_nobody_from_learning() -> None:
    shown, speck, empty = Lesson(3, disc(20, 20, 5)), Lesson(4, disc(20, 20, 0.5)), Lesson(5, EMPTY)
    assert without_specks([shown, speck, empty]) == (shown, empty)
    assert without_specks([speck, empty]) == (speck, empty)  # which is refused with a word


@pytest.mark.parametrize(
    ("lessons", "said"),
    [
        ([], "no lesson"),
        ([Lesson(3, EMPTY), Lesson(4, EMPTY)], "All lessons are empty"),
        ([Lesson(3, disc(20, 20, 0.5))], "slice 3 marks 1 pixel:"),
        ([Lesson(3, disc(20, 20, 5)), Lesson(3, disc(20, 22, 5))], "Two lessons of slice 3 contradict"),
        ([Lesson(3, disc(20, 20, 5)[:30])], "slice 3 has 30×48 pixels, the image's slices have 40×48"),
        ([Lesson(20, disc(20, 20, 5))], "no slice 20 to learn from: the image has slices 0 to 19"),
        ([Lesson(3, disc(20, 20, 5), weight=0)], "slice 3 weighs 0"),
        ([Lesson(3, disc(20, 20, 5), weight=float("nan"))], "slice 3 weighs nan"),
    ],
)
def test_lessons_that_can_not_teach_are_refused_in_one_sentence(lessons: list[Lesson], said: str) -> None:
    with pytest.raises(BoltzFormerError, match=said):
        checked(lessons, PLAN)


def test_a_mask_on_another_grid_is_no_lesson() -> None:
    labels = LabelMap(np.ones((1, 20, 40, 47), np.uint8), Grid.pixels((20, 40, 47)), {1: "disc"})
    with pytest.raises(BoltzFormerError, match="20×40×47 voxels, the image 20×40×48"):
        lessons_of(labels, 1, [3], PLAN)


def test_listed_slices_become_lessons_and_one_without_a_voxel_says_that_nothing_is_there() -> None:
    array = np.zeros((1, 20, 40, 48), np.uint8)
    array[0, 3] = disc(20, 20, 5)
    lessons = lessons_of(LabelMap(array, GRID, {1: "disc"}), 1, [9, 3, 9], PLAN)
    assert [one.index for one in lessons] == [9, 3]
    seen = PLAN.view.apply(array[0])
    assert np.array_equal(lessons[1].mask, seen[PLAN.canonical_index(3)] > 0)
    assert not lessons[0].mask.any()
    with pytest.raises(BoltzFormerError, match="no slice 20"):
        lessons_of(LabelMap(array, GRID, {1: "disc"}), 1, [20], PLAN)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_a_lesson_arrives_as_it_was_sent(rows: int, columns: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((rows, columns)) < 0.5
    assert np.array_equal(unpacked(packed(mask), mask.shape), mask)
    back = SentLesson.of(Lesson(7, mask, 2.0)).opened()
    assert (back.index, back.weight) == (7, 2.0)
    assert np.array_equal(back.mask, mask)


@pytest.mark.parametrize("mask", ["no base 64!", "", "AAAA", SentLesson.of(Lesson(0, EMPTY)).mask[:-4]])
def test_a_lesson_that_was_damaged_on_the_way_is_refused(mask: str) -> None:
    with pytest.raises(BoltzFormerError, match="lesson's mask is no"):
        SentLesson(0, 40, 48, mask).opened()


def test_a_small_message_can_not_unpack_to_a_large_mask() -> None:
    bomb = packed(np.zeros((8192, 8192), bool))
    with pytest.raises(BoltzFormerError, match="no mask of 40×48"):
        unpacked(bomb, (40, 48))


def test_between_two_lessons_a_moving_disc_is_interpolated() -> None:
    near = Neighbours([Lesson(2, disc(12, 12, 5)), Lesson(10, disc(28, 28, 9))], PLAN)
    assert dice(near.mask(6), disc(20, 20, 7)) > 0.9
    said = near.logits(6)
    assert said is not None
    assert np.array_equal(said > 0, near.mask(6))


def test_an_object_ends_half_way_to_an_empty_lesson() -> None:
    near = Neighbours([Lesson(2, disc(20, 20, 6)), Lesson(10, EMPTY)], PLAN)
    areas = [int(near.mask(index).sum()) for index in range(3, 10)]
    assert areas[:3] == sorted(areas[:3], reverse=True)
    assert areas[0] > 0
    assert not any(areas[3:])


def test_between_two_empty_lessons_and_beyond_one_nothing_is_believed_to_be_there() -> None:
    near = Neighbours([Lesson(2, disc(20, 20, 6)), Lesson(6, EMPTY), Lesson(10, EMPTY)], PLAN)
    for index in (7, 8, 9, 12, 19):
        said = near.logits(index)
        assert said is not None
        assert said.max() < 0


def test_beside_the_outermost_lesson_it_is_believed_less_and_less() -> None:
    near = Neighbours([Lesson(2, disc(20, 20, 6)), Lesson(4, disc(20, 20, 6))], PLAN)
    said = [near.logits(index) for index in (5, 8, 12, 19)]
    most = [float(one.max()) for one in said if one is not None]
    assert most == sorted(most, reverse=True)
    assert most[-1] < 0.5 * most[0]
    assert not near.mask(12).any()


def test_a_lesson_left_out_says_nothing() -> None:
    near = Neighbours([Lesson(2, disc(20, 20, 6)), Lesson(4, disc(20, 20, 6))], PLAN)
    alone = Neighbours([Lesson(4, disc(20, 20, 6))], PLAN)
    assert near.logits(2) is not None
    assert np.array_equal(near.logits(2, {2}), near.logits(2))  # type: ignore[arg-type]
    assert np.array_equal(near.logits(3, {2}), alone.logits(3))  # type: ignore[arg-type]
    assert alone.logits(4) is None


def test_what_stands_still_is_believed_more_than_what_jumps() -> None:
    still = [Lesson(index, disc(20, 20, 7)) for index in (2, 6, 10, 14)]
    jumping = [Lesson(index, disc(9 + 18 * (n % 2), 12 + 20 * (n % 2), 7)) for n, index in enumerate((2, 6, 10, 14))]
    calm, wild = fitted(still, PLAN), fitted(jumping, PLAN)
    assert calm.pace < wild.pace
    assert calm.strays < 0.05 < 0.3 < wild.strays
    assert fitted(still[:1], PLAN) == Fit()


def test_the_order_of_lessons_and_equal_ones_twice_change_nothing_said() -> None:
    some = [Lesson(2, disc(12, 12, 5)), Lesson(10, disc(28, 28, 9)), Lesson(15, EMPTY)]
    kept = checked([*some, some[0]], PLAN)
    assert len(kept) == 3
    assert hash_of(kept) == hash_of(tuple(reversed(kept)))
    a, b = Neighbours(kept, PLAN), Neighbours(tuple(reversed(kept)), PLAN)
    assert np.array_equal(a.logits(12), b.logits(12))  # type: ignore[arg-type]


def test_an_adapter_travels_whole_and_another_one_has_another_id() -> None:
    adapter = Adapter(
        "p" * 64,
        "v" * 64,
        "disc",
        0,
        (Lesson(2, disc(20, 20, 6)),),
        Fit(trust=0.5),
        {"a.weight": np.arange(6, dtype=np.float16).reshape(2, 3)},
    )
    back = decode(encode(adapter))
    assert back.id == adapter.id
    assert np.array_equal(back.deltas["a.weight"], adapter.deltas["a.weight"])
    others = [
        replace(adapter, seed=1),
        replace(adapter, lessons=(Lesson(2, disc(20, 20, 7)),)),
        replace(adapter, deltas={"a.weight": adapter.deltas["a.weight"] + np.float16(1)}),
        adapter.carried(),
    ]
    assert len({adapter.id, *(one.id for one in others)}) == 5


@pytest.mark.parametrize(
    ("before", "after", "better", "said"),
    [
        (0.71, 0.86, True, "Learnt from 1 slice, 18 s: checked on one left out 0.71 → 0.86."),
        (0.71, 0.45, False, "Learnt from 1 slice, 18 s: checked on one left out 0.71 → 0.45, which is worse"),
        (
            0.79,
            0.73,
            True,
            "Learnt from 1 slice, 18 s: checked on one left out 0.79 → 0.73, which is worse, though",
        ),
        (0.714, 0.706, True, "Learnt from 1 slice, 18 s: checked on one left out 0.71 → 0.71."),
        (None, None, True, "Learnt from 1 slice, 18 s: too few to check."),
    ],
)
def test_the_end_says_how_good_it_is(before: float | None, after: float | None, better: bool, said: str) -> None:
    adapter = Adapter("p", "v", "disc", 0, (Lesson(2, disc(20, 20, 6)),), before=before, after=after, left_out=1)
    done = Adapted(adapter, 18.2)
    assert done.better is better
    assert done.sentence.startswith(said)


def test_the_end_says_what_was_made_of_what_other_images_taught() -> None:
    adapter = Adapter("p", "v", "disc", 0, (Lesson(2, disc(20, 20, 6)),))
    start = Adapted(adapter, 18.2, carried=(4, 0.55, 0.62)).sentence
    assert start.endswith("What the last 4 images taught was the start (0.62 here, the model alone 0.55).")
    worse = Adapted(adapter, 18.2, carried=(1, 0.55, 0.41))
    assert worse.carried_did_worse
    told = "What the last image taught does worse here (0.41, the model alone 0.55) and was left out."
    assert worse.sentence.endswith(told)


def test_many_objects_in_a_usual_lesson_are_scattered() -> None:
    many = disc(8, 8, 3) | disc(8, 30, 3) | disc(30, 8, 3) | disc(30, 30, 3)
    one = Lesson(4, disc(20, 20, 8))
    assert scattered([Lesson(2, many), Lesson(9, EMPTY)])
    assert not scattered([one, Lesson(9, EMPTY)])
    assert not scattered([Lesson(2, many), one, Lesson(6, disc(20, 20, 7))])
