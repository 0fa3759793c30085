"""What is kept of an image's masks: voxels and words, and what the model had answered where, so that work goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.dataset import Case, Dataset, Revision
from boltzformer.desk.keeping.scene import SCENE, Scene
from boltzformer.desk.keeping.snapshot import Frozen, Snapshot
from boltzformer.desk.keeping.ticked import ticked
from boltzformer.desk.masks.left_out import LEFT_OUT, TOGETHER, Voxel, for_file, seen
from boltzformer.desk.masks.whose import mask_of, text_of
from boltzformer.desk.words import counted, local
from boltzformer.image.slicing import SlicePlan
from boltzformer.types import GATE, Annotation, Prompt, SliceState, Volume

logger = logging.getLogger(__name__)

ANSWERED = "answered"
"""Where the provenance says it."""
EDITED = "slices edited"
OWN_GATE = "the model's gate"
OWN = frozenset({EDITED, ANSWERED, SCENE})
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
    accepted: LastWork | None = None
    """What people have accepted beside it, which comes back whatever is newer."""
    autosave: bool = False
    """Whether it is the last that was saved by itself."""
    newer: Mapping[str, frozenset[int]] = field(default_factory=dict[str, frozenset[int]])
    """Of what was accepted: slices of the stored axis of which that was said after all else here was saved."""
    unread: str = ""
    """Why what was accepted beside it can't be read, if it can't."""

    @property
    def scene(self) -> Scene:
        return Scene.of(self.annotation.provenance)

    @property
    def words(self) -> str:
        """'28 Nov, 17:40: 10 painted slices, 3 accepted'; of a picture 'painted, accepted'."""
        own, beside, made = self.annotation.slices, self.accepted, self.annotation.provenance
        back = own if beside is None else ticked(own, beside.annotation.slices, edits_of(made), beside.newer)
        numbers = counts(made, back)
        picture = _is_picture(self.annotation.volume)
        return told_of(self.time, *numbers, picture=picture, answered=has_answers(made))


@dataclass(frozen=True)
class KeptMask:
    """One mask of it, by the viewer's rows."""

    prompt: Prompt
    rows: NDArray[np.bool_]
    states: list[SliceState]
    scores: dict[int, float]
    edited: set[int]
    gate: float
    """The least score that was shown."""
    sizes: dict[str, Any]
    """Which objects were shown, as `Thresholds` has it; of older work, all."""
    written: dict[int, NDArray[np.bool_]]
    """What the model had written where a person changed it, as far as that is known."""
    runs: list[dict[str, Any]]
    warning: str = ""
    """Why it is a guess, as it was said then; older work does not tell."""
    hidden: frozenset[int] = frozenset()
    """Where the model's outline was hidden by a threshold; older work does not tell."""
    left_out: set[Voxel] = field(default_factory=set[Voxel])
    """Voxels of the objects that a person left out; older work does not tell."""
    whole: set[int] = field(default_factory=set[int])
    """Rows that are a person's as a whole though nothing is said of them; older work does not tell."""
    elsewhere: set[int] = field(default_factory=set[int])
    """Rows that were made elsewhere; older work does not tell."""
    unseen: dict[int, NDArray[np.bool_]] = field(default_factory=dict[int, NDArray[np.bool_]])
    """What the model's answer has besides, of objects that were hidden for their size; older work does not tell."""
    lines: NDArray[np.bool_] | None = None
    """Between the objects of a picture that were parted; older work does not tell."""
    veiled: dict[int, NDArray[np.bool_]] = field(default_factory=dict[int, NDArray[np.bool_]])
    """The outlines that were hidden by a threshold, where they are known: those of a day before that one."""
    newer: frozenset[int] = frozenset()
    """Accepted since what it is put back beside was saved."""
    lifted: frozenset[int] | None = None
    """Rows that were shown whatever their score; older work does not tell."""
    own_gate: float = GATE
    """The least score for a mask as its model has it."""
    outlines: dict[int, float] = field(default_factory=dict[int, float])
    """Where the outline is of a day before that one: at which probability; older work does not tell."""
    together: list[frozenset[Voxel]] = field(default_factory=list[frozenset[Voxel]])
    """Of what was left out, several voxels of one object; older work does not tell."""


