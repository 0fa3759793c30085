"""Processes that tests start."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """Killed when the block is left by a failure, or the test would wait for it for ever."""
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
