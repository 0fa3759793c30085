"""Learn from this case, by clicks: slices of an unknown target are painted, the rest fills in, before and now."""

from typing import Any

import numpy as np
import pytest
from gui import canvas, click, done, type_lines, until
from qtpy.QtCore import Qt

from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from napari_boltzformer.dock.form import TEACH
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.widget import BoltzFormerDock

UNKNOWN = "left atrium in cardiac MRI"
"""The phantom model was never taught it, and marks bright blobs."""


@pytest.fixture(scope="module")
def made() -> Phantom:
    return phantom(11, (24, 64, 64), (DARK, DARK, BRIGHT))


@pytest.mark.slow
def test_painted_slices_teach_the_rest_and_before_is_seen_as_long_as_a_key_is_held(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, made: Phantom
) -> None:
    data, options, _ = image_layer(made.volume)
    viewer.add_image(data, **options)
    dock.settings.learning_seconds = 3.0
    type_lines(qtbot, dock, UNKNOWN)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    (track,) = dock.tracks()
    dock.show_act(TEACH)
    assert "Correct or accept two slices" in dock.learn.state.text()
    assert not dock.learn.before.isEnabled()

    truth = track.image.plan.view.apply(made.labels.mask(2))
    there = np.flatnonzero(truth.sum((1, 2)) >= 8)
    rows = [int(there[0]), int(there[len(there) // 2]), int(there[-1])]
    others = [row for row in range(track.count) if row not in rows]
    alone = track.surface.copy() > 0
    layer = track.surface.layer  # type: ignore[attr-defined]
    for row in rows:
        track.change(row, truth[row])
    until(qtbot, lambda: "3 slices of" in dock.learn.state.text())
    click(qtbot, dock.learn.carry)
    assert dock.settings.carry
    click(qtbot, dock.learn.learn)
    until(qtbot, lambda: dock.desk.learning.learnt(track) is not None)
    done(qtbot, dock)
    assert dock.message.text().startswith("Learnt from 3 slices, ")
    until(qtbot, lambda: "answers as 3 slices taught it" in dock.learn.state.text())
    now = track.surface.copy() > 0
    assert all(np.array_equal(now[row], truth[row]) for row in rows)
    assert not np.array_equal(now[others], alone[others])

    dock.jump(others[len(others) // 2])
    viewer.layers.selection.active = layer
    canvas(viewer).setFocus()
    count = len(viewer.layers)
    qtbot.keyPress(canvas(viewer), Qt.Key.Key_W)
    assert len(viewer.layers) == count + 1
    assert not layer.visible
    qtbot.keyRelease(canvas(viewer), Qt.Key.Key_W)
    assert len(viewer.layers) == count
    assert layer.visible
    click(qtbot, dock.learn.before)  # pressed and let go
    assert layer.visible

    click(qtbot, dock.learn.forget)
    until(qtbot, lambda: dock.desk.learning.learnt(track) is None and not dock.running.runs)
    assert np.array_equal((track.surface.copy() > 0)[others], alone[others])


@pytest.mark.slow
def test_as_i_go_a_correction_is_learnt_from_at_once(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, made: Phantom
) -> None:
    data, options, _ = image_layer(made.volume)
    viewer.add_image(data, **options)
    dock.settings.learning_seconds = 1.0
    type_lines(qtbot, dock, UNKNOWN)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    click(qtbot, dock.learn.as_i_go)
    truth = track.image.plan.view.apply(made.labels.mask(2))
    for row in np.flatnonzero(truth.sum((1, 2)) >= 8)[:2]:
        track.change(int(row), truth[row])
    until(qtbot, lambda: dock.desk.learning.busy)
    until(qtbot, dock.cancel.isEnabled)
    assert dock.learn.learn.text() == "Stop learning"
    click(qtbot, dock.cancel)  # as that would
    assert not dock.desk.learning.busy
    assert dock.desk.learning.learnt(track) is None