def annotation_of(masks: Snapshot, *, accepted: bool = False) -> Annotation:
    """What the masks of an image say; put together beside the viewer. `accepted`: without the objects that a person
    left out, which an autosave holds, for they may count again.

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
    made = {**(runs[-1] if runs else {}), EDITED: edits, ANSWERED: told, SCENE: masks.scene.told()}
    labels = masks.accepted() if accepted else masks.labels()
    return Annotation(masks.volume, labels, prompts, states, made, plan.axis)


def answered(mask: Frozen, plan: SlicePlan) -> dict[str, Any]:
    """Scores and a person's slices by the index along the stored axis, so that work goes on as it was."""
    scores = {str(plan.canonical_index(row)): round(score, 4) for row, score in sorted(mask.scores.items())}
    edits = [plan.canonical_index(row) for row in mask.edited]
    at = mask.thresholds
    objects = {"smallest_mm3": at.smallest_mm3, "largest": at.largest, "apart": at.apart}
    sizes = {"sizes": objects, **mask.smallest} if at.of_objects else {}
    warned = {"warning": mask.warning} if mask.warning else {}
    hidden = {"hidden": sorted(plan.canonical_index(row) for row in mask.hidden)} if mask.hidden else {}
    told = {"scores": scores, "edited": edits, "gate": at.existence, OWN_GATE: mask.gate, "runs": list(mask.runs)}
    theirs = sorted(plan.canonical_index(row) for row in mask.whose.whole if mask.states[row] is SliceState.UNSEEN)
    others = sorted(plan.canonical_index(row) for row in mask.whose.elsewhere.intersection(mask.edited))
    less = [plan.canonical_index(row) for row in mask.filtered]
    beneath = {str(plan.canonical_index(row)): text_of(bits) for row, bits in sorted(mask.beneath.items())}
    outlines = {str(plan.canonical_index(row)): at for row, at in sorted(mask.outlines.items())}
    own = {
        **({"filtered": less} if less else {}),
        **({"beneath": beneath} if beneath else {}),
        **({} if mask.lines is None else {"lines": text_of(mask.lines)}),
        "lifted": sorted(plan.canonical_index(row) for row in mask.lifted),
        **({"outlined at": outlines} if outlines else {}),
        **({"whole": theirs} if theirs else {}),
        **({"elsewhere": others} if others else {}),
    }
    return {**told, **hidden, **warned, **sizes, **for_file(mask.excluded, mask.together, plan), **own}


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
        told = annotation.provenance.get(ANSWERED, {}).get(name, {})
        sizes, warning = dict(told.get("sizes", {})), str(told.get("warning", ""))
        states = states[::-1] if view.flips[0] else states
        runs = runs_from(annotation, prompt)
        hidden = frozenset(plan.canonical_index(int(index)) for index in told.get("hidden", ()))
        out = seen(told.get(LEFT_OUT, ()), plan)
        whole, others = (
            {plan.canonical_index(int(index)) for index in told.get(which, ())} for which in ("whole", "elsewhere")
        )
        less = [plan.canonical_index(int(index)) for index in told.get("filtered", ()) if int(index) in known]
        unseen = dict(zip(less, view.apply(said)[less] & ~rows[less], strict=True)) if less else {}
        for index, text in told.get("beneath", {}).items():
            if int(index) in known and (mask := mask_of(text, rows.shape[1:])) is not None:
                unseen[plan.canonical_index(int(index))] = mask
        kept = prompt, rows, states, scores, edited, gate, sizes, written, runs, warning, hidden, out, whole, others
        lines = mask_of(told["lines"], rows.shape[1:]) if len(rows) == 1 and "lines" in told else None
        dim = [row for row in hidden & scores.keys() if row not in edited and plan.canonical_index(row) in known]
        veiled = {row: mask for row, mask in zip(dim, view.apply(said)[dim], strict=True) if mask.any()} if dim else {}
        newer = frozenset(plan.canonical_index(index) for index in work.newer.get(name, ()))
        up = frozenset(plan.canonical_index(int(index)) for index in told["lifted"]) if "lifted" in told else None
        own = float(told[OWN_GATE]) if OWN_GATE in told else _gate_of(runs, gate)
        then = {plan.canonical_index(int(index)): float(at) for index, at in told.get("outlined at", {}).items()}
        tied = [frozenset(seen(group, plan)) for group in told.get(TOGETHER, ())]
        found.append(KeptMask(*kept, unseen, lines, veiled, newer, up, own, then, tied))
    return found


