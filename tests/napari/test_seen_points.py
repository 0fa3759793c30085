"""What is pointed at is what can be seen: a point keeps its colour, hidden ones say nothing, and every run heeds the
rest."""

from typing import Any

import numpy as np
from gui import canvas, click, done, press, type_lines, until
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor

from boltzformer.io.phantom import BRIGHT, Phantom
from napari_boltzformer.canvas.guide import HERE, NOT_HERE, POINTS
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.host.stage import image_on
from napari_boltzformer.widget import BoltzFormerDock


def colours(points: Any) -> list[str]:
    return [QColor.fromRgbF(*map(float, one[:3])).name() for one in points.face_color]


def test_points_keep_their_colour_and_hidden_ones_say_nothing(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    image = image_on(viewer.add_image(data, **options))
    type_lines(qtbot, dock, BRIGHT)
    dock.guide.point()
    points, middle = viewer.layers[POINTS], canvas(viewer).rect().center()
    for offset, modifier in (
        (QPoint(0, 0), Qt.KeyboardModifier.NoModifier),
        (QPoint(40, 30), Qt.KeyboardModifier.ShiftModifier),
        (QPoint(-40, 30), Qt.KeyboardModifier.NoModifier),
    ):
        viewer.layers.selection.active = points
        qtbot.mouseClick(canvas(viewer), Qt.MouseButton.LeftButton, modifier, pos=middle + offset)
    assert list(points.features["here"]) == [True, False, True]
    wanted = [QColor(one).name() for one in (HERE, NOT_HERE, HERE)]
    assert colours(points) == wanted
    points.mode = "select"
    points.selected_data = {0, 1}
    points.mode = "add"
    viewer.layers.selection.active = points
    qtbot.mouseClick(
        canvas(viewer), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, pos=middle + QPoint(10, 60)
    )
    assert colours(points) == [*wanted, QColor(NOT_HERE).name()]
    until(qtbot, lambda: "led by 4 points" in dock.message.text())
    done(qtbot, dock)

    shown = np.array(points.shown)
    shown[0] = False
    points.shown = shown
    assert [one.here for one in dock.guide.pointing(image).points] == [False, True, False]
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    assert dock.message.text().startswith("Looked in 16 slices, led by 3 points; found ")
    points.visible = False
    assert dock.guide.pointing(image).points == ()
    viewer.layers.selection.active = image.layer
    canvas(viewer).setFocus()
    press(qtbot, viewer, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    done(qtbot, dock)
    assert dock.message.text().startswith("Looked in 1 slice; found ")
