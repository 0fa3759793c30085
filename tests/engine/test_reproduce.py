"""A result is made again from what is written beside it, or the part that differs is named."""

import json
from typing import Any

import numpy as np
import pytest

import boltzformer
from boltzformer import Adjusted, BoltzFormerError, Prediction, Region
from boltzformer.engine.reproduce import reproduce
from boltzformer.io.phantom import BRIGHT, DARK, Phantom


@pytest.fixture(scope="module")
def result(engine: boltzformer.Engine, small: Phantom) -> Prediction:
    region = Region.of_voxels(small.volume.grid, (5, 8, 4), (60, 66, 12))
    prompts = [boltzformer.Prompt(BRIGHT, "lesion"), DARK]
    how: dict[str, Any] = {"seed": 5, "samples": 2, "axis": 0, "region": region, "slices": [9, 5]}
    return boltzformer.segment(small.volume, prompts, model=engine, window=boltzformer.Window(0, 900), **how)


def written(result: Prediction) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(json.dumps(result.provenance))
    return facts


def test_the_same_again_after_a_trip_through_a_file(
    engine: boltzformer.Engine, small: Phantom, result: Prediction
) -> None:
    events = list(reproduce(written(result), small.volume, engine))
    assert not [event for event in events if isinstance(event, Adjusted)]
    again = events[-1]
    assert isinstance(again, Prediction)
    assert written(again) == written(result)
    assert np.array_equal(again.labels().layers, result.labels().layers)
    assert again.labels().names == {1: "lesion", 2: DARK}


def test_what_differs_is_named(engine: boltzformer.Engine, small: Phantom, result: Prediction) -> None:
    other = boltzformer.Volume(small.volume.array + 1, small.volume.grid)
    with pytest.raises(BoltzFormerError, match="image differs"):
        reproduce(written(result), other, engine)
    facts = written(result)
    facts["model"]["sha256"] = "0" * 64
    with pytest.raises(BoltzFormerError, match="model differs"):
        reproduce(facts, small.volume, engine)
    facts = written(result)
    del facts["seed"]
    with pytest.raises(BoltzFormerError, match="seed"):
        reproduce(facts, small.volume, engine)
    turned = boltzformer.Grid.from_lps(small.volume.grid.shape, np.eye(4)[:, [2, 0, 1, 3]])
    with pytest.raises(BoltzFormerError, match="orientation differs"):
        reproduce(written(result), boltzformer.Volume(small.volume.array, turned), engine)
    facts = written(result) | {"software": "another version", "logits sha256": "0"}
    said = [event for event in reproduce(facts, small.volume, engine) if isinstance(event, Adjusted)]
    assert [one.what.split(":")[0] for one in said] == ["software", "The answers are not the same bit for bit"]


def test_provenance_says_what_made_it(engine: boltzformer.Engine, result: Prediction) -> None:
    facts = result.provenance
    assert facts["existence kind"] == "classifier"
    assert facts["thresholds"] == {"mask": 0.5, "existence": 0.5}
    assert facts["slices"] == [5, 9]
    assert (facts["law"], facts["temperature"], facts["ratio"]) == ("per_query", 1.0, 0.1)
    assert facts["plan"]["size"] == engine.about.config.image_size
