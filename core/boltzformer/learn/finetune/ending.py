"""The end of a run: judged against its parent, calibrated, written, told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from boltzformer.engine.engine import Engine
from boltzformer.knowledge.card import Card
from boltzformer.learn.finetune import adapters, gate, keeping, report
from boltzformer.learn.finetune.asking import Case, asked, cases_of, engine_with, replies
from boltzformer.learn.finetune.folder import DONE, MODEL, Folder
from boltzformer.learn.finetune.options import Frozen
from boltzformer.learn.finetune.replay import Reference
from boltzformer.learn.finetune.settling import settle
from boltzformer.learn.finetune.starting import Start
from boltzformer.learn.finetune.student import Student

OWN = 12
"""So many pictures that taught are asked again, for the threshold."""


def finish(
    start: Start,
    folder: Folder,
    frozen: Frozen,
    student: Student,
    checks: Sequence[Mapping[str, Any]],
    ended: bool,
) -> dict[str, Any]:
    """Judges, calibrates, writes."""
    best = next((one["at_step"] for one in reversed(checks) if one["best"]), None)
    weights = None if best is None else folder.best(best)
    chosen: Mapping[str, Tensor] = student.kept
    if weights is not None and set(weights) == set(student.kept):
        chosen = {name: tensor.to(start.place.device) for name, tensor in weights.items()}
    settled = settle(start, frozen, student, chosen)
    with student.averaged(settled.weights) as model:
        engine = engine_with(model, start.base, start.place)
        validation = tuple(asked(engine, start.validation))
        rest, absent = _again(engine, start.reference)
        own = tuple(asked(engine, start.lessons.train[:OWN]))
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
            "by target": keeping.scores_by_target(validation, threshold),
            **_rounded(verdict.numbers),
        }
        about = keeping.keep(
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
        after = [replies(engine, one, [one.prompts[name][0]]) for one, name in start.shown]
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


def _again(engine: Engine, reference: Reference) -> tuple[tuple[Case, ...], list[float]]:
    """Pictures that nothing learnt from, put to the new model, and its claims about what is not there."""
    cases: list[Case] = []
    absent: list[float] = []
    for picture, one in zip(reference.truth, reference.seen, strict=True):
        others = [text for _, text, claim in one.others if claim < 0.5]
        given = replies(engine, picture, [*(texts[0] for texts in picture.prompts.values()), *others])
        cases.extend(cases_of(picture, given))
        absent.extend(given[text].existence for text in others)
    return tuple(cases), absent


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
