"""A box of names that can also be typed in."""

import gc
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from boltzformer.io.phantom import BRIGHT
from napari_boltzformer.host.narrow import Lines, NameBox


def test_a_name_that_is_left_shows_its_beginning_however_often_memory_is_tidied(qtbot: Any) -> None:
    """Python may throw away what it knows of Qt's line at any time, and Qt still tells of it."""
    page = QWidget()
    qtbot.addWidget(page)
    names, other = NameBox(), QPushButton("Details")
    layout = QVBoxLayout(page)
    layout.addWidget(names)
    layout.addWidget(other)
    names.setEditable(True)
    names.addItems([BRIGHT, "liver in abdomen CT"])
    with qtbot.waitActive(page):  # else nothing gets the focus
        page.show()
        page.activateWindow()
    for _ in range(3):
        gc.collect()
        names.setFocus()
        qtbot.keyClick(names.lineEdit(), Qt.Key.Key_End)
        qtbot.keyClicks(names.lineEdit(), "s")
        other.setFocus()
        qtbot.waitUntil(lambda: not names.lineEdit().hasFocus())
        assert names.lineEdit().cursorPosition() == 0


def test_letters_of_the_last_line_that_hang_below_it_are_seen(qtbot: Any) -> None:
    """napari's own style keeps a pixel free on all sides of a label."""
    lines = Lines()
    lines.setStyleSheet("QLabel { color: black; background: white; border: 1px solid white; }")
    qtbot.addWidget(lines)
    lines.setText("gypsy\npygmy")

    def inked(more: int) -> int:
        lines.resize(200, lines.sizeHint().height() + more)
        picture = lines.grab().toImage()
        dark = [any(picture.pixelColor(x, y).lightness() < 128 for x in range(200)) for y in range(picture.height())]
        return sum(dark)

    assert inked(0) == inked(20) > 0
