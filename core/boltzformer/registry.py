"""Models by name: copies in the models folder, each there whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path

from boltzformer import checkpoint
from boltzformer.checkpoint import Checkpoint
from boltzformer.errors import CheckpointError
from boltzformer.home import folder, model_file

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def registered() -> dict[str, Path]:
    """Name → file, by name."""
    return {file.stem: file for file in sorted(folder("models").glob("*.safetensors")) if not file.name.startswith(".")}


def add(file: Path, name: str = "", *, overwrite: bool = False) -> Checkpoint:
    """Copy a model file of our own into the folder, after it was loaded once: only what works is registered."""
    checkpoint.load(file)
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._")
    target = _target(name)
    if target.exists() and not overwrite:
        raise CheckpointError(f"A model '{name}' is registered already: choose another --name, or give --overwrite.")
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, part)
        with part.open("rb+") as copied:
            os.fsync(copied.fileno())
        os.replace(part, target)
    except OSError as error:
        raise CheckpointError(
            f"{file} can't be copied to {target.parent} ({error.strerror or error}): "
            "free some space, or choose another place with BOLTZFORMER_HOME."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return checkpoint.read(target)


def remove(name: str) -> Path:
    """Forget a registered model and delete our copy of it."""
    target = _target(name)
    if not target.is_file():
        known = ", ".join(registered()) or "none"
        raise CheckpointError(f"There is no registered model '{name}' (registered: {known}): nothing was removed.")
    try:
        target.unlink()
    except OSError as error:
        raise CheckpointError(f"{target} can't be removed ({error.strerror}): check its permissions.") from error
    return target


def _target(name: str) -> Path:
    if name == "default":
        raise CheckpointError("'default' names the model that comes with the program: choose another name.")
    if not _NAME.fullmatch(name):
        raise CheckpointError(f"'{name}' can't name a model: use letters, digits, dots, dashes and underscores.")
    return model_file(name)
