"""Whatever array, type and prompt is given: a result, or one of our errors."""

import numpy as np
import pytest

from boltzformer import BoltzFormerError, Engine, Grid, Volume
from boltzformer.types import Prediction

pytestmark = pytest.mark.slow

TYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i2", "c8", "O", "U3", "M8[s]"]


def random_array(rng: np.random.Generator) -> np.ndarray:
    dtype = np.dtype(str(rng.choice(TYPES)))
    shape = [int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, [3, 20, 20], endpoint=True)]
    if rng.random() < 0.2:
        shape.append(int(rng.choice([1, 3, 4])))
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = (rng.normal(size=shape) * 10.0 ** rng.integers(-300, 300)).astype(dtype)
        if array.size and rng.random() < 0.3:
            array.flat[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf])
        return array
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, info.dtype.newbyteorder("=")).astype(dtype)
    return np.zeros(shape, dtype) if dtype.kind != "b" else rng.random(shape) < 0.5


def random_text(rng: np.random.Generator) -> str:
    return "".join(chr(int(code)) for code in rng.integers(1, 0xD7FF, int(rng.integers(0, 300))))


def test_any_array_and_prompt_gets_a_result_or_one_of_our_errors(engine: Engine) -> None:
    answered = sum(outcome(engine, np.random.default_rng(seed)) for seed in range(200))
    assert 40 < answered < 160  # both ways are taken


def outcome(engine: Engine, rng: np.random.Generator) -> bool:
    array = random_array(rng)
    step = float(rng.choice([1, 1, 1, 0, 1e-9, 1e9, np.nan]))
    prompts = [random_text(rng) for _ in range(int(rng.integers(0, 4)))]
    try:
        grid = Grid(array.shape[:3], ((1, 0, 0), (0, 1, 0), (0, 0, step)), (0, 0, 0))
        volume = Volume(array, grid, str(rng.choice(["CT", "MR", ""])))
        *_, prediction = engine.segment(volume, prompts, seed=int(rng.integers(-(2**62), 2**62)))
    except BoltzFormerError:
        return False
    assert isinstance(prediction, Prediction)
    assert np.isfinite(prediction.existence).all()
    assert prediction.labels().layers.shape == (len(prediction.prompts), *array.shape[:3])
    return True
