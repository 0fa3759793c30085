"""What tests do with the dock: clicks and keys, and waiting for signals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QPoint, QRectF, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QInputDialog,
    QLineEdit,
    QMessageBox,
    QScrollBar,
    QStyle,
    QStyleOptionSlider,
    QWidget,
)

from boltzformer import Prompt, SlicePlan, SliceResult
from boltzformer.desk.keeping.one_patient import PUT_AWAY
from boltzformer.desk.masks.track import Track
from napari_boltzformer.dock.form import Form
from napari_boltzformer.host.behind import Behind
from napari_boltzformer.host.layers import volume_of
from napari_boltzformer.host.stage import image_on
from napari_boltzformer.widget import BoltzFormerDock

DIST = "napari-boltzformer"
LONG = 120_000
"""ms: the machine may be busy; nothing waits longer than it must."""


def bring_to_light(widget: QWidget) -> None:
    """Presses the tab or the gear that a person would press first, and the arrow behind which it is."""
    above = widget.parentWidget()
    while above is not None and not isinstance(above, (Form, Behind)):
        above = above.parentWidget()
    if isinstance(above, Behind):
        bring_to_light(above)
        if above.panel is widget.window() and not above.panel.isVisible():
            QTest.mouseClick(above.arrow, Qt.MouseButton.LeftButton)
        return
    if above is None:
        return
    settings = above.more_area.isAncestorOf(widget)
    if settings != above.more.isChecked() and (settings or above.acts.isAncestorOf(widget)):
        QTest.mouseClick(above.more, Qt.MouseButton.LeftButton)
    tabs = above.acts.tabBar()
    for number in range(above.acts.count()):
        if above.acts.widget(number).isAncestorOf(widget) and number != above.acts.currentIndex():
            QTest.mouseClick(tabs, Qt.MouseButton.LeftButton, pos=tabs.tabRect(number).center())


def click(qtbot: Any, button: QAbstractButton) -> None:
    bring_to_light(button)
    spot = QPoint(8, button.height() // 2) if isinstance(button, QCheckBox) else button.rect().center()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=spot)


def until(qtbot: Any, what: Callable[[], bool]) -> None:
    qtbot.waitUntil(what, timeout=LONG)


def keep_both(qtbot: Any, dock: BoltzFormerDock) -> None:
    """What was put away when another image came is on screen beside it again."""
    until(qtbot, lambda: PUT_AWAY in dock.notice.offers)
    click(qtbot, dock.notice.offers[PUT_AWAY].answers["Keep both"])


def ready(qtbot: Any, dock: BoltzFormerDock) -> None:
    """With its speed measured and its card read: nothing is under way."""
    until(qtbot, lambda: "s per slice" in dock.engine.text() and dock.prompt.knowledge.asked)


def done(qtbot: Any, dock: BoltzFormerDock) -> None:
    until(qtbot, lambda: not dock.cancel.isEnabled())


def type_lines(qtbot: Any, dock: BoltzFormerDock, *lines: str) -> None:
    for number, one in enumerate(lines):
        if number:
            qtbot.keyClick(dock.prompt, Qt.Key.Key_Return)
        qtbot.keyClicks(dock.prompt, one)


def row_text(dock: BoltzFormerDock, number: int = 0) -> str:
    """What the list says of a mask; nothing before its row is there."""
    item = dock.results.item(number)
    return "" if item is None else item.text()


def click_row(qtbot: Any, dock: BoltzFormerDock, number: int) -> None:
    """On a mask in the list, once it is there: rows come a turn after the run's end."""
    results = dock.results
    until(qtbot, lambda: results.count() > number)
    results.scrollToItem(results.item(number))
    spot = results.visualItemRect(results.item(number)).center()
    qtbot.mouseClick(results.viewport(), Qt.MouseButton.LeftButton, pos=spot)


def track_named(dock: BoltzFormerDock, name: str) -> Track:
    return next(track for track in dock.tracks() if track.name == name)


def layer_of(track: Track) -> Any:
    """The Labels layer of a mask."""
    return track.surface.layer


def rows_of(track: Track) -> Any:
    """(slices, rows, columns): the layer's own voxels."""
    data = track.surface.layer.data
    return data[None] if data.ndim == 2 else data


def answer_file_dialog(path: Path) -> None:
    """Types the path into the open dialog and presses its button, as a person would."""

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QFileDialog):
            QTimer.singleShot(50, answer)
            return
        name = dialog.findChild(QLineEdit, "fileNameEdit")
        name.setText(str(path))
        QTest.keyClick(name, Qt.Key.Key_Return)

    QTimer.singleShot(50, answer)


def press(qtbot: Any, viewer: Any, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    """On the canvas."""
    qtbot.keyClick(canvas(viewer), key, modifier)


def canvas(viewer: Any) -> Any:
    """The widget that napari draws on, found as any Qt program could."""
    top = next(one for one in QApplication.topLevelWidgets() if one.inherits("QMainWindow") and one.isVisible())
    return next(one for one in top.findChildren(object) if type(one).__name__ == "CanvasBackendDesktop")


def answer_choice(text: str) -> None:
    """Chooses in the open question's list and presses OK, as a person would."""

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QInputDialog):
            QTimer.singleShot(50, answer)
            return
        box = dialog.findChild(QComboBox)
        box.setCurrentIndex(box.findText(text))
        QTest.keyClick(dialog, Qt.Key.Key_Return)

    QTimer.singleShot(50, answer)


def answer_question(qtbot: Any, button: str) -> str:
    """Waits for a question beside the viewer and presses a button of it → what it asked."""
    until(qtbot, lambda: isinstance(QApplication.activeModalWidget(), QMessageBox))
    question = QApplication.activeModalWidget()
    asked = str(question.text())
    click(qtbot, next(one for one in question.buttons() if one.text().replace("&", "") == button))
    return asked


def new_track(dock: BoltzFormerDock, image: Image, name: str) -> Track:
    """An empty mask of an image."""
    return dock.desk.tracks.new(image_on(image), Prompt(name))


def answered(dock: BoltzFormerDock, image: Image, name: str, *rows: int, logit: int = 64, score: float = 0.9) -> Track:
    """A mask that a model has filled in some slices, without asking one: the same logit all over."""
    volume, size = volume_of(image), 64
    plan = SlicePlan.of(volume.grid, size, volume.slice_axis)
    track = new_track(dock, image, name)
    track.begin_run(plan, 0.5)
    for row in rows:
        logits, existence = np.full((1, size, size), logit, np.int8), np.array([score], np.float32)
        track.answer(plan, SliceResult(plan.canonical_index(row), logits, existence), 0, {"seed": 7})
    return track


def middle_of_handle(bar: QWidget) -> float:
    """Of napari's slider, as far from the left end of the bar."""
    found = [one for one in bar.window().findChildren(QScrollBar) if one.parent().inherits("QtDimSliderWidget")]
    slider = next(one for one in found if one.isVisible())
    option = QStyleOptionSlider()
    slider.initStyleOption(option)
    parts = QStyle.ComplexControl.CC_ScrollBar, option, QStyle.SubControl.SC_ScrollBarSlider, slider
    middle = QRectF(slider.style().subControlRect(*parts)).center()
    return bar.mapFromGlobal(slider.mapToGlobal(middle)).x()
