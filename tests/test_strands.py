"""Objects by strands are the objects that a label for each voxel gives."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzformer.masks.objects import pieces
from boltzformer.masks.strands import Strands

shapes = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=200, deadline=None)
@given(shape=shapes, share=st.floats(0, 0.6), seed=st.integers(0, 2**16))
def test_strands_know_the_same_objects(shape: tuple[int, int, int], share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random(shape) < share
    found, strands = pieces(mask), Strands.of(mask)
    assert strands.count == found.max(initial=0)
    assert sorted(strands.sizes[1:]) == sorted(np.bincount(found.ravel())[1:])
    assert np.array_equal(strands.mask(np.arange(strands.count + 1) > 0), mask)
    assert np.array_equal(strands.within(mask), strands.sizes)
    for one in range(1, strands.count + 1):
        whole = strands.mask(np.arange(strands.count + 1) == one)
        (label,) = np.unique(found[whole])
        assert np.array_equal(whole, found == label)
        assert strands.within(whole)[one] == whole.sum() == strands.within(whole).sum()
        assert [number for number in range(shape[0]) if one in strands.in_slice(number)] == [
            number for number in range(shape[0]) if whole[number].any()
        ]
