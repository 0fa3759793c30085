"""`finetune`: options in, events out, a run folder with a model left behind."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boltzformer.engine import devices
from boltzformer.errors import BoltzFormerError, CheckpointError
from boltzformer.learn.finetune import gate, report, settling
from boltzformer.learn.finetune.asking import asked, engine_with, macro, new_targets, replies
from boltzformer.learn.finetune.counting import Asking
from boltzformer.learn.finetune.deciding import by_mode, decide, planned
from boltzformer.learn.finetune.ending import finish
from boltzformer.learn.finetune.features import Features
from boltzformer.learn.finetune.folder import DONE, MODEL, Board, Folder
from boltzformer.learn.finetune.lessons import Lessons, read_lessons
from boltzformer.learn.finetune.options import CHECKS, Frozen, Options, in_rounds, keeps_features
from boltzformer.learn.finetune.sampling import batch_of
from boltzformer.learn.finetune.settling import Start
from boltzformer.learn.finetune.student import Student
from boltzformer.learn.finetune.together import Together
from boltzformer.types import Progress
from boltzformer.weights import checkpoint, registry
from boltzformer.weights.checkpoint import Checkpoint

CHECKED = 12
"""So many pictures of the validation are asked during a run; at its end all of it."""
TELLING = 5
"""With fewer validation masks the last weights are kept, not the best: the best of so few is chance."""
LEAST = 10
"""Steps of the shortest run."""
RESERVE = 0.9
"""Share of the time that is left that steps are planned for."""


@dataclass(frozen=True)
class Note:
    """A sentence for the user."""

    text: str


@dataclass(frozen=True)
class Planned:
    """What will be done, before it is."""

    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Checked:
    """A validation of the running mean of the weights."""

    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Finished:
    """The last event."""

    model: Path
    facts: Mapping[str, Any]


Event = Note | Planned | Asking | Progress | Checked | Finished


def finetune(
    options: Options,
    output: Path,
    *,
    resume: bool = False,
    dry: bool = False,
    stop: Callable[[], bool] = lambda: False,
    agree: Callable[[Mapping[str, Any]], bool] = lambda facts: True,
    began: float | None = None,
) -> Iterator[Event]:
    """Teaches a model from a manifest or a dataset. `stop` is asked after every step, `agree` once, with the plan.

    `began` is the monotonic time that --minutes counts from. Of several processes only the first tells.
    """
    team = Together.of_environment()
    for event in _events(options, Folder(output), team, resume, dry, stop, agree, began):
        if team.leads:
            yield event


def _events(
    options: Options,
    folder: Folder,
    team: Together,
    resume: bool,
    dry: bool,
    stop: Callable[[], bool],
    agree: Callable[[Mapping[str, Any]], bool],
    began: float | None,
) -> Iterator[Event]:
    output = folder.path
    begun, done, frozen = team.same((folder.begun, folder.done, folder.frozen()))  # before anyone changes it
    # torchrun repeats its whole command after a loss: the run that it began itself goes on.
    own = bool(team.launch) and frozen is not None and frozen.environment.get("launch") == team.launch
    resume = resume or (team.again and own)
    if begun and not resume and not dry:
        raise BoltzFormerError(f"{output} already holds a run: give --resume to go on with it, or a new --output.")
    if resume and done:
        told = json.loads((output / DONE).read_text("utf-8"))
        yield Finished(output / MODEL, {**told, "already": True})
        return
    base, lessons = _read(options, folder, frozen)
    for warning in lessons.warnings():
        yield Note(warning)
    place = devices.choose(options.device if frozen is None else frozen.device)
    draft = frozen or decide(options, base, lessons, place.device, team)
    facts = planned(draft, options, base, lessons, place.device)
    if dry:
        facts["modes"] = by_mode(draft, options, base, lessons, place.device)
    yield Planned(facts)
    if dry or not agree(facts):
        return
    if team.leads:
        folder.take()
    try:
        yield Note("The model itself is asked first, about what it knows: so it will be seen what it forgot.")
        start = Start(base, lessons, draft, stop, kept=folder.kept)
        yield from start.ask()
        run = _Run(folder, start, draft, team)
        yield from run.go(frozen is not None, options.minutes, time.monotonic() if began is None else began, stop)
    finally:
        if team.leads:
            folder.leave()


def _read(options: Options, folder: Folder, frozen: Frozen | None) -> tuple[Checkpoint, Lessons]:
    """Model and data, checked against what a run that goes on began with."""
    base = checkpoint.read(registry.resolve(options.model if frozen is None else frozen.model))
    if frozen is not None and base.sha256 != frozen.parent:
        raise CheckpointError(f"{base.path} is not the model that {folder.path} began with: put that one back.")
    lessons = read_lessons(
        options.source,
        split=options.split,
        targets=options.targets if frozen is None else frozen.targets,
        neighbours=base.config.channels == "neighbours",
        frozen=None if frozen is None else frozen.held_back,
    )
    if frozen is not None and lessons.data != frozen.data:
        raise BoltzFormerError(
            f"{options.source} has changed since {folder.path} began: choose a new --output to learn from it."
        )
    return base, lessons


class _Run:
    """One run, from the first step to the model that is left."""

    def __init__(self, folder: Folder, start: Start, frozen: Frozen, team: Together) -> None:
        self.folder, self.start, self.frozen, self.team = folder, start, frozen, team

    def go(self, going_on: bool, minutes: float | None, began: float, stop: Callable[[], bool]) -> Iterator[Event]:
        """From the first step to the last, or from where it was left."""
        student = self._student()
        features = self._features(student)
        if not going_on:
            if minutes is not None:
                left = 60 * minutes - (time.monotonic() - began)
                self._plan(student, features, left)
                if left < self._closing_seconds():
                    yield Note(self._too_few(minutes))
                self.frozen = replace(self.frozen, micro=student.micro)
                student.forget(self.frozen.recipe)
            self.frozen = self.team.same(self.frozen)
            if self.team.leads:
                self.folder.freeze(self.frozen)
        self.team.wait()
        recipe = student.recipe = self.frozen.recipe
        states = self.folder.states(self.frozen)
        states.resume(student)
        checks = self.folder.checks(student.step)
        board = Board(self.folder.path, student.step) if self.team.leads else None
        # A run that goes on keeps to its steps; one that began now also to its time, should the machine get slower.
        limit = math.inf if minutes is None or going_on else began + 60 * minutes - self._closing_seconds()
        stopped, late, last = False, False, time.monotonic()
        while student.step < recipe.steps and not stopped:
            share = (self.team.rank, self.team.world)
            losses = student.learn(batch_of(self.start.pool, recipe, student.step, share=share, features=features))
            self._keep_micro(student)
            progress = Progress(student.step, recipe.steps, losses)
            now = time.monotonic()
            checked = student.step % self.frozen.check_every == 0 or student.step == recipe.steps
            saved = checked or student.step % recipe.save_every == 0
            if saved:
                student.gather()
            if self.team.leads:
                alone = student.alone() if saved else student
                states.log(progress, now - last)
                if board is not None:
                    board.add(progress.losses, student.step)
                if checked and self.start.validation:
                    checks.append(self._check(alone, checks))
                    self.folder.write_checks(checks)
                if saved:
                    states.save(alone)
            last = now
            yield progress
            if self.team.leads and checked and self.start.validation:
                yield Checked(checks[-1])
            late = self.team.any(student.step >= LEAST and time.monotonic() > limit)
            stopped = late or self.team.any(stop() or _stale(checks, recipe.patience))
        ended = late or student.step == recipe.steps or _stale(checks, recipe.patience)
        student.gather()
        if self.team.leads:
            alone = student.alone()
            states.save(alone)
            told = yield from finish(self.start, self.folder, self.frozen, alone, checks, ended)
            yield Finished(self.folder.path / MODEL, told)
            if board is not None:
                board.close()
        self.team.wait()

    def _keep_micro(self, student: Student) -> None:
        """What fits the memory was found once: a run that goes on begins with it."""
        if student.micro != self.frozen.micro:
            self.frozen = replace(self.frozen, micro=student.micro)
            if self.team.leads:
                self.folder.freeze(self.frozen)

    def _features(self, student: Student) -> Features | None:
        """The encoder's work, where it is the same in every step."""
        frozen = self.frozen
        if not (keeps_features(frozen.mode) and frozen.cache):
            return None
        pictures = [*self.start.pool.pictures, *(one.picture for one in self.start.pool.remembered)]
        strength, side = frozen.recipe.augmentation, frozen.recipe.side
        kept = Features(
            self.folder.path / "cache", pictures, len(self.start.pool.pictures), side, strength, frozen.recipe.seed
        )
        if self.team.leads:
            kept.keep(student.model, student.half)
        self.team.wait()
        return kept

    def _plan(self, student: Student, features: Features | None, left: float) -> None:
        """So many steps as the time allows: measured here and now, once, and kept."""
        recipe = self.frozen.recipe
        share = (self.team.rank, self.team.world)
        kinds = [(0, 1 - recipe.final.share)]
        if recipe.final.share:
            kinds.append((recipe.steps - 1, recipe.final.share))
        seconds = 0.0
        for step, part in kinds:
            for _ in range(2):  # the first of a kind is slower than all that follow
                student.step = step
                at = time.monotonic()
                student.learn(batch_of(self.start.pool, recipe, step, share=share, features=features))
                took = time.monotonic() - at
            seconds += part * took
            left -= 2 * took
        pictures = self.start.validation[:CHECKED]
        questions = len(self.start.reference.truth) + len(self.start.validation)
        checks = len(pictures) / max(1, questions) * self.start.asking_seconds
        left -= self._closing_seconds() + checks * CHECKS
        seconds *= 1 + settling.SECONDS
        steps = max(LEAST, int(RESERVE * left / seconds)) if left > 0 else LEAST
        known = not new_targets(self.start.base, self.start.lessons.targets)
        recipe = in_rounds(recipe, steps, len(self.start.pool.pictures), known=known)
        recipe = replace(recipe, save_every=max(5, min(100, steps // 6)))
        self.frozen = replace(self.frozen, recipe=recipe, check_every=max(1, math.ceil(steps / CHECKS)))

    def _too_few(self, minutes: float) -> str:
        """Said before the first step, for who waits and asked for less."""
        asking, closing = (
            max(1, round(seconds / 60)) for seconds in (self.start.asking_seconds, self._closing_seconds())
        )
        return (
            f"{minutes:g} min are too few on this computer now: asking took about {asking} min, and judging what is "
            f"learnt takes about {closing} min more. Only {self.frozen.recipe.steps} steps are made."
        )

    def _closing_seconds(self) -> float:
        """What walking back, judging, calibrating and writing will take: each about what the parent's answers took."""
        return (1.2 + settling.WALKS) * self.start.asking_seconds + 5

    def _student(self) -> Student:
        """Whole on every process, or shared out."""
        model, recipe, micro, world = self.start.model, self.frozen.recipe, self.frozen.micro, self.team.world
        if self.frozen.sharded and world > 1:
            from boltzformer.learn.finetune.sharding import Sharded  # not every build of torch has it

            return Sharded(model, recipe, micro=micro, world=world, leads=self.team.leads)
        return Student(model, recipe, micro=micro, world=world)

    def _check(self, student: Student, checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Dice of what is taught, by size, on what was held back; the best weights so far are kept."""
        with student.averaged() as model:
            engine = engine_with(model, self.start.base, self.start.place)
            cases = asked(engine, self.start.validation[:CHECKED])
            picture, target = self.start.shown[0]
            text = picture.prompts[target][0]
            pair = report.Pair(picture, target, self.start.before[0][text], replies(engine, picture, [text])[text])
        present = sum(case.area > 0 for case in cases)
        score = macro([case for case in cases if case.target in self.start.lessons.targets], 0.0) or 0.0
        facts = {
            "at_step": student.step,
            "dice": round(score, 6),
            "masks": present,
            "bands": gate.by_band(cases, 0.0),
            "picture": report.thumbnail(self.folder, student.step, pair),
            "best": present >= TELLING and score > max((one["dice"] for one in checks), default=-1.0),
        }
        if facts["best"]:
            self.folder.keep_best(student.step, student.kept)
        return facts


def _stale(checks: Sequence[Mapping[str, Any]], patience: int) -> bool:
    """Whether so many validations in a row brought nothing better."""
    if not patience or len(checks) <= patience:
        return False
    scores = [float(one["dice"]) for one in checks]
    return max(scores[-patience:]) <= max(scores[:-patience])
