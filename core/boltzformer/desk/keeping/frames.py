"""A file of several time points or channels: which of them is opened, a person says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from boltzformer import io
from boltzformer.desk.ports import Dialogs
from boltzformer.desk.settings import Settings
from boltzformer.types import Volume

LOOKED_AT = 8
"""So many of a file are read to find the one that was worked on, if nobody chose it here: channels are few, time points
many."""


def frame_of(path: Path, number: int) -> Volume:
    """One of them, from 1, under a name of its own."""
    volume = io.read(path, frame=number)
    return replace(volume, name=f"{volume.name} {number}")


def first_of(path: Path, frames: int, chosen: Sequence[int] = ()) -> Iterator[Volume]:
    """One after the other, as they are wanted: those first that somebody chose."""
    numbers = [*(number for number in chosen if number <= frames), *range(1, min(frames, LOOKED_AT) + 1)]
    return (frame_of(path, number) for number in dict.fromkeys(numbers))


def which_of(dialogs: Dialogs, settings: Settings, path: Path, frames: int) -> int | None:
    """A person's choice, from 1, which is remembered; None if it is none."""
    lines = [f"{number} of {frames}" for number in range(1, frames + 1)]
    chosen = dialogs.choose(f"{path.name} holds {frames} time points or channels. Which one?", lines)
    if chosen is None:
        return None
    settings.chose_frame(_key(path), chosen + 1)
    return chosen + 1


def chosen_of(settings: Settings, path: Path) -> Sequence[int]:
    """Which of a file somebody has chosen, the last first."""
    return [number for number in settings.frames.get(_key(path), ()) if isinstance(number, int) and number > 0]


def _key(path: Path) -> str:
    """Says nothing of what a file is called."""
    return hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
