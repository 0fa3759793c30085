"""The dock's form: four acts, Find · Correct · Teach · Keep, and what is in sight beside each. It does nothing by
itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from boltzformer.desk.keeping.said import Accepts
from boltzformer.desk.runs.running import Running
from boltzformer.desk.settings import Settings
from boltzformer.desk.words import RESEARCH
from napari_boltzformer.dock.prompts import AMBER, PromptBox
from napari_boltzformer.dock.results import Results
from napari_boltzformer.host.behind import Behind
from napari_boltzformer.host.layers import PLANES
from napari_boltzformer.host.narrow import LETTERS, NameBox, OneLine, as_large
from napari_boltzformer.host.notice import NoticeView, Progress
from napari_boltzformer.host.upright import Upright

FIND, CORRECT, TEACH, KEEP = "Find", "Correct", "Teach", "Keep"
ACTS = {
    FIND: "What to look for, where, and what was found",
    CORRECT: "Lead the model, mend masks, go where it is least sure",
    TEACH: "Learn from what was accepted; which model is in use",
    KEEP: "Accept, measure, list cases, export",
}
SAMPLES = 4
"""So many seeds tell where the model is unsure."""
MOST = 7
"""Controls in an act; what is used now and then is behind the arrow of one of them."""


class Form(QWidget):
    """Above: what it is, which engine. Below: what is said, how far, Accept and Export. Between: one act at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = OneLine("Engine: starting…")
        self.more = QToolButton()
        self.more.setText("⚙")
        self.more.setCheckable(True)
        self.more.setToolTip("Settings: device, memory, samples, rings, files of models")
        self.more.setAccessibleName("Settings")
        self.more.setStyleSheet("QToolButton { font-size: 16px; border: none; padding: 0px 4px; }")
        self._make_find()
        self._make_correct()
        self._make_keep()
        self._make_settings()
        self.cancel, self.progress = QPushButton("Cancel"), Progress()
        self.notice = NoticeView(reports=True)
        self.accept, self.export = QPushButton("Accept"), QPushButton("Export…")
        self.acts, self.pages = QTabWidget(), {name: QWidget() for name in ACTS}
        self.lines = {name: QVBoxLayout(page) for name, page in self.pages.items()}
        """Of each act: what is added here comes below what it has."""
        self._letters = QTimer(self)
        self._letters.setSingleShot(True)
        self._letters.timeout.connect(self._on_letters)
        self._lay_out()
        self.more.toggled.connect(self.open_more)
        self.show_accepts(Accepts())

    @property
    def message(self) -> QLabel:
        """The sentence that the dock says."""
        return self.notice.label

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The size of letters is the viewer's own."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._letters.start()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        super().showEvent(event)
        self._letters.start()

    def _on_letters(self) -> None:
        as_large([self.prompt], self.accept)

    def show_act(self, name: str) -> None:
        """Brings an act to light."""
        self.more.setChecked(False)
        self.acts.setCurrentIndex(list(ACTS).index(name))

    def open_more(self, on: bool) -> None:
        """Settings take the place of the acts, or give it back."""
        self.place.setCurrentWidget(self.more_area if on else self.acts)

    def show_folder(self, place: str, usual: Path) -> None:
        """Where what is accepted is kept."""
        self.kept_in.setText(f"Kept in {Path(place).name}" if place else "Kept in the usual folder")
        self.kept_in.setToolTip(place or str(usual))

    def show_accepts(self, told: Accepts) -> None:
        """Which masks would be accepted: on the button, when somebody points at it, and in a line under Keep."""
        what = "This picture in" if told.picture else "This slice of"
        usual = f"{what} all shown masks is right (A); 0 says that there is nothing"
        self.accept.setText(told.button)
        self.accept.setToolTip(f"{usual}\n{told.words}".strip())
        self.accepts.setText(told.words)
        self.accepts.setToolTip(told.words)

    def show_engine(self, text: str, details: str) -> None:
        """In one line; the rest when somebody points at it."""
        self.engine.setText(text)
        self.engine.setToolTip(details)

    def show_runs(self, running: Running, *, busy: bool) -> None:
        """Which buttons can do something now, and why the others can't. `busy`: something can be stopped."""
        runs = running.runs
        whole = next((run.image.name for run in runs if run.whole), "")
        wait = "Wait until the run has ended, or press Cancel"
        looked = f"'{whole}' is looked at just now: wait, or press Cancel"
        none = wait if runs else "There is no run to take back on this image"
        for button, on, usual, reason in (
            (self.all_slices, not whole, "Ctrl+Shift+Enter: from here outwards", looked),
            (self.cancel, busy, "Stops every run and all learning; what is finished is kept", "Nothing is under way"),
            (self.export, not runs, "", wait),
            (self.revert, running.can_revert, "", none),
        ):
            button.setEnabled(on)
            button.setToolTip(usual if on else reason)
        self.show_under_way()
        if self.example.isHidden() == (self.image.count() == 0):  # later: this is asked while a layer goes, too
            QTimer.singleShot(0, self._show_example)
        if not busy and (self.progress.value() < self.progress.maximum() or not self.progress.maximum()):
            self.show_far(None)  # of a run that was cancelled nothing more is to come

    def _show_example(self) -> None:
        self.example.setVisible(self.image.count() == 0)

    def show_under_way(self) -> None:
        """Teaching says itself how far it is, and needs the room."""
        teaching = self.acts.currentIndex() == list(ACTS).index(TEACH)
        self.under_way.setVisible(self.cancel.isEnabled() or not teaching)

    def show_doubts(self) -> None:
        """What speaks against what is typed, before it is run."""
        self.doubt.setText(self.prompt.knowledge.warnings(self.prompt.finished()))
        self.doubt.setVisible(bool(self.doubt.text()))

    def remember(self, settings: Settings, changed: Callable[[], None]) -> None:
        """The ticks among the settings, from one time to the next."""

        def on_tick() -> None:
            settings.samples = SAMPLES if self.unsure.isChecked() else 1
            settings.rings = self.ring.isChecked()
            settings.save()
            changed()

        self.unsure.setChecked(settings.samples > 1)
        self.ring.setChecked(settings.rings)
        for box in (self.unsure, self.ring):
            box.toggled.connect(on_tick)

    def show_far(self, far: tuple[int, int] | None) -> None:
        """So many steps are made, of so many; None: nothing is under way, and of what was nothing is left to read."""
        if far is None:
            self.progress.setRange(0, max(self.progress.maximum(), 1))  # else it goes to and fro for ever
            self.progress.reset()
        else:
            self.progress.setRange(0, far[1])
            self.progress.setValue(far[0])

    def lay_window(self, choice: QWidget, mine: QWidget, picture: QWidget) -> None:
        """The window that the model sees through, below the image; beside both, what it sees."""
        self.seen.addWidget(QLabel("Window"), 1, 0)
        self.seen.addWidget(Behind([choice], [mine], "The viewer's contrast"), 1, 1, 1, 2)
        self.seen.addWidget(picture, 0, 3, 2, 1)

    # --- parts --------------------------------------------------------------------------------------------------

    def _make_find(self) -> None:
        self.example = QPushButton("Try the example")
        self.example.setMinimumHeight(44)
        self.image, self.open = NameBox(), QPushButton("Open…")
        self.image.setMinimumContentsLength(LETTERS + 2)  # two ends of one letter tell no images apart
        self.prompt, self.doubt = PromptBox(), _label("")
        self.doubt.hide()
        for heard in (self.prompt.textChanged, self.prompt.left):
            heard.connect(self.show_doubts)
        self.doubt.setStyleSheet(f"color: {AMBER}")
        self.this_slice, self.all_slices = QPushButton("This slice"), QPushButton("All slices")
        self.this_slice.setToolTip("Ctrl+Enter")
        self.prompt.clear_of = self.this_slice
        for button in (self.this_slice, self.all_slices):
            button.pressed.connect(self.prompt.completer.popup().hide)
        self.results, self.looks = Results(), QPushButton("How it looked")
        self.planes = {name: QPushButton(name.capitalize()) for name in PLANES}

    def _make_correct(self) -> None:
        self.point, self.unpoint = QPushButton("Here / not here"), QPushButton("Remove last")
        self.unpoint.setToolTip("Takes away what was set last and can be seen: a point, or the box")
        self.box, self.objects = QPushButton("Draw a box"), QPushButton("Delete objects (D)")
        self.follow = QPushButton("Follow through slices")
        self.follow.setToolTip("What is marked here leads the next slices, as far as the model stays sure")
        self.objects.setCheckable(True)
        self.between, self.use_layer = QPushButton("Fill between slices"), QPushButton("Use layer…")
        self.between.setToolTip("Paint on two slices, stay on the second one")
        self.use_layer.setToolTip("Begin from a mask that you have, as a layer on the same image")
        self.next, self.sure = QPushButton("Next doubtful (N)"), QPushButton("How sure?")
        self.sure.setToolTip("Asks 4 seeds without changing a mask")
        self.revert = QPushButton("Revert this run")
        self.by_click = _label("With S held a click splits an object; J joins two, D deletes one.")
        self.by_click.hide()

    def _make_keep(self) -> None:
        self.accept_all = QPushButton("Accept all seen")
        self.accept_all.setToolTip("Every slice that was on screen; the others are named")
        self.accept_painted = QPushButton("Accept what I painted")
        self.accept_painted.setToolTip(
            "Every slice that you changed and have not accepted, in the masks that are shown"
        )
        self.accepts, self.kept_in, self.folder = OneLine(), OneLine(), QPushButton("Folder…")
        self.folder.setToolTip("Where what you accept is kept")
        self.table, self.case_list = QPushButton("Lesion table"), QPushButton("Case list")
        self.maps = QCheckBox("Export also writes the probability maps")

    def _make_settings(self) -> None:
        self.unsure, self.ring = QCheckBox(f"{SAMPLES} samples: where is it unsure?"), QCheckBox("Ring tiny objects")
        self.settings_body = QWidget()
        self.settings_lines = QVBoxLayout(self.settings_body)
        self.settings_lines.setContentsMargins(0, 0, 0, 0)
        self.more_area = Upright(self.settings_body)

    def _lay_out(self) -> None:
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)  # all of the dock's height
        layout = QVBoxLayout(self)
        layout.setSpacing(4)
        layout.setContentsMargins(6, 2, 6, 4)
        layout.addWidget(_label(RESEARCH))
        layout.addLayout(_line(self.engine, self.more, stretch=0))
        self.place = QStackedWidget()
        for name, tip in ACTS.items():
            self.acts.addTab(Upright(self.pages[name]), name)
            self.acts.setTabToolTip(self.acts.count() - 1, tip)
            self.lines[name].setContentsMargins(1, 6, 1, 4)
            self.lines[name].setSpacing(4)
        self.acts.setDocumentMode(True)
        self.acts.setUsesScrollButtons(False)
        self.place.addWidget(self.acts)
        self.place.addWidget(self.more_area)
        layout.addWidget(self.place, 1)
        self.under_way = QWidget()
        line = _line(self.progress, self.cancel, stretch=0)
        line.setContentsMargins(0, 0, 0, 0)
        self.under_way.setLayout(line)
        layout.addWidget(self.notice)
        layout.addWidget(self.under_way)  # below what is said: Cancel stays where it is, however long that is
        self.acts.currentChanged.connect(lambda _: self.show_under_way())
        layout.addLayout(_line(self.accept, self.export))
        self._lay_out_acts()

    def _lay_out_acts(self) -> None:
        find, correct, keep = (self.lines[name] for name in (FIND, CORRECT, KEEP))
        find.addWidget(self.example)
        self.seen = QGridLayout()
        self.seen.setVerticalSpacing(4)
        self.seen.setHorizontalSpacing(3)
        self.seen.setColumnStretch(1, 1)
        opening = Behind([self.open], [self.use_layer], "Begin from a mask")
        named = _line(QLabel("Image"), self.image, opening, stretch=1)
        named.setSpacing(3)
        self.seen.addLayout(named, 0, 0, 1, 3)  # no column of the line below: its longer label would take from the name
        find.addLayout(self.seen)
        find.addWidget(self.prompt)
        find.addLayout(_line(self.this_slice, self.all_slices))
        find.addLayout(_line(*self.planes.values()))
        find.addWidget(self.looks)
        # What comes and goes, and what gives way to the sentences below, is last: no button moves away under a click.
        find.addWidget(self.doubt)
        find.addWidget(self.results, 1)
        self.boxed = _line(self.box)
        """Beside the box, what is done with it."""
        correct.addWidget(Behind([self.point], [self.unpoint], "What was set or drawn"))
        correct.addLayout(self.boxed)
        self.through = Behind([self.between], [self.follow], "Another way through the slices")
        for widget in (
            self.through,
            self.by_click,
            self.objects,
            self.revert,
            Behind([self.next], [self.sure], "Which slices are doubtful"),
        ):
            correct.addWidget(widget)
        correct.addStretch()
        keep.addLayout(_line(self.accept_painted, self.accept_all))
        keep.addLayout(_line(self.kept_in, self.folder, stretch=0))
        keep.addLayout(_line(self.table, self.case_list))
        keep.addWidget(self.maps)
        keep.addStretch()
        keep.addWidget(self.accepts)  # right above the button that it is about


def _label(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label


def _line(*widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
    """Side by side; where nobody is named who gets the room, all get the same."""
    line = QHBoxLayout()
    line.setSpacing(4)
    for number, widget in enumerate(widgets):
        line.addWidget(widget, 1 if stretch is None or number == stretch else 0)
    return line
