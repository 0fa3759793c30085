"""A dock that leaves the window gives its engine up, and asks the same one when it comes back."""

from collections.abc import Iterator
from typing import Any

import pytest
from gui import until
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from boltzformer import BackendError, Session
from napari_boltzformer.widget import BoltzFormerDock

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def dock(viewer: Any) -> Iterator[BoltzFormerDock]:
    """Of an engine elsewhere, which is not there."""
    widget = BoltzFormerDock(viewer, Session.connect(NOBODY, "token", "default"))
    viewer.window.add_dock_widget(widget, name="Segment by text")
    yield widget
    widget.session.close()
    widget.deleteLater()  # also where the window does not hold it any more


def test_a_dock_that_is_closed_stays_with_the_engine_it_was_connected_to(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    first = dock.session
    viewer.window.remove_dock_widget(dock.parent())
    with pytest.raises(BackendError, match="closed"):
        first.backend()
    assert dock.session is not first
    with pytest.raises(BackendError, match="connection to the engine is lost"):
        dock.session.health()


def test_a_dock_that_is_gone_closes_the_session_it_had_last(qtbot: Any, viewer: Any) -> None:
    dock = BoltzFormerDock(viewer, Session.connect(NOBODY, "token", "default"))
    viewer.window.add_dock_widget(dock, name="Segment by text")
    viewer.window.remove_dock_widget(dock.parent())
    last = dock.session
    until(qtbot, lambda: not dock.desk.work.busy)
    dock.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    with pytest.raises(BackendError, match="closed"):
        last.backend()
