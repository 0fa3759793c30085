"""Whatever is put in: a result or a sentence, never anything else."""

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import (
    arrays,
    floating_dtypes,
    from_dtype,
    integer_dtypes,
    scalar_dtypes,
    unsigned_integer_dtypes,
)

import boltzformer
from boltzformer import BoltzFormerError, Grid, Prediction, Volume

SIDES = st.sampled_from([1, 2, 3, 6, 0])
DTYPES = st.one_of(integer_dtypes(), unsigned_integer_dtypes(), floating_dtypes(), scalar_dtypes())
BOX = st.tuples(SIDES, SIDES, SIDES)
SHAPES = st.one_of(
    BOX, BOX, st.builds(lambda box: (*box, 3), BOX), st.tuples(SIDES, SIDES, SIDES, SIDES), st.tuples(SIDES)
)
WORD = st.text(min_size=1, max_size=200)
WORDS = st.one_of(WORD, st.lists(WORD, min_size=1, max_size=4), st.text(), st.lists(st.text(max_size=20), max_size=4))


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.data(), SHAPES, DTYPES, WORDS, st.integers(), st.integers(-3, 9))
def test_random_volumes_and_prompts_give_a_result_or_a_sentence(
    engine: boltzformer.Engine, data: st.DataObject, shape: Any, dtype: Any, prompts: Any, seed: int, start: int
) -> None:
    finite = {"allow_nan": False, "allow_infinity": False} if data.draw(st.booleans()) else {}
    array = data.draw(arrays(dtype, shape, elements=from_dtype(dtype, **finite)))
    with suppress(BoltzFormerError):
        *_, last = engine.segment(Volume(array, Grid.pixels(shape[:3])), prompts, seed=seed, start=start)
        assert isinstance(last, Prediction)
        assert last.labels().layers.shape[1:] == shape[:3]
