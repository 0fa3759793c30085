"""The engine's Python: the viewer's own where torch is installed, else an environment that is made for it beside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from boltzformer.atomic import write_text
from boltzformer.client.child import environment_of
from boltzformer.errors import BackendError
from boltzformer.home import home
from boltzformer.version import VERSION

NAME = "napari-boltzformer"
READY = "ready.json"
"""Written last, with the version that was installed: without it an environment is only half there."""


def engine_python() -> str:
    """A Python that has the engine; this one if none has, so that its error is told."""
    return sys.executable if find_spec("torch") or not is_set_up() else own_python()


def is_missing() -> bool:
    """Whether the engine must be set up before anything can be asked."""
    return find_spec("torch") is None and not is_set_up()


def is_set_up() -> bool:
    """Whether there is an environment of its own, of this very version."""
    try:
        told = json.loads((folder() / READY).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return told == {"version": VERSION} and _python(folder()).is_file()


def folder() -> Path:
    """Where it lies."""
    return home() / "engine"


def own_python() -> str:
    """Of that environment."""
    return str(_python(folder()))


def set_up(say: Callable[[str], None], stopped: threading.Event, base: str = "") -> bool:
    """Makes the environment, by venv and pip; `say` hears every line. False if it was stopped, and nothing is left.

    `base`: the Python that it is made from, where the viewer's own can't be (3D Slicer's needs its launcher).
    """
    place = folder()
    _remove(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        install = [str(_python(place)), "-m", "pip", "install", "--progress-bar", "off", "--no-input", wanted()]
        done = _run([base or sys.executable, "-m", "venv", str(place)], say, stopped) and _run(install, say, stopped)
        if done:
            write_text(place / READY, json.dumps({"version": VERSION}))
    except OSError as error:
        _remove(place)
        raise BackendError(
            f"The engine can't be set up in {place} ({error.strerror or error}): free some space, or choose another "
            "place with BOLTZFORMER_HOME."
        ) from error
    except BackendError:
        _remove(place)
        raise
    if not done:
        _remove(place)
    return done


def wanted() -> str:
    """What pip is told to install: this version, or the source code that this is a checkout of."""
    try:
        own = distribution(NAME)
    except PackageNotFoundError:  # 3D Slicer's module was added from a checkout, and nothing had to be installed
        root = Path(__file__).resolve().parents[3]
        return f"{root}[engine]" if (root / "pyproject.toml").is_file() else f"{NAME}[engine]=={VERSION}"
    url = json.loads(own.read_text("direct_url.json") or "{}").get("url", "")
    if url.startswith("file:"):
        return f"{url2pathname(urlparse(url).path)}[engine]"
    return f"{NAME}[engine]=={own.version}"


def _run(command: list[str], say: Callable[[str], None], stopped: threading.Event) -> bool:
    """False if it was stopped."""
    words: list[str] = []
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "env": environment_of(command[0])}
    with subprocess.Popen(command, text=True, **how) as process:  # type: ignore[call-overload]
        ending = threading.Thread(target=_end_when, args=(stopped, process), daemon=True)
        ending.start()
        assert process.stdout is not None
        for line in process.stdout:
            words.append(line.strip())
            say(words[-1])
    if stopped.is_set():
        return False
    if process.returncode:
        why = next((line for line in reversed(words) if "error" in line.lower()), words[-1] if words else "no word")
        raise BackendError(f"The engine could not be set up ({why}): check the network, then try again.")
    return True


def _end_when(stopped: threading.Event, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        if stopped.wait(0.2):
            process.terminate()
            return


def _python(place: Path) -> Path:
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _remove(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
