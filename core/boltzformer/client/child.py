"""`Child`: the backend as a process of ours. It dies with us, and its last words are kept."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from typing import IO

from boltzformer.errors import BackendError
from boltzformer.protocol import Means

LAUNCHED = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONSTARTUP", "PYTHONEXECUTABLE")
"""What an application with a Python of its own (3D Slicer) tells it, and every process that it starts."""
LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LD_PRELOAD", "QT_PLUGIN_PATH")
"""Where such an application keeps its libraries: another Python must not load those in place of its own."""


class Child:
    """`python -m boltzformer.server`, on the loopback address, for this process alone."""

    def __init__(self, model: str, python: str, means: Means) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        # Windows: below normal priority from the start; elsewhere the child makes itself nice.
        flags = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
        try:
            self.process = subprocess.Popen(
                [python, "-m", "boltzformer.server", model, json.dumps(asdict(means))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                creationflags=flags if os.name == "nt" else 0,
                env=environment_of(python),
            )
        except OSError as error:
            self._errors.close()
            raise BackendError(
                f"The engine can't be started with {python} ({error.strerror}): give the path of a Python "
                "that has 'napari-boltzformer[engine]' installed."
            ) from error
        self.token, self.address = secrets.token_urlsafe(32), ""

    def greet(self) -> None:
        """Waits until it says where it listens."""
        try:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(self.token + "\n")  # by the pipe: a command line could be read by others
            self.process.stdin.flush()
            port = json.loads(self.process.stdout.readline())["port"]
        except (OSError, ValueError) as error:
            words = self._last_words()
            self.close()
            raise BackendError(f"The engine did not start: {words}") from error
        self.address = f"http://127.0.0.1:{port}"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """At once, though somebody waits for its first word."""
        self.process.kill()

    def close(self) -> None:
        """The child leaves when its owner's pipe closes."""
        with suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)  # it is on its way out: let it finish its sentence
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        words = lines[-1] if lines else "it ended without a word."
        if "No module named" in words:
            return f"{words}. Install it with: pip install 'napari-boltzformer[engine]'"
        return words


def environment_of(python: str) -> dict[str, str] | None:
    """What a Python is started with. None: as this process. Another one must not take this one's home for its own."""
    if os.path.abspath(python) == os.path.abspath(sys.executable):
        return None
    launched = bool(os.environ.get("PYTHONHOME"))
    gone = {*LAUNCHED, *(LIBRARIES if launched else ())}
    return {name: value for name, value in os.environ.items() if name not in gone}
