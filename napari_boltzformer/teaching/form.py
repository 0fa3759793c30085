"""Fine-tuning's form: which widgets there are and where they lie, and the curve of its losses, painted by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPixmap, QPolygonF, QShowEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from boltzformer.desk.teaching.runs import ASKED_FIRST, Losses, spoken_time
from boltzformer.desk.words import RESEARCH
from napari_boltzformer.host.behind import Behind
from napari_boltzformer.host.narrow import NameBox, OneLine, Picture, Sentence, as_large
from napari_boltzformer.host.notice import NoticeView, Progress
from napari_boltzformer.host.upright import Upright, page_of

MODES = {
    "auto": "the best that time and memory allow",
    "full": "every weight learns",
    "lora": "small corrections learn",
    "decoder": "all but both encoders learns",
    "existence": "only whether the object is there learns; masks stay as they are",
}
BACK = "The model before gets the name back (before the first one, 'default' is in use); asks first"
NAMED = 16
"""Letters of a new model's name that its button shows."""
MINUTES = 10
"""Of a run, unless the user says otherwise."""


class FinetuneForm(QWidget):
    """Length · Start / Stop · curve · before and after · promote; folder, mode, seed, runs, command under Details."""

    def __init__(self, *, inside: bool = False) -> None:
        """`inside`: of a dock that says already what it is."""
        super().__init__()
        self.folder, self.choose = OneLine(), QPushButton("Folder…")
        self.holds = _label("")
        self.model = OneLine()
        self.mode, self.length, self.unit, self.seed = NameBox(), QSpinBox(), QComboBox(), QSpinBox()
        for name, meaning in MODES.items():
            self.mode.addItem(name, name)
            self.mode.setItemData(self.mode.count() - 1, meaning, Qt.ItemDataRole.ToolTipRole)
        self.length.setRange(1, 100_000)
        self.length.setValue(MINUTES)
        self.unit.addItems(["minutes", "steps"])
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip("The same seed gives the same model on the same computer")
        self.need = _label("")
        self.facts: Mapping[str, Any] = {}
        """What was predicted (`FinetunePlan.facts`)."""
        self.start, self.stop, self.resume = QPushButton("Fine-tune"), QPushButton("Stop"), QPushButton("Resume")
        self.start.setToolTip(ASKED_FIRST)
        self.stop.setToolTip("Ends after the step in hand; the best so far is kept")
        self.run, self.progress, self.curve, self.notice = NameBox(), Progress(), Curve(), NoticeView()
        self.run.setToolTip("A run goes on when napari is closed, and is found again here")
        self.seen = Picture()
        self.seen.setToolTip("One picture that was held back: the true outline, before, now")
        self.verdict = Sentence()
        self.prompt, self.compare, self.toggle = NameBox(), QPushButton("Compare"), QPushButton("Before / after")
        self.prompt.setEditable(True)
        self.compare.setToolTip("Runs the slice on screen with the old and the new model, with the same seed")
        self.compared = Sentence()
        self.name = QLineEdit("mine")
        self.promote, self.roll_back = QPushButton("Promote as"), QPushButton("Roll back")
        self.promote.setToolTip("The new model gets this name, and the model before keeps its place in the line")
        self.roll_back.setToolTip(BACK)
        self.command, self.copy = QLineEdit(), QPushButton("Copy")
        self.command.setReadOnly(True)
        self.more, self.less = QPushButton("Details"), QPushButton("‹ Back")
        self.more.setCheckable(True)
        self.more.setToolTip("Folder, mode, seed, earlier runs, the same in a terminal")
        self._lay_out(inside)
        self.stop.hide()
        self.more.toggled.connect(lambda on: self.place.setCurrentIndex(int(on)))
        self.less.clicked.connect(lambda _=False: self.more.setChecked(False))
        for told in (self.length.valueChanged, self.unit.currentIndexChanged, self.name.textChanged):
            told.connect(lambda _: self._name_buttons())
        self._name_buttons()
        self.show_curve()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        super().showEvent(event)
        as_large([self.name, self.command, self.prompt], self.start)
        if (page := page_of(self)) is not None:
            page.gives_way = self._gives_way

    def _gives_way(self) -> list[QWidget]:
        """What can wait where there is no room; while something is asked, also what was said and asked before."""
        offers = list(self.notice.offers.values())
        asked = [self.verdict, self.compared, *offers[:-1]] if offers else []
        return [self.holds, self.curve, *asked]

    def _name_buttons(self) -> None:
        """They say what was chosen behind them."""
        count, unit = self.length.value(), self.unit.currentText()
        self.start.setText(f"Fine-tune for {count} {unit.removesuffix('s') if count == 1 else unit}")
        self.promote.setText(f"Promote as '{_short(self.name.text())}'")

    def show_curve(self) -> None:
        """Only where there is something to draw."""
        drawn = bool(self.curve.shown.by_step)
        self.curve.setVisible(drawn)
        self.progress.setVisible(drawn and not self.stop.isHidden())
        self.holds.setVisible(not self.verdict.text())  # the verdict says what came of it
        self.curve.update()

    def show_need(self) -> None:
        """What was predicted, for the length that is chosen: beside every mode, and the rest in words."""
        facts = self.facts
        if not facts:
            return
        for row in range(self.mode.count()):
            name = self.mode.itemData(row)
            told = facts["modes"].get(facts["mode"] if name == "auto" else name)
            shown = f"auto ({facts['mode']})" if name == "auto" else name
            self.mode.setItemText(row, f"{shown}: {'not with this model' if told is None else self._takes(told)}")
        new = f" New to the model: {', '.join(facts['new_targets'])}." if facts["new_targets"] else ""
        alone = " Times are of the steps alone." if self.unit.currentText() == "steps" else ""
        free = f"{facts['free_gb']:.1f} GB of memory are free"
        self.need.setText(f"Runs on {facts['device'].upper()}; {free}.{alone}{new}")

    def show_seen(self, path: str) -> None:
        """The last validation's picture."""
        self.seen.show_picture(QPixmap(path) if path else QPixmap())

    def _takes(self, told: Mapping[str, Any]) -> str:
        """'12 min, 1.2 GB': loading and comparing take the same in every mode, and are not in it."""
        memory = f"{told['memory_gb']:.1f} GB"
        if not told["fits"]:
            return f"needs {memory} of memory, too much here"
        if self.unit.currentText() == "minutes":
            return f"{self.length.value()} min, {memory}"
        return f"{spoken_time(told['seconds_per_step'] * self.length.value())}, {memory}"

    def _lay_out(self, inside: bool) -> None:
        whole, essence = QVBoxLayout(self), QWidget()
        layout = QVBoxLayout(essence)
        for one in (whole, layout):
            one.setContentsMargins(0, 0, 0, 0)
            one.setSpacing(4)
        if not inside:
            whole.addWidget(_label(RESEARCH))
        self.place = QStackedWidget()
        self.place.addWidget(essence)
        self.place.addWidget(Upright(self._details()))
        layout.addWidget(self.holds)
        layout.addWidget(
            Behind(
                [self.start, self.stop], [(self.length, self.unit), self.more], "How long; folder, mode, earlier runs"
            )
        )
        layout.addWidget(self.progress)
        layout.addWidget(self.curve, 1)
        layout.addWidget(self.verdict)
        layout.addLayout(_line(self.prompt, self.compare, self.toggle, stretch=0))
        layout.addWidget(self.compared)
        layout.addWidget(Behind([self.promote], [self.name, self.roll_back], "Its name, and the way back"))
        layout.addStretch()
        whole.addWidget(self.place, 1)
        whole.addWidget(self.notice)

    def _details(self) -> QWidget:
        """What is chosen once, and what was done before."""
        body = QWidget()
        layout, form = QVBoxLayout(body), QFormLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.less)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Accepted", _line(self.folder, self.choose))
        form.addRow("Teaches", self.model)
        form.addRow("Mode", self.mode)
        form.addRow("Seed", self.seed)
        form.addRow("Run", _line(self.run, self.resume))
        layout.addLayout(form)
        layout.addWidget(self.need)
        layout.addWidget(self.seen)
        layout.addWidget(_label("The same in a terminal"))
        layout.addLayout(_line(self.command, self.copy))
        layout.addStretch()
        return body


def _label(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setMinimumWidth(1)  # a long name is one word
    return label


def _short(name: str) -> str:
    """On a button: it is as wide as its words."""
    return name if len(name) <= NAMED else f"{name[: NAMED // 2]}…{name[-NAMED // 2 + 1 :]}"


def _line(*widgets: QWidget, stretch: int | None = 0) -> QHBoxLayout:
    line = QHBoxLayout()
    for number, widget in enumerate(widgets):
        line.addWidget(widget, 1 if number == stretch else 0)
    return line


LOSS, MEAN, DICE = QColor("#7f8c99"), QColor("#56B4E9"), QColor("#E69F00")
MARGIN, TITLE = 6.0, 18.0
LOWEST = 48
"""Pixels: where the window is low, the line is flat."""


class Curve(QWidget):
    """Shows what it is given; draws no more points than it has pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = Losses()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setMinimumHeight(LOWEST)
        self.setAccessibleName("Error by step")

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(260, LOWEST)  # what is left over is its own, too

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
