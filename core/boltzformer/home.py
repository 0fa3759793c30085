"""The folder that holds registered models, caches and logs; `BOLTZFORMER_HOME` moves it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from boltzformer.errors import BoltzFormerError

FOLDERS = ("models", "cache", "logs")


def home() -> Path:
    """`BOLTZFORMER_HOME`, else where this system keeps programs' data. Not made before something is kept."""
    chosen = os.environ.get("BOLTZFORMER_HOME", "").strip()
    try:
        return Path(chosen).expanduser() if chosen else _usual()
    except RuntimeError as error:  # nobody of that name, or nobody at all
        what = f"BOLTZFORMER_HOME={chosen} begins with the home of a user whom this system does not know"
        raise BoltzFormerError(
            f"{what if chosen else 'This system knows no home of yours'}: set BOLTZFORMER_HOME to a whole path."
        ) from error


def _usual() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "boltzformer"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "boltzformer"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "boltzformer"


def folder(name: str) -> Path:
    """One of `FOLDERS`."""
    return home() / name


def model_file(name: str) -> Path:
    """Where a model registered under this name lies."""
    return folder("models") / f"{name}.safetensors"


def size_of(place: Path) -> int:
    """Bytes of all files below."""
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) if place.is_dir() else 0
