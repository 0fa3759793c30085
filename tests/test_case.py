"""Learning from a case: a few slices that a person corrected teach the rest of the volume, and change nothing else."""

import hashlib
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import boltzformer
from boltzformer import Adapted, Adapter, BoltzFormerError, Engine, Learning, Lesson, Prediction
from boltzformer.engine.adapted import AT_MOST, Said, combined
from boltzformer.engine.reproduce import reproduce
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from boltzformer.learn import adapt as adapting
from boltzformer.learn.adapt import KNOWS, SCATTERED
from boltzformer.masks.lessons import TRUST, Fit, lessons_of

UNKNOWN = "left atrium in cardiac MRI"
"""The phantom model was never taught it, and marks bright blobs: lessons make it mean the dark one."""


@pytest.fixture(scope="module")
def made() -> Phantom:
    """With three dark blobs, which the model does not mark unless asked by their name."""
    return phantom(11, (40, 96, 96), (DARK, DARK, DARK, BRIGHT))


def lessons(made: Phantom, engine: Engine, count: int = 3, empty: int = 1) -> tuple[Lesson, ...]:
    """Slices with the dark blob, spread over it, and some without."""
    plan = engine.plan(made.volume)
    area = made.labels.mask(2).sum((1, 2))
    there, absent = np.flatnonzero(area >= 8), np.flatnonzero(area == 0)
    chosen = [int(there[round(n)]) for n in np.linspace(0, len(there) - 1, count + 2)[1:-1]]
    return lessons_of(made.labels, 2, [*chosen, *(int(one) for one in absent[:empty])], plan)


def learn(engine: Engine, made: Phantom, given: tuple[Lesson, ...], steps: int = 10, **how: object) -> Adapted:
    *_, last = boltzformer.adapt(engine, made.volume, UNKNOWN, given, steps=steps, **how)  # type: ignore[arg-type]
    assert isinstance(last, Adapted)
    return last


def state_of(engine: Engine) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(engine.model.state_dict().items()):
        found.update(name.encode() + tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def dice(found: np.ndarray, true: np.ndarray) -> float:
    return float(2 * (found & true).sum() / max(1, found.sum() + true.sum()))


@pytest.fixture(scope="module")
def done(engine: Engine, made: Phantom) -> Adapted:
    return learn(engine, made, lessons(made, engine), 40)


def test_slices_that_nobody_corrected_are_found_after_three_lessons(
    engine: Engine, made: Phantom, done: Adapted
) -> None:
    given = [one.index for one in done.adapter.lessons]
    rest = [index for index in range(made.volume.grid.shape[0]) if index not in given]
    true = made.labels.mask(2)[rest]
    zero = boltzformer.segment(made.volume, UNKNOWN, model=engine).labels().mask(1)[rest]
    now = boltzformer.segment(made.volume, UNKNOWN, model=engine.adapted(done.adapter)).labels().mask(1)[rest]
    assert dice(zero, true) < 0.1
    assert dice(now, true) > 0.6
    assert done.adapter.before is not None
    assert done.adapter.after is not None
    assert done.better


def test_a_persons_slices_stay_bit_equal_at_every_threshold_and_gate(
    engine: Engine, made: Phantom, done: Adapted
) -> None:
    true = made.labels.mask(2)
    indices = [one.index for one in done.adapter.lessons]
    prediction = boltzformer.segment(made.volume, UNKNOWN, model=engine.adapted(done.adapter), slices=indices)
    for threshold, gate in ((0.5, None), (0.01, 0.0), (0.99, 1.0)):
        found = prediction.labels(threshold, gate).mask(1)
        assert np.array_equal(found[indices], true[indices])


def test_learning_changes_neither_the_engine_nor_the_lessons(engine: Engine, made: Phantom) -> None:
    given = lessons(made, engine)
    before, masks = state_of(engine), [one.mask.copy() for one in given]
    learn(engine, made, given)
    assert state_of(engine) == before
    bare = Adapter(engine.about.sha256, "", UNKNOWN, 0, ())
    learn(engine, made, given, start=bare)  # what an adapter leaves as it was must not be the engine's own
    assert state_of(engine) == before
    assert all(np.array_equal(one.mask, mask) for one, mask in zip(given, masks, strict=True))
    assert engine.adapter is None


def test_the_same_lessons_seed_and_steps_teach_the_same_bits(engine: Engine, made: Phantom) -> None:
    given = lessons(made, engine)
    one, two, other = (learn(engine, made, given, seed=seed) for seed in (3, 3, 4))
    assert one.adapter.id == two.adapter.id != other.adapter.id
    first, second = (
        boltzformer.segment(made.volume, UNKNOWN, model=engine.adapted(done.adapter), slices=[9, 10])
        for done in (one, two)
    )
    assert first.provenance["logits sha256"] == second.provenance["logits sha256"]


def test_memory_is_said_before_the_first_step_and_seconds_are_kept(engine: Engine, made: Phantom) -> None:
    began = time.process_time()  # of a processor, not of the clock: other programs may be busy
    events = list(boltzformer.adapt(engine, made.volume, UNKNOWN, lessons(made, engine), seconds=3))
    first, *steps, last = events
    assert isinstance(first, Learning)
    assert first.step == 0
    assert first.memory > 4 * engine.about.parameters
    assert isinstance(last, Adapted)
    counted = [one for one in steps if isinstance(one, Learning) and one.of]
    assert counted[-1].step == counted[-1].of == last.adapter.steps
    assert time.process_time() - began < 12


def test_it_can_be_left_after_any_step_and_no_step_takes_a_second(engine: Engine, made: Phantom) -> None:
    before, slowest = state_of(engine), 0.0
    events = boltzformer.adapt(engine, made.volume, UNKNOWN, lessons(made, engine), steps=20)
    for _ in range(8):
        began = time.process_time()
        next(events)
        slowest = max(slowest, time.process_time() - began)
    events.close()  # type: ignore[attr-defined]
    assert slowest < 1
    assert state_of(engine) == before


def test_a_second_learning_goes_on_from_the_first_and_its_new_lesson_checks_it(engine: Engine, made: Phantom) -> None:
    four = lessons(made, engine, 4, 1)
    first = learn(engine, made, (*four[:3], four[4]))
    second = learn(engine, made, (*four[:3], four[4], four[3]), start=first.adapter)
    assert second.adapter.start == first.adapter.id
    assert second.adapter.cases == 1
    assert second.adapter.after is not None
    other = phantom(99)
    carried = first.adapter.carried()
    assert boltzformer.segment(other.volume, UNKNOWN, model=engine.adapted(carried), slices=[30]).slices
    third = learn(engine, other, lessons(other, engine), start=carried)
    assert third.adapter.cases == 2
    assert third.carried is not None
    assert third.carried[0] == 1


def test_what_other_images_taught_is_left_out_where_it_does_worse(engine: Engine, made: Phantom, done: Adapted) -> None:
    """It taught the dark blobs; here the same words mean the bright ones, which the model marks by itself."""
    bright = made.labels.mask(1).sum((1, 2))
    given = lessons_of(made.labels, 1, [int(bright.argmax()), int(bright.argmin())], engine.plan(made.volume))
    told = learn(engine, made, given, start=done.adapter.carried())
    assert told.carried_did_worse
    assert "does worse here" in told.sentence
    assert (told.adapter.cases, told.adapter.start) == (1, "")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [-1, 2**70])
