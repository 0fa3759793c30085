"""Work that a person began afresh: of what is kept of an image nothing comes back by itself, and all stays in reach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boltzformer.dataset import Dataset
from boltzformer.dataset.learnt import forget_all
from boltzformer.types import Volume


@dataclass(frozen=True)
class Afresh:
    """That it was said."""

    time: str
    folder: Path
    """Where what was there before is kept."""
    based_on: int | None
    """The last revision there, on which what is accepted from now on stands."""


def begin_afresh(folder: Path, volume: Volume, case: str) -> None:
    """On the disk at once, for the viewer may be closed before there is anything else to save. What was learnt is
    forgotten: it would be back another day."""
    if not (folder / "dataset.json").is_file():
        return
    dataset = Dataset(folder)
    name = case or dataset.case_of(volume)
    if dataset.draft(name) is not None or name in dataset.entries():
        dataset.begin_afresh(name)
    forget_all(folder, volume, case)


def afresh_in(folder: Path, volume: Volume, case: str) -> Afresh | None:
    """Whether it holds of what is kept in a folder."""
    if not (folder / "dataset.json").is_file():
        return None
    dataset = Dataset(folder)
    name = case or dataset.case_of(volume)
    if (time := dataset.afresh(name)) is None:
        return None
    return Afresh(time, folder, dataset.case(name).revisions[-1].number if name in dataset.entries() else None)
