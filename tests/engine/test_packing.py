"""Compressed answers: nothing is lost, nothing is kept where nothing is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import boltzformer
from boltzformer import SliceResult
from boltzformer.image.packing import Packed
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.protocol import decode, encode
from boltzformer.types import FLOOR

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))


@given(st.one_of(arrays(np.int8, SHAPES), arrays(np.uint8, SHAPES)))
def test_packing_loses_nothing(array: np.ndarray) -> None:
    packed = Packed.of(array)
    assert packed.array.dtype == array.dtype
    assert np.array_equal(packed.array, array)
    for number, plane in enumerate(array):
        assert np.array_equal(packed.plane(number), plane)
    empty = Packed.of(np.full_like(array, np.iinfo(array.dtype).min))
    assert empty.nbytes == 0
    assert np.array_equal(empty.array, np.full_like(array, np.iinfo(array.dtype).min))


def test_answers_travel_packed_and_are_read_as_arrays() -> None:
    logits = np.full((2, 256, 256), -128, np.int8)
    logits[0, 100:110, 90:99] = 40
    one = SliceResult(4, logits, np.array([0.9, 0.0], np.float32), (logits == 40).astype(np.uint8))
    frame = encode(one)
    assert len(frame) < 3000
    back = decode(frame)
    assert np.array_equal(back.logits, logits)
    assert np.array_equal(back.plane(0), logits[0])
    assert np.array_equal(back.spread, logits == 40)
    assert back.edges is None
    with pytest.raises(AttributeError):
        one.index = 5  # frozen


def test_a_slice_without_the_object_keeps_no_logits(engine: boltzformer.Engine, made: Phantom) -> None:
    answer = boltzformer.segment(made.volume, [BRIGHT, "something else"], model=engine)
    for one in answer.slices:
        for prompt, existence in enumerate(one.existence):
            assert existence >= FLOOR or (one.plane(prompt) == -128).all()


def test_a_gate_re_applies_without_the_model(engine: boltzformer.Engine, made: Phantom) -> None:
    answer = boltzformer.segment(made.volume, BRIGHT, model=engine)
    assert np.array_equal(answer.labels().layers, answer.labels(existence=0.5).layers)
    sizes = [int(answer.labels(existence=gate).layers.sum()) for gate in (0, 0.5, 0.999, 1)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] > 0
    sure = float(answer.existence.max())
    assert not answer.labels(existence=np.nextafter(np.float32(sure), np.float32(2))).layers.any() or sure == 1
    with pytest.raises(boltzformer.BoltzFormerError, match="no probability"):
        answer.labels(existence=1.5)
