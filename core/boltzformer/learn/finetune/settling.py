"""Before the first step and between the last and the verdict: what the parent says of the data (`Start`); as far back
to it as the old targets ask, then the claims catch up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boltzformer.engine import devices
from boltzformer.engine.provenance import own_gate
from boltzformer.errors import BoltzFormerError
from boltzformer.learn.corpus import Picture
from boltzformer.learn.finetune import report
from boltzformer.learn.finetune.asking import asked_one_by_one, engine_with, macro, replies, with_learnt
from boltzformer.learn.finetune.counting import Asked, Asking, Count
from boltzformer.learn.finetune.lessons import Lessons
from boltzformer.learn.finetune.options import Frozen, is_claim, prepare
from boltzformer.learn.finetune.sampling import Pool, Reference, batch_of, check, mini, remember
from boltzformer.learn.finetune.student import Student
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import Checkpoint

ALLOWED = 0.01
"""The other targets' macro Dice may fall by so much: half of what the gate lets pass."""
FIRST = 0.8
"""So much of the way is kept where the others allow it: there the taught target has nearly all of its gain."""
WALKS = 2
SHARE, MOST = 8, 80
"""The classifier learns on alone for an eighth of the run's steps, at most 80."""
SECONDS = 0.5 / SHARE
"""What that takes, per second of the run: nearly nothing is passed back, so half a step's time each."""


@dataclass(frozen=True)
class Settled:
    """What is judged and kept."""

    weights: Mapping[str, Tensor]
    way: float
    """How much of what was learnt is left."""


def settle(
    start: Start, frozen: Frozen, student: Student, taught: Mapping[str, Tensor], count: Count
) -> Asked[Settled]:
    """The same for the same weights, seed and machine. Without replay nobody knows what was lost: all is kept."""
    each = len(_of_others(start))
    if frozen.mode == "existence" or not frozen.recipe.replay:
        count.spare(WALKS * each)
        return Settled(taught, 1.0)
    way = FIRST
    for walk in range(WALKS):
        cost = yield from lost(start, student, on_the_way(student, taught, way), count)
        if cost <= ALLOWED:
            count.spare((WALKS - 1 - walk) * each)
            break
        way *= min(0.85, math.sqrt(ALLOWED / cost))
    weights = on_the_way(student, taught, way)
    return Settled({**weights, **_claims(start, frozen, student, weights)}, way)


def on_the_way(student: Student, taught: Mapping[str, Tensor], way: float) -> dict[str, Tensor]:
    """Between the parent and what was taught."""
    return {name: student.start[name].lerp(tensor, _share(name, way)) for name, tensor in taught.items()}


def _share(name: str, way: float) -> float:
    """What shows the image to every prompt goes all the way back; what answers a prompt half as far, and keeps more."""
    if is_claim(name) or name.endswith("learnt_rows"):
        return 1.0
    return way if name.startswith(("backbone.", "sem_seg_head.pixel_decoder.")) else (1 + way) / 2


def most_questions(start: Start) -> int:
    """Pictures that `settle` asks about, where it takes all of its walks."""
    return WALKS * len(_of_others(start))


def _of_others(start: Start) -> list[Picture]:
    """Pictures that nothing learnt from, with targets that are not taught now."""
    return [one for one in start.reference.truth if set(one.masks) - set(start.lessons.targets)]


def lost(start: Start, student: Student, weights: Mapping[str, Tensor], count: Count) -> Asked[float]:
    """What masks of targets that are not taught now lost on pictures that nothing learnt from."""
    with student.averaged(weights) as model:
        engine = engine_with(model, start.base, start.place)
        now = yield from asked_one_by_one(engine, _of_others(start), count)
    before, after = (
        macro([case for case in cases if case.target not in start.lessons.targets], 0.0) or 0.0
        for cases in (start.reference.parent, now)
    )
    return before - after


def _claims(start: Start, frozen: Frozen, student: Student, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The classifier's weights after it has learnt on, on whole images at the size of use."""
    recipe = frozen.recipe
    steps = min(MOST, student.step // SHARE)
    learning = {name for name in weights if is_claim(name)}
    if not (steps and learning):
        return {}
    short = replace(
        recipe,
        seed=recipe.seed + 1,
        steps=steps,
        round=0,
        anchor=0.0,
        final=replace(recipe.final, share=1.0),
        loss=replace(recipe.loss, deep=0.0),
        optimizer=replace(recipe.optimizer, warm_up=max(1, steps // 10), average=0.9),
    )
    with student.averaged(weights) as model:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in learning)
        alone = Student(model, short, micro=frozen.micro)
        while alone.step < steps:
            alone.learn(batch_of(start.pool, short, alone.step))
    return alone.mean


JUDGED = 60
"""So many pictures of the validation are asked at the beginning and at the end."""
LARGE = 50_000_000
"""Models with more parameters are reminded of fewer pictures: each takes them long."""


class Start:
    """The same for a run that begins and for one that goes on. `ask` comes first: it learns what the parent says."""

    def __init__(
        self,
        base: Checkpoint,
        lessons: Lessons,
        frozen: Frozen,
        stop: Callable[[], bool] = lambda: False,
        *,
        kept: bool = False,
    ) -> None:
        """`kept`: an earlier run left something to go on from."""
        self.base, self.lessons, self._frozen, self._stop, self._kept = base, lessons, frozen, stop, kept
        self.place = devices.choose(frozen.device)
        self.validation = lessons.validation[:JUDGED]
        self.shown = report.chosen(lessons)
        self.parent_gate = own_gate(base)

    def ask(self) -> Iterator[Asking]:
        """The parent, about everything: told picture by picture, and stopped between two."""
        for told in self._ask(self._frozen):
            if self._stop():
                rest = ", and what an earlier run kept is still there" if self._kept else ""
                raise BoltzFormerError(f"Stopped before a step was made: nothing was learnt{rest}.")
            yield told

    def _ask(self, frozen: Frozen) -> Iterator[Asking]:
        base, lessons = self.base, self.lessons
        torch.set_num_threads(frozen.threads)
        devices.repeatable()
        torch.manual_seed(frozen.recipe.seed)
        model, _ = checkpoint.load(base.path)
        model.to(self.place.device)
        every = 1 if base.parameters < LARGE else 4
        parent, seed = engine_with(model, base, self.place), frozen.recipe.seed
        recalling, checking = mini()[::every] if frozen.recipe.replay else (), check()[::every]
        count = Count(len(recalling) + len(checking) + len(self.validation) + len(self.shown))
        recalled = (yield from remember(parent, recalling, seed, count)).seen
        started = time.monotonic()
        self.reference: Reference = yield from remember(parent, checking, seed, count)
        self.parent = tuple((yield from asked_one_by_one(parent, self.validation, count)))
        self.before = []
        for one, name in self.shown:
            self.before.append(replies(parent, one, [one.prompts[name][0]]))
            yield count.one()
        self.asking_seconds = time.monotonic() - started
        """What the parent took for what is asked again at the end."""
        grown = model if frozen.mode == "existence" else with_learnt(model, base, frozen.learnt, frozen.recipe.seed)
        grown.to(self.place.device)
        prepare(grown, frozen.mode, rank=frozen.rank, seed=frozen.recipe.seed)
        self.model = grown
        self.pool = Pool(lessons.train, recalled, frozen.learnt)
