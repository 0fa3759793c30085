"""Real napari, a real backend of its own, a home folder of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gui import DIST
from phantom_model import PHANTOM_MODEL

from boltzformer import Session
from napari_boltzformer.widget import BoltzFormerDock


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


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
