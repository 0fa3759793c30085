"""Touching objects of a picture are parted, cut by a click, joined by a click; nothing else of the mask changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzformer.masks.cells import apart, joined, joined_two, numbered, parted, split, told_apart
from boltzformer.masks.objects import pieces

SHAPE = 80, 120


def discs(*places: tuple[float, float, float]) -> np.ndarray:
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    whole = np.zeros(SHAPE, bool)
    for row, column, radius in places:
        whole |= (y - row) ** 2 + (x - column) ** 2 <= radius**2
    return whole


def count(mask: np.ndarray) -> int:
    return int(pieces(mask).max())


TOUCHING = discs((30, 30, 12), (30, 51, 12), (50, 40, 11), (20, 95, 9), (70, 100, 2))


def test_cells_that_touch_are_counted_one_by_one() -> None:
    assert count(TOUCHING) == 3
    cut = parted(TOUCHING)
    assert count(cut) == 5
    assert not (cut & ~TOUCHING).any()
    assert (TOUCHING & ~cut).sum() < 60  # a line, no more
    assert np.array_equal(parted(cut), cut)  # what is parted is not parted again
    assert not parted(np.zeros(SHAPE, bool)).any()


def test_a_seam_of_doubt_parts_what_has_no_neck() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[20:40, 20:80] = True
    logits = np.where(mask, 4.0, -8.0).astype(np.float32)
    logits[:, 48:52] = np.where(mask[:, 48:52], 0.2, -8.0)
    assert count(parted(mask)) == 1
    assert count(parted(mask, logits)) == 2


def test_one_round_cell_stays_one_however_its_border_jitters() -> None:
    rng = np.random.default_rng(0)
    for radius in (3, 6, 12, 25):
        whole = discs((40, 60, radius))
        rim = whole & ~discs((40, 60, radius - 1))
        assert count(parted(whole & ~(rim & (rng.random(SHAPE) < 0.3)))) <= 1 + (radius < 4)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999))
def test_parting_takes_only_lines_and_never_an_object(seed: int) -> None:
    rng = np.random.default_rng(seed)
    some = [(rng.uniform(5, 75), rng.uniform(5, 115), rng.uniform(1, 10)) for _ in range(rng.integers(1, 25))]
    mask = discs(*some)
    cut = parted(mask)
    assert not (cut & ~mask).any()
    before, after = pieces(mask), pieces(cut)
    assert set(np.unique(before[cut])) - {0} == set(range(1, int(before.max()) + 1))
    assert after.max() >= before.max()


@given(labels=st.integers(0, 999).map(lambda seed: np.random.default_rng(seed).integers(0, 4, (12, 12))))
def test_what_was_set_apart_touches_nothing_of_another_label(labels: np.ndarray) -> None:
    left = np.where(apart(labels), labels, 0)
    found = pieces(left > 0)
    for one in range(1, int(found.max()) + 1):
        assert len(np.unique(left[found == one])) == 1


def test_a_click_cuts_where_the_object_is_narrowest() -> None:
    pair = discs((30, 30, 12), (30, 50, 12))
    cut = split(pair, 30, 40)
    assert cut is not None
    assert count(cut) == 2
    gone = np.argwhere(pair & ~cut)
    assert set(gone[:, 1].tolist()) <= {39, 40, 41}
    assert split(pair, 5, 5) is None
    dot = np.zeros(SHAPE, bool)
    dot[4, 4] = True
    assert split(dot, 4, 4) is None
    others = pair | discs((60, 100, 8))
    assert np.array_equal((split(others, 30, 40) & discs((60, 100, 8))), discs((60, 100, 8)))


def test_a_click_joins_the_two_beside_it_and_no_third() -> None:
    cut = parted(TOUCHING)
    again = joined(cut, 30, 40)
    assert again is not None
    assert count(again) == 4
    assert again[30, 40]
    assert joined(cut, 30, 30) is None  # in the middle of one
    assert joined(cut, 5, 5) is None


def test_two_that_lie_apart_are_joined_by_a_narrow_bridge_unless_a_third_is_in_the_way() -> None:
    two = discs((30, 30, 10), (30, 62, 10))
    made = joined_two(two, (30, 30), (30, 62))
    assert made is not None
    assert count(made) == 1
    assert 11 <= (made & ~two).sum() <= 60
    assert joined_two(two, (30, 30), (35, 30)) is None  # one already
    assert joined_two(two, (0, 0), (30, 62)) is None
    assert joined_two(two | discs((30, 46, 3)), (30, 30), (30, 62)) is None
    assert joined_two(discs((30, 30, 10), (30, 69, 10)), (30, 30), (30, 69)) is None  # too far


@settings(max_examples=25, deadline=None)
@given(column=st.integers(22, 58), row=st.integers(24, 36))
def test_what_was_cut_is_joined_by_a_click_on_the_cut(row: int, column: int) -> None:
    pair = discs((30, 30, 12), (30, 50, 12))
    cut = split(pair, row, column)
    if cut is None or count(cut) != 2:
        return
    y, x = np.argwhere(pair & ~cut)[len(np.argwhere(pair & ~cut)) // 2].tolist()
    again = joined(cut, y, x)
    assert again is not None
    assert count(again) == 1


def test_numbers_begin_with_the_largest() -> None:
    found = numbered(discs((20, 20, 4), (20, 60, 9), (60, 60, 6)))
    assert [int(found[place]) for place in ((20, 20), (20, 60), (60, 60))] == [3, 1, 2]
    assert found.max() == 3
    assert numbered(np.zeros((3, 3), bool)).max() == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_pictures_of_one_line_are_no_matter(shape: tuple[int, int]) -> None:
    full = np.ones(shape, bool)
    assert parted(full).any()
    split(full, 0, 0)
    joined(full, 0, 0)


def test_objects_that_lie_close_have_other_colours() -> None:
    rng = np.random.default_rng(0)
    mask = parted(np.asarray(rng.random((60, 70)) > 0.6))
    colours, found = told_apart(mask), pieces(mask)
    assert np.array_equal(colours > 0, mask)
    assert colours.max() <= 7  # as many as there are in our palette
    for number in range(1, found.max() + 1):
        assert len(np.unique(colours[found == number])) == 1
    for step in ((0, 2), (2, 0)):  # over the line between two
        one, other = found[: -step[0] or None, : -step[1] or None], found[step[0] :, step[1] :]
        seam = (one != other) & (one > 0) & (other > 0)
        mine, theirs = colours[: -step[0] or None, : -step[1] or None], colours[step[0] :, step[1] :]
        assert (mine[seam] != theirs[seam]).all()
