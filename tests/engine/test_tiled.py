"""A picture much larger than the model's input is asked in tiles: a mosaic finds what its parts find, in any order, and
is made again from its provenance."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import boltzformer
from boltzformer import Adjusted, Engine, Grid, Guidance, Prediction, Prompt, SliceResult, Started, Volume
from boltzformer.engine.answering import Question
from boltzformer.engine.devices import Effort, choose
from boltzformer.engine.reproduce import reproduce
from boltzformer.engine.run import Run
from boltzformer.engine.tiled import asked_in_tiles, together
from boltzformer.image.tiling import Tiling
from boltzformer.io.phantom import BRIGHT, DARK, phantom
from boltzformer.masks.objects import pieces
from boltzformer.types import TileDone

SIDE = 96
"""Of a part: as large as the model's input."""


def picture(array: Any) -> Volume:
    return Volume(array[None], Grid.pixels((1, *array.shape)))


@pytest.fixture(scope="module")
def part() -> Any:
    """A slice with two bright blobs."""
    made = phantom(3, (1, SIDE, SIDE), (BRIGHT, BRIGHT, DARK))
    return made.volume.array[0]


@pytest.fixture(scope="module")
def mosaic(part: Any) -> Volume:
    return picture(np.tile(part, (3, 3)))


@pytest.fixture(scope="module")
def tiled(engine: Engine, mosaic: Volume) -> list[Any]:
    return list(engine.segment(mosaic, [BRIGHT, DARK], samples=2, tiles=True))


def objects(prediction: Prediction) -> int:
    return int(pieces(prediction.labels().layers[0, 0]).max())


def test_a_mosaic_finds_what_its_parts_find(engine: Engine, part: Any, mosaic: Volume, tiled: list[Any]) -> None:
    alone = boltzformer.segment(picture(part), [BRIGHT, DARK], model=engine, samples=2)
    assert objects(alone) >= 2
    found = objects(tiled[-1])
    assert abs(found - 9 * objects(alone)) <= 0.02 * 9 * objects(alone)
    shrunk = boltzformer.segment(mosaic, [BRIGHT, DARK], model=engine, samples=2, tiles=False)
    assert objects(shrunk) < found  # as it was


def test_by_itself_only_microscopy_is_tiled(engine: Engine, mosaic: Volume) -> None:
    """Elsewhere a larger picture shows the same organ larger, and no tile holds it."""
    slide = Volume(mosaic.array, mosaic.grid, "SM")
    for volume, prompt, tiled in (
        (mosaic, BRIGHT, False),
        (slide, BRIGHT, True),
        (mosaic, "cell nuclei in microscopy", True),
        (mosaic, "optic disc in fundus image", False),
    ):
        started = next(iter(engine.segment(volume, prompt)))
        assert isinstance(started, Started)
        assert bool(started.tiles) is tiled, prompt


def test_how_many_tiles_is_told_first_and_each_that_is_done(tiled: list[Any]) -> None:
    started, *done = tiled
    assert isinstance(started, Started)
    assert started.tiles == 16
    assert done[:-2] == [TileDone(number, 16) for number in range(1, 17)]
    assert isinstance(done[-2], SliceResult)
    assert done[-2].side == 3 * SIDE
    assert done[-2].spread is not None
    assert done[-1].provenance["tiles"] == {"side": SIDE, "overlap": 0.25, "shape": [4, 4]}


def test_the_order_in_which_tiles_are_asked_changes_no_bit(engine: Engine, mosaic: Volume, tiled: list[Any]) -> None:
    tiling = Tiling.of(engine.plan(mosaic))
    assert tiling is not None
    order = np.random.default_rng(0).permutation(len(tiling)).tolist()
    answers: dict[int, SliceResult] = {}
    for number in order:
        region = tiling.region(tiling.tiles[number])
        prediction = boltzformer.segment(mosaic, [BRIGHT, DARK], model=engine, samples=2, region=region)
        (answers[number],) = prediction.slices
    made = together(tiling, answers, 0, tiled[-1].gate)
    said = tiled[-2]
    assert np.array_equal(made.logits, said.logits)
    assert np.array_equal(made.existence, said.existence)
    assert made.spread is not None
    assert np.array_equal(made.spread, said.spread)


