"""What is kept of an image's masks: voxels and words, and what the model had answered where, so that work goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from boltzformer import DatasetError, Prompt, SlicePlan, Volume
from boltzformer.dataset import Dataset
from boltzformer.types import GATE, Annotation, SliceState
from napari_boltzformer.layers import plan_of
from napari_boltzformer.masks import Track
from napari_boltzformer.stored_masks import Snapshot

logger = logging.getLogger(__name__)

CASE = "boltzformer case"
"""Where an image layer's metadata says that it was opened from the case list: its id in a dataset, or ''."""
STORE = "boltzformer store"
"""Where it says in which dataset its work is kept; '': nobody has said it yet."""
ANSWERED = "answered"
"""Where the provenance says it."""
OWN = frozenset({"slices edited", ANSWERED})
"""What a provenance says beside how the last answer came about."""


@dataclass(frozen=True)
class Work:
    """What was kept of an image."""

    time: str
    annotation: Annotation
    based_on: int | None
    """On which revision it stands."""
    said: Mapping[str, tuple[NDArray[np.bool_], frozenset[int]]]
    """Name → what the model had written, on the stored grid, and in which slices (of the stored axis) that is known."""


@dataclass(frozen=True)
class Mask:
    """One mask of it, by the viewer's rows."""

    prompt: Prompt
    rows: NDArray[np.bool_]
    states: list[SliceState]
    scores: dict[int, float]
    edited: set[int]
    gate: float
    written: dict[int, NDArray[np.bool_]]
    """What the model had written where a person changed it, as far as that is known."""
    runs: list[dict[str, Any]]


def annotation_of(image: Image, tracks: Sequence[Track]) -> Callable[[], Annotation]:
    """What the masks of an image say now, to be put together beside the viewer.

    Its case is named by a salted hash, never by what the image is called.
    """
    masks = Snapshot.of(image, tracks)
    names, plan = masks.names, plan_of(masks.volume)
    states = {
        name: tuple(track.state(plan.canonical_index(index)) for index in range(plan.count))
        for name, track in zip(names, tracks, strict=True)
    }
    prompts = tuple(Prompt(track.prompt.text, name) for name, track in zip(names, tracks, strict=True))
    runs = [run for track in tracks for run in track.runs]
    edits = dict(zip(names, masks.edited, strict=True))
    told = {name: answered(track, edits[name], plan) for name, track in zip(names, tracks, strict=True)}
    made = {**(runs[-1] if runs else {}), "slices edited": edits, ANSWERED: told}
    return lambda: Annotation(masks.volume, masks.labels(), prompts, states, made, plan.axis)


def answered(track: Track, edited: Sequence[int], plan: SlicePlan) -> dict[str, Any]:
    """Scores and a person's slices by the index along the stored axis, so that work goes on as it was."""
    scores = {str(plan.canonical_index(row)): round(score, 4) for row, score in sorted(track.scores.items())}
    edits = [plan.canonical_index(row) for row in edited]
    runs = [dict(run) for run in track.runs]  # one that is under way goes on
    return {"scores": scores, "edited": edits, "gate": track.kept.thresholds.existence, "runs": runs}


def answered_from(annotation: Annotation, name: str, plan: SlicePlan) -> tuple[dict[int, float], set[int], float]:
    """The other way, of one mask: scores and a person's slices by the viewer's row, and the least score shown."""
    known = annotation.provenance.get(ANSWERED, {}).get(name, {})
    scores = {plan.canonical_index(int(index)): float(score) for index, score in known.get("scores", {}).items()}
    edited = {plan.canonical_index(int(index)) for index in known.get("edited", ())}
    return scores, edited, float(known.get("gate", GATE))


def masks_of(work: Work, plan: SlicePlan) -> list[Mask]:
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
        states = states[::-1] if view.flips[0] else states
        found.append(Mask(prompt, rows, states, scores, edited, gate, written, runs_from(annotation, prompt)))
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


def last_work(folder: Path, volume: Volume, case: str = "") -> Work | None:
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
        return Work(draft.time, annotation, None if last is None else last.number, said)
    if kept is None or last is None:
        return None
    try:
        answers = kept.answers()
    except DatasetError as error:  # what people accepted comes back all the same
        logger.warning("what the model had said of %s can't be read: %s", name, error)
        answers = {}
    return Work(last.time, vouched(kept.annotation), last.number, answers)
