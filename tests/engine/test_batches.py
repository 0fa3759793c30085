"""What a GPU does, slices and prompts together, tried on a CPU: the same answers up to rounding."""

from typing import Any

import numpy as np
import pytest
import torch
from phantom_model import PHANTOM_MODEL

import boltzformer
from boltzformer import Adjusted, Prediction, SliceResult
from boltzformer.engine.answering import Question
from boltzformer.engine.devices import Effort, Place, choose
from boltzformer.engine.provenance import hash_of_logits
from boltzformer.engine.run import Run, one_after_another
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.types import Prompt

ORDER = [7, 6, 8, 5, 9]
PROMPTS = (Prompt(BRIGHT), Prompt(DARK), Prompt("a longer prompt beside the short ones"))


def together(engine: boltzformer.Engine, made: Phantom, effort: Effort) -> list[Any]:
    question = Question(PROMPTS, 3, 2)
    ask, window = one_after_another(ORDER), made.volume.window()
    run = Run(made.volume, engine.plan(made.volume), window, None, question, ask, ORDER[0], effort)
    return list(engine._events(run, len(ORDER)))


@pytest.fixture(scope="module")
def alone(small: Phantom) -> Prediction:
    engine = boltzformer.load(PHANTOM_MODEL, device="cpu")
    return boltzformer.segment(small.volume, PROMPTS, model=engine, slices=ORDER, seed=3, samples=2)


def same_up_to_rounding(events: list[Any], alone: Prediction) -> bool:
    last = events[-1]
    pairs = zip(last.slices, alone.slices, strict=True)
    return all(np.abs(a.logits.astype(int) - b.logits.astype(int)).mean() < 0.5 for a, b in pairs)


def test_batches_of_slices_and_prompts_give_the_same_answers(small: Phantom, alone: Prediction) -> None:
    engine = boltzformer.load(PHANTOM_MODEL, device="cpu")
    sizes: list[int] = []
    engine.model.backbone.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    events = together(engine, small, Effort(choose("cpu"), batch=3, together=4))
    assert sizes == [1, 3, 1]  # the visible slice alone, so that it is quick
    assert [event.index for event in events if isinstance(event, SliceResult)] == ORDER
    assert same_up_to_rounding(events, alone)


def test_a_full_device_gets_less_at_once_and_nothing_is_lost(small: Phantom, alone: Prediction) -> None:
    engine = boltzformer.load(PHANTOM_MODEL, device="cpu")

    def full(limit: int, given: Any) -> None:
        if given > limit:
            raise torch.cuda.OutOfMemoryError(f"no room for {given}")

    engine.model.backbone.register_forward_pre_hook(lambda _, given: full(1, len(given[0])))
    engine.model.decoder.register_forward_pre_hook(lambda _, given: full(2, len(given[1])))
    events = together(engine, small, Effort(choose("cpu"), batch=4, together=8))
    adjusted = [event.what.split(" instead")[0] for event in events if isinstance(event, Adjusted)]
    # The first slice comes alone, so its prompts tell of the limit first; fewer slices are tried before fewer prompts.
    assert adjusted == ["2 slices at once", "1 slices at once", "4 prompts at once", "2 prompts at once"]
    assert [event.index for event in events if isinstance(event, SliceResult)] == ORDER
    assert [one["what"].split(" instead")[0] for one in events[-1].provenance["adjusted"]] == adjusted
    assert same_up_to_rounding(events, alone)


def test_where_onednn_gives_up_the_answer_comes_without_it(small: Phantom, alone: Prediction) -> None:
    """As it did for good after memory had been short once."""
    engine = boltzformer.load(PHANTOM_MODEL, device="cpu")

    def never(*_: object) -> None:
        if torch.backends.mkldnn.enabled:
            raise RuntimeError("could not create a primitive")

    engine.model.backbone.register_forward_pre_hook(never)
    events = list(engine.segment(small.volume, PROMPTS, slices=ORDER, seed=3, samples=2))
    assert torch.backends.mkldnn.enabled
    assert not [event for event in events if isinstance(event, Adjusted)]
    assert same_up_to_rounding(events, alone)


class RoughDevice(Effort):
    """Like a GPU in bfloat16: when it is full, the CPU takes over."""

    def easier(self) -> tuple[Effort, Adjusted]:
        return Effort(choose("cpu"), 1, 1), Adjusted("The CPU does the work", "The device was full.")


def test_one_run_has_one_precision(small: Phantom, alone: Prediction) -> None:
    engine = boltzformer.load(PHANTOM_MODEL, device="cpu")
    calls: list[torch.dtype] = []

    def full(_: object, given: Any) -> None:
        calls.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else given[0].dtype)
        if len(calls) > 2:
            raise torch.cuda.OutOfMemoryError("full after two slices")

    engine.model.backbone.register_forward_pre_hook(full)
    events = together(engine, small, RoughDevice(Place(torch.device("cpu"), torch.bfloat16, ""), 1, 1))
    assert calls == [torch.bfloat16] * 3
    assert [event.index for event in events if isinstance(event, SliceResult)] == [7, 6, *ORDER]
    assert events[-1].provenance["dtype"] == "float32"
    assert hash_of_logits(events[-1].slices) == hash_of_logits(alone.slices)