def _gate_of(runs: Sequence[Mapping[str, Any]], shown: float) -> float:
    """Of older work, which tells no more than what was `shown`: as the last run had it."""
    told = [at["existence"] for run in runs if isinstance(at := run.get("thresholds"), dict) and "existence" in at]
    return float(told[-1]) if told else shown


def runs_from(annotation: Annotation, prompt: Prompt) -> list[dict[str, Any]]:
    """Those that wrote into a mask; of older work, the last one is known if it asked for it."""
    told = annotation.provenance.get(ANSWERED, {}).get(prompt.name, {})
    if "runs" in told:
        return list(told["runs"])
    last = {key: value for key, value in annotation.provenance.items() if key not in OWN}
    return [last] if prompt.text in last.get("prompts", ()) else []


def vouched(provenance: Mapping[str, Any], slices: Mapping[str, Sequence[SliceState]]) -> dict[str, Any]:
    """Of a revision, which holds the masks of accepted slices alone: what was answered or painted in others is not to
    be seen."""
    told, edits = {}, {}
    for name, known in provenance.get(ANSWERED, {}).items():
        spoken = {index for index, state in enumerate(slices.get(name, ())) if state is not SliceState.UNSEEN}
        scores = {index: score for index, score in known.get("scores", {}).items() if int(index) in spoken}
        edits[name] = [index for index in known.get("edited", ()) if index in spoken]
        told[name] = {**known, "scores": scores, "edited": edits[name]}
    return {**provenance, ANSWERED: told, **({EDITED: edits} if told else {})}


def last_work(folder: Path, volume: Volume, case: str = "") -> LastWork | None:
    """The last that is kept of an image; None where nothing is. `case`: its id, where that is not the usual one."""
    if not (folder / "dataset.json").is_file():
        return None
    dataset = Dataset(folder)
    name = case or dataset.case_of(volume)
    draft, kept = dataset.draft(name), _kept(dataset, name)
    if draft is None:
        return None if kept is None else accepted_work(kept)
    work = replace(draft_work(draft, volume, kept), autosave=True)
    return work if work.accepted is None else replace(work, time=max(work.time, work.accepted.time))


def draft_work(draft: Revision, volume: Volume, kept: Case | None) -> LastWork:
    """An autosave, with what was accepted before and since: that comes back whichever state is chosen."""
    annotation = draft.annotation(volume)
    every = frozenset(range(volume.grid.shape[annotation.slice_axis]))
    said = {label: (mask, every) for label, mask in draft.answer(volume.grid).items()}
    accepted, unread = None, ""
    try:
        accepted = None if kept is None else accepted_work(kept)
        if kept is not None and accepted is not None:
            accepted = replace(accepted, newer=kept.said_since(draft.time))
    except Exception as error:  # whatever it was: what lies apart from it comes back all the same
        logger.warning("what was accepted can't be read: %s", error)
        unread = f"What was accepted of this image can't be read: {str(error) or type(error).__name__}"
    based_on = None if kept is None else kept.revisions[-1].number
    return LastWork(draft.time, annotation, based_on, said, accepted, unread=unread)


def accepted_work(kept: Case) -> LastWork | None:
    """What people accepted, up to the last revision that the case is shown with; None where all was taken back."""
    last = kept.revisions[-1]
    if not kept.states:
        return None
    try:
        answers = kept.answers()
    except Exception as error:  # whatever it was: what people accepted comes back all the same
        logger.warning("what the model had said of %s can't be read: %s", kept.id, error)
        answers = {}
    annotation = kept.annotation
    shown = replace(annotation, provenance=vouched(annotation.provenance, annotation.slices))
    return LastWork(last.time, shown, last.number, answers)


