"""The dock: type a prompt, watch masks arrive slice by slice, look at the sampler, accept, export."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QCheckBox

from boltzformer import BoltzFormerError, Session
from napari_boltzformer import how_sure
from napari_boltzformer.background import Background
from napari_boltzformer.between import fill_between
from napari_boltzformer.bottom import Bottom
from napari_boltzformer.case_list import CaseList, open_list
from napari_boltzformer.closer import Closer
from napari_boltzformer.engine_line import EngineLine
from napari_boltzformer.engine_panel import EnginePanel, means_of
from napari_boltzformer.exporting import ask_and_export
from napari_boltzformer.form import Form
from napari_boltzformer.guiding import Guide
from napari_boltzformer.hanging import camera_of, hang
from napari_boltzformer.images import Images
from napari_boltzformer.keeping import Keeper
from napari_boltzformer.keys import Keys
from napari_boltzformer.layers import plan_of, row_on_screen, volume_of
from napari_boltzformer.lesion_table import LesionTable, open_table
from napari_boltzformer.masks import Track, same, show_few, track_of, tracks_of
from napari_boltzformer.model_panel import ModelPanel
from napari_boltzformer.objects_tool import ObjectsTool
from napari_boltzformer.opening import Opening
from napari_boltzformer.prompts import asks_to_run
from napari_boltzformer.proposals import Proposals
from napari_boltzformer.rings import Rings
from napari_boltzformer.running import Running
from napari_boltzformer.screen import Screen
from napari_boltzformer.seeing import Seeing
from napari_boltzformer.settings import Settings
from napari_boltzformer.starting_from import ask_and_use
from napari_boltzformer.trouble import Log, ask_and_report

if TYPE_CHECKING:
    import napari

SAMPLES = 4
"""So many seeds tell where the model is unsure."""


class BoltzFormerDock(Form):
    """What the form's buttons do."""

    def __init__(self, napari_viewer: napari.viewer.Viewer, session: Session | None = None) -> None:
        super().__init__()
        self.viewer, self.settings = napari_viewer, Settings.load()
        self.session = session or Session.local(self.settings.model, **means_of(self.settings))
        self._sessions = [self.session]
        """All that it ever had: a dock that was closed and brought back has another one."""
        self.log = Log()
        self.background = Background(self, "boltzformer-dock", self.notice.fail)
        self.looks = self.add_more("How it looked")
        self.revert = self.add_more("Revert this run")
        self.accept_all = self.add_more("Accept all seen")
        self.next = self.add_more("Next doubtful (N)")
        self.sure = self.add_more("How sure? Ask 4 times")
        self.table = self.add_more("Lesion table")
        self.case_list = self.add_more("Case list")
        self.point = self.add_more("Here / not here")
        self.unpoint = self.add_more("Remove last point")
        self.box = self.add_more("Draw a box")
        self.use_layer = self.add_more("Use layer…")
        self.between = self.add_more("Fill between slices")
        self.closer, self.screen = Closer(self), Screen(self)
        self.running = Running(self)
        self.keeper, self.guide, self.opening = Keeper(self), Guide(self), Opening(self)
        self.proposals, self.rings = Proposals(self), Rings(self)
        self.lesions: LesionTable | None = None
        self.cases: CaseList | None = None
        self.bottom, self.images = Bottom(self), Images(self)
        self.models, self.seeing, self.means = ModelPanel(self), Seeing(self), EnginePanel(self)
        self.more_layout.addWidget(self.models)
        self.more_layout.addWidget(self.seeing)
        self.unsure, self.ring, self.maps = (
            QCheckBox("4 samples: where is it unsure?"),
            QCheckBox("Ring tiny objects"),
            QCheckBox("Export also writes the probability maps"),
        )
        self.unsure.setChecked(self.settings.samples > 1)
        self.ring.setChecked(self.settings.rings)
        for box in (self.unsure, self.ring):
            self.more_layout.addWidget(box)
            box.toggled.connect(self._on_choice)
        self.more_layout.addWidget(self.maps)
        self.more_layout.addWidget(self.means)
        self.more.toggled.connect(lambda _: self.seeing.show_picture())
        self._connect()
        self.images.show()
        self.show_state()
        self.engine_line = EngineLine(self)
        self.engine_line.ask()

    # --- what the user asks -------------------------------------------------------------------------------------

    def chosen_image(self) -> Image | None:
        """The image layer in the Image box."""
        return self.image.currentData()

    def tracks(self) -> list[Track]:
        """Masks of the chosen image."""
        return tracks_of(self.viewer, self.chosen_image())

    def row(self) -> int:
        """The slice on screen as the viewer counts it; where the image is not on screen, the nearest one."""
        layer = self.chosen_image()
        return 0 if layer is None else row_on_screen(layer, self.viewer.dims.point)

    def current_slice(self) -> int:
        """Index of the slice on screen along the plan's axis of the stored array."""
        layer = self.chosen_image()
        return 0 if layer is None else plan_of(volume_of(layer)).canonical_index(self.row())

    def jump(self, row: int) -> None:
        """Brings a slice of the chosen image on the screen."""
        self.screen.jump(row)

    def active_track(self) -> Track | None:
        """The mask that is selected, else the last one that is shown."""
        tracks, active = self.tracks(), self.viewer.layers.selection.active
        usual = [track for track in tracks if track.layer.visible] or tracks
        return next((track for track in tracks if same(track.layer, active)), usual[-1] if usual else None)

    def show_state(self) -> None:
        """Which buttons can do something now."""
        self.running.show_buttons()
        self.example.setVisible(self.image.count() == 0)

    def _on_scroll(self, event: Any = None) -> None:
        for run in self.running.runs:
            if run.whole and same(run.image, self.chosen_image()):
                run.job.focus(self.current_slice())
        self.screen.scrolled()
        self.keeper.on_screen()
        self.bottom.moved()
        self.seeing.show_picture()
        self._show_soon()

    def layers_changed(self) -> None:
        """Image or masks may be others than before."""
        self.bottom.layers_changed()
        self._show_soon()
        self.show_state()

    def _show_soon(self) -> None:
        """Between two events: layers must not come and go while the viewer draws or lists them."""
        QTimer.singleShot(0, self.show_results)

    def _on_plane(self, event: Any = None) -> None:
        hang(self.viewer, self.chosen_image())
        self._show_soon()

    # --- results ------------------------------------------------------------------------------------------------

    def show_results(self) -> None:
        """Brings the rows up to date."""
        tracks, active = self.tracks(), self.viewer.layers.selection.active
        chosen = next((track for track in tracks if same(track.layer, active)), None)
        self.results.show_tracks(tracks, self.row(), self.running.objects, chosen)
        self.proposals.show()
        self.rings.show()

    def _on_row(self, item: Any) -> None:
        track = self.results.tracks[self.results.row(item)]
        if track.layer in self.viewer.layers:
            track.layer.visible = True
            self.viewer.layers.selection.active = track.layer
            image = self.chosen_image()
            if image is not None:
                show_few(self.viewer, image, track.layer)

    # --- opening, leaving, the rest -----------------------------------------------------------------------------

    def _on_choice(self) -> None:
        self.settings.samples = SAMPLES if self.unsure.isChecked() else 1
        self.settings.rings = self.ring.isChecked()
        self.settings.save()
        self._show_soon()

    def _on_removed(self, event: Any) -> None:
        gone = event.value
        for run in self.running.runs:
            if same(gone, run.image):
                run.job.cancel()
        self.keeper.removed(gone)
        track = track_of(gone)
        if track is not None:
            # Later: within the viewer's own event, adding a layer again would confuse it.
            self.notice.say(f"'{track.name}' was removed. Result kept.", "Restore", partial(self._bring_back, track))
        self._show_soon()

    def _bring_back(self, track: Track) -> None:
        if track.layer not in self.viewer.layers:
            self.viewer.layers.append(track.layer)
        self.show_results()

    def _modality(self) -> str:
        layer = self.chosen_image()
        try:
            return "" if layer is None else volume_of(layer).modality
        except BoltzFormerError:
            return ""

    def show_doubts(self) -> None:
        """What speaks against what is typed, before it is run."""
        self.doubt.setText(self.prompt.knowledge.warnings(self.prompt.texts()))
        self.doubt.setVisible(bool(self.doubt.text()))

    # --- Qt ----------------------------------------------------------------------------------------------------

    def _on_run(self, whole: bool) -> None:
        (self.all_slices if whole else self.this_slice).click()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """From every part of the dock that has no use for the key itself."""
        if (whole := asks_to_run(event)) is None:
            super().keyPressEvent(event)
        else:
            self._on_run(whole)

    def event(self, event: QEvent) -> bool:
        """napari takes a dock that is closed out of its window: then its engine ends, too.

        A window that closes hides it first: the last strokes, and what has come of a run under way, are kept.
        """
        if event.type() == QEvent.Type.Hide:
            self.keeper.leave()
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            if self.running.runs:
                self.running.cancel()
            self.session.close()
            self.session = self.session.again()  # asks or starts only if somebody brings the dock back and runs
            self._sessions.append(self.session)
            QTimer.singleShot(0, self.bottom.leave)
        return super().event(event)

    def _connect(self) -> None:
        self.keys = Keys(self)
        self.keys.add("a", self.keeper.accept)
        self.keys.add("0", self.keeper.nothing)
        self.keys.add("n", self.keeper.next_doubtful)
        self.keys.add(",", lambda: self.bottom.step(-1))
        self.keys.add(".", lambda: self.bottom.step(1))
        ObjectsTool(self)
        for button, do in (
            (self.example, self.images.example),
            (self.this_slice, lambda: self.running.start(only_this=True)),
            (self.all_slices, lambda: self.running.start(only_this=False)),
            (self.cancel, self.running.cancel),
            (self.looks, self.bottom.open_looks),
            (self.export, lambda: ask_and_export(self)),
            (self.notice.report, lambda: ask_and_report(self)),
            (self.revert, self.running.revert),
            (self.accept, self.keeper.accept),
            (self.accept_all, self.keeper.accept_all),
            (self.next, self.keeper.next_doubtful),
            (self.sure, lambda: how_sure.ask(self)),
            (self.table, lambda: open_table(self)),
            (self.case_list, lambda: open_list(self)),
            (self.open, self.opening.ask),
            (self.point, self.guide.point),
            (self.unpoint, self.guide.remove_last),
            (self.box, self.guide.box),
            (self.use_layer, lambda: ask_and_use(self)),
            (self.between, lambda: fill_between(self)),
        ):
            button.clicked.connect(lambda _=False, do=do: do())
        self.prompt.run.connect(self._on_run)
        self.results.itemClicked.connect(self._on_row)
        self.image.currentIndexChanged.connect(lambda _: self.images.picked())
        self.prompt.textChanged.connect(self.show_doubts)
        self.prompt.modality, self.prompt.history = self._modality, lambda: tuple(self.settings.prompts)
        self.doubt.hide()
        layers, dims = self.viewer.layers.events, self.viewer.dims.events
        heard = [
            (layers.inserted, self.images.show),
            (layers.removed, self.images.show),
            (layers.renamed, self.images.show),
            (layers.removed, self._on_removed),
            (dims.current_step, self._on_scroll),
            (dims.order, self._on_plane),
            (dims.ndisplay, self._on_plane),
            (camera_of(self.viewer).events.zoom, self.rings.zoomed),
            (self.viewer.layers.selection.events.active, self.bottom.moved_soon),
        ]
        for event, listener in heard:
            event.connect(listener)
        pools = self.background.pool, self.keeper.background.pool
        self.destroyed.connect(partial(_leave, self._sessions, pools, heard, self.log))


def _leave(
    sessions: Sequence[Session],
    pools: Sequence[ThreadPoolExecutor],
    heard: list[tuple[Any, Any]],
    log: Log,
    *_: object,
) -> None:
    """The dock is gone: end its engines and its threads, stop listening to the viewer."""
    for session in sessions:
        session.close()
    log.leave()
    asking, keeping = pools
    asking.shutdown(wait=False, cancel_futures=True)
    keeping.shutdown(wait=True)  # what was accepted gets onto the disk
    for event, listener in heard:
        with suppress(ValueError, RuntimeError):
            event.disconnect(listener)
