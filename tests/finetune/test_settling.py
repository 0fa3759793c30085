"""Before the first step the parent is asked, and each picture told; between the last and the verdict what was learnt is
walked back as far as the old targets ask."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from finetune_runs import manifest
from torch import Tensor

from boltzformer.errors import BoltzFormerError
from boltzformer.knowledge.card import Card
from boltzformer.learn.finetune import Asking, Finished, finetune
from boltzformer.learn.finetune.counting import Count, all_of
from boltzformer.learn.finetune.deciding import decide
from boltzformer.learn.finetune.lessons import read_lessons
from boltzformer.learn.finetune.options import Frozen, Options, is_claim
from boltzformer.learn.finetune.sampling import check, mini
from boltzformer.learn.finetune.settling import (
    ALLOWED,
    FIRST,
    WALKS,
    Settled,
    Start,
    lost,
    most_questions,
    on_the_way,
    settle,
)
from boltzformer.learn.finetune.student import Student
from boltzformer.learn.finetune.together import Together
from boltzformer.types import Progress
from boltzformer.weights import checkpoint, registry


def begun(source: Path, model: Path, **options: object) -> tuple[Start, Frozen, Student]:
    asked = Options(source, model=str(model), threads=1, device="cpu", steps=8, batch=2, **options)  # type: ignore[arg-type]
    base = checkpoint.read(model)
    lessons = read_lessons(source, split=None, targets=(), neighbours=False, frozen=None)
    frozen = decide(asked, base, lessons, torch.device("cpu"), Together.of_environment())
    start = Start(base, lessons, frozen)
    list(start.ask())
    student = Student(start.model, frozen.recipe, micro=frozen.micro)
    student.step = frozen.recipe.steps
    return start, frozen, student


def shaken(student: Student, strength: float) -> dict[str, Tensor]:
    """As a hurried training would leave them: every weight a little elsewhere."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: tensor + strength * tensor.std(correction=0) * torch.randn(tensor.shape, generator=generator)
        for name, tensor in student.start.items()
    }


@pytest.mark.slow
def test_weights_that_lost_old_targets_go_back_on_the_line_to_the_parent(tmp_path: Path) -> None:
    start, frozen, student = begun(manifest(tmp_path, ("cell nucleus",)), registry.resolve("default"))
    taught = shaken(student, 0.1)
    before = all_of(lost(start, student, on_the_way(student, taught, FIRST), Count(0)))
    settled = all_of(settle(start, frozen, student, taught, Count(0)))
    assert before > ALLOWED
    assert 0 < settled.way < FIRST
    assert all_of(lost(start, student, settled.weights, Count(0))) < before
    for name, tensor in settled.weights.items():
        if is_claim(name):
            continue
        shown = name.startswith(("backbone.", "sem_seg_head.pixel_decoder."))
        share = settled.way if shown else (1 + settled.way) / 2
        assert torch.equal(tensor, student.start[name].lerp(taught[name], share)), name
    assert any(not torch.equal(settled.weights[name], taught[name]) for name in taught if is_claim(name))
    again = all_of(settle(start, frozen, student, taught, Count(0)))
    assert again.way == settled.way
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in settled.weights.items())


def test_what_cost_the_others_nothing_is_walked_no_further_and_only_the_claims_learn_on(data: Path, base: Path) -> None:
    start, frozen, student = begun(data, base, mode="decoder")
    taught = dict(student.start)
    count = Count(most_questions(start))
    settled = all_of(settle(start, frozen, student, taught, count))
    assert count.asked == count.pictures == most_questions(start) // WALKS > 0  # the second walk was spared
    assert settled.way == FIRST
    changed = {name for name in taught if not torch.equal(settled.weights[name], taught[name])}
    assert changed
    assert all(is_claim(name) for name in changed)


@pytest.mark.parametrize("options", [{"mode": "existence"}, {"mode": "decoder", "replay": False}])
def test_without_masks_that_move_or_memories_that_tell_nothing_is_walked(
    data: Path, base: Path, options: dict[str, object]
) -> None:
    start, frozen, student = begun(data, base, **options)
    taught = shaken(student, 0.5)
    count = Count(most_questions(start))
    assert all_of(settle(start, frozen, student, taught, count)) == Settled(taught, 1.0)
    assert count.asked == count.pictures == 0


