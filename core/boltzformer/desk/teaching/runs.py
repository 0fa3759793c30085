"""Where the runs of the Fine-tune dock lie, and whether a dataset has changed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from boltzformer.home import home

RUNS = "runs"
"""In the program's own folder."""


def runs() -> list[Path]:
    """Folders of runs, the newest first."""
    place = home() / RUNS
    found = [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    return sorted(found, key=lambda path: path.name, reverse=True)


def new_run() -> str:
    """A folder that is not there yet."""
    number = 1
    while (home() / RUNS / f"run-{number:03d}").exists():
        number += 1
    return str(home() / RUNS / f"run-{number:03d}")


def stamp(dataset: Path) -> float:
    """Changes whenever something is accepted."""
    with suppress(OSError):
        return (dataset / "index.json").stat().st_mtime
    return 0.0
