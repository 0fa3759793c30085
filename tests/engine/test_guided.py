"""Pointing at things: what it changes, what it leaves as it was to the bit, and that it can be repeated."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from storage_orders import ORDERS, stored

import boltzformer
from boltzformer import Adjusted, BoltzFormerError, Guidance, Prediction, Region, Volume
from boltzformer.engine.engine import Engine
from boltzformer.engine.provenance import hash_of_logits
from boltzformer.engine.reproduce import reproduce
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import tiny
from boltzformer.model.text import ByteTokenizer
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History

SOME = [5, 8, 11]
POINT = (30.0, 40.0, 8.0)


def run(engine: Engine, made: Phantom, **how: Any) -> Prediction:
    return boltzformer.segment(made.volume, how.pop("prompts", BRIGHT), model=engine, **{"slices": SOME, **how})


def engine_of(folder: Path, **decoder: Any) -> Engine:
    """Random weights, another decoder."""
    torch.manual_seed(0)
    config = replace(tiny(), decoder=replace(tiny().decoder, **decoder))
    checkpoint.save(folder / "m.safetensors", BoltzFormer(config, ByteTokenizer()), History("other", data="nothing"))
    return boltzformer.load(folder / "m.safetensors", device="cpu")


def test_guidance_changes_its_own_slices_and_prompts_and_no_bit_of_others(engine: Engine, small: Phantom) -> None:
    prompts = [BRIGHT, DARK]
    plain = run(engine, small, prompts=prompts)
    for nothing in (
        None,
        (),
        Guidance(),
        [Guidance()],
        Guidance(((30, 40, 3),)),
        Guidance((POINT,), strength=0, bend=False),
    ):
        same = run(engine, small, prompts=prompts, guidance=nothing)
        logits = [[one.logits, one.existence] for one in same.slices]
        assert all(
            np.array_equal(a, b)
            for pair, one in zip(logits, plain.slices, strict=True)
            for a, b in zip(pair, (one.logits, one.existence), strict=True)
        )
    for led in (Guidance((POINT,), prompt=BRIGHT), Guidance(box=((10, 10, 8), (40, 50, 8)), prompt=BRIGHT)):
        changed = run(engine, small, prompts=prompts, guidance=led)
        for before, after in zip(plain.slices, changed.slices, strict=True):
            assert np.array_equal(before.logits[1], after.logits[1])
            assert np.array_equal(before.logits[0], after.logits[0]) == (before.index != 8)
            assert before.existence[1] == after.existence[1]


def test_the_answer_holds_where_the_user_pointed(engine: Engine, small: Phantom) -> None:
    i, j, k = (int(at) for at in POINT)
    there = run(engine, small, guidance=Guidance((POINT,))).labels().mask(1)
    assert there[k, j, i]
    both = run(engine, small, guidance=[Guidance((POINT,)), Guidance((), (POINT,))]).labels().mask(1)
    assert both[k, j, i]  # who says both is taken at the word "here"
    z, y, x = np.argwhere(run(engine, small).labels().mask(1))[0]
    assert not run(engine, small, guidance=Guidance((), ((x, y, z),))).labels().mask(1)[z, y, x]


def test_guided_answers_depend_on_nothing_that_runs_beside_them(engine: Engine, small: Phantom) -> None:
    led = Guidance((POINT,), ((50, 20, 8),))
    expected = hash_of_logits(run(engine, small, guidance=led, samples=2).slices)
    engine.features.clear()
    assert hash_of_logits(run(engine, small, guidance=led, samples=2, cache_bytes=0).slices) == expected
    other_order = run(engine, small, guidance=[led], samples=2, slices=SOME[::-1], batch_size=2)
    assert hash_of_logits(other_order.slices) == expected
    both = run(engine, small, guidance=led, samples=2, prompts=[DARK, BRIGHT])
    alone = run(engine, small, guidance=led, samples=2)
    for one, two in zip(both.slices, alone.slices, strict=True):
        assert np.array_equal(one.logits[1], two.logits[0])


def test_features_are_kept_when_the_user_points(
    engine: Engine, small: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, small)
    encoded: list[int] = []
    encode = engine.model.encode_image
    monkeypatch.setattr(engine.model, "encode_image", lambda x: encoded.append(len(x)) or encode(x))
    run(engine, small, guidance=Guidance((POINT,)))
    assert encoded == []


def test_pointing_at_an_object_lifts_the_gate_on_that_slice_and_says_so(engine: Engine, small: Phantom) -> None:
    prompts = [BRIGHT, DARK]
    led = run(engine, small, prompts=prompts, guidance=Guidance((POINT,), prompt=DARK))
    for one in led.slices:
        if one.index == 8:
            assert one.lifted is not None
            assert one.lifted.tolist() == [False, True]
        else:
            assert one.lifted is None
    assert led.provenance["gate lifted"] == [{"slice": 8, "prompts": [DARK]}]
    dark = led.labels(threshold=0.01, existence=1.0).layers[1]
    assert dark[8].any()
    assert not dark[[5, 11]].any()
    assert not led.labels(threshold=0.01, existence=1.0).layers[0].any()
    not_here = run(engine, small, guidance=Guidance((), (POINT,)))
    assert all(one.lifted is None for one in not_here.slices)
    assert not_here.provenance["gate lifted"] == []


def test_looks_go_where_told_and_never_outside_a_box(engine: Engine, small: Phantom) -> None:
    plan = engine.plan(small.volume)
    plain = engine.trace(small.volume, BRIGHT, 8)
    _, row, column = plan.to_pixels(POINT)
    for guidance, sign in ((Guidance((POINT,)), 1), (Guidance((), (POINT,)), -1)):
        led = engine.trace(small.volume, BRIGHT, 8, guidance=guidance)
        look, before = led.layers[0], plain.layers[0]
        token = int(row // look.scale), int(column // look.scale)
        assert np.array_equal(look.guess, before.guess)
        assert sign * (look.probability[token] - before.probability[token]) > 0.01
    (_, *a), (_, *b) = plan.to_pixels((9.5, 19.5, 8)), plan.to_pixels((50.5, 60.5, 8))
    for look in engine.trace(small.volume, BRIGHT, 8, guidance=Guidance(box=((10, 20, 8), (50, 60, 8)))).layers:
        rows, columns = (look.scale * (np.arange(n) + 0.5) for n in look.visited.shape)
        inside = ((rows >= min(a[0], b[0])) & (rows <= max(a[0], b[0])))[:, None]
        inside = inside & (columns >= min(a[1], b[1])) & (columns <= max(a[1], b[1]))
        assert not look.visited[~inside].any()
        assert look.visited[inside].any()


def test_all_storage_orders_of_an_image_are_led_to_the_same_place(engine: Engine) -> None:
    made = phantom(7, (6, 40, 48))
    axial = made.volume.grid.world([(20, 15, 3), (30, 22, 3), (12, 8, 2), (33, 30, 4)])
    masks = set()
    for order, flips in ORDERS[::5]:
        array, grid = stored(made.volume.array, made.volume.grid, order, flips)
        here, not_here, low, high = (tuple(np.rint(grid.voxel(point)).tolist()) for point in axial)
        volume = Volume(array, grid, "MR", stacking_axis=grid.axis_of("axial"))
        led = Guidance((here,), (not_here,), (low, high))
        index = int(here[2 - volume.slice_axis])  # the slice that both points and the box lie in
        prediction = boltzformer.segment(volume, BRIGHT, model=engine, guidance=led, slices=[index])
        assert prediction.slices[0].lifted is not None
        masks.add(prediction.slices[0].logits.tobytes())
    assert len(masks) == 1


def test_the_same_again_from_its_provenance_with_points_and_a_larger_size(engine: Engine, small: Phantom) -> None:
    led = [Guidance((POINT,), prompt=BRIGHT, strength=3.0), Guidance((), ((20, 20, 5),), ((5, 5, 5), (60, 60, 11)))]
    first = run(engine, small, prompts=[BRIGHT, DARK], guidance=led, size=128, samples=2)
    facts = json.loads(json.dumps(first.provenance))
    assert facts["plan"]["size"] == 128
    events = list(reproduce(facts, small.volume, engine))
    assert not [event for event in events if isinstance(event, Adjusted)]
    again = events[-1]
    assert isinstance(again, Prediction)
    assert json.loads(json.dumps(again.provenance)) == facts
    assert np.array_equal(again.labels().layers, first.labels().layers)
    del facts["guidance"]  # as older versions wrote it
    assert any(isinstance(event, Adjusted) for event in reproduce(facts, small.volume, engine))


def test_guidance_and_a_region_go_together(engine: Engine, small: Phantom) -> None:
    region = Region.of_voxels(small.volume.grid, (15, 20, 6), (50, 55, 10))
    plain = run(engine, small, region=region, slices=[8])
    led = run(engine, small, region=region, slices=[8], guidance=Guidance((POINT,)))
    assert not np.array_equal(plain.slices[0].logits, led.slices[0].logits)
    outside = run(engine, small, region=region, slices=[8], guidance=Guidance(((5, 5, 8),)))
    assert np.array_equal(plain.slices[0].logits, outside.slices[0].logits)
    assert outside.slices[0].lifted is None


def test_models_that_do_not_sample(tmp_path: Path, small: Phantom) -> None:
    full = engine_of(tmp_path, attention="full")
    with pytest.raises(BoltzFormerError, match=r"looks at everything.*give a box instead"):
        full.segment(small.volume, BRIGHT, guidance=Guidance((POINT,)))
    for one in (full, engine_of(tmp_path, attention="masked", mask_threshold=0.5)):
        boxed = one.trace(small.volume, BRIGHT, 8, guidance=Guidance(box=((20, 30, 8), (40, 50, 8))))
        assert 0 < boxed.layers[2].visited.mean() < 0.3
    masked = engine_of(tmp_path, attention="masked", mask_threshold=0.9)
    led = masked.trace(small.volume, BRIGHT, 8, guidance=Guidance((POINT,)))
    _, row, column = masked.plan(small.volume).to_pixels(POINT)
    look = led.layers[2]
    assert look.visited[int(row // look.scale), int(column // look.scale)] == 1  # a sure guess and more
    assert look.visited.mean() < 0.9


def test_slices_larger_than_in_training_up_to_twice_and_more_on_a_region(engine: Engine, small: Phantom) -> None:
    side = engine.about.config.image_size
    twice = run(engine, small, size=2 * side, slices=[8])
    assert twice.slices[0].logits.shape[1:] == (side, side)  # answers are at half of what is seen
    assert twice.labels().layers.shape[1:] == small.volume.array.shape
    assert hash_of_logits(run(engine, small, size=side).slices) == hash_of_logits(run(engine, small).slices)
    with pytest.raises(BoltzFormerError, match=rf"at most {2 * side}, or a region"):
        engine.segment(small.volume, BRIGHT, size=2 * side + 32)
    for wrong in (0, 100, -32):
        with pytest.raises(BoltzFormerError, match="a multiple of 32"):
            engine.plan(small.volume, size=wrong)
    region = Region.of_voxels(small.volume.grid, (15, 20, 8), (50, 55, 8))
    assert engine.plan(small.volume, region=region, size=3 * side).size == 3 * side
    assert engine.need(small.volume, size=2 * side).work == pytest.approx(4 * engine.need(small.volume).work, rel=0.01)
