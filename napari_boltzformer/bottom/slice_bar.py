"""The strip of all slices: what was looked at, found, hidden, edited, accepted; its two thresholds and totals beside
it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import product

from qtpy.QtCore import QEvent, QLineF, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QFont, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QSizePolicy, QSlider, QToolTip, QVBoxLayout, QWidget

from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.lanes import Bar, Lane, State
from boltzformer.desk.masks.thresholds import Reapplying
from boltzformer.desk.words import neighbours
from napari_boltzformer.host.narrow import BELOW, Lines, Words

LEFT, STRIP, NAME, LANE, GAP = 120, 11, 13, 24, 2
"""Pixels: left of the slices, where no slider says it; heights of the strips for signs, of a prompt's name, of its
lane, between two."""
ROW = NAME + LANE + GAP
STEADY = 4
"""A hand that clicks moves by fewer pixels."""
LEAST_SLIDER = 60
"""Pixels."""
LEAST, MOST = 0.01, 0.99
"""Where the gate can be dragged to."""
GROUND, UNKNOWN, LINE, NOW = QColor(30, 32, 38), QColor(92, 96, 106), QColor(150, 154, 164), QColor(255, 255, 255)
DIMMED = 0.35
"""Of slices that are not on screen."""
BAD, GOOD, HAND = QColor(255, 90, 80), QColor(120, 220, 130), QColor(255, 225, 120)


class SliceBar(QWidget):
    """Rows are slices as the viewer counts them. It knows scores and signs, no masks."""

    jumped = Signal(int)
    """The user wants to see this row."""
    gate_dragged = Signal(float)
    """The user moved the least score that is shown."""

    def __init__(self, bar: Bar) -> None:
        super().__init__()
        self.model = bar
        self._pressed: QPointF | None = None
        self._dragging = ""
        self._left, self._right = LEFT, 0
        self.alone = ""
        """What is said instead of which slice is on screen, where that is none of these."""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(120)
        bar.heard.append(self._draw_again)
        self._draw_again(None)

    def _draw_again(self, row: int | None) -> None:
        """Only this column, if it is one: no sign of a neighbour is cut."""
        if row is not None:
            self.update(self._column(row).toAlignedRect().adjusted(-2, STRIP, 2, 0))
            return
        high = STRIP + max(len(self.model.lanes), 1) * ROW + GAP
        if self.height() != high:
            self.setFixedHeight(high)
        self.update()

    def line_up(self, left: int, right: int) -> None:
        """With the slider above: the first slice begins so far from the left, the last ends so far from the right."""
        if (left, right) != (self._left, self._right) and left + right < self.width():
            self._left, self._right = max(left, 0), max(right, 0)
            self.update()

    def stand_alone(self, words: str) -> None:
        """Another plane is on screen, or '' again these slices: the slider above is not theirs."""
        if words != self.alone:
            self.alone = words
            self.update()

    def state(self, lane: int, row: int) -> State:
        """What is drawn there, signs apart."""
        return self.model.lanes[lane].state(row)

    def words(self, row: int) -> str:
        """What is shown of a slice, as the tool tip says it."""
        return self.model.words(row)

    def place(self, lane: int, row: int, score: float = 0.5) -> QPointF:
        """Where a score of a slice is drawn."""
        return QPointF(self._column(row).center().x(), self._top(lane) + (1 - score) * LANE)

    def _top(self, lane: int) -> int:
        """Of a prompt's lane, below its name."""
        return STRIP + lane * ROW + NAME

    # --- mouse ---------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed, self._dragging = event.position(), ""

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        if self._pressed is None:
            return
        way = event.position() - self._pressed
        if not self._dragging and max(abs(way.x()), abs(way.y())) >= STEADY:
            self._dragging = "gate" if abs(way.y()) > abs(way.x()) and self.model.lanes else "row"
        if self._dragging == "gate":
            self.gate_dragged.emit(self._score_at(event.position().y()))
        elif self._dragging == "row":
            self._jump(event.position().x())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        if self._pressed is not None and not self._dragging:
            self._jump(event.position().x())
        self._pressed, self._dragging = None, ""
        self.update()

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self.words(self._row_at(event.pos().x())), self)
            return True
        return super().event(event)

    def _jump(self, x: float) -> None:
        if (row := self._row_at(x)) != self.model.row or self.alone:
            self.model.set_row(row)
            self.jumped.emit(row)

    def _row_at(self, x: float) -> int:
        row = int((x - self._left) * self.model.count // self._wide)
        return min(max(row, 0), self.model.count - 1)

    def _score_at(self, y: float) -> float:
        assert self._pressed is not None
        lane = min(max(int((self._pressed.y() - STRIP) // ROW), 0), len(self.model.lanes) - 1)
        score = 1 - (y - self._top(lane)) / LANE
        return round(min(max(score, LEAST), MOST), 2)

    # --- drawing -------------------------------------------------------------------------------------------------

    def _column(self, row: int) -> QRectF:
        wide = self._wide / self.model.count
        return QRectF(self._left + row * wide, 0, max(wide, 1.0), self.height())

    @property
    def _wide(self) -> int:
        """Of all slices."""
        return max(self.width() - self._left - self._right, 1)

    @property
    def _small(self) -> QFont:
        """As high as the place of a name, however large the user's own letters are."""
        font = QFont(self.font())
        font.setPixelSize(NAME - 2)
        return font

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        painter = QPainter(self)
        painter.fillRect(event.rect(), GROUND)
        painter.setOpacity(DIMMED if self.alone else 1.0)
        first, last = self._row_at(event.rect().left()), self._row_at(event.rect().right())
        rows = range(first, last + 1)
        for number, lane in enumerate(self.model.lanes):
            self._draw_lane(painter, number, lane, rows)
        self._draw_signs(painter, rows)
        for number, lane in enumerate(self.model.lanes):
            self._draw_name(painter, number, lane)
            self._draw_ticks(painter, number, lane, rows)
        if self.alone:
            painter.setOpacity(1.0)
            painter.setPen(NOW)
            painter.setFont(self._small)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.alone)
        elif self.model.lanes:  # else there is nothing in which one could be
            now, bottom = self._column(self.model.row), self.height() - 1
            painter.setPen(QPen(NOW, 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(now.left(), 0, max(now.width(), 3), bottom))
        painter.end()

    def _draw_lane(self, painter: QPainter, number: int, lane: Lane, rows: range) -> None:
        top = self._top(number)
        bottom = top + LANE
        gap = 1.0 if self._column(0).width() >= 4 else 0.0
        colour = QColor(lane.colour)
        kinds: dict[State, list[QRectF]] = {state: [] for state in State}
        for row in rows:
            state, column, mark = lane.state(row), self._column(row), lane.mark(row)
            high = {State.UNKNOWN: LANE, State.NOTHING: 2.0}.get(state)
            if high is None:  # of what only a person marked there is no score
                high = LANE if mark is None else max(2.0, mark.score * LANE)
            kinds[state].append(QRectF(column.left(), bottom - high, column.width() - gap, high))
        painter.setPen(Qt.PenStyle.NoPen)
        for state, brush in (
            (State.UNKNOWN, QBrush(UNKNOWN, Qt.BrushStyle.BDiagPattern)),
            (State.NOTHING, QBrush(LINE)),
            (State.FOUND, QBrush(colour)),
        ):
            painter.setBrush(brush)
            _draw(painter, kinds[state])
        painter.setBrush(QBrush(HAND))  # below its own lane: the pencils stand above all of them
        columns = [self._column(row) for row in rows if row in lane.edited]
        _draw(painter, [QRectF(one.left(), bottom - 2, one.width(), 2) for one in columns])
        painter.setPen(QPen(colour, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        _draw(painter, [one.adjusted(0.5, 0.5, -0.5, -0.5) for one in kinds[State.HIDDEN]])
        height = top + (1 - self.model.gate) * LANE
        painter.setPen(QPen(LINE, 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(self._left, height), QPointF(self._left + self._wide, height))
        if self._dragging == "gate":
            painter.drawText(QPointF(self._left + self._wide - 30, max(height - 2, top + 9)), f"{self.model.gate:.2f}")

    def _draw_name(self, painter: QPainter, number: int, lane: Lane) -> None:
        """Behind the ticks that lie where it begins, over whatever else lies there, and a pixel apart from it: lines
        below what is accepted, and a bar as high as can be, may have the same colour."""
        painter.setFont(self._small)
        place = QRectF(self._left, self._top(number) - NAME, self._wide, NAME)
        name = painter.fontMetrics().elidedText(lane.name, Qt.TextElideMode.ElideMiddle, self._wide - 8)
        left, wide = place.left(), painter.fontMetrics().horizontalAdvance(name)
        for _, tick in self._runs(lane.accepted, range(self.model.count), 0):
            past = tick.x() + STRIP + 1
            left = past if tick.x() < left + wide and past > left else left
        if left + wide <= place.right():  # else they lie upon it
            place.setLeft(left)
        painter.setPen(GROUND)
        for right, down in product((-1, 0, 1), repeat=2):
            painter.drawText(place.translated(right, down), Qt.AlignmentFlag.AlignVCenter, name)
        painter.setPen(QColor(lane.colour))
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, name)

    def _draw_ticks(self, painter: QPainter, number: int, lane: Lane, rows: range) -> None:
        """Over the name, where there is no room for it beside them: what is accepted is said nowhere else."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for _, place in self._runs(lane.accepted, rows, self._top(number) - NAME):
            for colour, wide in ((GROUND, 3.4), (GOOD, 1.4)):
                painter.setPen(QPen(colour, wide))
                _draw_sign(painter, place, _TICK)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def _draw_signs(self, painter: QPainter, rows: range) -> None:
        """Pencils and exclamation marks above all lanes, above each the lines below ticks. Neighbours share one."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        edited = frozenset().union(*(lane.edited for lane in self.model.lanes))
        ticks = [(lane.accepted, GOOD, self._top(n) - NAME, ()) for n, lane in enumerate(self.model.lanes)]
        for which, colour, top, sign in (
            (edited - self.model.failed.keys(), HAND, 0, _PENCIL),
            (self.model.failed, BAD, 0, _BANG),
            *ticks,
        ):
            painter.setPen(QPen(colour, 1.4))
            for line, place in self._runs(which, rows, top):
                painter.drawLines(line)
                _draw_sign(painter, place, sign)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def _runs(self, which: Collection[int], rows: range, top: int) -> Iterator[tuple[list[QLineF], QPointF]]:
        """Of neighbours among those that are drawn: the line below them, if they are several, and where a sign is."""
        for start, stop in neighbours(which):
            if stop >= rows.start and start < rows.stop:
                left, right, below = self._column(start).left(), self._column(stop).right(), top + STRIP - 1
                line = [QLineF(left, below, right, below)] if start < stop else []
                yield line, QPointF((left + right) / 2 - 4, top + 1)


_PENCIL: Sequence[Sequence[tuple[float, float]]] = (((1, 8), (2, 5), (6, 1), (8, 3), (4, 7), (1, 8)), ((2, 5), (4, 7)))
_BANG: Sequence[Sequence[tuple[float, float]]] = (((4, 0), (4, 5)), ((4, 7), (4, 8)))
_TICK: Sequence[Sequence[tuple[float, float]]] = (((0, 4), (3, 7), (8, 0)),)


def _draw_sign(painter: QPainter, place: QPointF, sign: Sequence[Sequence[tuple[float, float]]]) -> None:
    for line in sign:
        painter.drawPolyline(QPolygonF([QPointF(x, y) + place for x, y in line]))


def _draw(painter: QPainter, rectangles: list[QRectF]) -> None:
    if rectangles:
        painter.drawRects(rectangles)


class SliceReview(QWidget):
    """Shows what `Reapplying` knows, and hands it what the user chooses."""

    jumped = Signal(int)
    """The user wants to see this row."""
    thresholds_changed = Signal(object)
    """The user chose these `Thresholds`, or None: the model's own; the slice on screen has them already."""
    reapplied = Signal()
    """All slices have them."""
    placed = Signal()
    """It came to light, or is as wide as never before."""

    def __init__(self, reapplying: Reapplying) -> None:
        super().__init__()
        self.reapplying = reapplying
        self._side = 0
        """So many sliders lie side by side."""
        self.bar, self.totals = SliceBar(reapplying.bar), Lines()  # of which each keeps its height, however narrow
        self.gate, self.outline = _slider("show in slice"), _slider("outline")
        self.gate_words, self.outline_words = Words(), Words()
        self.reset = QPushButton("Reset")
        for one in (self.gate_words, self.gate):
            one.setToolTip(
                "A mask is shown in slices of this score or more. A score orders slices; it is no probability."
            )
        for one in (self.outline_words, self.outline):
            one.setToolTip("Pixels of which the model is as sure as this, or surer, belong to the mask")
        self.reset.setToolTip("Back to the model's own thresholds")
        self._lay_out()
        self._say()
        self.bar.jumped.connect(self._on_jump)
        self.bar.gate_dragged.connect(lambda gate: self.gate.setValue(round(100 * gate)))
        self.gate.valueChanged.connect(lambda value: reapplying.choose(existence=value / 100))
        self.outline.valueChanged.connect(lambda value: reapplying.choose(outline=value / 100))
        self.reset.clicked.connect(reapplying.reset)
        reapplying.changed.append(self._say)
        reapplying.chosen.append(self.thresholds_changed.emit)
        reapplying.done.append(self.reapplied.emit)

    @property
    def thresholds(self) -> Thresholds:
        """What is shown at present."""
        return self.reapplying.thresholds

    def event(self, event: QEvent | None) -> bool:
        told = super().event(event)
        if event is not None and event.type() in (QEvent.Type.Resize, QEvent.Type.Show, QEvent.Type.LayoutRequest):
            self._line_up()
            self.placed.emit()
        return told

    def _on_jump(self, row: int) -> None:
        self.reapplying.set_row(row)
        self.jumped.emit(row)

    def _say(self) -> None:
        """The sliders only show hundredths; a model's own gate holds to the last digit."""
        at = self.thresholds
        for slider, value in ((self.gate, at.existence), (self.outline, at.outline)):
            slider.blockSignals(True)
            slider.setValue(round(100 * value))
            slider.blockSignals(False)
        self.gate_words.setText(f"score from {at.existence:.2f}")
        self.outline_words.setText(f"outline from {at.outline:.2f}")
        bar = self.reapplying.bar
        strokes = len(bar.lanes) if bar.count == 1 else 0  # a line each as soon as a picture is painted on
        earlier = any(set(lane.answers.looked) - set(lane.answers.rows) for lane in bar.lanes)  # one tells what stays
        self.totals.reserve(max(len(bar.lanes) + strokes + earlier, 1))
        self.totals.setText("\n".join(self.reapplying.totals))

    def _lay_out(self) -> None:
        self.sliders = QGridLayout()
        self.sliders.setHorizontalSpacing(6)
        self.sliders.setVerticalSpacing(2)
        self.pairs: list[tuple[QLabel, QSlider]] = [(self.gate_words, self.gate), (self.outline_words, self.outline)]
        """Sliders, each behind its words: as many side by side as fit."""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 2)
        layout.setSpacing(3)
        layout.addWidget(self.bar)
        layout.addLayout(self.sliders)
        layout.addWidget(self.totals)
        layout.addStretch(1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """One slider beside the way back: in less width they lie below each other."""
        wide = min(self._widest + self.reset.sizeHint().width() + 12, BELOW)
        return QSize(wide, super().minimumSizeHint().height())

    @property
    def _widest(self) -> int:
        return max(words.sizeHint().width() for words, _ in self.pairs) + LEAST_SLIDER + 12

    def _line_up(self) -> None:
        """The pairs in lines, the way back behind the first."""
        room = self.width() - self.reset.sizeHint().width() - 12
        side = min(max(room // self._widest, 1), len(self.pairs))
        if side == self._side:
            return
        self._side = side
        for number, (words, slider) in enumerate(self.pairs):
            row, column = divmod(number, side)
            self.sliders.addWidget(words, row, 2 * column)
            self.sliders.addWidget(slider, row, 2 * column + 1)
        for column in range(2 * len(self.pairs)):
            self.sliders.setColumnStretch(column, 1 if column % 2 and column < 2 * side else 0)
        self.sliders.addWidget(self.reset, 0, 2 * side)


def _slider(name: str) -> QSlider:
    """In hundredths."""
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(1, 99)
    slider.setValue(50)
    slider.setPageStep(5)
    slider.setMinimumWidth(LEAST_SLIDER)
    slider.setAccessibleName(name)
    return slider
