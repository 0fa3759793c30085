"""Which slice teaches most."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from boltzformer import Grid, Lesson, SlicePlan
from boltzformer.masks.telling import in_doubt, most_telling

GRID = Grid.from_lps((20, 40, 48), np.diag([0.5, 0.5, 2.0, 1.0]))
PLAN = SlicePlan.of(GRID, 64, 0)
Mask = NDArray[np.bool_]


def disc(row: float, column: float, radius: float) -> Mask:
    y, x = np.ogrid[:40, :48]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


EMPTY = np.zeros((40, 48), bool)
BODY = {index: disc(20, 20, 12) if 2 <= index <= 16 else EMPTY for index in range(20)}
"""An object that is the same in all of its slices."""
ALIKE = dict.fromkeys(range(20), 40)
ENDS = [Lesson(2, BODY[2]), Lesson(16, BODY[16])]


def test_a_place_is_in_doubt_near_the_outline_and_not_where_it_is_clearly_in_or_out() -> None:
    assert in_doubt(np.array([[-128, -48, -32, -31, 0, 31, 32, 127]], np.int8)) == 3


def test_where_all_else_is_alike_the_middle_of_the_widest_gap_is_asked() -> None:
    still = dict.fromkeys(range(2, 17), BODY[2])
    doubts = dict.fromkeys(still, 40)
    assert most_telling(doubts, still.__getitem__, ENDS, PLAN)[0] == 9
    order = most_telling(doubts, still.__getitem__, [*ENDS, Lesson(9, BODY[9])], PLAN)
    assert order[0] in (5, 6, 12, 13)
    assert sorted(order) == [index for index in range(3, 16) if index != 9]


def test_a_far_slice_that_shows_nothing_and_has_no_doubts_waits() -> None:
    doubts = {index: 40 if BODY[index].any() else 0 for index in range(20)}
    first = [Lesson(16, BODY[16])]
    assert most_telling(doubts, BODY.__getitem__, first, PLAN)[0] in range(2, 16)


def test_a_slice_whose_mask_leaps_comes_before_one_that_goes_on_as_its_neighbours() -> None:
    leaping = BODY | {5: disc(20, 26, 12)}
    assert most_telling(ALIKE, leaping.__getitem__, ENDS, PLAN)[0] in (4, 5, 6)
    missing = BODY | {12: EMPTY}
    assert most_telling(ALIKE, missing.__getitem__, ENDS, PLAN)[0] in (11, 12, 13)


def test_a_lesson_is_a_neighbour_as_it_was_corrected() -> None:
    # What is shown there by an older answer is not what stands.
    shown = BODY | {2: EMPTY, 16: EMPTY}
    assert most_telling(ALIKE, shown.__getitem__, ENDS, PLAN) == most_telling(ALIKE, BODY.__getitem__, ENDS, PLAN)


def test_of_two_that_leap_alike_the_one_in_doubt_comes_first() -> None:
    leaping = BODY | {5: disc(20, 26, 12), 13: disc(20, 26, 12)}
    assert most_telling(ALIKE | {13: 80}, leaping.__getitem__, ENDS, PLAN)[0] == 13
    assert most_telling(ALIKE | {5: 80}, leaping.__getitem__, ENDS, PLAN)[0] == 5


def test_beside_slices_that_nobody_asked_there_is_no_leap() -> None:
    some = dict.fromkeys((4, 5, 6, 10, 11), 40)
    shown = {index: BODY[index] for index in some} | {11: disc(20, 21, 12)}
    assert most_telling(some, shown.__getitem__, [Lesson(5, BODY[5])], PLAN)[0] in (10, 11)


def test_of_many_scattered_objects_a_slice_far_from_the_lesson_comes_before_a_fuller_one_beside_it() -> None:
    pair = disc(10, 10, 4) | disc(30, 35, 4)
    shown = {index: np.roll(pair, 2 * index, axis=1) for index in range(20)}
    doubts = dict.fromkeys(range(20), 30) | {15: 60}
    assert most_telling(doubts, shown.__getitem__, [Lesson(16, shown[16])], PLAN)[0] < 8


@given(st.sets(st.integers(0, 19), max_size=6), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_every_slice_that_is_no_lesson_is_named_once_in_any_order_of_lessons(lessons: set[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    doubts = {index: int(rng.integers(0, 200)) for index in range(20)}
    have = [Lesson(index, BODY[index]) for index in lessons]
    order = most_telling(doubts, BODY.__getitem__, have, PLAN)
    assert sorted(order) == sorted(set(range(20)) - lessons)
    assert most_telling(doubts, BODY.__getitem__, have[::-1], PLAN) == order
