"""Autosaves: work that nobody has accepted yet. They lie apart from the revisions and are never trained on."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from boltzformer.dataset.accepted import Accepted
from boltzformer.dataset.case import revision_names
from boltzformer.dataset.disk import erase, new_folder, read_json, write_json
from boltzformer.dataset.revision import Revision, read_revision, write_revision
from boltzformer.errors import DatasetError
from boltzformer.types import Annotation, LabelMap, SliceState

KEPT = 2
"""The last one and the one before, should the last be damaged."""
KEPT_ASIDE = 8
"""So many states of earlier days."""


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
    _marker(root, case, author).unlink(missing_ok=True)


def begin_afresh(root: Path, case: str, author: str, revision: int) -> None:
    """Nothing of it comes back by itself until more is saved or accepted. `revision`: the last there is. Under the
    lock."""
    marker = _marker(root, case, author)
    marker.parent.mkdir(parents=True, exist_ok=True)
    write_json(root, marker, {"afresh": datetime.now(UTC).isoformat(timespec="milliseconds"), "revision": revision})


def afresh(root: Path, case: str, author: str) -> dict[str, Any] | None:
    """When that was said, and after which revision; None where nobody has."""
    try:
        told = read_json(_marker(root, case, author))
    except DatasetError:  # then it comes back: nothing is lost by that
        return None
    known = isinstance(told.get("afresh"), str) and isinstance(told.get("revision"), int)
    return told if known else None


def set_aside(root: Path, case: str, author: str) -> None:
    """What is the last now stays, whatever is saved from now on. Under the lock."""
    folder, aside = _folder(root, case, author), _aside(root, case, author)
    names, kept = revision_names(folder), revision_names(aside)
    if names:
        number = int(kept[-1]) + 1 if kept else 1
        aside.mkdir(parents=True, exist_ok=True)
        (folder / names[-1]).replace(aside / f"{number:06d}")
        for name in kept[: max(0, len(kept) + 1 - KEPT_ASIDE)]:
            erase(root, aside / name)


def earlier(root: Path, case: str, author: str) -> list[Revision]:
    """Those that were set aside and are whole, the newest first."""
    found: list[Revision] = []
    aside = _aside(root, case, author)
    for name in reversed(revision_names(aside)):
        with suppress(DatasetError):
            draft = read_revision(aside / name)
            draft.verify()
            found.append(draft)
    return found


def newest(root: Path, case: str, author: str) -> Revision | None:
    """The last autosave that is whole; of those that were set aside, if nothing has been saved since."""
    last, aside, found = _last(root, case, author), _aside(root, case, author), list[Revision]()
    for name in revision_names(aside):
        with suppress(DatasetError):
            found.append(read_revision(aside / name))
    for draft in sorted(found, key=lambda one: one.time, reverse=True):
        if last is not None and draft.time <= last.time:
            break
        with suppress(DatasetError):
            draft.verify()
            return draft
    return last


def _last(root: Path, case: str, author: str) -> Revision | None:
    for folder in (_folder(root, case, author), _old_folder(root, case, author)):
        for name in reversed(revision_names(folder)):
            try:
                draft = read_revision(folder / name)
                draft.verify()
            except DatasetError:
                continue
            if draft.author == author:
                return draft
    return None


def discard(root: Path, case: str, author: str) -> None:
    """When all is accepted, or thrown away. Under the lock."""
    erase(root, _folder(root, case, author))
    old = _old_folder(root, case, author)
    for name in revision_names(old):
        with suppress(DatasetError):  # whose it is can't be read
            if read_revision(old / name).author == author:
                erase(root, old / name)


def _folder(root: Path, case: str, author: str) -> Path:
    """Of one person: drafts of two people never meet, however alike their names are written."""
    told = hashlib.sha256(author.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return root / "drafts" / case / f"{_slug(author)[:40]}-{told}"


def _aside(root: Path, case: str, author: str) -> Path:
    return root / "drafts" / case / f"{_folder(root, case, author).name}-earlier"


def _marker(root: Path, case: str, author: str) -> Path:
    return root / "drafts" / case / f"{_folder(root, case, author).name}-afresh.json"


def _old_folder(root: Path, case: str, author: str) -> Path:
    """Where it was in the first version; others may have theirs there, too."""
    return root / "drafts" / case / _slug(author)[:60]


def _slug(author: str) -> str:
    return re.sub(r"\W+", "_", author).strip("_") or "_"
