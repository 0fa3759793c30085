"""docs/start/napari.md, step by step, by a mouse and keys in real napari."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import LONG, answer_file_dialog, canvas, click, click_row, done, layer_of, press, ready, rows_of, until
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from boltzformer import io
from boltzformer.io.phantom import sample
from boltzformer.types import SliceState
from napari_boltzformer.widget import BoltzFormerDock

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
LEFT = Qt.MouseButton.LeftButton


def stroke(qtbot: Any, viewer: Any, begin: QPoint, end: QPoint) -> None:
    """With the left button held."""
    view = canvas(viewer)
    qtbot.mousePress(view, LEFT, pos=begin)
    for part in (0.25, 0.5, 0.75, 1.0):
        QTest.mouseMove(view, begin + (end - begin) * part)
        QTest.qWait(20)
    qtbot.mouseRelease(view, LEFT, pos=end)


@pytest.mark.slow
def test_the_five_steps_of_the_page(qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path) -> None:
    ready(qtbot, dock)

    click(qtbot, dock.example)  # 1: the example, with the prompt typed
    until(qtbot, lambda: dock.image.count() == 1)
    assert dock.prompt.texts() == [sample().prompt]

    here = dock.row()  # 2: the slice on screen, then all
    qtbot.keyClick(dock.prompt, Qt.Key.Key_Return, CTRL)
    done(qtbot, dock)
    (track,) = dock.tracks()
    assert list(track.scores) == [here]
    qtbot.keyClick(dock.prompt, Qt.Key.Key_Return, CTRL | SHIFT)
    qtbot.waitUntil(lambda: not dock.cancel.isEnabled(), timeout=3 * LONG)
    assert len(track.scores) == sample().volume.array.shape[0]

    bar = dock.bottom.review.bar  # 3: a click in the bar below the canvas leads to that slice
    qtbot.mouseClick(bar, LEFT, pos=bar.place(0, here + 20, 0.5).toPoint())
    until(qtbot, lambda: abs(dock.row() - here - 20) <= 1)

    row = dock.row()  # 4: what was painted is never overwritten
    click_row(qtbot, dock, 0)
    layer = layer_of(track)
    canvas(viewer).setFocus()
    press(qtbot, viewer, Qt.Key.Key_2)
    assert layer.mode == "paint"
    middle = canvas(viewer).rect().center()
    stroke(qtbot, viewer, middle, middle + QPoint(60, 10))
    until(qtbot, lambda: track.edited(row))
    painted = rows_of(track)[row].copy()
    assert painted.any()
    qtbot.keyClick(dock.prompt, Qt.Key.Key_Return, CTRL)
    done(qtbot, dock)
    assert np.array_equal(rows_of(track)[row], painted)

    canvas(viewer).setFocus()  # 5: accept, the next doubtful one, export
    press(qtbot, viewer, Qt.Key.Key_A)
    until(qtbot, lambda: track.state(row) is SliceState.REVIEWED)
    press(qtbot, viewer, Qt.Key.Key_N)
    until(qtbot, lambda: dock.row() != row)
    answer_file_dialog(tmp_path / "mine.nii.gz")
    click(qtbot, dock.export)
    until(qtbot, lambda: not dock.keeper.work.busy and (tmp_path / "mine.nii.gz").is_file())
    written = io.read(tmp_path / "mine.nii.gz")
    assert written.grid.same_as(sample().volume.grid)
