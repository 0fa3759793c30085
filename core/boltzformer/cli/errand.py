"""`python -m boltzformer.cli.errand FOLDER COMMAND…`: a command as a process of its own, which outlives all others.

It holds a lock in the folder from its first moment to its last, however it ends: so it is found again by whoever looks.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from boltzformer.atomic import write_text
from boltzformer.server.telling import ENDED, LOCK, PID, PLACE, STOPPED

NICENESS = 10
"""More than the backend's 5: what a person waits for goes first."""


def run_errand(place: Path, arguments: Sequence[str]) -> int:
    """The command's exit code, also written down."""
    lock = FileLock(place / LOCK, timeout=5)
    try:
        lock.acquire()
    except Timeout:
        return 1  # another one is at work here, and this folder is its own
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))  # until the command has something to keep
    write_text(place / PID, str(os.getpid()))
    if hasattr(os, "nice"):
        os.nice(max(0, NICENESS - os.nice(0)))
    code = 1
    try:
        from boltzformer.cli.cli import run  # brings torch along

        code = run(arguments)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    finally:  # what was not foreseen goes on to standard error, which is kept
        write_text(place / ENDED, json.dumps({"code": code}))
        lock.release()
    return code


if __name__ == "__main__":
    sys.exit(run_errand(Path(sys.argv[1]) / PLACE, sys.argv[2:]))
