"""One writer at a time: a lock of the operating system, so that it ends with its owner, however that one ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from boltzformer.errors import DatasetError

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