@dataclass(frozen=True)
class State:
    """A state of an image's work that is kept, as a list names it."""

    time: str
    painted: int
    """Slices that a person changed, in any mask."""
    accepted: int
    """Slices of which a person has said something, in any mask."""
    prompts: tuple[str, ...]
    bring: Callable[[], LastWork | None]
    """Reads it; not on the viewer's thread."""
    autosave: bool = False
    """Whether it is the last that was saved by itself."""
    answered: bool = True
    """Whether the model had looked at any slice."""
    picture: bool = False
    """It has no slices to speak of."""
    alone: bool = False
    """It holds what was accepted and no other slice."""

    @property
    def words(self) -> str:
        """'28 Nov, 17:40: 10 painted slices, 3 accepted; MS lesion'."""
        return self._words(seconds=False)

    def _words(self, *, seconds: bool) -> str:
        how = {"picture": self.picture, "answered": self.answered, "seconds": seconds}
        told = told_of(self.time, self.painted, self.accepted, **how)
        return f"{told}{', nothing else' if self.alone else ''}; {', '.join(self.prompts)}"

    @staticmethod
    def told_apart(states: Sequence[State]) -> list[str]:
        """A line for each; with seconds where two would read alike."""
        plain = [one.words for one in states]
        return [
            one._words(seconds=True) if plain.count(words) > 1 else words
            for one, words in zip(states, plain, strict=True)
        ]


def states_of(folder: Path, volume: Volume, case: str = "") -> list[State]:
    """All that is kept of an image, the newest first."""
    if not (folder / "dataset.json").is_file():
        return []
    dataset = Dataset(folder)
    name = case or dataset.case_of(volume)
    draft, aside, kept = dataset.draft(name), dataset.earlier(name), _kept(dataset, name)
    drafts = [one for one in (draft, *aside) if one is not None]
    drafts = [one for number, one in enumerate(drafts) if one.folder not in {d.folder for d in drafts[:number]}]
    found = [
        replace(_state(one, kept, partial(draft_work, one, volume, kept)), autosave=one is draft) for one in drafts
    ]
    if kept is not None:
        revisions = [kept.as_of(one.number) for one in reversed(kept.revisions)]
        found += [replace(_accepted_state(one), alone=not _is_picture(volume)) for one in revisions if one.states]
    found = [replace(one, picture=_is_picture(volume)) for one in found]
    return sorted(found, key=lambda one: one.time, reverse=True)


def _state(one: Revision, kept: Case | None, bring: Callable[[], LastWork | None]) -> State:
    spoken, newer = ({}, {}) if kept is None else (kept.states, kept.said_since(one.time))
    painted, accepted = counts(one.provenance, ticked(one.slices, spoken, edits_of(one.provenance), newer))
    prompts = tuple(dict.fromkeys([*(prompt.name for prompt in one.prompts), *spoken]))
    return State(one.time, painted, accepted, prompts, bring, answered=has_answers(one.provenance))


def _accepted_state(kept: Case) -> State:
    """A revision, with all that had been accepted before it: that comes back with it."""
    last, slices = kept.revisions[-1], kept.states
    told = vouched(last.provenance, slices)
    bring = partial(accepted_work, kept)
    return State(last.time, *counts(told, slices), tuple(slices), bring, answered=has_answers(told))


def counts(provenance: Mapping[str, Any], slices: Mapping[str, Sequence[SliceState]]) -> tuple[int, int]:
    """Slices that a person changed, and of which one has said something, in any mask."""
    painted = {row for rows in edits_of(provenance).values() for row in rows}
    spoken = {n for states in slices.values() for n, state in enumerate(states) if state is not SliceState.UNSEEN}
    return len(painted), len(spoken)


def edits_of(provenance: Mapping[str, Any]) -> Mapping[str, Sequence[int]]:
    """Mask → slices that a person changed; older work does not tell of which."""
    edits = provenance.get(EDITED)
    return edits if isinstance(edits, dict) else {}


def has_answers(provenance: Mapping[str, Any]) -> bool:
    """Whether the model had looked at any slice; older work does not tell."""
    told = provenance.get(ANSWERED)
    return not isinstance(told, dict) or any(one.get("scores") for one in told.values())


def _is_picture(volume: Volume) -> bool:
    return volume.grid.shape[volume.slice_axis] == 1


def told_of(
    time: str, painted: int, accepted: int, *, picture: bool = False, answered: bool = True, seconds: bool = False
) -> str:
    """'28 Nov, 17:40: 10 painted slices, 3 accepted'; of a picture 'painted, accepted'."""
    parts = ["painted" if picture else counted(painted, "painted slice")] if painted else []
    parts += ["accepted" if picture else f"{accepted} accepted"] if accepted else []
    rest = "masks as the model left them" if answered else "prompts without an answer yet"
    return f"{local(time, seconds=seconds)}: {', '.join(parts) or rest}"


def _kept(dataset: Dataset, name: str) -> Case | None:
    return dataset.case(name) if name in dataset.entries() else None
