"""`Curve`: the loss of a training as it falls, and what was measured on held-back slices, painted by hand."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

LOSS, MEAN, DICE = QColor("#7f8c99"), QColor("#56B4E9"), QColor("#E69F00")
MARGIN, TITLE = 6.0, 18.0
SMOOTH = 0.9
"""Of the running mean: what was before counts so much at every step."""


class Curve(QWidget):
    """Fed step by step; draws no more points than it has pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: dict[int, float] = {}
        self.dice: dict[int, float] = {}
        self.steps = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Loss by step")

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(260, 110)

    def clear(self) -> None:
        """Another run."""
        self.losses, self.dice, self.steps = {}, {}, 0
        self.update()

    def add(self, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """One step; told twice, the last word counts."""
        self.steps = max(steps, step)
        if "total" in losses:
            self.losses[step] = losses["total"]
            self.update()

    def measured(self, dice: Mapping[int, float]) -> None:
        """Dice on what is held back, by step."""
        self.dice = dict(dice)
        self.update()

    def title(self) -> str:
        """What the lines say, in words."""
        if not self.losses:
            return "Loss: nothing to show yet"
        values = list(self.losses.values())
        told = f"Loss {values[0]:.3g} → {self.mean()[-1]:.3g}"
        return f"{told}   held-back Dice {list(self.dice.values())[-1]:.2f}" if self.dice else told

    def mean(self) -> list[float]:
        """The running mean of the loss."""
        found: list[float] = []
        for value in self.losses.values():
            found.append(value if not found else SMOOTH * found[-1] + (1 - SMOOTH) * value)
        return found

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().windowText().color()
        painter.setPen(text)
        painter.drawText(QRectF(MARGIN, 0, self.width() - 2 * MARGIN, TITLE), Qt.AlignmentFlag.AlignLeft, self.title())
        area = QRectF(MARGIN, TITLE, self.width() - 2 * MARGIN, self.height() - TITLE - MARGIN)
        text.setAlphaF(0.3)
        painter.setPen(QPen(text, 1))
        painter.drawRect(area)
        if self.losses:
            high, low = max(self.losses.values()), min(0.0, *self.losses.values())
            self._line(painter, area, list(self.losses.values()), low, high, QPen(LOSS, 1))
            self._line(painter, area, self.mean(), low, high, QPen(MEAN, 2))
        painter.setPen(QPen(DICE, 2))
        painter.setBrush(DICE)
        for step, value in self.dice.items():
            painter.drawEllipse(self._place(area, step, value, 0.0, 1.0), 3, 3)
        painter.end()

    def _line(self, painter: QPainter, area: QRectF, values: list[float], low: float, high: float, pen: QPen) -> None:
        thin = max(1, len(values) // max(1, int(area.width())))
        pairs = list(zip(self.losses, values, strict=True))
        chosen = [*pairs[::thin], pairs[-1]]
        painter.setPen(pen)
        painter.drawPolyline(QPolygonF([self._place(area, step, value, low, high) for step, value in chosen]))

    def _place(self, area: QRectF, step: int, value: float, low: float, high: float) -> QPointF:
        along = (step - 1) / max(1, self.steps - 1)
        up = (value - low) / max(1e-9, high - low)
        return QPointF(area.left() + along * area.width(), area.bottom() - up * area.height())
