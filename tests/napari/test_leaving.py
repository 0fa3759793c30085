"""A dock that leaves the window gives its engine up, and asks the same one when it comes back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gui import DIST, answered, layer_of, rows_of, until
from napari.layers import Labels
from qtpy.QtCore import QEvent
from qtpy.QtGui import QHideEvent
from qtpy.QtWidgets import QApplication

from boltzformer import BackendError, Session
from boltzformer.desk.keeping.one_patient import PUT_AWAY
from boltzformer.io.phantom import BRIGHT
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


def test_a_dock_that_was_closed_by_its_cross_knows_its_masks_when_the_menu_brings_it(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path, made_file: Path
) -> None:
    """What is painted, opened and removed meanwhile is known, too; another image takes the screen when it is back."""

    def masks() -> list[str]:
        return [one.name for one in viewer.layers if isinstance(one, Labels)]

    (image,) = viewer.open(str(small_file), plugin=DIST)
    until(qtbot, lambda: not dock.keeper.work.busy)
    answered(dock, image, BRIGHT, 3)
    dock.show_results()
    dock.parent().destroyOnClose()
    until(qtbot, lambda: not dock.bottom.review.isVisible())
    for again in range(2):
        (mask,) = (one for one in viewer.layers if isinstance(one, Labels))
        mask.paint((5 + again, 30, 30), 1)
        outer, back = viewer.window.add_plugin_dock_widget(DIST, "Segment by text")
        assert back is dock
        until(qtbot, lambda: dock.isVisible() and not dock.keeper.work.busy and dock.results.count() == 1)
        assert masks() == [BRIGHT]
        (track,) = dock.tracks()
        assert layer_of(track).unique_id == mask.unique_id
        assert rows_of(track)[5].any()
        assert track.edited_rows() == [5, 6][: again + 1]
        until(qtbot, lambda: dock.bottom.review.isVisible())
        outer.destroyOnClose()
        until(qtbot, lambda: not dock.isVisible() and not dock.bottom.review.isVisible())
    viewer.open(str(made_file), plugin=DIST)
    until(qtbot, lambda: not dock.keeper.work.busy)
    assert image.visible  # nobody would read why it went
    dock.image.setCurrentIndex(1)  # as it is chosen where another one goes
    told: list[bool] = []
    dock.waiting.hidden.append(lambda: told.append(True))
    QApplication.sendEvent(dock.window(), QHideEvent())
    assert told  # the window goes while the dock waits in it: what was painted last is kept
    viewer.window.add_plugin_dock_widget(DIST, "Segment by text")
    until(qtbot, lambda: PUT_AWAY in dock.notice.offers)
    assert masks() == []
