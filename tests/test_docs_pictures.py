"""The picture of storage orders shows what its words say."""

import numpy as np
from docs_pictures import WAYS, in_order

from boltzformer.io.phantom import sample


def test_stored_in_48_ways_a_volume_is_seen_in_one() -> None:
    volume = sample().volume
    shown = volume.window().apply(volume.array)
    assert len(set(WAYS)) == 48
    upright = volume.grid.canonical().apply(shown)
    stored = set()
    for order, flips in WAYS:
        array, grid = in_order(shown, volume.grid, order, flips)
        stored.add(array.tobytes())
        assert np.array_equal(grid.canonical().apply(array), upright)
    assert len(stored) == 48