def test_any_whole_number_is_a_seed(engine: Engine, made: Phantom, seed: int) -> None:
    assert learn(engine, made, lessons(made, engine, 1, 0), seed=seed).adapter.seed == seed


def test_one_lesson_alone_teaches_unchecked(engine: Engine, made: Phantom) -> None:
    only = learn(engine, made, lessons(made, engine, 1, 0))
    assert only.adapter.before is None
    assert only.better
    assert "too few to check" in only.sentence


def test_who_knows_the_object_and_is_shown_one_slice_goes_a_part_of_the_way(
    engine: Engine, made: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model marks the bright blobs by itself when it is asked so."""
    bright = made.labels.mask(1)
    index = int(bright.sum((1, 2)).argmax())
    given = lessons_of(made.labels, 1, [index], engine.plan(made.volume))
    found = boltzformer.segment(made.volume, UNKNOWN, model=engine, slices=[index]).labels().mask(1)[index]
    foretold = dice(found, bright[index])
    assert foretold > 0.5
    some = learn(engine, made, given).adapter.deltas
    monkeypatch.setattr(adapting, "KNOWS", 0.0)
    whole = learn(engine, made, given).adapter.deltas
    share = 1 / (1 + KNOWS * foretold**2)
    for name, delta in whole.items():
        np.testing.assert_allclose(some[name], share * delta.astype(np.float32), rtol=2e-3, atol=1e-6)


def test_after_a_learning_that_was_thrown_away_one_lesson_is_left_out_again(engine: Engine, made: Phantom) -> None:
    given = lessons(made, engine, 2, 1)
    nothing = replace(learn(engine, made, given[:2]).adapter, deltas={}, before=None, after=None, left_out=0)
    assert learn(engine, made, given, start=nothing).adapter.after is not None


def test_what_was_learnt_is_used_for_nothing_else(engine: Engine, made: Phantom, small: Phantom, done: Adapted) -> None:
    adapter = done.adapter
    with pytest.raises(BoltzFormerError, match="another image"):
        boltzformer.segment(small.volume, UNKNOWN, model=engine.adapted(adapter))
    with pytest.raises(BoltzFormerError, match="is about 'left atrium"):
        boltzformer.segment(made.volume, BRIGHT, model=engine.adapted(adapter))
    with pytest.raises(BoltzFormerError, match="lie along axis 0"):
        boltzformer.segment(made.volume, UNKNOWN, model=engine.adapted(adapter), axis=1)
    with pytest.raises(BoltzFormerError, match="another model"):
        engine.adapted(replace(adapter, parent="0" * 64))
    with pytest.raises(BoltzFormerError, match="does not fit this model"):
        engine.adapted(replace(adapter, deltas={"nowhere.weight": np.ones(3, np.float16)}))
    with pytest.raises(BoltzFormerError, match="taught already"):
        engine.adapted(adapter).adapted(adapter)


@pytest.mark.parametrize(("how", "said"), [({"seconds": 0}, "more than 0 seconds"), ({"steps": 3}, "10 to 2000 steps")])
def test_impossible_learnings_are_refused_before_anything_is_done(
    engine: Engine, made: Phantom, how: dict[str, float], said: str
) -> None:
    with pytest.raises(BoltzFormerError, match=said):
        boltzformer.adapt(engine, made.volume, UNKNOWN, lessons(made, engine), **how)  # type: ignore[arg-type]


def test_another_parent_is_refused_before_anything_is_done(engine: Engine, made: Phantom, done: Adapted) -> None:
    start = replace(done.adapter, parent="0" * 64)
    with pytest.raises(BoltzFormerError, match="another model"):
        boltzformer.adapt(engine, made.volume, UNKNOWN, lessons(made, engine), start=start)


def test_the_result_names_its_lessons_and_is_made_again_with_the_same_adapter_alone(
    engine: Engine, made: Phantom, done: Adapted
) -> None:
    wise = engine.adapted(done.adapter)
    prediction = boltzformer.segment(made.volume, UNKNOWN, model=wise, slices=[9, 10, 11])
    told = prediction.provenance
    assert told["adapter"]["id"] == done.adapter.id
    assert told["adapter"]["lessons"] == [one.index for one in done.adapter.lessons]
    *_, again = reproduce(told, made.volume, wise)
    assert isinstance(again, Prediction)
    assert again.provenance["logits sha256"] == told["logits sha256"]
    with pytest.raises(BoltzFormerError, match="learnt from lessons"):
        reproduce(told, made.volume, engine)


def test_existence_has_a_say_only_if_it_told_empty_lessons_from_others(
    engine: Engine, made: Phantom, done: Adapted
) -> None:
    assert done.adapter.fit.claim is None  # one empty lesson is too few to learn it from
    strict = replace(done.adapter, fit=replace(done.adapter.fit, claim=1e3))
    free = boltzformer.segment(made.volume, UNKNOWN, model=engine.adapted(done.adapter))
    closed = boltzformer.segment(made.volume, UNKNOWN, model=engine.adapted(strict))
    rest = [index for index in range(40) if index not in [one.index for one in done.adapter.lessons]]
    assert free.labels().mask(1)[rest].any()
    assert not closed.labels().mask(1)[rest].any()


def test_where_learning_did_worse_the_parents_answers_stay_beside_the_lessons(
    engine: Engine, made: Phantom, done: Adapted
) -> None:
    kept = boltzformer.segment(made.volume, UNKNOWN, model=engine.adapted(done.adapter.as_parent())).labels()
    own = boltzformer.segment(made.volume, UNKNOWN, model=engine).labels()
    given = [one.index for one in done.adapter.lessons]
    rest = [index for index in range(40) if index not in given]
    assert np.array_equal(kept.layers[:, rest], own.layers[:, rest])
    assert np.array_equal(kept.mask(1)[given], made.labels.mask(2)[given])


def test_an_adapter_without_deltas_leaves_the_weights_and_adds_the_neighbours(engine: Engine, made: Phantom) -> None:
    given = lessons(made, engine)
    bare = Adapter(engine.about.sha256, "", BRIGHT, 0, given)
    wise = engine.adapted(bare)
    assert state_of(wise) == state_of(engine)
    with_them = boltzformer.segment(made.volume, BRIGHT, model=wise, slices=[given[0].index + 1])
    alone = boltzformer.segment(made.volume, BRIGHT, model=engine, slices=[given[0].index + 1])
    assert with_them.provenance["logits sha256"] != alone.provenance["logits sha256"]


def test_what_lies_far_beyond_the_lessons_goes_on_where_the_model_is_sure() -> None:
    """A cord goes on for dozens of slices; without a limit each of them was lost, however sure the model."""
    sure, unsure = np.full((2, 2), AT_MOST + 1, np.float32), np.full((2, 2), AT_MOST - 1, np.float32)
    silent = Said(np.zeros((2, 2), np.float32), -5.0)
    assert (combined(sure, silent, Fit()) > 0).all()
    assert (combined(unsure, silent, Fit()) < 0).all()


def test_scattered_objects_trust_their_neighbours_less_until_a_lesson_left_out_tells_otherwise(
    engine: Engine, made: Phantom
) -> None:
    mask = np.zeros((96, 96), bool)
    mask[8:80:16, 8:80:16] = mask[9:80:16, 8:80:16] = True
    spots = tuple(Lesson(index, mask) for index in (10, 30))
    assert learn(engine, made, spots).adapter.fit.trust <= SCATTERED
    disc = lessons(made, engine, 2, 0)
    assert learn(engine, made, disc).adapter.fit.trust >= TRUST
