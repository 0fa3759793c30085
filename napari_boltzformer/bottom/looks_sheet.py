"""The looks drawn: equal tiles of the image lit where it was visited, under a bar that tapers from hot to cold."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import (
    QColor,
    QFont,
    QImage,
    QLinearGradient,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QResizeEvent,
)
from qtpy.QtWidgets import QSizePolicy, QWidget

from boltzformer import LookTrace
from boltzformer.desk.looks.looks import (
    OCTAVES,
    Looks,
    chance_level,
    light_of_chances,
    light_of_visits,
    percent,
    samples,
    shares,
)
from boltzformer.masks.pictures import CYAN, DIM, FULL, Picture, brightness, look_tile, resized

TAPER, FOOT, LEGEND, GAP = 24, 56, 20, 8
"""Heights in pixels: the tapering bar, the numbers below a tile, the legend; and the space between tiles."""
LEAST_TILE = 96, 96
"""Width and height: in less room, the sheet scrolls."""
NARROW = 120
"""Width of a tile's cell: below it, words are short and bars lie under them."""
DARK, LIGHT, FAINT = QColor(16, 17, 20), QColor(240, 240, 240), QColor(150, 154, 164)
HOT, COLD, MARK = QColor(230, 120, 40), QColor(90, 180, 235), QColor(230, 159, 0)


class LooksSheet(QWidget):
    """Hover and click tell which look is meant, from 0."""

    hovered = Signal(int)
    """The pointer is over this look; −1 = over none."""
    clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.looks: Looks | None = None
        self.chances = False
        """Lit by the chance to be seen, not by visits."""
        self.marked: int | None = None
        """The look that is pinned or played."""
        self.waiting = False
        """What is shown is not what is on screen any more."""
        self._hovered = -1
        self._tiles: list[QPixmap] = []
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._ask_for_room(LEAST_TILE[1])

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(1200, TAPER + 128 + FOOT + LEGEND)

    def show_looks(self, looks: Looks | None) -> None:
        """None: nothing to show."""
        self.looks, self._tiles, self.waiting = looks, [], False
        if looks is not None:  # a picture that is wider than high has no use for more
            rows, columns = looks.plan.crop_shape
            self._ask_for_room(min(LEAST_TILE[1], math.ceil(LEAST_TILE[0] * rows / columns)))
        self.update()

    def _ask_for_room(self, tile: int) -> None:
        """As high as a tile is at the least."""
        self.setMinimumSize(9 * LEAST_TILE[0] + 8 * GAP, TAPER + tile + FOOT + LEGEND)

    def restyle(self) -> None:
        """After `chances`, `marked` or `waiting` was set."""
        self._tiles = []
        self.update()

    def light(self, look: LookTrace) -> NDArray[np.float32]:
        """(h, w): how much of the image a look shows at present."""
        return light_of_chances(look) if self.chances else light_of_visits(look)

    def tile_at(self, number: int) -> QRect:
        """Where a look's picture is drawn."""
        assert self.looks is not None
        (rows, columns), cell = self.looks.plan.crop_shape, self._cell(number)
        wide = max(int(min(cell.width(), cell.height() * columns / rows)), 1)
        left = cell.left() + (cell.width() - wide) // 2
        return QRect(left, TAPER, wide, max(round(wide * rows / columns), 1))

    def _cell(self, number: int) -> QRect:
        """The room that a look's picture may take."""
        assert self.looks is not None
        count = len(self.looks.trace.layers)
        wide = (self.width() + GAP) / count
        return QRect(round(number * wide), TAPER, int(wide) - GAP, max(self.height() - TAPER - FOOT - LEGEND, 1))

    # --- mouse ---------------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        self._hover(self._look_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        self._hover(-1)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        if event.button() == Qt.MouseButton.LeftButton and (number := self._look_at(event.position())) >= 0:
            self.clicked.emit(number)

    def _hover(self, number: int) -> None:
        if number != self._hovered:
            self._hovered = number
            self.hovered.emit(number)
            self.update()

    def _look_at(self, at: QPointF) -> int:
        if self.looks is None:
            return -1
        every = range(len(self.looks.trace.layers))
        return next((n for n in every if self._cell(n).adjusted(0, 0, 0, FOOT).contains(at.toPoint())), -1)

    # --- drawing -------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        self._tiles = []

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        painter = QPainter(self)
        try:
            painter.fillRect(self.rect(), DARK)
            font = QFont(self.font())
            font.setPixelSize(10)
            painter.setFont(font)
            if self.looks is not None:
                self._draw(painter, self.looks)
        finally:  # an error's traceback keeps the painter; Qt crashes where one outlives its turn
            painter.end()

    def _draw(self, painter: QPainter, looks: Looks) -> None:
        trace = looks.trace
        self._tiles = self._tiles or [self._picture(looks, number) for number in range(len(trace.layers))]
        drawn = samples(trace)
        self._draw_taper(painter, drawn)
        painter.setOpacity(0.4 if self.waiting else 1)
        for number, (look, tile) in enumerate(zip(trace.layers, self._tiles, strict=True)):
            place = self.tile_at(number)
            painter.drawPixmap(place, tile)
            if number in (self.marked, self._hovered):
                painter.setPen(QPen(LIGHT if number == self.marked else FAINT, 2))
                painter.drawRect(place.adjusted(-1, -1, 1, 1))
            self._draw_numbers(painter, looks, number, look, place, drawn)
        painter.setOpacity(1)
        self._draw_legend(painter, looks)

    def _picture(self, looks: Looks, number: int) -> QPixmap:
        ratio = self.devicePixelRatioF()
        look, last = looks.trace.layers[number], number == len(looks.trace.layers) - 1
        big = resized(looks.picture[looks.plan.crop], max(round(self.tile_at(number).width() * ratio), 1))
        return _pixmap(
            look_tile(big, looks.plan, self.light(look), look.guess, looks.mask[looks.plan.crop] if last else None)
        )

    def _draw_numbers(
        self, painter: QPainter, looks: Looks, number: int, look: LookTrace, place: QRect, drawn: bool
    ) -> None:
        """Temperature, as heat (of looks that draw), and scale, and the two bars."""
        top, cell = place.bottom() + 3, self._cell(number)
        narrow = cell.width() < NARROW
        heat = f"heat {look.temperature:.2f}"
        lines = (
            " ".join((f"{number + 1}:" if narrow else f"look {number + 1},", heat)) if drawn else f"look {number + 1}",
            f"{'□' if narrow else 'squares of'} {look.scale} px",
        )
        for line, (text, colour) in enumerate(zip(lines, (LIGHT, FAINT), strict=True)):
            painter.setPen(colour)
            painter.drawText(QRect(cell.left(), top + 12 * line, cell.width(), 13), 0, text)
        seen = shares(look, looks.plan, looks.mask)
        for line, (name, share, colour) in enumerate(
            (
                ("mask" if narrow else "in the mask", seen.inside, LIGHT),
                ("rest" if narrow else "elsewhere", seen.elsewhere, FAINT),
            )
        ):
            at = QRect(cell.left(), top + 26 + 13 * line, cell.width(), 13)
            painter.setPen(colour)
            painter.drawText(at, 0, name)
            painter.drawText(at, Qt.AlignmentFlag.AlignRight, "–" if share is None else percent(share, short=True))
            room = QRectF(at.left() + 62, at.top() + 4, max(at.width() - 62 - 38, 4), 5)
            if narrow:
                room = QRectF(at.left(), at.bottom() - 1, at.width(), 2)
            painter.fillRect(room, QColor(50, 53, 60))
            painter.fillRect(QRectF(room.left(), room.top(), room.width() * (share or 0), room.height()), colour)

    def _draw_taper(self, painter: QPainter, drawn: bool) -> None:
        if not drawn:
            return
        wide, high = self.width(), TAPER - 10
        colours = QLinearGradient(0, 0, wide, 0)
        colours.setColorAt(0, HOT)
        colours.setColorAt(1, COLD)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawPolygon(
            QPolygonF([QPointF(0, 2), QPointF(wide, high - 1), QPointF(wide, high + 2), QPointF(0, high + 4)])
        )
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(DARK)
        painter.drawText(QRectF(6, 2, wide / 2, high + 4), Qt.AlignmentFlag.AlignVCenter, "hot: almost at random")
        painter.setPen(COLD)
        cold = QRectF(wide / 2, 0, wide / 2 - 2, high)
        painter.drawText(cold, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, "cold: where it is sure")

    def _draw_legend(self, painter: QPainter, looks: Looks) -> None:
        """The one scale of brightness, with the level of chance; and what the lines are."""
        top, left, wide, roomy = self.height() - LEGEND + 5, 0, 110, self.width() >= 1000
        who = "its searching points" if looks.query is None else f"the points of query {looks.query + 1}"
        low, high, text = "0 %", f"{100 * FULL:.0f} %", f"or more of {who} visited"
        light = brightness(np.linspace(0, FULL, wide))
        level, name = chance_level(looks.trace) / FULL, "chance"
        if self.chances:
            low, high, text = f"1/{2**OCTAVES}", f"{2**OCTAVES} ×", "chance to be seen"
            light, level, name = DIM + (1 - DIM) * np.linspace(0, 1, wide), 0.5, "1 ×"
        painter.setPen(FAINT)
        painter.drawText(QPointF(left, top + 9), low)
        left += 28
        ramp = np.broadcast_to((255 * light)[None, :, None], (10, wide, 3)).astype(np.uint8)
        painter.drawPixmap(left, top, _pixmap(np.ascontiguousarray(ramp)))
        at = left + round(min(level, 1) * wide)
        painter.fillRect(QRect(at - 1, top - 3, 2, 15), MARK)
        painter.drawText(QPointF(left + wide + 6, top + 9), f"{high} {text}")
        left += wide + 12 + painter.fontMetrics().horizontalAdvance(f"{high} {text}") + 10
        for colour, words in (
            (MARK, name),
            (QColor(*CYAN), "the model's own guess that steered the look" if roomy else "its own guess"),
            (LIGHT, "the answer (in the last look)" if roomy else "the answer"),
        ):
            painter.fillRect(QRect(left, top + 4, 14, 2), colour)
            painter.setPen(colour)
            painter.drawText(QPointF(left + 19, top + 9), words)
            left += 19 + painter.fontMetrics().horizontalAdvance(words) + 16


def _pixmap(picture: Picture) -> QPixmap:
    rows, columns, _ = picture.shape
    return QPixmap.fromImage(QImage(picture.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888))
