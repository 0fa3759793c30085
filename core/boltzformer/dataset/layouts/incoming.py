"""`Incoming`: an annotated image on its way into a dataset, whatever layout it comes from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from boltzformer.dataset.accepted import Mask, layered
from boltzformer.dataset.case import read_case
from boltzformer.dataset.identity import Split
from boltzformer.dataset.keeping import keep
from boltzformer.dataset.revision import Revision
from boltzformer.dataset.store import Dataset, whoever
from boltzformer.errors import DatasetError
from boltzformer.speaking import sentence_about
from boltzformer.types import Annotation, Prompt, SliceState, Volume

_SLICE = re.compile(r"[ _.-]*(?:slice|frame|z|s|sl|img|image)[ _.-]?\d+$", re.IGNORECASE)


@dataclass(frozen=True)
class Incoming:
    """One case of an import. Made only when its turn comes: a folder may hold more than memory does."""

    what: str
    """What the import calls it, for messages."""
    make: Callable[[], Annotation]
    patient: str
    """'' lets the DICOM header say it."""
    split: Split | None = None
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])
    guessed: bool = False
    """Whether the patient is taken from a file's name: then an image that is here already keeps the one it has."""


@dataclass(frozen=True)
class Imported:
    """What became of it."""

    what: str
    revision: Revision | None
    error: str = ""


def take_in(
    dataset: Dataset, several: Iterable[Incoming], *, author: str = "", copy: bool = True
) -> Iterator[Imported]:
    """Case by case; one that can't be read is named and the others go on. Importing twice adds nothing."""
    for one in several:
        try:
            annotation = one.make()
            case = dataset.case_of(annotation.volume)
            known = read_case(dataset.path, case) if (dataset.path / "cases" / case).exists() else None
            revision = keep(
                dataset.path,
                annotation,
                case=case,
                patient="" if known and one.guessed else one.patient,
                author=author or whoever(),
                answer=None,
                based_on=known.revisions[-1].number if known and known.revisions else None,
                seconds=None,
                split=one.split,
                copy=copy,
                origin=one.origin,
            )
            yield Imported(one.what, revision)
        except Exception as error:  # whatever it was, the others go on
            yield Imported(one.what, None, sentence_about(error))
    dataset.refresh()


def complete(
    volume: Volume,
    masks: Mapping[str, Mask],
    texts: Mapping[str, Sequence[str]],
    *,
    ignored: Mask | None = None,
    axis: int | None = None,
) -> Annotation:
    """Masks that somebody has finished: every slice is reviewed, but those with an `ignored` voxel."""
    axis = volume.slice_axis if axis is None else axis
    others = tuple(other for other in range(3) if other != axis)
    aside = np.zeros(volume.grid.shape[axis], bool) if ignored is None else np.asarray(ignored.any(axis=others))
    states = {
        name: tuple(
            SliceState.IGNORED if out else (SliceState.REVIEWED if here else SliceState.EMPTY)
            for here, out in zip(np.asarray(mask.any(axis=others)), aside, strict=True)
        )
        for name, mask in masks.items()
    }
    prompts = tuple(Prompt(text, name) for name in masks for text in (texts.get(name) or (name,)))
    return Annotation(volume, layered(masks, volume.grid), prompts, states, {}, axis)


def patient_in(name: str, pattern: str) -> str:
    """Who a file is of: what the pattern's first group finds in its name, else the name without a slice's number."""
    if not pattern:
        return _SLICE.sub("", name) or name
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise DatasetError(f"The pattern '{pattern}' is no regular expression ({error}): mend it.") from error
    if not found:
        raise DatasetError(
            f"The pattern '{pattern}' finds no patient in '{name}': change it so that it fits all the names."
        )
    return found[1] if found.groups() else found[0]
