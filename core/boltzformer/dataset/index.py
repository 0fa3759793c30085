"""The index: what is in a dataset at a glance. Derived: whatever is wrong with it, the cases' own files are right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from boltzformer.dataset.case import Case, case_names, read_case, revision_names
from boltzformer.dataset.disk import read_json, write_json
from boltzformer.dataset.identity import SPLITS, Split, arrival_of
from boltzformer.errors import DatasetError

ABOUT = "made from cases/; delete it whenever you like, the next add makes it again"


@dataclass(frozen=True)
class Entry:
    """One case in few words."""

    group: str
    split: Split
    modality: str
    shape_zyx: tuple[int, int, int]
    axis: int
    labels: dict[str, dict[str, int]]
    """Name → number of slices per state, unseen ones left out."""
    revisions: tuple[str, ...]
    """Names of their folders: as long as these are there and no others, the entry is right."""
    last: str
    """When something was accepted last."""


def up_to_date(root: Path) -> tuple[dict[str, Entry], dict[str, DatasetError]]:
    """Case → entry, taken from the index where that is right and from the case where not; and cases that are damaged.

    Needs no lock and writes nothing: a reader sees what is complete at this moment.
    """
    stored, found, broken = _stored(root), {}, {}
    for case in case_names(root):
        entry = stored.get(case)
        if entry is None or not _tells(root, case, entry):
            try:
                entry = _entry(read_case(root, case))
            except DatasetError as error:
                if (root / "cases" / case).is_dir():  # else it was removed just now
                    broken[case] = error
                continue
        found[case] = entry
    return found, broken


def write_index(root: Path, entries: dict[str, Entry]) -> None:
    """Under the lock."""
    rows = {case: asdict(entry) for case, entry in sorted(entries.items())}
    write_json(root, root / "index.json", {"about": ABOUT, "cases": rows})


def is_current(root: Path) -> bool:
    """Whether the file tells what is there."""
    stored = _stored(root)
    return sorted(stored) == case_names(root) and all(_tells(root, case, entry) for case, entry in stored.items())


def _tells(root: Path, case: str, entry: Entry) -> bool:
    """Whether the entry is what its case says of itself; above all, which side of the split it is on."""
    here = root / "cases" / case
    try:
        arrival = arrival_of(here)
    except DatasetError:
        return False
    same = (entry.group, entry.split) == (arrival.group, arrival.split)
    return same and list(entry.revisions) == revision_names(here / "revisions")


def _entry(case: Case) -> Entry:
    def counted(states: Iterable[str]) -> dict[str, int]:
        several = [str(state) for state in states if state != "unseen"]
        return {state: several.count(state) for state in sorted(set(several))}

    return Entry(
        group=case.group,
        split=case.split,
        modality=case.modality,
        shape_zyx=case.grid.shape,
        axis=case.axis,
        labels={label: counted(states) for label, states in case.states.items()},
        revisions=tuple(revision.folder.name for revision in case.revisions),
        last=max((revision.time for revision in case.revisions), default=""),
    )


def _stored(root: Path) -> dict[str, Entry]:
    try:
        return {case: _typed(row) for case, row in read_json(root / "index.json")["cases"].items()}
    except (DatasetError, KeyError, TypeError, ValueError, AttributeError):
        return {}  # missing, truncated or foreign: it is made again


def _typed(row: dict[str, Any]) -> Entry:
    entry = Entry(**{**row, "shape_zyx": tuple(row["shape_zyx"]), "revisions": tuple(row["revisions"])})
    texts = (entry.group, entry.modality, entry.last, *entry.revisions, *entry.labels)
    counts = [count for states in entry.labels.values() for item in states.items() for count in item]
    numbers = (entry.axis, *entry.shape_zyx, *counts[1::2])
    named = all(isinstance(text, str) for text in (*texts, *counts[::2]))
    if not named or not all(type(n) is int for n in numbers) or entry.split not in SPLITS or len(entry.shape_zyx) != 3:
        raise ValueError("no entry of an index")
    return entry
