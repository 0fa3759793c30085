"""Is a dataset as it was written? And what can be mended: indexes are made again, damaged revisions put aside."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from boltzformer.dataset import index
from boltzformer.dataset.case import case_names, read_case, revision_names
from boltzformer.dataset.disk import new_folder, sweep, writing
from boltzformer.dataset.identity import (
    PRIVATE,
    Sides,
    arrivals,
    in_two,
    lost,
    mended,
    read_salt,
    read_split,
    write_split,
)
from boltzformer.dataset.revision import read_revision
from boltzformer.dataset.store import Dataset
from boltzformer.errors import DatasetError

STALE = "index.json is missing or out of date: `check --repair` or the next add makes it again."


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be."""

    case: str
    """'' if it concerns the whole dataset."""
    what: str


def check(dataset: Dataset) -> Iterator[Problem]:
    """All that is wrong, file by file; every byte is read."""
    root = dataset.path
    split: Sides | None = None
    salt = b""
    sides: list[tuple[str, str]] = []
    try:
        split = read_split(root)
    except DatasetError as error:
        yield Problem("", str(error))
    try:
        salt = read_salt(root)
        mode = stat.S_IMODE(os.stat(root / PRIVATE / "salt").st_mode)
        if sys.platform != "win32" and mode & 0o077:
            yield Problem("", f"{root / PRIVATE / 'salt'} can be read by others: set its mode to 600.")
    except DatasetError as error:
        yield Problem("", str(error))
    missing = {} if split is None else lost(split, salt, arrivals(root))
    for name in case_names(root):
        if name in missing:
            yield Problem(name, f"{missing[name]}: `check --repair` mends it, and until then nobody new is split.")
        try:
            case = read_case(root, name)
            sides.append((case.group, case.split))
            case.volume  # noqa: B018  reading it compares its hash
        except DatasetError as error:
            yield Problem(name, str(error))
        for one in revision_names(root / "cases" / name / "revisions"):
            try:
                read_revision(root / "cases" / name / "revisions" / one).verify()
            except DatasetError as error:
                yield Problem(name, str(error))
    for group in sorted(in_two(sides)):
        yield Problem("", f"The patient {group} is on two sides of the split: remove the cases of one side.")
    if not index.is_current(root):
        yield Problem("", STALE)


def repair(dataset: Dataset) -> list[Problem]:
    """Mend what can be mended without losing anything; what was done."""
    root = dataset.path
    done: list[Problem] = []
    with writing(root):
        sweep(root)
        for name in case_names(root):
            folder = root / "cases" / name / "revisions"
            for one in revision_names(folder):
                try:
                    read_revision(folder / one).verify()
                except DatasetError:
                    _put_aside(root, folder / one, root / "damaged" / name)
                    done.append(Problem(name, f"Revision {int(one)} is damaged and was moved to damaged/{name}."))
            try:
                read_case(root, name)
            except DatasetError:
                _put_aside(root, root / "cases" / name, root / "damaged" / name)
                done.append(Problem(name, f"Its case.json is damaged: all of it was moved to damaged/{name}."))
        done += _mended_split(root)
        if not index.is_current(root):
            index.write_index(root, index.up_to_date(root)[0])
            done.append(Problem("", "index.json was made again."))
    return done


def _put_aside(root: Path, revision: Path, target: Path) -> None:
    number = len(revision_names(target)) + 1
    with new_folder(root, target / f"{number:06d}") as begun:
        os.rename(revision, begun / revision.name)


def _mended_split(root: Path) -> list[Problem]:
    """As the cases themselves remember it; their words need no revision to be whole."""
    known, salt = arrivals(root), b""
    with suppress(DatasetError):
        salt = read_salt(root)
    try:
        sides = read_split(root)
    except DatasetError:
        write_split(root, mended(Sides({}, {}), salt, known))
        return [Problem("", "split.json was made again from the cases; patients without a case are forgotten.")]
    missing = lost(sides, salt, known)
    if not missing:
        return []
    write_split(root, mended(sides, salt, known))
    return [Problem(name, f"{what}: it was put back.") for name, what in missing.items()]
