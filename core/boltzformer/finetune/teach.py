"""`finetune`: options in, events out, a run folder with a model left behind."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boltzformer import checkpoint, devices
from boltzformer.card import Card
from boltzformer.checkpoint import Checkpoint
from boltzformer.errors import BoltzFormerError, CheckpointError
from boltzformer.finetune import adapters, gate, keeping, report
from boltzformer.finetune.asking import Case, asked, cases_of, engine_with, macro, replies
from boltzformer.finetune.board import Board
from boltzformer.finetune.deciding import decide, planned
from boltzformer.finetune.features import Features
from boltzformer.finetune.folder import DONE, MODEL, Folder
from boltzformer.finetune.lessons import Lessons, read_lessons
from boltzformer.finetune.modes import keeps_features, prepare
from boltzformer.finetune.options import CHECKS, Frozen, Options
from boltzformer.finetune.prompts import with_learnt
from boltzformer.finetune.replay import Replay, mini, remember
from boltzformer.finetune.sampling import Pool, batch_of
from boltzformer.finetune.student import Student
from boltzformer.finetune.together import Together
from boltzformer.provenance import own_gate
from boltzformer.types import Progress

CHECKED = 12
"""So many pictures of the validation are asked during a run; at its end up to `JUDGED`."""
JUDGED = 60
TELLING = 5
"""With fewer validation masks the last weights are kept, not the best: the best of so few is chance."""
LARGE = 50_000_000
"""Models with more parameters are reminded of fewer pictures: each takes them long."""
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


Event = Note | Planned | Progress | Checked | Finished


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

    `began` is the monotonic time that --minutes counts from.
    """
    folder, team = Folder(output), Together.of_environment()
    if folder.begun and not resume and not dry:
        raise BoltzFormerError(f"{output} already holds a run: give --resume to go on with it, or a new --output.")
    if resume and folder.done:
        told = json.loads((output / DONE).read_text("utf-8"))
        yield Finished(output / MODEL, {**told, "already": True})
        return
    base, lessons, frozen = _read(options, folder)
    for warning in lessons.warnings():
        yield Note(warning)
    place = devices.choose(options.device if frozen is None else frozen.device)
    draft = frozen or decide(options, base, lessons, place.device, team.world)
    facts = planned(draft, options, base, lessons, place.device)
    yield Planned(facts)
    if dry or not agree(facts):
        return
    if team.leads:
        folder.take()
    try:
        run = _Run(folder, base, lessons, draft, team)
        yield from run.go(frozen is not None, options.minutes, time.monotonic() if began is None else began, stop)
    finally:
        if team.leads:
            folder.leave()


def _read(options: Options, folder: Folder) -> tuple[Checkpoint, Lessons, Frozen | None]:
    """Model and data, checked against what a run that goes on began with."""
    frozen = folder.frozen()
    base = checkpoint.read(checkpoint.resolve(options.model if frozen is None else frozen.model))
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
    return base, lessons, frozen


