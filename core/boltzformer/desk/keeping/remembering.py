"""What is kept of an image's masks: voxels and words, and what the model had answered where, so that work goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.snapshot import Frozen, Snapshot
from boltzformer.errors import DatasetError
from boltzformer.image.slicing import SlicePlan
from boltzformer.types import GATE, Annotation, Prompt, SliceState, Volume

logger = logging.getLogger(__name__)

ANSWERED = "answered"
"""Where the provenance says it."""
OWN = frozenset({"slices edited", ANSWERED})
"""What a provenance says beside how the last answer came about."""


@dataclass(frozen=True)
class LastWork:
    """What was kept of an image."""

    time: str
    annotation: Annotation
    based_on: int | None
    """On which revision it stands."""
    said: Mapping[str, tuple[NDArray[np.bool_], frozenset[int]]]
    """Name → what the model had written, on the stored grid, and in which slices (of the stored axis) that is known."""


@dataclass(frozen=True)
class KeptMask:
    """One mask of it, by the viewer's rows."""

    prompt: Prompt
    rows: NDArray[np.bool_]
    states: list[SliceState]
    scores: dict[int, float]
    edited: set[int]
    gate: float
    sizes: dict[str, Any]
    """Which objects were shown, as `Thresholds` has it; of older work, all."""
    written: dict[int, NDArray[np.bool_]]
    """What the model had written where a person changed it, as far as that is known."""
    runs: list[dict[str, Any]]


def annotation_of(masks: Snapshot) -> Annotation:
    """What the masks of an image say; put together beside the viewer.

    Its case is named by a salted hash, never by what the image is called.
    """
    plan = masks.plan
    states = {
        one.name: tuple(one.states[plan.canonical_index(index)] for index in range(plan.count)) for one in masks.masks
    }
    prompts = tuple(Prompt(one.prompt.text, one.name) for one in masks.masks)
    runs = [run for one in masks.masks for run in one.runs]
    told = {one.name: answered(one, plan) for one in masks.masks}
    edits = {one.name: list(one.edited) for one in masks.masks}
    made = {**(runs[-1] if runs else {}), "slices edited": edits, ANSWERED: told}
    return Annotation(masks.volume, masks.labels(), prompts, states, made, plan.axis)


def answered(mask: Frozen, plan: SlicePlan) -> dict[str, Any]:
    """Scores and a person's slices by the index along the stored axis, so that work goes on as it was."""
    scores = {str(plan.canonical_index(row)): round(score, 4) for row, score in sorted(mask.scores.items())}
    edits = [plan.canonical_index(row) for row in mask.edited]
    at = mask.thresholds
    objects = {"smallest_mm3": at.smallest_mm3, "largest": at.largest, "apart": at.apart}
    sizes = {"sizes": objects} if at.of_objects else {}
    return {"scores": scores, "edited": edits, "gate": at.existence, "runs": list(mask.runs), **sizes}


def answered_from(annotation: Annotation, name: str, plan: SlicePlan) -> tuple[dict[int, float], set[int], float]:
    """The other way, of one mask: scores and a person's slices by the viewer's row, and the least score shown."""
    known = annotation.provenance.get(ANSWERED, {}).get(name, {})
    scores = {plan.canonical_index(int(index)): float(score) for index, score in known.get("scores", {}).items()}
    edited = {plan.canonical_index(int(index)) for index in known.get("edited", ())}
    return scores, edited, float(known.get("gate", GATE))


def masks_of(work: LastWork, plan: SlicePlan) -> list[KeptMask]:
    """As they were kept."""
    annotation, found = work.annotation, []
    view = annotation.volume.grid.canonical(annotation.slice_axis)
    texts = {prompt.name: prompt.text for prompt in reversed(annotation.prompts)}
    for value, name in annotation.labels.names.items():
        rows = view.apply(annotation.labels.mask(value)).copy()
        states = list(annotation.slices.get(name, ())) or [SliceState.UNSEEN] * len(rows)
        scores, edited, gate = answered_from(annotation, name, plan)
        said, known = work.said.get(name, (np.zeros(0, bool), frozenset()))
        corrected = [row for row in edited if plan.canonical_index(row) in known]
        written = dict(zip(corrected, view.apply(said)[corrected], strict=True)) if corrected else {}
        prompt = Prompt(texts.get(name, name), name)
        sizes = dict(annotation.provenance.get(ANSWERED, {}).get(name, {}).get("sizes", {}))
        states = states[::-1] if view.flips[0] else states
        found.append(
            KeptMask(prompt, rows, states, scores, edited, gate, sizes, written, runs_from(annotation, prompt))
        )
    return found


def runs_from(annotation: Annotation, prompt: Prompt) -> list[dict[str, Any]]:
    """Those that wrote into a mask; of older work, the last one is known if it asked for it."""
    told = annotation.provenance.get(ANSWERED, {}).get(prompt.name, {})
    if "runs" in told:
        return list(told["runs"])
    last = {key: value for key, value in annotation.provenance.items() if key not in OWN}
    return [last] if prompt.text in last.get("prompts", ()) else []


def vouched(annotation: Annotation) -> Annotation:
    """Of a revision, which holds the masks of accepted slices alone: what was answered in others is not to be seen."""
    told = {}
    for name, known in annotation.provenance.get(ANSWERED, {}).items():
        states = annotation.slices.get(name, ())
        spoken = {index for index, state in enumerate(states) if state is not SliceState.UNSEEN}
        scores = {index: score for index, score in known["scores"].items() if int(index) in spoken}
        told[name] = {**known, "scores": scores, "edited": [index for index in known["edited"] if index in spoken]}
    return replace(annotation, provenance={**annotation.provenance, ANSWERED: told})


def last_work(folder: Path, volume: Volume, case: str = "") -> LastWork | None:
    """The last that is kept of an image; None where nothing is. `case`: its id, where that is not the usual one."""
    if not (folder / "dataset.json").is_file():
        return None
    dataset = Dataset(folder)
    name = case or dataset.case_of(volume)
    draft, known = dataset.draft(name), dataset.entries().get(name)
    kept = dataset.case(name) if known is not None else None
    last = kept.revisions[-1] if kept is not None else None
    if draft is not None and (last is None or draft.time >= last.time):
        annotation = draft.annotation(volume)
        every = frozenset(range(volume.grid.shape[annotation.slice_axis]))
        said = {label: (mask, every) for label, mask in draft.answer(volume.grid).items()}
        return LastWork(draft.time, annotation, None if last is None else last.number, said)
    if kept is None or last is None:
        return None
    try:
        answers = kept.answers()
    except DatasetError as error:  # what people accepted comes back all the same
        logger.warning("what the model had said of %s can't be read: %s", name, error)
        answers = {}
    return LastWork(last.time, vouched(kept.annotation), last.number, answers)
