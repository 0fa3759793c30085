"""Masks are the same bits whatever runs beside them."""

import numpy as np
import pytest
import torch

import boltzformer
from boltzformer import Prediction
from boltzformer.engine.answering import Question, Sample, sample
from boltzformer.engine.provenance import hash_of_logits
from boltzformer.image.slicing import to_int8
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.types import Prompt

SOME = [2, 7, 8, 11]


def run(engine: boltzformer.Engine, made: Phantom, **how: object) -> Prediction:
    how = {"slices": SOME, **how}
    return boltzformer.segment(made.volume, how.pop("prompts", BRIGHT), model=engine, **how)


def test_batch_size_order_restart_and_other_prompts_change_no_bit(engine: boltzformer.Engine, small: Phantom) -> None:
    expected = hash_of_logits(run(engine, small).slices)
    for batch in (1, 2, 5):
        assert hash_of_logits(run(engine, small, batch_size=batch).slices) == expected
    assert hash_of_logits(run(engine, small, slices=SOME[::-1]).slices) == expected
    cancelled = engine.segment(small.volume, BRIGHT, slices=SOME)
    kept = [next(cancelled), next(cancelled), next(cancelled)]
    cancelled.close()
    again = run(engine, small)
    assert hash_of_logits(again.slices) == expected
    assert np.array_equal(kept[1].logits, again.slices[0].logits)
    engine.features.clear()
    assert hash_of_logits(run(engine, small, cache_bytes=0).slices) == expected
    both = run(engine, small, prompts=[DARK, BRIGHT])
    for one, alone in zip(both.slices, again.slices, strict=True):
        assert np.array_equal(one.logits[1], alone.logits[0])
        assert one.existence[1] == alone.existence[0]


def draws(engine: boltzformer.Engine, made: Phantom, samples: int) -> list[Sample]:
    plan = engine.plan(made.volume)
    with torch.inference_mode():
        seen = torch.from_numpy(plan.network_slice(made.volume.array, made.volume.window(), 8))[None]
        image, text = engine.model.encode_image(seen), engine.model.encode_text([BRIGHT])
        return list(sample(engine.model, image, [text], Question((Prompt(BRIGHT),), 3, samples), 8))


def test_a_sample_is_the_same_however_many_are_drawn(engine: boltzformer.Engine, small: Phantom) -> None:
    two, five = draws(engine, small, 2), draws(engine, small, 5)
    for few, many in zip(two, five, strict=False):
        assert torch.equal(few.logits, many.logits)
        assert few.existence == many.existence
    assert not torch.equal(five[0].logits, five[1].logits)
    single = run(engine, small, slices=[8], seed=3)
    assert np.array_equal(single.slices[0].logits[0], to_int8(five[0].logits.numpy()))


def test_samples_give_mean_and_spread(engine: boltzformer.Engine, small: Phantom) -> None:
    several = run(engine, small, slices=[8], seed=3, samples=5).slices[0]
    chances = np.stack([1 / (1 + np.exp(-one.logits.numpy().astype(float))) for one in draws(engine, small, 5)])
    mean = 1 / (1 + np.exp(-several.logits[0].astype(float) / 16))
    assert np.abs(mean - chances.mean(0)).max() < 1 / 64 + 1e-4  # half a step of 1/16 is at most 1/128 of probability
    assert several.spread is not None
    assert np.abs(several.spread[0] / 510 - chances.std(0)).max() <= 1 / 1020 + 1e-6
    assert run(engine, small, slices=[8]).slices[0].spread is None


def test_doubt_ranks_slices_by_the_area_that_seeds_disagree_about(engine: boltzformer.Engine, made: Phantom) -> None:
    through = made.lesions[0].centre[2]
    asked = run(engine, made, slices=[0, through, 63], samples=3, prompts=made.lesions[0].kind)
    assert asked.doubt[0] == through
    assert sorted(asked.doubt) == sorted([0, through, 63])
    assert run(engine, made, slices=[through]).doubt == ()


def test_work_moves_with_the_user(engine: boltzformer.Engine, small: Phantom) -> None:
    wanted = [4, 5]

    def following() -> int | None:
        return wanted.pop(0) if wanted else None

    events, seen = engine.segment(small.volume, BRIGHT, slices=following), []
    for event in events:
        if isinstance(event, boltzformer.SliceResult):
            seen.append(event.index)
            if seen == [4]:
                wanted[:] = [12, 11]
    assert seen == [4, 12, 11]
    with pytest.raises(boltzformer.BoltzFormerError, match="slices 0 to 15"):
        list(engine.segment(small.volume, BRIGHT, slices=lambda: 99))


def test_a_trace_along_another_axis_and_in_a_region(engine: boltzformer.Engine, small: Phantom) -> None:
    region = boltzformer.Region.of_voxels(small.volume.grid, (10, 20, 4), (50, 60, 9))
    for how in ({"axis": 1}, {"region": region}):
        trace = (
            engine.trace(small.volume, BRIGHT, 6, **how)
            if "region" in how
            else engine.trace(small.volume, BRIGHT, 40, **how)
        )
        assert len(trace.layers) == 9


def test_what_can_not_be_is_said_at_the_call(engine: boltzformer.Engine, small: Phantom) -> None:
    outside = boltzformer.Region((900, 900, 900), (950, 950, 950))
    for wrong, words in (
        ({"samples": 0}, "samples is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"cache_bytes": -1}, "cache_bytes"),
        ({"axis": 3}, "axis 3"),
        ({"region": outside}, "outside the image"),
        ({"slices": []}, "don't exist"),
    ):
        with pytest.raises(boltzformer.BoltzFormerError, match=words):
            engine.segment(small.volume, BRIGHT, **wrong)
    with pytest.raises(boltzformer.BoltzFormerError, match="255 labels"):
        engine.segment(small.volume, [f"prompt {n}" for n in range(256)])
