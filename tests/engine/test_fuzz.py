"""Whatever is put in: a result or a sentence, never anything else."""

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, scalar_dtypes

import boltzformer
from boltzformer import BoltzFormerError, Grid, Prediction, Volume

SIDES = st.integers(0, 6)
SHAPES = st.one_of(
    st.tuples(SIDES, SIDES, SIDES), st.tuples(SIDES, SIDES, SIDES, st.integers(2, 4)), st.tuples(SIDES, SIDES)
)
WORDS = st.one_of(st.text(max_size=200), st.lists(st.text(max_size=20), max_size=4))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), SHAPES, scalar_dtypes(), WORDS, st.integers(), st.integers(-3, 9))
def test_random_volumes_and_prompts_give_a_result_or_a_sentence(
    engine: boltzformer.Engine, data: st.DataObject, shape: Any, dtype: Any, prompts: Any, seed: int, start: int
) -> None:
    array = data.draw(arrays(dtype, shape))
    with suppress(BoltzFormerError):
        *_, last = engine.segment(Volume(array, Grid.pixels(shape[:3])), prompts, seed=seed, start=start)
        assert isinstance(last, Prediction)
        assert last.labels().layers.shape[1:] == shape[:3]
