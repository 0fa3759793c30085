"""S, J and D held over clicks: while the keyboard repeats the key, and whichever layer is selected."""

from typing import Any

import numpy as np
import pytest
from gui import canvas, layer_of, rows_of, until
from qtpy.QtCore import Qt
from test_picture_masks import SHAPE, at, count, discs, found

from napari_boltzformer.canvas.guide import POINTS
from napari_boltzformer.canvas.held import HeldClick
from napari_boltzformer.widget import BoltzFormerDock

CELLS = discs((30, 30, 12), (30, 51, 12), (20, 95, 9), (60, 30, 9))


def hold(qtbot: Any, dock: BoltzFormerDock, tool: HeldClick, key: Any, layer: Any, *pixels: tuple[int, int]) -> None:
    """A key that is held over clicks, told by the keyboard as let go and pressed again, over and over."""
    viewer = dock.viewer
    native = canvas(viewer)
    native.setFocus()
    qtbot.keyPress(native, key)
    for pixel in pixels:
        place = None
        while place != (now := at(viewer, layer, pixel)):  # a move of the mouse lets a dock settle
            place = now
            qtbot.mouseMove(native, place)
        repeated(qtbot, native, key)
        qtbot.mouseClick(native, Qt.MouseButton.LeftButton, pos=place)
        until(qtbot, lambda: not dock.desk.work.busy)
        repeated(qtbot, native, key)
    qtbot.keyRelease(native, key)
    until(qtbot, lambda: tool.armed is None)


def repeated(qtbot: Any, native: Any, key: Any) -> None:
    for _ in range(3):
        qtbot.keyRelease(native, key)
        qtbot.keyPress(native, key)


def test_a_key_that_repeats_is_held_all_the_time_and_what_its_clicks_did_stays_said(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    track = found(dock, viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture"), CELLS)
    layer = layer_of(track)
    viewer.layers.selection.active = layer
    layer.mode = "paint"
    before = count(track)
    hold(qtbot, dock, dock.split, Qt.Key.Key_S, layer, (30, 41))
    assert count(track) == before + 1
    assert dock.message.text().startswith("One object is two now")
    hold(qtbot, dock, dock.join, Qt.Key.Key_J, layer, (40, 30), (60, 30))
    assert str(layer.mode) == "paint"
    assert dock.message.text().startswith("Two objects are one now")
    assert count(track) == before


@pytest.mark.slow
def test_a_click_is_about_the_mask_under_the_mouse_where_the_one_in_hand_has_no_object(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    picture = viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture")
    track, other = (found(dock, picture, mask) for mask in (CELLS, CELLS & False))
    layer_of(track).mode = layer_of(other).mode = "paint"
    viewer.layers.selection.active = picture
    assert dock.active_track() is other
    before = count(track)
    hold(qtbot, dock, dock.split, Qt.Key.Key_S, layer_of(track), (30, 41))
    until(qtbot, lambda: count(track) == before + 1)
    assert viewer.layers.selection.active.name == layer_of(track).name  # Ctrl+Z is its
    assert {str(layer_of(one).mode) for one in (track, other)} == {"paint"}
    viewer.layers.selection.active = layer_of(other)
    hold(qtbot, dock, dock.objects_tool, Qt.Key.Key_D, layer_of(track), (20, 95))
    until(qtbot, lambda: count(track) == before)
    assert not rows_of(other).any()
    hold(qtbot, dock, dock.objects_tool, Qt.Key.Key_D, layer_of(track), (70, 110))
    assert dock.message.text().startswith("There is no object of 'cell")
    assert count(track) == before


def test_d_held_over_points_sets_none_and_pointing_goes_on_where_nothing_was_clicked(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    track = found(dock, viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture"), CELLS)
    before = count(track)
    dock.guide.point()
    points = viewer.layers[POINTS]
    hold(qtbot, dock, dock.objects_tool, Qt.Key.Key_D, layer_of(track))
    assert (viewer.layers.selection.active.name, str(points.mode)) == (POINTS, "add")
    hold(qtbot, dock, dock.objects_tool, Qt.Key.Key_D, layer_of(track), (20, 95))
    until(qtbot, lambda: count(track) == before - 1)
    assert not len(points.data)
    assert viewer.layers.selection.active.name == layer_of(track).name  # Ctrl+Z is its