class _Run:
    """One run, from the parent's answers to the model that is left."""

    def __init__(self, folder: Folder, base: Checkpoint, lessons: Lessons, frozen: Frozen, team: Together) -> None:
        self.folder, self.base, self.lessons, self.frozen, self.team = folder, base, lessons, frozen, team
        self.place = devices.choose(frozen.device)
        torch.set_num_threads(frozen.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.manual_seed(frozen.recipe.seed)
        model, _ = checkpoint.load(base.path)
        model.to(self.place.device)
        pictures = mini()[:: 1 if base.parameters < LARGE else 4]
        parent = engine_with(model, base, self.place)
        started = time.monotonic()
        self.replay: Replay = remember(parent, pictures, frozen.recipe.seed)
        self.validation = lessons.validation[:JUDGED]
        self.parent = tuple(asked(parent, self.validation))
        self.shown = report.chosen(lessons)
        self.before = [replies(parent, one, [one.prompts[name][0]]) for one, name in self.shown]
        self.asking_seconds = time.monotonic() - started
        grown = model if frozen.mode == "existence" else with_learnt(model, base, frozen.learnt, frozen.recipe.seed)
        grown.to(self.place.device)
        prepare(grown, frozen.mode, rank=frozen.rank, seed=frozen.recipe.seed)
        self.model = grown
        remembered = self.replay.seen if frozen.recipe.replay else ()
        self.pool = Pool(lessons.train, remembered, frozen.learnt)
        self.parent_gate = own_gate(base)

    def go(self, going_on: bool, minutes: float | None, began: float, stop: Callable[[], bool]) -> Iterator[Event]:
        """From the first step to the last, or from where it was left."""
        student = Student(self.model, self.frozen.recipe, micro=self.frozen.micro, world=self.team.world)
        features = self._features(student)
        if not going_on:
            if minutes is not None:
                self._plan(student, features, 60 * minutes - (time.monotonic() - began))
                student = self._fresh(student)
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
            losses = student.learn(batch_of(self.pool, recipe, student.step, share=share, features=features))
            progress = Progress(student.step, recipe.steps, losses)
            now = time.monotonic()
            checked = student.step % self.frozen.check_every == 0 or student.step == recipe.steps
            if self.team.leads:
                states.log(progress, now - last)
                if board is not None:
                    board.add(progress.losses, student.step)
                if checked and self.validation:
                    checks.append(self._check(student, checks))
                    self.folder.write_checks(checks)
                if checked or student.step % recipe.save_every == 0:
                    states.save(student)
            last = now
            yield progress
            if self.team.leads and checked and self.validation:
                yield Checked(checks[-1])
            late = self.team.any(student.step >= LEAST and time.monotonic() > limit)
            stopped = late or self.team.any(stop() or _stale(checks, recipe.patience))
        ended = late or student.step == recipe.steps or _stale(checks, recipe.patience)
        if self.team.leads:
            states.save(student)
            yield self._finish(student, checks, ended)
            if board is not None:
                board.close()
        self.team.wait()

    def _features(self, student: Student) -> Features | None:
        """The encoder's work, where it is the same in every step."""
        frozen = self.frozen
        if not (keeps_features(frozen.mode) and frozen.cache):
            return None
        pictures = [*self.pool.pictures, *(one.picture for one in self.pool.remembered)]
        strength, side = frozen.recipe.augmentation, frozen.recipe.side
        kept = Features(
            self.folder.path / "cache", pictures, len(self.pool.pictures), side, strength, frozen.recipe.seed
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
                student.learn(batch_of(self.pool, recipe, step, share=share, features=features))
                took = time.monotonic() - at
            seconds += part * took
            left -= 2 * took
        pictures = self.validation[:CHECKED]
        checks = min(1.0, len(pictures) / max(1, len(self.replay.truth) + len(self.validation))) * self.asking_seconds
        left -= self._closing_seconds() + checks * CHECKS
        steps = max(LEAST, int(RESERVE * left / seconds)) if left > 0 else LEAST
        warm_up = min(recipe.optimizer.warm_up, max(1, steps // 5))
        recipe = replace(
            recipe,
            steps=steps,
            save_every=max(5, min(100, steps // 6)),
            optimizer=replace(recipe.optimizer, warm_up=warm_up),
        )
        self.frozen = replace(self.frozen, recipe=recipe, check_every=max(1, math.ceil(steps / CHECKS)))

    def _closing_seconds(self) -> float:
        """What judging, calibrating and writing will take: about what the parent's answers took."""
        return 1.2 * self.asking_seconds + 5

    def _fresh(self, student: Student) -> Student:
        """As if nothing had been measured."""
        with torch.no_grad():
            for name, value in student.start.items():
                student.weights[name].copy_(value)
        return Student(self.model, self.frozen.recipe, micro=student.micro, world=self.team.world)

    def _check(self, student: Student, checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Dice of what is taught, by size, on what was held back; the best weights so far are kept."""
        with student.averaged() as model:
            cases = asked(engine_with(model, self.base, self.place), self.validation[:CHECKED])
        present = sum(case.area > 0 for case in cases)
        score = macro([case for case in cases if case.target in self.lessons.targets], 0.0) or 0.0
        facts = {
            "at_step": student.step,
            "dice": round(score, 6),
            "masks": present,
            "bands": gate.by_band(cases, 0.0),
            "best": present >= TELLING and score > max((one["dice"] for one in checks), default=-1.0),
        }
        if facts["best"]:
            self.folder.keep_best(student.step, student.mean)
        return facts

    def _finish(self, student: Student, checks: Sequence[Mapping[str, Any]], ended: bool) -> Finished:
        """Judges, calibrates, writes."""
        best = next((one["at_step"] for one in reversed(checks) if one["best"]), None)
        weights = None if best is None else self.folder.best(best)
        chosen: Mapping[str, Tensor] = student.mean
        if weights is not None and set(weights) == set(student.mean):
            chosen = {name: tensor.to(self.place.device) for name, tensor in weights.items()}
        with student.averaged(chosen) as model:
            engine = engine_with(model, self.base, self.place)
            validation = tuple(asked(engine, self.validation))
            replay, absent = _again(engine, self.replay)
            own = tuple(asked(engine, self.lessons.train[:CHECKED]))
            threshold = self._threshold(validation, own, replay, absent)
            card = Card.of(self.base.history.notes)
            verdict = gate.judge(
                gate.Compared(self.parent, validation, self.parent_gate, threshold),
                gate.Compared(self.replay.parent, replay, self.parent_gate, threshold),
                tuple(self.lessons.targets),
                None if card is None else card.taught,
            )
            told = {
                "promoted": verdict.promoted,
                "because": list(verdict.reasons),
                "taught now": sorted(self.lessons.targets),
                "by target": keeping.scores_by_target(validation, threshold),
                **_rounded(verdict.numbers),
            }
            about = keeping.keep(
                self.folder.path / MODEL,
                model,
                self.base,
                self.frozen,
                self.lessons,
                told,
                threshold=threshold if self.base.config.decoder.existence else None,
                steps=student.step if weights is None or best is None else best,
            )
            if self.frozen.mode == "lora":
                adapters.save_adapter(self.folder.path / "adapter.safetensors", chosen, about)
            after = [replies(engine, one, [one.prompts[name][0]]) for one, name in self.shown]
        facts = {
            "model": str(self.folder.path / MODEL),
            "sha256": about.sha256,
            "at_step": student.step,
            "kept_step": student.step if weights is None else best,
            "existence_threshold": threshold,
            "finished": ended,
            **told,
        }
        self.folder.write("gate.json", json.dumps(facts, indent=1))
        pictures = [
            report.Pair(picture, name, old[picture.prompts[name][0]], new[picture.prompts[name][0]])
            for (picture, name), old, new in zip(self.shown, self.before, after, strict=True)
        ]
        report.write(self.folder, self.frozen, facts, checks, pictures, self.parent_gate, threshold)
        if ended:
            shutil.rmtree(self.folder.path / "cache", ignore_errors=True)
            self.folder.write(DONE, json.dumps(facts, indent=1))
        return Finished(self.folder.path / MODEL, facts)

    def _threshold(
        self,
        validation: Sequence[Case],
        own: Sequence[Case],
        replay: Sequence[Case],
        absent: Sequence[float],
    ) -> float:
        """From which claim on a mask is shown."""
        mine = [*validation, *own]
        empty = [case.existence for case in mine if case.area == 0]
        return gate.threshold([mine, replay], [empty, absent], self.parent_gate)


def _again(engine: Any, replay: Replay) -> tuple[tuple[Case, ...], list[float]]:
    """The remembered pictures with their true masks, put to the new model, and its claims about what is not there."""
    cases: list[Case] = []
    absent: list[float] = []
    for picture, one in zip(replay.truth, replay.seen, strict=True):
        others = [text for _, text, claim in one.others if claim < 0.5]
        given = replies(engine, picture, [*(texts[0] for texts in picture.prompts.values()), *others])
        cases.extend(cases_of(picture, given))
        absent.extend(given[text].existence for text in others)
    return tuple(cases), absent


def _stale(checks: Sequence[Mapping[str, Any]], patience: int) -> bool:
    """Whether so many validations in a row brought nothing better."""
    if not patience or len(checks) <= patience:
        return False
    scores = [float(one["dice"]) for one in checks]
    return max(scores[-patience:]) <= max(scores[:-patience])


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
