"""The next slice is encoded beside the one in hand where a core is left over: the same answers, only sooner."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from phantom_model import PHANTOM_MODEL

import boltzformer
from boltzformer import Adjusted, Engine, SliceResult, Started
from boltzformer.engine.answering import Question
from boltzformer.engine.devices import Effort, Need, choose, core_to_spare
from boltzformer.engine.provenance import hash_of_logits
from boltzformer.engine.run import Run, one_after_another
from boltzformer.errors import BoltzFormerError, slice_of
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.types import Prompt

ORDER = [7, 6, 8, 5, 9, 4]
PROMPTS = (Prompt(BRIGHT), Prompt(DARK))


@pytest.fixture
def fresh() -> Engine:
    """That has seen no slice."""
    return boltzformer.load(PHANTOM_MODEL, device="cpu")


def asked(engine: Engine, made: Phantom, *, ahead: bool = True) -> Iterator[Any]:
    question, effort = Question(PROMPTS, 3, 2), Effort(choose("cpu"), 1, 1, ahead=ahead)
    ask, window = one_after_another(ORDER), made.volume.window()
    run = Run(made.volume, engine.plan(made.volume), window, None, question, ask, ORDER[0], effort)
    return engine._events(run, len(ORDER))


def encoders(engine: Engine) -> list[bool]:
    """Grows with each slice that is encoded: whether that happened on a thread of its own."""
    seen: list[bool] = []
    here = threading.current_thread()
    engine.model.backbone.register_forward_pre_hook(lambda *_: seen.append(threading.current_thread() is not here))
    return seen


def threads_ahead() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("boltzformer-ahead")]


def test_the_same_events_with_the_same_bits(fresh: Engine, small: Phantom) -> None:
    plain = list(asked(fresh, small, ahead=False))
    kept = len(fresh.features), fresh.features.used
    fresh.features.clear()
    beside = encoders(fresh)
    events = list(asked(fresh, small))
    assert beside == [False, False, True, True, True, True]  # the visible slice alone, so that it is quick
    assert [type(event) for event in events] == [type(event) for event in plain]
    assert [event.index for event in events if isinstance(event, SliceResult)] == ORDER
    assert hash_of_logits(events[-1].slices) == hash_of_logits(plain[-1].slices)
    for one, other in zip(events[-1].slices, plain[-1].slices, strict=True):
        assert one.existence.tobytes() == other.existence.tobytes()
        assert one.spread.tobytes() == other.spread.tobytes()
    assert (len(fresh.features), fresh.features.used) == kept
    assert threads_ahead() == []


def test_slices_that_are_known_are_not_begun_again(fresh: Engine, small: Phantom) -> None:
    first = list(asked(fresh, small))
    beside = encoders(fresh)
    again = list(asked(fresh, small))
    assert beside == []
    assert hash_of_logits(again[-1].slices) == hash_of_logits(first[-1].slices)


def test_who_stops_early_leaves_no_thread_behind(fresh: Engine, small: Phantom) -> None:
    events = asked(fresh, small)
    while len(threads_ahead()) == 0:
        next(events)
    events.close()
    assert threads_ahead() == []
    assert [event.index for event in asked(fresh, small) if isinstance(event, SliceResult)] == ORDER


def test_what_fails_ahead_is_told_at_its_slice(fresh: Engine, small: Phantom) -> None:
    calls: list[object] = []

    def fails(*given: object) -> None:
        calls.append(given)
        if len(calls) == 3:
            raise BoltzFormerError("The lamp went out: switch it on again.")

    fresh.model.backbone.register_forward_pre_hook(fails)
    events, told = asked(fresh, small), []
    with pytest.raises(BoltzFormerError, match="The lamp went out") as caught:
        told += events
    assert slice_of(caught.value) == ORDER[2]
    assert threads_ahead() == []


def test_where_two_slices_do_not_fit_one_goes_on(fresh: Engine, small: Phantom) -> None:
    alone = list(asked(fresh, small, ahead=False))[-1]
    fresh.features.clear()
    here = threading.current_thread()

    def full(*_: object) -> None:
        if threading.current_thread() is not here:
            raise MemoryError("no room for two")

    fresh.model.backbone.register_forward_pre_hook(full)
    events = list(asked(fresh, small))
    assert [event.what for event in events if isinstance(event, Adjusted)] == ["One slice at a time instead of two"]
    assert [event.index for event in events if isinstance(event, SliceResult)] == ORDER
    assert hash_of_logits(events[-1].slices) == hash_of_logits(alone.slices)
    assert len(fresh.features) == len(ORDER)  # what is kept for later is given up only after that


def test_a_first_slice_that_does_not_fit_says_nothing_of_two(fresh: Engine, small: Phantom) -> None:
    calls: list[object] = []

    def full(*given: object) -> None:
        calls.append(given)
        if len(calls) == 1:
            raise MemoryError("no room")

    fresh.model.backbone.register_forward_pre_hook(full)
    adjusted = [event.what for event in asked(fresh, small) if isinstance(event, Adjusted)]
    assert adjusted == ["No features are kept for later prompts"]


@pytest.fixture
def two_idle_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    for name in ("BOLTZFORMER_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SMALL = Need(0, 0, 1000, 1000, 0, 1000)


@pytest.mark.usefixtures("two_idle_cores")
def test_only_a_core_that_nobody_spoke_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert core_to_spare(SMALL)
    assert not core_to_spare(replace(SMALL, work=10**15))  # there would be no room
    for name in ("BOLTZFORMER_THREADS", "OMP_NUM_THREADS"):
        with monkeypatch.context() as chosen:
            chosen.setenv(name, "1")
            assert not core_to_spare(SMALL)
    torch.set_num_threads(2)
    assert not core_to_spare(SMALL)
    torch.set_num_threads(1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert not core_to_spare(SMALL)


@pytest.mark.usefixtures("two_idle_cores")
def test_a_run_takes_it_where_its_order_is_known(fresh: Engine, small: Phantom) -> None:
    beside = encoders(fresh)
    assert isinstance(next(fresh.segment(small.volume, BRIGHT)), Started)
    list(fresh.segment(small.volume, BRIGHT, slices=ORDER))
    assert any(beside)
    left = iter(ORDER)
    for how in ({"slices": lambda: next(left, None)}, {"scout": 4}):  # where the next slice is chosen late, its
        beside.clear()  # user may have moved, or an answer may have told of a better one
        fresh.features.clear()
        list(fresh.segment(small.volume, BRIGHT, **how))
        assert len(beside) > 3
        assert not any(beside)
    beside.clear()
    own = Engine(fresh.model, fresh.about)  # made by somebody who uses the cores otherwise, such as a training
    list(own.segment(small.volume, BRIGHT, slices=ORDER))
    assert beside == [False] * len(ORDER)
