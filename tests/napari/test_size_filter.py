"""The sliders of sizes: dragged, they hide small objects at once, say how many, and belong to the image."""

from typing import Any

import numpy as np
from gui import answered, canvas, layer_of, row_text, rows_of, until
from qtpy.QtCore import QEvent, QObject, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QSlider, QStyle, QStyleOptionSlider, QWidget

from boltzformer import Grid, Volume
from boltzformer.io.phantom import BRIGHT, Phantom
from napari_boltzformer.bottom.size_filter import ALL
from napari_boltzformer.widget import BoltzFormerDock


def test_small_objects_vanish_as_the_slider_moves_and_come_back(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    image = viewer.add_image(np.zeros((3, 32, 40), np.uint8), scale=(2, 1, 1))
    track = answered(dock, image, BRIGHT, 0, 1, 2)
    rows_of(track)[...] = 0
    rows_of(track)[1, 2, 3] = rows_of(track)[1, 10:20, 10:20] = 1
    track.whose.written.update({row: np.packbits(rows_of(track)[row]) for row in range(3)})
    dock.desk.overview.show_tracks()
    sizes = dock.bottom.sizes
    assert sizes.smallest_words.text() == "hide objects under … mm³"
    sizes.smallest.setFocus()
    judged: list[str] = []
    dock.desk.sizes.changed.append(lambda track: judged.append(track.key))
    for press in range(1, 20):
        qtbot.keyClick(sizes.smallest, Qt.Key.Key_Right)
        until(qtbot, lambda press=press: len(judged) >= press and not dock.desk.sizes.busy)
        if sizes.hidden_words.text() == "1 hidden":
            break
    assert sizes.smallest_words.text() == "hide objects under 3 mm³"
    assert sizes.hidden_words.text() == "1 hidden"
    assert not rows_of(track)[1, 2, 3]
    assert rows_of(track)[1, 12, 12]
    until(qtbot, lambda: "1 object, 0.2 mL" in row_text(dock))
    layer_of(track).undo()
    assert not rows_of(track)[1, 2, 3]  # hiding is no step of undo
    dock.bottom.review.reset.click()
    until(qtbot, lambda: bool(rows_of(track)[1, 2, 3]))
    assert sizes.largest.value() == ALL
    sizes.largest.setValue(1)
    until(qtbot, lambda: not rows_of(track)[1, 2, 3])
    assert sizes.largest_words.text() == "keep the largest"
    other = viewer.add_image(np.zeros((3, 32, 40), np.uint8), name="other", scale=(2, 1, 1))
    dock.image.setCurrentIndex(dock.image.findText("other"))
    answered(dock, other, BRIGHT, 0)
    dock.desk.chosen()
    until(qtbot, lambda: sizes.largest_words.text() == "keep all")


class Layouts(QObject):
    """Counts how often the sliders' place asked for a layout."""

    def __init__(self, watched: QWidget) -> None:
        super().__init__(watched)
        self.count = 0
        watched.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        self.count += event is not None and event.type() == QEvent.Type.LayoutRequest
        return False


def test_a_viewer_at_rest_lays_nothing_out(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    image = viewer.add_image(np.zeros((3, 32, 40), np.uint8), scale=(2, 1, 1))
    answered(dock, image, BRIGHT, 0, 1, 2)
    dock.desk.overview.show_tracks()
    dock.window().show()
    until(qtbot, dock.bottom.sizes.isVisible)
    layouts = Layouts(dock.bottom.sizes)

    def rests() -> bool:
        """What was asked for while layouts were made would be made in the next turn, and so on for ever."""
        before = layouts.count
        QApplication.processEvents()
        return layouts.count == before

    assert any(rests() for _ in range(200))
    assert all(rests() for _ in range(20))


def handle(slider: QSlider) -> QPoint:
    option = QStyleOptionSlider()
    slider.initStyleOption(option)
    style, part = slider.style(), QStyle.SubControl.SC_SliderHandle
    return style.subControlRect(QStyle.ComplexControl.CC_Slider, option, part, slider).center()


def test_a_slider_stays_under_the_mouse_while_its_words_change(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    """What it says gets longer on the way, and how many objects are hidden."""
    image = viewer.add_image(np.zeros((3, 32, 40), np.uint8), scale=(2, 1, 1))
    track = answered(dock, image, BRIGHT, 0, 1, 2)
    rows_of(track)[...] = 0
    objects = [6 * size**2 for size in range(1, 6)]
    for size in range(1, 6):
        rows_of(track)[1, 6 * size - 5 : 7 * size - 5, 3 : 3 + 3 * size] = 1
    track.whose.written.update({row: np.packbits(rows_of(track)[row]) for row in range(3)})
    dock.desk.overview.show_tracks()
    dock.window().resize(1366, 768)
    dock.window().show()
    sizes = dock.bottom.sizes
    for slider, way in ((sizes.smallest, 1), (sizes.largest, -1)):
        qtbot.waitUntil(lambda slider=slider: slider.isVisible() and not dock.desk.sizes.busy)
        began, values = handle(slider), [slider.value()]
        ground = slider.mapToGlobal(began)
        qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=began)
        for moved in range(4, 60, 4):
            there = ground + QPoint(way * moved, 0)
            event = QMouseEvent(
                QEvent.Type.MouseMove,
                QPointF(slider.mapFromGlobal(there)),
                QPointF(there),
                Qt.MouseButton.NoButton,
                Qt.MouseButton.LeftButton,
                Qt.KeyboardModifier.NoModifier,
            )
            QApplication.sendEvent(slider, event)
            values.append(slider.value())
            at = dock.desk.overview.reapplying.thresholds
            small = max(sum(one < at.smallest_mm3 for one in objects), len(objects) - (at.largest or len(objects)))
            until(qtbot, lambda small=small: dock.desk.sizes.count == small)
        qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=slider.mapFromGlobal(there))
        assert values == sorted(values, reverse=way < 0)  # it never jumps back
        assert sizes.hidden_words.text() != ""


def test_masks_follow_a_slider_that_is_held_and_wait_for_a_stroke_on_the_canvas(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    image = viewer.add_image(np.zeros((3, 32, 40), np.uint8), scale=(2, 1, 1))
    track = answered(dock, image, BRIGHT, 0, 1, 2)
    rows_of(track)[...] = 0
    rows_of(track)[1, 2, 3] = rows_of(track)[1, 10:20, 10:20] = 1
    track.whose.written.update({row: np.packbits(rows_of(track)[row]) for row in range(3)})
    dock.desk.overview.show_tracks()
    window = dock.window()
    window.show()
    slider, told, desk = dock.bottom.sizes.largest, dock.bottom.sizes.hidden_words, dock.desk
    until(qtbot, lambda: slider.isVisible() and not desk.sizes.busy)

    def mouse(act: Any, widget: Any, spot: QPoint) -> None:
        """Through the window, so that Qt knows the button to be down, as it does of a person's."""
        act(window.windowHandle(), Qt.MouseButton.LeftButton, pos=widget.mapTo(window, spot))

    mouse(QTest.mousePress, slider, handle(slider))
    assert slider.isSliderDown()
    assert QApplication.mouseButtons() == Qt.MouseButton.LeftButton
    slider.setValue(1)
    until(qtbot, lambda: not rows_of(track)[1, 2, 3] and told.text() == "1 hidden")
    slider.setValue(2)
    until(qtbot, lambda: bool(rows_of(track)[1, 2, 3]) and told.text() == "")
    assert slider.isSliderDown()  # all of it under the mouse
    mouse(QTest.mouseRelease, slider, handle(slider))
    native = canvas(viewer)
    mouse(QTest.mousePress, native, native.rect().center())
    assert desk.timers.under_stroke()
    mouse(QTest.mouseRelease, native, native.rect().center())
    assert not desk.timers.under_stroke()


def test_units_are_the_images_own_and_nothing_is_labelled_where_nothing_was_found(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    sizes = dock.bottom.sizes
    dock.desk.patients.open(small.volume)  # without any mask
    until(qtbot, lambda: sizes.smallest_words.text() == "hide objects under … mm³")
    assert sizes.apart.isHidden()
    dock.desk.patients.open(Volume(np.zeros((1, 30, 40), np.uint8), Grid.pixels((1, 30, 40)), name="picture"))
    until(qtbot, lambda: sizes.smallest_words.text() == "hide objects under … px")
    assert sizes.apart.isHidden()
    answered(dock, dock.chosen_image(), BRIGHT, 0)
    dock.desk.overview.show_tracks()
    assert not sizes.apart.isHidden()
