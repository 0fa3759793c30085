"""A volume and a prompt in, the same answer every time."""

import numpy as np
import pytest

import boltzformer
from boltzformer import BoltzFormerError, Prediction, SliceResult, Started
from boltzformer.io.phantom import BRIGHT, DARK, KINDS, Phantom, sample


def run(engine: boltzformer.Engine, made: Phantom, prompts: object = KINDS, **how: object) -> Prediction:
    *_, last = engine.segment(made.volume, prompts, **how)
    assert isinstance(last, Prediction)
    return last


def test_events_come_in_order_from_the_visible_slice_outwards(engine: boltzformer.Engine, small: Phantom) -> None:
    events = list(engine.segment(small.volume, BRIGHT, start=5))
    assert isinstance(events[0], Started)
    assert events[0].total == 16
    assert [event.index for event in events[1:-1]] == [5, 4, 6, 3, 7, 2, 8, 1, 9, 0, 10, 11, 12, 13, 14, 15]
    assert isinstance(events[-1], Prediction)
    assert [one.index for one in events[-1].slices] == list(range(16))


def test_noise_belongs_to_the_slice_and_prompt_not_to_the_run(engine: boltzformer.Engine, small: Phantom) -> None:
    whole = run(engine, small)
    alone = run(engine, small, DARK, slices=[9, 3])
    for one in alone.slices:
        twin = whole.slices[one.index]
        assert np.array_equal(one.logits[0], twin.logits[KINDS.index(DARK)])
        assert one.existence[0] == twin.existence[KINDS.index(DARK)]


def test_the_seed_decides(engine: boltzformer.Engine, small: Phantom) -> None:
    first, again, other = (run(engine, small, BRIGHT, slices=[8], seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.slices[0].logits, again.slices[0].logits)
    assert not np.array_equal(first.slices[0].logits, other.slices[0].logits)


def test_lesions_are_found_by_their_own_prompt_only(engine: boltzformer.Engine, made: Phantom) -> None:
    labels = run(engine, made).labels()
    for lesion in made.lesions:
        i, j, k = lesion.centre
        near = np.s_[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2]
        own = KINDS.index(lesion.kind) + 1
        assert labels.mask(own)[near].any()
        assert not labels.mask(3 - own)[near].any()


def test_masks_lie_where_the_lesions_are_whatever_the_storage_order(engine: boltzformer.Engine, made: Phantom) -> None:
    flipped = np.diag([-1.0, -1.0, 2.5, 1.0])
    _, y, x = made.volume.array.shape
    flipped[:3, 3] = (x - 1, y - 1, 0)
    grid = boltzformer.Grid.from_lps(made.volume.array.shape, flipped)
    stored = boltzformer.Volume(made.volume.array[:, ::-1, ::-1], grid)
    indices = [lesion.centre[2] for lesion in made.lesions]
    plain = run(engine, made, BRIGHT, slices=indices).labels().layers
    turned = run(engine, Phantom(stored, made.labels, made.lesions), BRIGHT, slices=indices).labels().layers
    assert plain.any()
    assert np.array_equal(plain, turned[:, :, ::-1, ::-1])


def test_a_trace_shows_the_looks_that_gave_the_answer(engine: boltzformer.Engine, made: Phantom) -> None:
    lesion = made.lesions[-1]
    trace = engine.trace(made.volume, lesion.kind, lesion.centre[2])
    assert len(trace.layers) == 9
    temperatures = [look.temperature for look in trace.layers]
    assert temperatures == pytest.approx([1 / (1 + layer) for layer in range(9)])
    assert [look.visited.shape for look in trace.layers[:3]] == [(6, 6), (12, 12), (24, 24)]
    assert all(0 < look.visited.mean() < 0.25 for look in trace.layers[1:])
    i, j, _ = lesion.centre
    last = trace.layers[-1].visited
    assert last[j // 4, i // 4] > 3 * last.mean()  # 96 px on a grid of 24: the last look is on the lesion


def test_a_single_image_and_a_colour_image_pass_through(engine: boltzformer.Engine) -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 61, 40), (1, 61, 40, 3), (1, 1, 1)):
        volume = boltzformer.Volume(rng.integers(0, 255, shape, dtype=np.uint8), boltzformer.Grid.pixels(shape[:3]))
        *_, last = engine.segment(volume, "anything")
        assert last.labels().layers.shape == (1, *shape[:3])


def test_what_can_not_be_asked_is_said(engine: boltzformer.Engine, small: Phantom) -> None:
    for prompts, slices, words in (
        ("  ", None, "prompt is empty"),
        ("lung \udce9", None, "not valid text"),
        ([], None, "no prompt"),
        ("a", [99], "0 to 15"),
    ):
        with pytest.raises(BoltzFormerError, match=words):
            engine.segment(small.volume, prompts, slices=slices)


def test_cancelling_is_not_asking_for_more(engine: boltzformer.Engine, small: Phantom) -> None:
    events = engine.segment(small.volume, BRIGHT)
    kept = [next(events), next(events), next(events)]
    events.close()
    assert [isinstance(event, SliceResult) for event in kept] == [False, True, True]


def test_the_sample_case_carries_its_origin() -> None:
    case = sample()
    assert case.truth.grid.same_as(case.volume.grid)
    assert case.truth.layers[0, case.index].sum() > 500
    assert case.facts["licence"].startswith("CC BY")
    assert case.facts["excluded_from_training"] is True
