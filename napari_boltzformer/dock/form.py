"""The dock's form: which widgets there are and where they lie, and single keys on our masks and their image, never on
the viewer. It does nothing by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.runs.running import Running
from boltzformer.desk.words import RESEARCH
from napari_boltzformer.dock.prompts import AMBER, PromptBox
from napari_boltzformer.dock.results import Results
from napari_boltzformer.host.notice import NoticeView, Progress

MORE = (
    ("looks", "How it looked"),
    ("revert", "Revert this run"),
    ("accept_all", "Accept all seen"),
    ("next", "Next doubtful (N)"),
    ("sure", "How sure? Ask 4 times"),
    ("table", "Lesion table"),
    ("case_list", "Case list"),
    ("point", "Here / not here"),
    ("unpoint", "Remove last point"),
    ("box", "Draw a box"),
    ("follow", "Follow through slices"),
    ("use_layer", "Use layer…"),
    ("between", "Fill between slices"),
)
"""Buttons that are not needed every day: attribute and text."""


class Form(QWidget):
    """Image · Prompt · This slice · All slices · results · Accept · Export; everything else under More."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = _label("Engine: this computer, starting…")
        self.example = QPushButton("Try the example")
        self.example.setMinimumHeight(44)
        self.image, self.open = QComboBox(), QPushButton("Open…")
        self.image.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.prompt, self.doubt = PromptBox(), _label("")
        self.doubt.setStyleSheet(f"color: {AMBER}")
        self.this_slice, self.all_slices = QPushButton("This slice"), QPushButton("All slices")
        self.this_slice.setToolTip("Ctrl+Enter")
        self.cancel, self.progress = QPushButton("Cancel"), Progress()
        self.results, self.notice = Results(), NoticeView(reports=True)
        self.accept, self.export = QPushButton("Accept"), QPushButton("Export…")
        self.accept.setToolTip("This slice of all shown masks is right (A); 0 says that there is nothing")
        self.more = QToolButton()
        self.more.setText("More")
        self.more.setCheckable(True)
        self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more.setArrowType(Qt.ArrowType.RightArrow)
        self.more_area, self.more_body = QScrollArea(), QWidget()
        self.more_layout, self.more_buttons = QVBoxLayout(self.more_body), QGridLayout()
        self.more_layout.addLayout(self.more_buttons)
        for name, text in MORE:
            setattr(self, name, self.add_more(text))
        self.unsure, self.ring = QCheckBox("4 samples: where is it unsure?"), QCheckBox("Ring tiny objects")
        self.maps = QCheckBox("Export also writes the probability maps")
        self._lay_out()
        self.more.toggled.connect(self.open_more)
        self.open_more(False)

    @property
    def message(self) -> QLabel:
        """The sentence that the dock says."""
        return self.notice.label

    def show_runs(self, running: Running) -> None:
        """Which buttons can do something now, and why the others can't."""
        runs = running.runs
        whole = next((run.image.name for run in runs if run.whole), "")
        busy = "Wait until the run has ended, or press Cancel"
        looked = f"'{whole}' is looked at just now: wait, or press Cancel"
        none = busy if runs else "There is no run to take back on this image"
        for button, on, usual, reason in (
            (self.all_slices, not whole, "Ctrl+Shift+Enter: from here outwards", looked),
            (self.cancel, bool(runs), "Stops every run; what is finished is kept", "Nothing is under way"),
            (self.export, not runs, "", busy),
            (self.revert, running.can_revert, "", none),
        ):
            button.setEnabled(on)
            button.setToolTip(usual if on else reason)
        self.example.setVisible(self.image.count() == 0)

    def show_far(self, far: tuple[int, int] | None) -> None:
        """So many slices are done, of so many; None: nothing is under way."""
        if far is not None:
            self.progress.setRange(0, far[1])
            self.progress.setValue(far[0])

    def add_more(self, text: str) -> QPushButton:
        """A button under More."""
        button, number = QPushButton(text), self.more_buttons.count()
        self.more_buttons.addWidget(button, number // 2, number % 2)
        return button

    def open_more(self, on: bool) -> None:
        """Shows or hides what is not needed every day."""
        self.more.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        self.more_area.setVisible(on)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setSpacing(4)
        layout.addWidget(_label(RESEARCH))
        layout.addWidget(self.engine)
        layout.addWidget(self.example)
        layout.addLayout(_line(QLabel("Image"), self.image, self.open, stretch=1))
        layout.addLayout(_line(QLabel("Prompt"), self.prompt, stretch=1))
        layout.addWidget(self.doubt)
        layout.addLayout(_line(self.this_slice, self.all_slices))
        layout.addLayout(_line(self.progress, self.cancel, stretch=0))
        layout.addWidget(self.results, 1)
        layout.addWidget(self.notice)
        layout.addLayout(_line(self.accept, self.export))
        layout.addWidget(self.more)
        self.more_area.setWidget(self.more_body)
        self.more_area.setWidgetResizable(True)
        self.more_area.setFrameShape(QFrame.Shape.NoFrame)
        self.more_area.setMinimumHeight(150)
        self.more_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.more_layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.more_area, 2)
        layout.addStretch()


def _label(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label


def _line(*widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
    line = QHBoxLayout()
    for number, widget in enumerate(widgets):
        line.addWidget(widget, 1 if number == stretch else 0)
    return line


RUN_THIS, RUN_ALL = "Control-Enter", "Control-Shift-Enter"
HIDE = "h"


class Keys:
    """Bound to a layer once."""

    def __init__(
        self, tracks: Tracks, do: Mapping[str, Callable[[], None]], hold: Mapping[str, Callable[[Any], Iterator[None]]]
    ) -> None:
        """`hold`: what something does as long as the key is held, on images and masks; points and boxes keep theirs."""
        self._tracks, self._do, self._held = tracks, do, hold

    @property
    def used(self) -> tuple[str, ...]:
        return (*self._do, *self._held, HIDE)

    def bind(self, layer: Layer) -> None:
        for key, hold in self._held.items() if isinstance(layer, Image | Labels) else ():
            layer.bind_key(key, hold, overwrite=True)
        for key, do in self._do.items():
            layer.bind_key(key, _calls(do), overwrite=True)
        layer.bind_key(HIDE, self._hide, overwrite=True)

    def _hide(self, layer: Any) -> Iterator[None]:
        """As long as the key is held, the image alone."""
        hidden = [track.surface for track in self._tracks.shown()]
        for one in hidden:
            one.shown = False
        yield
        for one in hidden:
            if one.alive:
                one.shown = True


def _calls(do: Callable[[], None]) -> Callable[[Any], None]:
    """napari hands the layer over."""
    return lambda _layer: do()
