"""A file of several time points or channels: which of them is opened, a person says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from boltzformer import io
from boltzformer.desk.ports import Dialogs
from boltzformer.types import Volume

LOOKED_AT = 8
"""So many of a file are read to find the one that was worked on: channels are few, time points many."""


def frame_of(path: Path, number: int) -> Volume:
    """One of them, from 1, under a name of its own."""
    volume = io.read(path, frame=number)
    return replace(volume, name=f"{volume.name} {number}")


def first_of(path: Path, frames: int) -> Iterator[Volume]:
    """One after the other, as they are wanted."""
    return (frame_of(path, number) for number in range(1, min(frames, LOOKED_AT) + 1))


def which_of(dialogs: Dialogs, path: Path, frames: int) -> int | None:
    """A person's choice, from 1; None if it is none."""
    lines = [f"{number} of {frames}" for number in range(1, frames + 1)]
    chosen = dialogs.choose(f"{path.name} holds {frames} time points or channels. Which one?", lines)
    return None if chosen is None else chosen + 1