def test_a_tile_without_an_object_shows_nothing(engine: Engine, mosaic: Volume, tiled: list[Any]) -> None:
    tiling = Tiling.of(engine.plan(mosaic))
    assert tiling is not None
    side = engine.about.config.image_size // 4
    sure, not_sure = (
        SliceResult(0, np.full((1, side, side), 64, np.int8), np.array([e], np.float32)) for e in (0.9, 0.3)
    )
    made = together(tiling, {n: not_sure if n else sure for n in range(len(tiling))}, 0, 0.5)
    mask = tiling.plan.mask(made.plane(0))
    assert mask[: SIDE // 2, : SIDE // 2].all()
    assert not mask[SIDE:].any()
    assert tiling.plan.mask(made.plane(0), 0.2).all()  # what was held back is there at a lower threshold
    lifted = SliceResult(0, not_sure.logits, not_sure.existence, lifted=np.array([True]))
    assert tiling.plan.mask(together(tiling, dict.fromkeys(range(len(tiling)), lifted), 0, 0.5).plane(0)).all()


def test_a_tiled_result_is_made_again_and_an_older_one(engine: Engine, mosaic: Volume, tiled: list[Any]) -> None:
    old = boltzformer.segment(mosaic, [BRIGHT], model=engine, tiles=False)
    for result in (tiled[-1], old):
        facts = json.loads(json.dumps(result.provenance))
        *rest, again = reproduce(facts, mosaic, engine)
        assert isinstance(again, Prediction)
        assert again.provenance["logits sha256"] == result.provenance["logits sha256"]
        assert any(isinstance(one, TileDone) for one in rest) is ("tiles" in facts)
        assert not [one for one in rest if isinstance(one, Adjusted)]


def test_points_and_boxes_lead_the_tiles_that_they_lie_in(engine: Engine, mosaic: Volume) -> None:
    box = ((100.0, 100.0, 0.0), (150.0, 150.0, 0.0))
    led = boltzformer.segment(mosaic, BRIGHT, model=engine, guidance=Guidance(here=((120, 120, 0),), box=box))
    mask = led.labels().layers[0, 0] > 0
    assert mask[120, 120]
    outside = mask.copy()
    outside[100:151, 100:151] = False
    assert not outside.any()


def test_a_device_that_is_full_does_again_only_what_its_precision_asks(engine: Engine, mosaic: Volume) -> None:
    """The first tile is refused once; all the rest is as without."""
    tiling = Tiling.of(engine.plan(mosaic))
    assert tiling is not None
    answer = SliceResult(0, np.full((1, 24, 24), 64, np.int8), np.array([0.9], np.float32))
    asked: list[Any] = []

    def attempt(run: Run, index: int) -> SliceResult | Adjusted:
        asked.append(run.plan)
        if len(asked) > 1:
            return answer
        easier = run.effort.easier()
        assert easier is not None
        run.effort, adjusted = easier
        return adjusted

    question, effort = Question((Prompt(BRIGHT),), 0, 1), Effort(choose("cpu"), 1, 8)
    run = Run(mosaic, tiling.plan, mosaic.window(), None, question, lambda: None, 0, effort)
    events = list(asked_in_tiles(run, tiling, 0, 0.5, attempt))
    assert run.effort.together < 8
    assert isinstance(events[0], Adjusted)
    assert asked == [tiling.tiles[0], *tiling.tiles]


def test_volumes_and_pictures_of_the_models_size_stay_whole(engine: Engine, part: Any) -> None:
    def started(volume: Volume) -> Iterator[Any]:
        return iter(engine.segment(volume, BRIGHT))

    assert next(started(picture(part))).tiles == 0
    assert next(started(phantom(1, (20, 200, 200)).volume)).tiles == 0
