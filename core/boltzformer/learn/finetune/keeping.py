"""What a run leaves: the model, with its card and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from boltzformer.knowledge.card import TAUGHT_GROUPS, Card, Target, split_in_words
from boltzformer.learn.finetune.adapters import merged
from boltzformer.learn.finetune.lessons import Lessons
from boltzformer.learn.finetune.options import Frozen
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.version import VERSION
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import Checkpoint, History, is_half

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
