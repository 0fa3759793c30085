"""`Bounded`: a standard error that can't fill a disk, whoever provokes what is written there."""

from __future__ import annotations

import io
import threading
import time
from contextlib import suppress
from typing import TextIO

MOST, WITHIN_SECONDS = 100_000, 3600.0
"""So many characters, in so long."""


class Bounded(io.TextIOBase):
    """Passes on what is written to it until it is too much; then it says so once, and is silent for a while."""

    def __init__(self, stream: TextIO, most: int = MOST, within_seconds: float = WITHIN_SECONDS) -> None:
        self._stream, self._most, self._within = stream, most, within_seconds
        self._lock = threading.Lock()
        self._written, self._since, self._silent = 0, time.monotonic(), False

    def write(self, text: str) -> int:
        with self._lock, suppress(OSError):
            if time.monotonic() - self._since > self._within:
                self._written, self._since, self._silent = 0, time.monotonic(), False
            self._written += len(text)
            if self._written <= self._most:
                self._stream.write(text)
                self._stream.flush()
            elif not self._silent:
                self._silent = True
                self._stream.write("\nToo much is said here; the rest of the hour is left out.\n")
                self._stream.flush()
        return len(text)

    def flush(self) -> None:
        pass  # nothing is held back

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding
