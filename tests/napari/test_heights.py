"""What shares the place below the canvas is as high as what is in it, also where there is less in it than before."""

from typing import Any

from gui import until
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QSizePolicy, QTextEdit, QVBoxLayout, QWidget

from napari_boltzformer.bottom.heights import LEAST, Heights


def test_a_tab_with_fewer_lines_is_lower_again_unless_a_person_made_it_high(qtbot: Any) -> None:
    window, inner, lines, outer = QMainWindow(), QWidget(), QLabel(), QDockWidget("Slices")
    qtbot.addWidget(window)
    window.setCentralWidget(QTextEdit())
    window.resize(800, 700)
    layout = QVBoxLayout(inner)
    layout.addWidget(lines)
    layout.addStretch(1)
    inner.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
    outer.setWidget(inner)
    outer.setMinimumHeight(LEAST)
    heights = Heights(window, [inner])
    heights.watch(outer)
    lines.setFixedHeight(240)
    window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, outer)
    window.show()
    until(qtbot, lambda: outer.height() > 240)
    around = outer.height() - 240
    for high in (60, 120, 60):  # of another image, and back
        lines.setFixedHeight(high)
        until(qtbot, lambda high=high: outer.height() == high + around)
    window.resizeDocks([outer], [300], Qt.Orientation.Vertical)
    until(qtbot, lambda: outer.height() >= 290)
    made = outer.height()
    lines.setFixedHeight(120)
    until(qtbot, lambda: heights._needs[outer][0] == 120 + around)
    assert outer.height() == made
