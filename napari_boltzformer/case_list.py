"""The case list: the images of a folder and how far each is; a click opens one, "Next case" the next unfinished."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from boltzformer import Volume
from napari_boltzformer.case_states import Listed, Standing, cases_in, in_turn, is_dataset, standing, tried
from napari_boltzformer.discreet import trace_of
from napari_boltzformer.guiding import GUIDE
from napari_boltzformer.keeping import autosaves
from napari_boltzformer.layers import image_layer
from napari_boltzformer.masks import tracks_of
from napari_boltzformer.remembering import CASE, STORE

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

BUSY = "A run is under way: cancel it or wait for its end, then open another case."


class CaseList(QWidget):
    """Reads beside the viewer, one image at a time; what is open is saved before another takes its place."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        super().__init__()
        self._dock = dock
        self.cases: list[Listed] = []
        self.standings: dict[Listed, Standing] = {}
        self.current: Listed | None = None
        self._image: Image | None = None
        self._wants_next = False
        self._stale: set[Listed] = set()
        self._looking: Listed | None = None
        self.table, self.where = QTableWidget(0, 2), QLabel("Choose a folder of images, or of an annotation dataset.")
        self.where.setWordWrap(True)
        self.table.setHorizontalHeaderLabels(["Case", "State"])
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.folder, self.next = QPushButton("Folder…"), QPushButton("Next case")
        self.next.setToolTip("The next one of which not every slice is accepted")
        layout = QVBoxLayout(self)
        for widget in (self.folder, self.where, self.table, self.next):
            layout.addWidget(widget)
        self.folder.clicked.connect(self._on_folder)
        self.next.clicked.connect(self.open_next)
        self.table.cellClicked.connect(lambda row, _: self.open(self.cases[row]))
        dock.keeper.kept = self.look_again

    # --- the list ------------------------------------------------------------------------------------------------

    def show_folder(self, folder: Path) -> None:
        """Returns at once; the list comes, then how far each case is."""
        self.where.setText(f"Looking in {folder}…")
        self._dock.background.do(partial(cases_in, folder), partial(self._show, folder), topic="cases of a folder")

    def look_again(self) -> None:
        """Something was saved: the open case may stand otherwise."""
        if self.current is not None:
            self._stale.add(self.current)
            if self._looking is None:  # else it has its turn: a look that is begun again and again never ends
                self._look()

    def _show(self, folder: Path, cases: list[Listed]) -> None:
        if is_dataset(folder):  # work on its cases is kept there
            self._dock.settings.folder = str(folder)
            self._dock.settings.save()
        self.cases, self.standings, self._stale = cases, {}, set(cases)
        self._wants_next, self._looking = False, None
        self.where.setText(f"{folder}: {'1 case' if len(cases) == 1 else f'{len(cases)} cases'}")
        self.table.setRowCount(len(cases))
        for row, one in enumerate(cases):
            self.table.setItem(row, 0, QTableWidgetItem(one.name))
            self.table.setItem(row, 1, QTableWidgetItem("…"))
        self._mark_current()
        self._look()

    def _look(self) -> None:
        """At one case after the other, those first that would be next."""
        due = [one for one in in_turn(self.cases, self.current) if one in self._stale]
        if due:
            one = due[0]
            stores = one.path if one.case else self._dock.keeper.folder(), autosaves()
            self._looking = one
            self._stale.discard(one)  # what is saved from now on, it may not see
            work = partial(standing, one, stores, self.standings.get(one))
            self._dock.background.do(work, partial(self._tell, one), topic="standing of a case")
        elif self._wants_next:
            self._try_next()

    def _tell(self, one: Listed, told: Standing) -> None:
        self._looking = None
        before = self.standings.get(one)
        self._show_standing(one, before if before is not None and before.error and told == Standing() else told)
        if self._wants_next:
            self._try_next()
        self._look()

    def _show_standing(self, one: Listed, told: Standing) -> None:
        self.standings[one] = told
        if one in self.cases:
            item = self.table.item(self.cases.index(one), 1)
            item.setText(told.words)
            item.setToolTip(told.error or told.trouble)

    def _mark_current(self) -> None:
        if self.current in self.cases:
            self.table.selectRow(self.cases.index(self.current))

    def _on_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "A folder of images, or an annotation dataset", "", QFileDialog.Option.DontUseNativeDialog
        )
        if folder:
            self.show_folder(Path(folder))

    # --- opening -------------------------------------------------------------------------------------------------

    def open_next(self) -> None:
        """The next unfinished one, as soon as it is known which that is."""
        if not self.cases:
            self._dock.notice.say("There is no list of cases yet: choose a folder of images first.")
            return
        self._wants_next = True
        self._dock.notice.say("Looking for the next case…")
        self._try_next()

    def _try_next(self) -> None:
        broken = ", ".join(one.name for one in self.cases if one in self.standings and self.standings[one].error)
        for one in in_turn(self.cases, self.current):
            if one in self._stale or one == self._looking:
                return  # it is being looked at
            if not self.standings[one].finished:
                self._wants_next = False
                if one == self.current:
                    rest = f" Can't be read: {broken}." if broken else ""
                    self._dock.notice.say(f"This is the only case that is left.{rest}")
                else:
                    self.open(one, onwards=True)
                return
        self._wants_next = False
        rest = f" that can be read is accepted. Can't be read: {broken}." if broken else " is accepted."
        self._dock.notice.say(f"Every slice of every case{rest}")

    def open(self, one: Listed, *, onwards: bool = False) -> None:
        """Reads it, saves the case that is open, and only then puts one in the place of the other.

        `onwards`: where it can't be read, the next one.
        """
        self._wants_next = False
        if self._dock.running.runs:
            self._dock.notice.say(BUSY)
            self._mark_current()
            return
        if one == self.current and self._image in self._dock.viewer.layers:
            return
        self._dock.notice.say(f"Reading {one.name}…")
        self._dock.background.do(partial(tried, one), partial(self._read, one, onwards), topic="opening a case")

    def _read(self, one: Listed, onwards: bool, volume: Volume | Exception) -> None:
        if isinstance(volume, Exception):
            told = Standing(error=str(volume) or type(volume).__name__)
            self._stale.discard(one)
            self._show_standing(one, told)
            self._mark_current()
            if onwards:
                self.open_next()
            else:
                self._dock.notice.fail(told.error, trace_of(volume))
            return
        before = self._image if self._image in self._dock.viewer.layers else None
        if before is None:
            self._swap(one, volume)
        else:
            self._dock.keeper.save(before, partial(self._swap, one, volume))

    def _swap(self, one: Listed, volume: Volume) -> None:
        if self._dock.running.runs:  # begun while it was read
            self._dock.notice.say(BUSY)
            self._mark_current()
            return
        viewer, image = self._dock.viewer, self._image
        if image is not None:
            guides = [layer for layer in viewer.layers if layer.metadata.get(GUIDE) == image.unique_id]
            for layer in [*guides, *(track.layer for track in tracks_of(viewer, image)), image]:
                if layer in viewer.layers:
                    viewer.layers.remove(layer)
        data, options, _ = image_layer(volume)
        options["metadata"][CASE] = one.case
        if one.case:
            options["metadata"][STORE] = str(one.path)
        self.current = one
        self._image = viewer.add_image(data, **options)
        self._mark_current()
        self._dock.notice.say(f"{one.name} is open.")
        self.look_again()


def open_list(dock: BoltzFormerDock) -> CaseList:
    """On the other side, where the dock and what it says stay in sight; made when it is first asked for."""
    if dock.cases is None:
        dock.cases = CaseList(dock)
        dock.viewer.window.add_dock_widget(dock.cases, name="Cases", area="left", tabify=True)
    else:
        outer = dock.cases.parentWidget()
        if outer is not None:
            outer.show()
            outer.raise_()
    return dock.cases
