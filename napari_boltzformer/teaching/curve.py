"""`Curve`: the loss of a training as it falls, and what was measured on held-back slices, painted by hand."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from boltzformer.desk.teaching.curve import Losses

LOSS, MEAN, DICE = QColor("#7f8c99"), QColor("#56B4E9"), QColor("#E69F00")
MARGIN, TITLE = 6.0, 18.0


class Curve(QWidget):
    """Shows what it is given; draws no more points than it has pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = Losses()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Loss by step")

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(260, 110)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().windowText().color()
        painter.setPen(text)
        painter.drawText(
            QRectF(MARGIN, 0, self.width() - 2 * MARGIN, TITLE), Qt.AlignmentFlag.AlignLeft, self.shown.title()
        )
        area = QRectF(MARGIN, TITLE, self.width() - 2 * MARGIN, self.height() - TITLE - MARGIN)
        text.setAlphaF(0.3)
        painter.setPen(QPen(text, 1))
        painter.drawRect(area)
        if self.shown.by_step:
            high, low = max(self.shown.by_step.values()), min(0.0, *self.shown.by_step.values())
            self._line(painter, area, list(self.shown.by_step.values()), low, high, QPen(LOSS, 1))
            self._line(painter, area, self.shown.mean(), low, high, QPen(MEAN, 2))
        painter.setPen(QPen(DICE, 2))
        painter.setBrush(DICE)
        for step, value in self.shown.dice.items():
            painter.drawEllipse(self._place(area, step, value, 0.0, 1.0), 3, 3)
        painter.end()

    def _line(self, painter: QPainter, area: QRectF, values: list[float], low: float, high: float, pen: QPen) -> None:
        thin = max(1, len(values) // max(1, int(area.width())))
        pairs = list(zip(self.shown.by_step, values, strict=True))
        chosen = [*pairs[::thin], pairs[-1]]
        painter.setPen(pen)
        painter.drawPolyline(QPolygonF([self._place(area, step, value, low, high) for step, value in chosen]))

    def _place(self, area: QRectF, step: int, value: float, low: float, high: float) -> QPointF:
        along = (step - 1) / max(1, self.shown.steps - 1)
        up = (value - low) / max(1e-9, high - low)
        return QPointF(area.left() + along * area.width(), area.bottom() - up * area.height())