def test_while_the_model_is_asked_and_what_was_learnt_is_judged_each_picture_is_counted(
    tmp_path: Path, data: Path, base: Path
) -> None:
    asked = Options(data, model=str(base), threads=1, device="cpu", steps=1, batch=2, mode="existence", replay=False)
    events = list(finetune(asked, tmp_path / "run"))
    told = [event for event in events if isinstance(event, Asking)]
    for judging in (False, True):
        some = [event for event in told if event.judging is judging]
        assert [event.asked for event in some] == list(range(1, some[-1].pictures + 1))
        assert some[0].eta is None
        assert some[1].eta > 0
        assert some[-1].eta == 0
    (step,) = (number for number, event in enumerate(events) if isinstance(event, Progress))
    assert all(event.judging is (events.index(event) > step) for event in told)
    assert isinstance(events[-1], Finished)


def test_processes_that_share_a_computer_share_its_cores(data: Path, base: Path) -> None:
    """Each with threads for all of them, they would wait for each other most of the time."""
    about, cpu = checkpoint.read(base), torch.device("cpu")
    lessons = read_lessons(data, split=None, targets=(), neighbours=False, frozen=None)
    asked = Options(data, model=str(base), device="cpu", steps=1, batch=2, mode="existence")
    alone = decide(asked, about, lessons, cpu, Together()).threads
    assert decide(asked, about, lessons, cpu, Together(world=2, here=2)).threads == max(1, alone // 2)
    assert decide(asked, about, lessons, cpu, Together(world=2, here=2 * alone)).threads == 1
    assert decide(replace(asked, threads=3), about, lessons, cpu, Together(world=2, here=2)).threads == 3


def test_eight_processes_share_the_smaller_batches_of_the_end_too(data: Path, base: Path) -> None:
    about, cpu = checkpoint.read(base), torch.device("cpu")
    lessons = read_lessons(data, split=None, targets=(), neighbours=False, frozen=None)
    asked = Options(data, model=str(base), device="cpu", threads=1, steps=1, mode="full")
    alone, eight = (decide(asked, about, lessons, cpu, Together(world=n, here=n)).recipe for n in (1, 8))
    assert (alone.batch, alone.final.batch) == (8, 4)
    assert (eight.batch, eight.final.batch) == (8, 8)
    with pytest.raises(BoltzFormerError, match=r"a --batch that is a multiple of 3\.$"):
        decide(asked, about, lessons, cpu, Together(world=3, here=3))


@pytest.mark.parametrize(
    ("left", "rest"), [("", ""), ("state-00000005", ", and what an earlier run kept is still there")]
)
def test_a_stop_before_the_first_step_speaks_of_an_earlier_run_where_there_was_one(
    tmp_path: Path, data: Path, base: Path, left: str, rest: str
) -> None:
    folder = tmp_path / "run"
    (folder / left).mkdir(parents=True)
    asked = Options(data, model=str(base), threads=1, device="cpu", steps=1, batch=2, mode="existence", replay=False)
    with pytest.raises(BoltzFormerError) as stopped:
        list(finetune(asked, folder, stop=lambda: True))
    assert str(stopped.value) == f"Stopped before a step was made: nothing was learnt{rest}."


@pytest.mark.slow
def test_it_can_be_stopped_before_the_first_step_and_begun_again(tmp_path: Path, data: Path, base: Path) -> None:
    """What the parent says of its own targets takes a while, and on a busy machine minutes."""
    asked = Options(data, model=str(base), threads=1, device="cpu", steps=1, batch=2, mode="existence")
    with pytest.raises(BoltzFormerError, match="before a step was made"):
        list(finetune(asked, tmp_path / "run", stop=lambda: True))
    assert not list((tmp_path / "run").glob("*.safetensors"))
    events = list(finetune(asked, tmp_path / "run"))
    assert isinstance(events[-1], Finished)


def test_what_a_run_is_judged_by_is_of_patients_that_nothing_learns_from() -> None:
    assert not {one.group for one in check()} & {one.group for one in mini()}
    taught = Card.of(checkpoint.read(registry.resolve("default")).history.notes)
    assert taught is not None
    for pictures in (check(), mini()):
        shown = {name for one in pictures for name in one.masks}
        measured = {target.name for target in taught.targets if target.metrics and target.taught}
        assert measured <= shown
