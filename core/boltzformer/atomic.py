"""A file is replaced whole or not at all, whatever ends the process or the power."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(target: Path, *, mode: int = 0o644, beside: Path | None = None) -> Iterator[Path]:
    """An empty file to write to, beside the target or in this folder; it takes the target's name at the end."""
    part = (beside or target.parent) / f".{secrets.token_hex(8)}.part"
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield part
        flush(part)
        os.replace(part, target)
        flush(target.parent)  # or a power cut could still forget the new name
    finally:
        with suppress(OSError):  # renamed already, or never made
            part.unlink()


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """The whole content of a file."""
    with replacing(path, mode=mode) as part:
        part.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """The whole content of a file, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(content)


def private_folder(path: Path) -> None:
    """Made if need be, readable for its owner alone: what is known of patients is nobody else's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def keep_private(folder: Path) -> None:
    """All that lies in a folder becomes its owner's alone: what libraries write asks nobody which rights it gets."""
    for where, _, files in os.walk(folder):
        for path in (Path(where), *(Path(where) / name for name in files)):
            with suppress(OSError):  # somebody else's, or gone meanwhile
                if not path.is_symlink():
                    path.chmod(0o700 if path.is_dir() else 0o600)


@contextmanager
def for_oneself() -> Iterator[None]:
    """Everything that this process makes meanwhile is readable for its owner alone. For commands, not for threads."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def flush(path: Path) -> None:
    """To the disk: what a file holds, or which names a folder has."""
    if path.is_file():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        return
    with suppress(PermissionError):  # Windows has no such call and keeps names by itself; some network drives neither
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
