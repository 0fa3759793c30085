"""From several prompts' logits to one label map; the numbers are pinned by the recorded tensors in test_parity.py."""

import numpy as np
import pytest
from boltzformer.biomedparse import SquareSlices, pack, slice_axis
from boltzformer.errors import ImageError
from boltzformer.postprocess import gate, merge, sigmoid, suppress
from hypothesis import given
from hypothesis import strategies as st

FAR = 10.0


def boxes(*rows: slice) -> np.ndarray:
    made = np.full((len(rows), 16, 16), 0.1, np.float32)
    for index, row in enumerate(rows):
        made[index, row, 2:12] = 0.9
    return made


def test_the_surer_of_two_overlapping_prompts_wins():
    probability = boxes(slice(2, 10), slice(2, 11), slice(12, 15))
    assert suppress(probability, np.array([0.7, 0.9, 0.8], np.float32)) == [1, 2]


def test_doubtful_and_empty_prompts_go():
    probability = boxes(slice(2, 4), slice(6, 6), slice(8, 9))
    assert suppress(probability, np.array([0.49, 0.9, 0.5], np.float32)) == [2]


def test_a_single_prompt_is_only_gated_by_its_existence():
    logits = np.full((1, 2, 4, 4), FAR, np.float32)
    gated = gate(logits, np.array([[1.0, -1.0]], np.float32))
    assert (gated[0, 0] > 0.99).all()
    assert (gated[0, 1] == 0).all()


def test_half_a_probability_is_background_and_ids_are_kept():
    probability = np.array([[[[0.5, 0.6, 0.7]]], [[[0.5, 0.6, 0.9]]]], np.float32)
    assert merge(probability, [3, 7]).tolist() == [[[0, 3, 7]]]


@given(st.floats(-1e30, 1e30))
def test_sigmoid_never_overflows(x):
    with np.errstate(over="raise"):
        assert 0 <= sigmoid(np.array(x)) <= 1


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12)),
    data=st.data(),
)
def test_labels_return_to_their_voxels_when_nothing_is_resized(shape, data):
    plane = [n for axis, n in enumerate(shape) if axis != slice_axis(shape)]
    plan = SquareSlices.of(shape, max(plane))
    volume = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 255, shape).astype(np.uint8)
    assert (plan.back(plan.cut(volume).astype(np.int64)) == volume).all()


def test_a_flat_volume_stays_flat_when_it_is_resized():
    for dtype in (np.uint8, np.float32):
        cut = SquareSlices.of((3, 20, 20), 33).cut(np.full((3, 20, 20), 200, dtype))
        assert cut.dtype == dtype
        assert np.abs(cut.astype(float) - 200).max() < 1e-3


def test_other_integers_are_refused():
    with pytest.raises(ImageError, match="int16"):
        SquareSlices.of((3, 20, 20), 33).cut(np.zeros((3, 20, 20), np.int16))


def test_a_slice_sees_its_neighbours_and_the_ends_mirror():
    volume = np.arange(4)[:, None, None] * np.ones((1, 2, 2))
    assert pack(volume)[:, :, 0, 0].tolist() == [[0, 1, 1], [1, 0, 2], [2, 1, 3], [3, 2, 2]]
    assert pack(volume[:1])[0, :, 0, 0].tolist() == [0, 0, 0]
