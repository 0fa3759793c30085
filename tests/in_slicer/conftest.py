"""Runs in an environment of its own, with slicer-core in it: `make test-slicer`. Elsewhere nothing here is collected.

The folder is not called `slicer`: `tests` is on Python's path, and Slicer's package would take it for a part of itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("slicer") is None:  # the main environment
    collect_ignore_glob = ["test_*.py"]
else:
    sys.path.insert(0, str(Path(__file__).parents[2] / "slicer_extension" / "BoltzFormer"))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def scene() -> Iterator[Any]:
    from scenes import opened_scene

    with opened_scene() as one:
        yield one
