"""How it looked: the panel of the looks on the slice on screen. It shows what it is given and asks for no more."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtGui import QHideEvent, QKeyEvent, QPainter, QPixmap, QResizeEvent, QShowEvent
from qtpy.QtWidgets import (
    QBoxLayout,
    QButtonGroup,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from boltzformer.desk.looks.looks import Looks, caption, headline
from boltzformer.types import LookTrace
from napari_boltzformer.bottom.looks_sheet import DARK, LIGHT, LooksSheet
from napari_boltzformer.host.narrow import Along, Sideways

STEP_MS = 700
"""So long Play stays on a look."""
ROOMY = 920
"""Pixels: in less width, texts take one line more."""
TIGHT = 520
"""Pixels: in less width, there is no room for the caption; the tool tip has it."""
LINES, AROUND = 4, 24
"""Of a caption, at the most; and the pixels beside it: margins of the page and of the panel."""
SHARP, PAGE = 2, QSize(1300, 325)
"""Pictures of the looks are written so sharp, and so large in pixels of a screen."""


class LooksView(QWidget):
    """Equal tiles, a headline, a caption; below them the controls."""

    asked = Signal()
    """Looks are wanted: the panel came to light, or another `roll` or `query` was chosen."""
    previewed = Signal(object)
    """Number of the look to show on the canvas, from 0; None = none."""
    hidden = Signal()
    """The panel is out of sight: nothing is wanted any more."""

    def __init__(self) -> None:
        super().__init__()
        self.roll = 0
        """So many seeds after the run's own."""
        self.query: int | None = None
        """Whose looks are wanted, from 0; None = all together."""
        self._in_front = True
        """Whether it is no tab behind another."""
        self._pinned: int | None = None
        self._hovered = -1
        self._playing = QTimer(self)
        self._playing.setInterval(STEP_MS)
        self.title, self.headline, self.sheet, self.caption = QLabel(), QLabel(), LooksSheet(), QLabel()
        self.back, self.play, self.forth = QPushButton("‹"), QPushButton("Play"), QPushButton("›")
        self.seen, self.chance = QPushButton(), QPushButton()
        self.chips = QButtonGroup(self)
        self.again, self.save = QPushButton("Roll again"), QPushButton("Save…")
        self._lay_out()
        self._connect()
        self.say("Run a prompt first, then see here how the model looked.")

    # --- what it is told -----------------------------------------------------------------------------------------

    def show_looks(self, looks: Looks) -> None:
        """The looks that were asked for."""
        rolled = f", rolled again {_times(self.roll)}" if self.roll else ""
        whose = "" if looks.query is None else f", query {looks.query + 1} alone"
        self.title.setText(f"“{looks.prompt}”, {looks.place}, seed {looks.seed}{rolled}{whose}")
        self.headline.setText(headline(looks))
        self.sheet.show_looks(looks)
        self._keep_bar_in_sight()
        self._caption()
        self._offer_queries(looks.trace.queries)
        self._enable(True)
        self._tell()

    def say(self, sentence: str) -> None:
        """Instead of looks: why there are none."""
        self._playing.stop()
        self.title.setText("How it looked")
        self.headline.setText(sentence)
        self.sheet.show_looks(None)
        self._enable(False)
        self._tell()

    def wait(self) -> None:
        """What is shown belongs to another slice or seed; the new looks are on their way."""
        self.sheet.waiting = True
        self.sheet.update()

    @property
    def visible(self) -> bool:
        """Whether anybody can see it."""
        return self.isVisible() and self._in_front

    @property
    def looks(self) -> Looks | None:
        """Those that are shown; None where there are none, or others are on their way."""
        return None if self.sheet.waiting else self.sheet.looks

    def light(self, look: LookTrace) -> NDArray[np.float32]:
        """As the user chose to see it: what was seen, or the chance of it."""
        return self.sheet.light(look)

    @property
    def current(self) -> int | None:
        """The look under the pointer, else the pinned one."""
        if self.sheet.looks is None:
            return None
        number = self._hovered if self._hovered >= 0 else self._pinned
        return None if number is None or number >= len(self.sheet.looks.trace.layers) else number

    # --- what the user does --------------------------------------------------------------------------------------

    def step(self, by: int) -> None:
        """Pins the next look, or the one before; without a pin, the first or the last."""
        if self.sheet.looks is not None:
            count = len(self.sheet.looks.trace.layers)
            start = -1 if by > 0 else count
            self._pin((start if self._pinned is None else self._pinned) + by, count)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """`,` and `.` wherever the focus is in here; Esc lets the look on the canvas go."""
        if event.key() == Qt.Key.Key_Escape and self.escape():
            return
        by = {",": -1, ".": 1}.get(event.text())
        if by is None:
            super().keyPressEvent(event)
        else:
            self.step(by)

    def escape(self) -> bool:
        """Whether there was a look on the canvas to let go."""
        held = self.current is not None
        self.let_go()
        return held

    def let_go(self) -> None:
        """No look is pinned or played any more."""
        self._playing.stop()
        self._pinned, self._hovered = None, -1
        self._mark()

    def come_to_front(self, on: bool) -> None:
        """Among the tabs of its place."""
        if on == self._in_front:
            return
        self._in_front = on
        if on:
            self.asked.emit()
        else:
            self.let_go()
            self.hidden.emit()

    def save_to(self, path: Path) -> None:
        """What is shown, as PNG: looks, headline, legend and caption."""
        shown = self.page.size()
        self._fit_caption(PAGE.width())
        self.page.resize(PAGE)  # however small the window is, the picture can be read
        picture = QPixmap(PAGE * SHARP)
        picture.setDevicePixelRatio(SHARP)
        picture.fill(DARK)
        painter = QPainter(picture)
        self.page.render(painter)
        painter.end()
        self.page.resize(shown)
        self._fit_caption(self.width())
        if not picture.save(str(path), "PNG"):
            self.headline.setText(f"The picture could not be written to {path}: choose another folder.")

    def _pin(self, number: int, count: int) -> None:
        self._pinned = min(max(number, 0), count - 1)
        self._mark()

    def _on_click(self, number: int) -> None:
        self._playing.stop()
        self._pinned = None if number == self._pinned else number
        self._mark()

    def _on_hover(self, number: int) -> None:
        self._hovered = number
        self._tell()

    def _on_play(self) -> None:
        if self._playing.isActive():
            self._playing.stop()
        else:
            self._pinned = None
            self.step(1)
            self._playing.start()
        self._mark()

    def _on_beat(self) -> None:
        self.step(1)
        if self.sheet.looks is None or self._pinned == len(self.sheet.looks.trace.layers) - 1:
            self._playing.stop()
            self._mark()

    def _on_roll(self) -> None:
        self.roll += 1
        self.wait()
        self.asked.emit()

    def _on_chip(self, number: int) -> None:
        self.query = None if number < 0 else number
        self.wait()
        self.asked.emit()

    def _on_light(self) -> None:
        self.sheet.chances = self.chance.isChecked()
        self._caption()
        self.sheet.restyle()
        self._tell()

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save picture", "looks.png", "PNG (*.png)", options=QFileDialog.Option.DontUseNativeDialog
        )
        if path:
            self.save_to(Path(path).with_suffix(".png"))

    def _mark(self) -> None:
        self.sheet.marked = self._pinned
        self.sheet.update()
        self.play.setText("Stop" if self._playing.isActive() else "Play")
        self._tell()

    def _tell(self) -> None:
        self.previewed.emit(self.current)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """A squeezed dock must not draw one text over another."""
        line, narrow = self.caption.fontMetrics().lineSpacing(), self.width() < ROOMY
        self._fit_caption(self.width())
        self.headline.setMinimumHeight((2 if narrow else 1) * line + 4)
        across, down = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
        self._top.setDirection(down if narrow else across)  # the title must not push the headline into many lines
        super().resizeEvent(event)

    def _fit_caption(self, wide: int) -> None:
        """It has all the lines that it needs, or none: one too few would lie over the bar of the looks."""
        words, line = self.caption, self.caption.fontMetrics().lineSpacing()
        high = words.heightForWidth(wide - AROUND)
        words.setVisible(wide >= TIGHT and high <= LINES * line + 4)
        words.setMinimumHeight(max(high, 0))

    def _keep_bar_in_sight(self) -> None:
        """Below the looks, where they need it."""
        bar = self._sheet_room.horizontalScrollBar()
        self._sheet_room.setMinimumHeight(self.sheet.minimumHeight() + (0 if bar is None else bar.sizeHint().height()))

    # --- in sight or not -----------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        super().showEvent(event)
        self.asked.emit()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802 - Qt's name
        self.let_go()
        self.hidden.emit()
        super().hideEvent(event)

    # --- parts ---------------------------------------------------------------------------------------------------

    def _offer_queries(self, count: int) -> None:
        """'All · Query 1…m'."""
        chips = [self.chips.button(_chip_id(number)) for number in range(-1, count)]
        if all(chips) and len(chips) == len(self.chips.buttons()):
            return
        for chip in self.chips.buttons():
            self.chips.removeButton(chip)
            chip.deleteLater()
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for number in range(-1, count):
            chip = QPushButton()
            chip.setText("All" if number < 0 else f"Query {number + 1}" if number == 0 else str(number + 1))
            chip.setToolTip("All queries together" if number < 0 else f"Where query {number + 1} alone looked")
            chip.setCheckable(True)
            chip.setFixedWidth(chip.fontMetrics().horizontalAdvance(chip.text()) + 18)
            chip.setChecked(number == (-1 if self.query is None else self.query))
            self.chips.addButton(chip, _chip_id(number))
            row.addWidget(chip)
        row.addStretch()
        inside = QWidget()
        inside.setLayout(row)
        self._chip_room.setWidget(inside)
        self._chip_room.setVisible(count > 0)

    def _enable(self, on: bool) -> None:
        for widget in (self.back, self.play, self.forth, self.seen, self.chance, self.again, self.save):
            widget.setEnabled(on)
        self._chip_room.setEnabled(on)

    def _caption(self) -> None:
        """It fits what is lit."""
        looks = self.sheet.looks
        text = "" if looks is None else caption(looks, chances=self.sheet.chances)
        self.sheet.setToolTip(text.replace("*", ""))
        self.caption.setText(re.sub(r"\*(.+?)\*", r"<i>\1</i>", escape(text)))
        self._fit_caption(self.width())

    def _connect(self) -> None:
        self.sheet.hovered.connect(self._on_hover)
        self.sheet.clicked.connect(self._on_click)
        self._playing.timeout.connect(self._on_beat)
        self.back.clicked.connect(lambda: self.step(-1))
        self.forth.clicked.connect(lambda: self.step(1))
        self.play.clicked.connect(self._on_play)
        self.chance.toggled.connect(self._on_light)
        self.chips.idClicked.connect(lambda number: self._on_chip(number - 1))
        self.again.clicked.connect(self._on_roll)
        self.save.clicked.connect(self._on_save)

    def _lay_out(self) -> None:
        self.page = QWidget()
        self.page.setAutoFillBackground(True)
        self.page.setStyleSheet(f"background-color: {DARK.name()}; color: {LIGHT.name()};")
        self.headline.setStyleSheet("font-weight: bold;")
        for label in (self.headline, self.caption):
            label.setWordWrap(True)
        self.title.setMinimumWidth(1)  # a long prompt must not make the window wider
        inside = QVBoxLayout(self.page)
        inside.setContentsMargins(8, 4, 8, 4)
        inside.setSpacing(2)
        self._top = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._top.addWidget(self.headline, 1)
        self._top.addWidget(self.title)
        inside.addLayout(self._top)
        self._sheet_room = Sideways()
        self._sheet_room.setWidget(self.sheet)
        self._keep_bar_in_sight()
        inside.addWidget(self._sheet_room, 1)
        inside.addWidget(self.caption)

        for arrow in (self.back, self.forth):
            arrow.setFixedWidth(32)
        self.back.setToolTip("The look before ( , )")
        self.forth.setToolTip("The next look ( . )")
        lights = QButtonGroup(self)
        for button, text, tip in (
            (self.seen, "Seen", "Lit: where it looked"),
            (self.chance, "Chance", "Lit: where it was likely to look, as a multiple of chance"),
        ):
            button.setText(text)
            button.setToolTip(tip)
            button.setCheckable(True)
            lights.addButton(button)
        self.seen.setChecked(True)
        self.save.setToolTip("What is shown, as a picture with its headline and caption")
        self.again.setToolTip("Draw anew with the next seed: other looks, often the same answer")
        self._chip_room = Sideways()
        self._chip_room.setFixedHeight(40)
        self._chip_room.hide()
        row = QHBoxLayout()
        for widget in (self.back, self.play, self.forth, self.seen, self.chance, self.again):
            row.addWidget(widget)
        row.addWidget(self._chip_room, 1)
        row.addStretch()
        row.addWidget(self.save)
        row.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        layout.setSpacing(2)
        layout.addWidget(self.page, 1)
        layout.addWidget(Along(row))


def _chip_id(number: int) -> int:
    """Qt keeps −1 for itself."""
    return number + 1


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
