"""A picture in tiles: they cover it, overlap enough, and are put together to what they were cut from, in any order."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_orders import grid_of

from boltzformer import Grid, SlicePlan
from boltzformer.image.slicing import to_int8
from boltzformer.image.tiling import OVERLAP, Tiling, parts, shares


@given(length=st.integers(1, 3000), side=st.sampled_from([16, 64, 96, 384]))
def test_tiles_cover_everything_overlap_enough_and_count_as_one(length: int, side: int) -> None:
    tiles = parts(length, side)
    assert tiles[0].start == 0
    assert tiles[-1].stop == length
    for one, other in pairwise(tiles):
        assert one.stop - other.start >= OVERLAP * side - 1
    assert all(one.stop - one.start == min(side, length) for one in tiles)
    total = np.zeros(length)
    for one, weights in zip(tiles, shares(tiles, length, side), strict=True):
        total[one] += weights
        assert weights.min() >= 0
    assert np.allclose(total, 1, atol=1e-6)


@given(
    shape=st.tuples(st.integers(10, 90), st.integers(10, 90)).filter(lambda shape: max(shape) > 24),
    seed=st.integers(0, 99),
)
def test_what_was_cut_is_put_together_again_whatever_the_order(shape: tuple[int, int], seed: int) -> None:
    plan = SlicePlan.of(Grid.pixels((1, *shape)), 16)
    tiling = Tiling.of(plan)
    assert tiling is not None
    rng = np.random.default_rng(seed)
    picture = rng.normal(0, 3, shape).astype(np.float32)
    planes = {number: picture[tile.crop] for number, tile in enumerate(tiling.tiles)}
    whole = tiling.together(planes, -8.0)
    again = tiling.together(dict(reversed(planes.items())), -8.0)
    assert np.array_equal(whole, again)
    assert whole.shape == (max(shape),) * 2
    assert np.allclose(plan.expand(to_int8(whole)), picture.clip(-8, 7.9), atol=0.05)


@pytest.mark.parametrize("spacing", [(1.0, 0.5, 0.5)])
def test_in_a_picture_that_is_stored_turned_tiles_lie_where_they_are_seen(spacing: tuple[float, float, float]) -> None:
    grid = Grid.from_lps((1, 40, 60), np.diag([-0.5, -0.5, 1.0, 1.0]))
    tiling = Tiling.of(SlicePlan.of(grid, 16, 0))
    assert tiling is not None
    stored = np.arange(40 * 60).reshape(1, 40, 60)
    seen = tiling.plan.view.apply(stored)[0]
    for tile in tiling.tiles:
        assert tile.box is not None
        cut = stored[tuple(slice(*ends) for ends in tile.box)]
        assert np.array_equal(np.sort(cut.ravel()), np.sort(seen[tile.crop].ravel()))
        assert tile.crop_shape == (16, 16)
        assert SlicePlan.of(grid, 16, 0, box=tiling.region(tile).box(grid, 0)) == tile
    mask = np.zeros((40, 60), bool)
    mask[39, 59] = True
    assert tiling.fullest(mask) == tiling.tiles[-1]


def test_only_pictures_much_larger_than_the_network_are_cut() -> None:
    assert Tiling.of(SlicePlan.of(Grid.pixels((1, 24, 20)), 16)) is None
    assert Tiling.of(SlicePlan.of(Grid.pixels((1, 25, 20)), 16)) is not None
    assert Tiling.of(SlicePlan.of(grid_of((4, 64, 64), (1.0, 1.0, 1.0)), 16, 0)) is None
    box = ((0, 1), (0, 40), (0, 40))
    assert Tiling.of(SlicePlan.of(Grid.pixels((1, 64, 64)), 16, box=box)) is None
