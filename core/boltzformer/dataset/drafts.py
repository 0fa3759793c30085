"""Autosaves: work that nobody has accepted yet. They lie apart from the revisions and are never trained on."""

from __future__ import annotations

import re
from pathlib import Path

from boltzformer.dataset.accepted import Accepted
from boltzformer.dataset.case import revision_names
from boltzformer.dataset.disk import erase, new_folder
from boltzformer.dataset.revision import Revision, read_revision, write_revision
from boltzformer.errors import DatasetError
from boltzformer.types import Annotation, LabelMap, SliceState

KEPT = 2
"""The last one and the one before, should the last be damaged."""


def save(root: Path, case: str, annotation: Annotation, author: str, answer: LabelMap | None = None) -> None:
    """Everything as it is now, unseen slices and contradictions included. Under the lock."""
    folder = _folder(root, case, author)
    names = revision_names(folder)
    number = int(names[-1]) + 1 if names else 1
    unseen = (SliceState.UNSEEN,) * annotation.volume.grid.shape[annotation.slice_axis]
    given = {
        name: Accepted(annotation.slices.get(name, unseen), annotation.labels.mask(value))
        for value, name in annotation.labels.names.items()
    }
    with new_folder(root, folder / f"{number:06d}") as begun:
        write_revision(begun, number, given, annotation, author=author, answer=answer, whole=True)
    for name in names[: max(0, len(names) + 1 - KEPT)]:
        erase(root, folder / name)


def newest(root: Path, case: str, author: str) -> Revision | None:
    """The last autosave that is whole."""
    folder = _folder(root, case, author)
    for name in reversed(revision_names(folder)):
        try:
            draft = read_revision(folder / name)
            draft.verify()
        except DatasetError:
            continue
        return draft
    return None


def discard(root: Path, case: str, author: str) -> None:
    """When all is accepted, or thrown away. Under the lock."""
    erase(root, _folder(root, case, author))


def _folder(root: Path, case: str, author: str) -> Path:
    """Of one person: two people's drafts of one case never meet."""
    return root / "drafts" / case / (re.sub(r"\W+", "_", author).strip("_")[:60] or "_")
