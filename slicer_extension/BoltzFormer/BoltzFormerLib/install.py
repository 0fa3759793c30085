"""What the panel needs and Slicer may lack; the engine's Python, which is never Slicer's own. Imports none of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from BoltzFormerLib.translating import tr

NEEDED = ("boltzformer", "numpy", "httpx", "scipy", "PIL", "filelock")
REQUIREMENT = "napari-boltzformer[desk]"
SIZE = "about 40 MB with scipy, Pillow and httpx, unless Slicer has them already"
KEPT = ("numpy", "SimpleITK", "vtk", "scipy", "requests", "pydicom")
"""Of these, Slicer's own version stays whatever anybody asks for."""
OLDEST, OLDEST_SLICER = (3, 11), (5, 10)
PYTHONS = ("python3.12", "python3.11", "python3.13", "python3", "python")


def missing() -> list[str]:
    """What can't be imported. A source checkout that this file lies in counts as installed."""
    if find_spec("boltzformer") is None and (core := _checkout()) is not None:
        sys.path.append(str(core))
    return [name for name in NEEDED if find_spec(name) is None]


def too_old(major: int, minor: int) -> str:
    """A sentence where this Slicer can't run the module; '' where it can."""
    if (major, minor) >= OLDEST_SLICER and sys.version_info >= OLDEST:
        return ""
    needed, own = ".".join(map(str, OLDEST_SLICER)), f"{major}.{minor} with Python {sys.version.split()[0]}"
    said = tr("BoltzFormer needs Slicer {needed} or newer; this is {own}. Please install a newer one beside it.")
    return said.format(needed=needed, own=own)


def ask_and_install(confirm: Callable[..., bool], install: Callable[..., Any] | None = None) -> bool:
    """After consent, with pip, without touching what Slicer brings; whether all is there now."""
    lacking = ", ".join(missing())
    question = tr(
        "BoltzFormer needs Python packages that this Slicer lacks ({names}): {size}. They are downloaded from the "
        "Python Package Index into Slicer's own Python; Slicer's numpy, SimpleITK and vtk stay as they are."
    ).format(names=lacking, size=SIZE)
    if not confirm(question, windowTitle=tr("Install them?")):
        return False
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(kept_versions(), encoding="utf-8")
        (install or _installer())(["--only-binary", ":all:", "-c", str(constraints), requirement()])
    return not missing()


def requirement() -> str:
    """The package as the index has it; where this file lies in a source checkout, that very one."""
    core = _checkout()
    return REQUIREMENT if core is None else f"{core.parent}[desk]"


def kept_versions() -> str:
    """One constraint a line."""
    lines = []
    for name in KEPT:
        try:
            lines.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return "\n".join(lines) + "\n"


def engine_python(named: str) -> str:
    """The interpreter that a person named, else that of the environment made for the engine, there or not yet."""
    from boltzformer.client import environment

    return named or environment.own_python()


def engine_is_missing(named: str) -> bool:
    """Whether it must be set up first; an environment of another version, or half built, is none."""
    from boltzformer.client import environment

    if named:
        return not Path(named).is_file()
    return not environment.is_set_up()


def system_python() -> str:
    """A Python of the system's that can make environments; '' where there is none."""
    from boltzformer.client.child import environment_of

    can = f"import sys, venv, ensurepip; sys.exit(sys.version_info < {OLDEST})"
    for name in PYTHONS:
        path = shutil.which(name)
        if path is None or Path(path).resolve() == Path(sys.executable).resolve() or _is_slicers(path):
            continue
        try:
            done = subprocess.run([path, "-c", can], env=environment_of(path), capture_output=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return path
    return ""


def _is_slicers(path: str) -> bool:
    home = os.environ.get("SLICER_HOME") or os.environ.get("PYTHONHOME") or ""
    return bool(home) and Path(path).resolve().is_relative_to(Path(home).resolve())


def _installer() -> Callable[..., Any]:
    """`slicer.packaging` since 5.12, the older way before."""
    import slicer

    packaging = getattr(slicer, "packaging", None)
    install: Callable[..., Any] = packaging.pip_install if packaging is not None else slicer.util.pip_install
    return install


def _checkout() -> Path | None:
    core = Path(__file__).resolve().parents[3] / "core"
    return core if (core / "boltzformer" / "__init__.py").is_file() else None
