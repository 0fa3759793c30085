"""Files and folders that are complete or not there at all, also after `kill -9`, a power cut or a full disk; one writer
at a time."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from boltzformer.atomic import flush, private_folder, replacing
from boltzformer.errors import DatasetError, ImageError
from boltzformer.json_text import loads, text_of

UNFINISHED = ".unfinished"
"""Everything begins in here. Whoever holds the lock may empty it: what is inside belongs to a writer that died."""


@contextmanager
def new_folder(root: Path, target: Path, *, private: bool = True) -> Iterator[Path]:
    """A folder to fill; it gets its place by one rename at the end, and only if nothing went wrong.

    It is its owner's alone, unless it is not `private`, such as an export for others.
    """
    begun = root / UNFINISHED / secrets.token_hex(8)
    try:
        private_folder(begun.parent)
        begun.mkdir()
        yield begun
        for place in (begun, *begun.rglob("*")) if private else ():
            place.chmod(0o700 if place.is_dir() else 0o600)
        for file in (inside for inside in begun.rglob("*") if inside.is_file()):
            flush(file)
        for folder in (begun, *(inside for inside in begun.rglob("*") if inside.is_dir())):
            flush(folder)
        for parent in reversed([one for one in target.parents if not one.exists()]):
            parent.mkdir(mode=0o700 if private else 0o777, exist_ok=True)
        os.rename(begun, target)
        flush(target.parent)
        flush(target.parent.parent)
    except (OSError, ImageError) as error:
        raise unwritten(target, error) from error
    finally:
        shutil.rmtree(begun, ignore_errors=True)


def write_json(root: Path, target: Path, content: Mapping[str, Any]) -> None:
    """Replace or make a JSON file, readable for its owner alone."""
    unfinished = root / UNFINISHED
    try:
        private_folder(unfinished)
        with replacing(target, mode=0o600, beside=unfinished) as part:
            part.write_bytes(as_json(content))
    except OSError as error:
        raise unwritten(target, error) from error


def as_json(content: Mapping[str, Any]) -> bytes:
    """As a person can read it."""
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # in JSON, that is how half a character is written


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that must be there and whole."""
    try:
        content = loads(text_of(path))
    except OSError as error:
        raise DatasetError(f"{path} can't be read ({error.strerror}): check the folder and your rights.") from error
    except ValueError as error:
        raise damaged(path) from error
    if not isinstance(content, dict):
        raise damaged(path)
    return content


def sha256_of(path: Path) -> str:
    """Of a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(f"{path} can't be read ({error.strerror}): check the folder and your rights.") from error


def erase(root: Path, path: Path) -> None:
    """A folder with all that is in it; for everyone else it vanishes at once."""
    if not path.exists():
        return
    gone = root / UNFINISHED / secrets.token_hex(8)
    try:
        private_folder(gone.parent)
        os.rename(path, gone)
        flush(path.parent)
        shutil.rmtree(gone)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatasetError(f"{path} can't be removed ({reason}): close what uses it, then try again.") from error


def sweep(root: Path) -> None:
    """Drop what dead writers left. Only for whoever holds the lock."""
    shutil.rmtree(root / UNFINISHED, ignore_errors=True)


def damaged(path: Path) -> DatasetError:
    """The error for a file that is not as it was written."""
    return DatasetError(
        f"{path} is damaged: restore it from a backup, or let `boltzformer dataset check --repair` put it aside."
    )


def unwritten(target: Path, error: Exception) -> DatasetError:
    """The error for a place that takes no more."""
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return DatasetError(
        f"{target} could not be written ({reason}): nothing was added and what was there is whole; make room or choose "
        "a folder that you may write to."
    )


PATIENCE_S = 60.0
"""A large image is copied in within seconds; who holds the lock for longer hangs."""


@contextmanager
def writing(root: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Alone among all writers of this folder: threads, processes, and machines where the file system has locks."""
    # A new object each time and no sharing: two threads of one process must exclude each other, too.
    lock = FileLock(root / ".lock", timeout=patience_s, mode=0o600, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise DatasetError(
            f"{root} has been written to by another program for {patience_s:g} seconds: wait for it, or end it."
        ) from error
    except OSError as error:
        raise DatasetError(
            f"{root} can't be locked for writing ({error.strerror or error}): choose a folder that you may write to."
        ) from error
    try:
        yield
    finally:
        lock.release()
