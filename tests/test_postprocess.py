"""From several prompts' logits to one label map; the numbers are pinned by the recorded tensors in test_parity.py."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boltzformer.masks.postprocess import gate, merge, sigmoid, suppress

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
