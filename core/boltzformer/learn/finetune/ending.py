"""The end of a run: judged against its parent, calibrated, written with its card and where it comes from, told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boltzformer.engine.engine import Engine
from boltzformer.knowledge.card import TAUGHT_GROUPS, Card, Target, split_in_words
from boltzformer.learn.finetune import adapters, gate, report
from boltzformer.learn.finetune.adapters import merged
from boltzformer.learn.finetune.asking import Case, asked_one_by_one, cases_of, engine_with, replies
from boltzformer.learn.finetune.counting import Asked, Count
from boltzformer.learn.finetune.folder import DONE, MODEL, Folder
from boltzformer.learn.finetune.lessons import Lessons
from boltzformer.learn.finetune.options import Frozen
from boltzformer.learn.finetune.sampling import Reference
from boltzformer.learn.finetune.settling import Start, most_questions, settle
from boltzformer.learn.finetune.student import Student
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.version import VERSION
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import Checkpoint, History, is_half

OWN = 12
"""So many pictures that taught are asked again, for the threshold."""


def finish(
    start: Start,
    folder: Folder,
    frozen: Frozen,
    student: Student,
    checks: Sequence[Mapping[str, Any]],
    ended: bool,
) -> Asked[dict[str, Any]]:
    """Judges, calibrates, writes."""
    own_pictures = start.lessons.train[:OWN]
    parts = (start.validation, start.reference.truth, own_pictures, start.shown)
    count = Count(most_questions(start) + sum(map(len, parts)), judging=True)
    best = next((one["at_step"] for one in reversed(checks) if one["best"]), None)
    weights = None if best is None else folder.best(best)
    chosen: Mapping[str, Tensor] = student.kept
    if weights is not None and set(weights) == set(student.kept):
        chosen = {name: tensor.to(student.start[name].device) for name, tensor in weights.items()}
    settled = yield from settle(start, frozen, student, chosen, count)
    with student.averaged(settled.weights) as model:
        engine = engine_with(model, start.base, start.place)
        validation = tuple((yield from asked_one_by_one(engine, start.validation, count)))
        rest, absent = yield from _again(engine, start.reference, count)
        own = tuple((yield from asked_one_by_one(engine, own_pictures, count)))
        threshold = _threshold(start, validation, own, rest, absent)
        card = Card.of(start.base.history.notes)
        verdict = gate.judge(
            gate.Compared(start.parent, validation, start.parent_gate, threshold),
            gate.Compared(start.reference.parent, rest, start.parent_gate, threshold),
            tuple(start.lessons.targets),
            None if card is None else card.taught,
        )
        told = {
            "promoted": verdict.promoted,
            "because": list(verdict.reasons),
            "taught now": sorted(start.lessons.targets),
            "share of what was learnt": settled.way,
            "by target": scores_by_target(validation, threshold),
            **_rounded(verdict.numbers),
        }
        about = keep(
            folder.path / MODEL,
            model,
            start.base,
            frozen,
            start.lessons,
            told,
            threshold=threshold if start.base.config.decoder.existence else None,
            steps=student.step if weights is None or best is None else best,
        )
        if frozen.mode == "lora":
            adapters.save_adapter(folder.path / "adapter.safetensors", settled.weights, about)
        after = []
        for one, name in start.shown:
            after.append(replies(engine, one, [one.prompts[name][0]]))
            yield count.one()
    facts = {
        "model": str(folder.path / MODEL),
        "sha256": about.sha256,
        "at_step": student.step,
        "kept_step": student.step if weights is None else best,
        "existence_threshold": threshold,
        "finished": ended,
        **told,
    }
    folder.write("gate.json", json.dumps(facts, indent=1))
    pictures = [
        report.Pair(picture, name, old[picture.prompts[name][0]], new[picture.prompts[name][0]])
        for (picture, name), old, new in zip(start.shown, start.before, after, strict=True)
    ]
    report.write(folder, frozen, facts, checks, pictures, start.parent_gate, threshold)
    if ended:
        shutil.rmtree(folder.path / "cache", ignore_errors=True)
        folder.write(DONE, json.dumps(facts, indent=1))
    return facts


def _threshold(
    start: Start,
    validation: Sequence[Case],
    own: Sequence[Case],
    rest: Sequence[Case],
    absent: Sequence[float],
) -> float:
    """From which claim on a mask is shown."""
    mine = [*validation, *own]
    empty = [case.existence for case in mine if case.area == 0]
    return gate.threshold([mine, rest], [empty, absent], start.parent_gate)


def _again(engine: Engine, reference: Reference, count: Count) -> Asked[tuple[tuple[Case, ...], list[float]]]:
    """Pictures that nothing learnt from, put to the new model, and its claims about what is not there."""
    cases: list[Case] = []
    absent: list[float] = []
    for picture, one in zip(reference.truth, reference.seen, strict=True):
        others = [text for _, text, claim in one.others if claim < 0.5]
        given = replies(engine, picture, [*(texts[0] for texts in picture.prompts.values()), *others])
        cases.extend(cases_of(picture, given))
        absent.extend(given[text].existence for text in others)
        yield count.one()
    return tuple(cases), absent


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


NOTE = "fine-tuning"
THRESHOLD = "existence threshold"


def plain(model: BoltzFormer) -> BoltzFormer:
    """The model without the machinery of its training: corrections merged, all else as it is."""
    made = BoltzFormer(model.config, model.text.tokenizer)
    made.load_state_dict(merged(model.state_dict()), strict=True)
    return made.eval()


def keep(
    path: Path,
    model: BoltzFormer,
    base: Checkpoint,
    frozen: Frozen,
    lessons: Lessons,
    told: Mapping[str, Any],
    *,
    threshold: float | None,
    steps: int,
) -> Checkpoint:
    """Writes RUN/model.safetensors: nothing in it says when, where or by whom."""
    notes: dict[str, Any] = dict(base.history.notes)
    notes.update(extended(Card.of(base.history.notes), lessons, frozen, steps, told).notes())
    if threshold is not None:
        notes[THRESHOLD] = threshold
    notes[NOTE] = {"mode": frozen.mode, "steps": steps, "seed": frozen.recipe.seed, "data": frozen.data, **told}
    names = ", ".join(lessons.targets)
    name = base.history.name or base.path.stem
    history = History(
        f"{name} + {names}"[:120],
        parent=base.sha256,
        data=f"{base.history.data}; fine-tuned on {len(lessons.train)} pictures with {names}".lstrip("; "),
        metrics=base.history.metrics,
        licence=base.history.licence,
        notes=notes,
    )
    return checkpoint.save(path, plain(model), history, half=is_half(base.path))


def extended(card: Card | None, lessons: Lessons, frozen: Frozen, steps: int, told: Mapping[str, Any]) -> Card:
    """The parent's card and what was taught now."""
    run = {
        "fine-tuned in mode": frozen.mode,
        "steps": steps,
        "seed": frozen.recipe.seed,
        "data hash": frozen.data,
        "parent": frozen.parent,
        "device": frozen.device,
        "threads": frozen.threads,
        "versions": {"napari-boltzformer": VERSION, "torch": torch.__version__},
    }
    split = split_in_words(lessons.rows, lessons.everything)
    made = Card.made(lessons.rows, lessons.everything, split=split, run=run)
    scores = told.get("by target", {})
    fresh = [_measured(target, scores.get(target.name)) for target in made.targets]
    if card is None:
        return replace(made, targets=tuple(fresh))
    known = {target.name: target for target in card.targets}
    for target in fresh:
        known[target.name] = _joined(known[target.name], target) if target.name in known else target
    said = f"{card.split} Then fine-tuned: {split} Numbers of other targets are the parent's, before that."
    return Card(
        (*card.datasets, *(one for one in made.datasets if one not in card.datasets)),
        tuple(known[name] for name in sorted(known)),
        said,
        {**{f"parent's {key}": value for key, value in card.run.items() if not key.startswith("parent")}, **run},
        card.metrics,
    )


def _measured(target: Target, score: Mapping[str, Any] | None) -> Target:
    return target if score is None else replace(target, metrics=dict(score))


def _joined(old: Target, new: Target) -> Target:
    groups, everyone = old.groups + new.groups, old.all_groups + new.all_groups
    return replace(
        old,
        modalities=tuple(sorted({*old.modalities, *new.modalities})),
        prompts=tuple(dict.fromkeys([*old.prompts, *new.prompts])),
        masks=old.masks + new.masks,
        groups=groups,
        all_groups=everyone,
        taught=old.taught or everyone >= TAUGHT_GROUPS,
        metrics=old.metrics or new.metrics,
    )


def scores_by_target(cases: Sequence[Any], gate: float) -> dict[str, dict[str, Any]]:
    """For the card: of what was held back."""
    found: dict[str, list[Any]] = {}
    for case in cases:
        if case.area > 0:
            found.setdefault(case.target, []).append(case)
    return {
        name: {
            "n": len(some),
            "groups": len({case.group for case in some}),
            "dice": round(sum(case.dice(gate) for case in some) / len(some), 6),
            "missed": sum(case.existence < gate or case.raw == 0 for case in some),
        }
        for name, some in found.items()
    }
