"""What is kept of an image's masks: voxels and words, and what the model had answered where, so that work goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Image

from boltzformer import Prompt, SlicePlan, Volume
from boltzformer.dataset import Dataset
from boltzformer.types import GATE, Annotation, SliceState
from napari_boltzformer.host.layers import plan_of
from napari_boltzformer.host.mask import Track
from napari_boltzformer.stored_masks import Snapshot

CASE = "boltzformer case"
"""Where an image layer's metadata says that it was opened from the case list: its id in a dataset, or ''."""
STORE = "boltzformer store"
"""Where it says in which dataset its work is kept; '': nobody has said it yet."""
ANSWERED = "answered"
"""Where the provenance says it."""


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
    edits = {name: track.edited_rows() for name, track in zip(names, tracks, strict=True)}
    told = {name: answered(track, edits[name], plan) for name, track in zip(names, tracks, strict=True)}
    made = {**(runs[-1] if runs else {}), "slices edited": edits, ANSWERED: told}
    return lambda: Annotation(masks.volume, masks.labels(), prompts, states, made, plan.axis)


def answered(track: Track, edited: Sequence[int], plan: SlicePlan) -> dict[str, Any]:
    """Scores and a person's slices by the index along the stored axis, so that work goes on as it was."""
    scores = {str(plan.canonical_index(row)): round(score, 4) for row, score in sorted(track.scores.items())}
    edits = [plan.canonical_index(row) for row in edited]
    return {"scores": scores, "edited": edits, "gate": track.kept.thresholds.existence}


def answered_from(annotation: Annotation, name: str, plan: SlicePlan) -> tuple[dict[int, float], set[int], float]:
    """The other way, of one mask: scores and a person's slices by the viewer's row, and the least score shown."""
    known = annotation.provenance.get(ANSWERED, {}).get(name, {})
    scores = {plan.canonical_index(int(index)): float(score) for index, score in known.get("scores", {}).items()}
    edited = {plan.canonical_index(int(index)) for index in known.get("edited", ())}
    return scores, edited, float(known.get("gate", GATE))


def vouched(annotation: Annotation) -> Annotation:
    """Of a revision, which holds the masks of accepted slices alone: what was answered in others is not to be seen."""
    told = {}
    for name, known in annotation.provenance.get(ANSWERED, {}).items():
        states = annotation.slices.get(name, ())
        spoken = {index for index, state in enumerate(states) if state is not SliceState.UNSEEN}
        scores = {index: score for index, score in known["scores"].items() if int(index) in spoken}
        told[name] = {**known, "scores": scores, "edited": [index for index in known["edited"] if index in spoken]}
    return replace(annotation, provenance={**annotation.provenance, ANSWERED: told})


def last_work(folder: Path, volume: Volume, case: str = "") -> tuple[str, Annotation, int | None] | None:
    """The last that is kept of an image: when, what, and on which revision it stands; None where nothing is.

    `case`: its id, where that is not the usual one.
    """
    if not (folder / "dataset.json").is_file():
        return None
    dataset = Dataset(folder)
    name = case or dataset.case_of(volume)
    draft, known = dataset.draft(name), dataset.entries().get(name)
    last = dataset.case(name).revisions[-1] if known is not None else None
    if draft is not None and (last is None or draft.time >= last.time):
        return draft.time, draft.annotation(volume), None if last is None else last.number
    return None if last is None else (last.time, vouched(dataset.case(name).annotation), last.number)
