"""Real napari, a real backend of its own, a home folder of its own."""

import gc
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gui import DIST
from phantom_model import PHANTOM_MODEL
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QWidget

from boltzformer import Session
from napari_boltzformer.widget import BoltzFormerDock

OURS = "boltzformer"
PATIENCE_S = 30
"""The machine may be busy."""


@pytest.fixture(autouse=True, scope="session")
def what_was_imported_stays() -> None:
    """And is looked through no more: napari and we look for what is left over several times a test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def nothing_is_left_over(own_home: Path) -> Iterator[None]:
    """Set up first, so looked at last: no thread, process or widget of ours outlives its viewer."""
    before = set(threading.enumerate())
    yield
    left, until = ["not looked"], time.monotonic() + PATIENCE_S
    while left and time.monotonic() < until:
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()
        gc.collect()
        threads = [one.name for one in threading.enumerate() if one not in before and one.name.startswith(OURS)]
        widgets = [type(one).__name__ for one in QApplication.topLevelWidgets() if _ours(one)]
        left = threads + widgets + _engines()
    assert not left


def _ours(widget: QWidget) -> bool:
    return type(widget).__module__.startswith("napari_boltzformer")


def _engines() -> list[str]:
    asked = ["ps", "-o", "args=", "--ppid", str(os.getpid())]
    children = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    return [line for line in children.splitlines() if "boltzformer.server" in line]


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any]) -> Any:
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def dock(viewer: Any) -> Iterator[BoltzFormerDock]:
    widget = BoltzFormerDock(viewer, Session.local(PHANTOM_MODEL))
    viewer.window.add_dock_widget(widget, name="Segment by text")
    yield widget
    widget.session.close()


__all__ = ["DIST"]
