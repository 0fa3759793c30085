"""The dock: type a prompt, watch masks arrive slice by slice, look at the sampler, accept, export.

Here the viewer's side, the desk and the panels are built and connected; what they do stands in their own files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeyEvent

from boltzformer import Session
from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.kept_in import accepted_folder
from boltzformer.desk.keeping.lesions import table_name
from boltzformer.desk.keeping.snapshot import frozen
from boltzformer.desk.masks.track import Track
from boltzformer.desk.models.engine import EngineLine
from boltzformer.desk.runs.running import Running
from boltzformer.desk.settings import Settings
from boltzformer.protocol import ModelState
from napari_boltzformer.bottom.place import Bottom
from napari_boltzformer.canvas.cells import Cells
from napari_boltzformer.canvas.guide import Closer, Guide
from napari_boltzformer.canvas.objects import KEYS, ObjectsTool, Rings
from napari_boltzformer.canvas.outlines import Outlines
from napari_boltzformer.canvas.parting import JOIN, SPLIT, PartingTool
from napari_boltzformer.canvas.proposals import Proposals
from napari_boltzformer.canvas.screen import CanvasLight, uncover
from napari_boltzformer.dock.engine import EnginePanel
from napari_boltzformer.dock.form import TEACH, Form
from napari_boltzformer.dock.images import Images
from napari_boltzformer.dock.keys import RUN_ALL, RUN_THIS, Keys
from napari_boltzformer.dock.models import ModelPanel
from napari_boltzformer.dock.opening import Opening, ask_and_use
from napari_boltzformer.dock.pictures import show_picture_buttons, show_planes
from napari_boltzformer.dock.prompts import asks_to_run
from napari_boltzformer.dock.seeing import Seeing
from napari_boltzformer.host import sessions
from napari_boltzformer.host.comings import Comings
from napari_boltzformer.host.dialogs import QtDialogs, QtTimers
from napari_boltzformer.host.layers import camera_of, hang, turn_to
from napari_boltzformer.host.notice import NAPARI
from napari_boltzformer.host.stage import NapariStage
from napari_boltzformer.teaching.learn import LearnPanel
from napari_boltzformer.widget.beside import Beside
from napari_boltzformer.widget.waiting import Waiting, waiting_in

if TYPE_CHECKING:
    import napari

SEED = 0


class BoltzFormerDock(Form):
    """The form, and what its buttons are connected to."""

    def __new__(cls, napari_viewer: napari.viewer.Viewer, session: Session | None = None) -> Self:
        """Of one that was closed and comes back, the same."""
        known = waiting_in(napari_viewer) if session is None else None
        return known if isinstance(known, cls) else super().__new__(cls)

    def __init__(self, napari_viewer: napari.viewer.Viewer, session: Session | None = None) -> None:
        if "viewer" in self.__dict__:
            return  # it has waited
        super().__init__()
        self.viewer, self.settings = napari_viewer, Settings.load()
        self.shared, self._user = sessions.of(napari_viewer, session, self.settings), object()
        self._session = lambda: self.shared.session
        self.shared.join(self._user, self.take_model)
        self.shared.lists(self.list_models)
        self.waiting = Waiting(self, self.shared)
        self.stage = NapariStage(napari_viewer, self.image.currentData)
        dialogs, timers = QtDialogs(self), QtTimers(self, lambda: self.bottom.fitting.pressed)
        self._soon = timers.soon(self.show_results)
        self.desk = Desk(
            *(self.stage, timers, self.notice, dialogs, NAPARI, self.settings),
            session=self._session,
            how=self._how,
            maps=self.maps.isChecked,
            pointing=lambda image: self.guide.pointing(image),
        )
        self.notice.act, self.notice.tell = self.desk.notice.act, lambda: self.desk.notice.details
        self.notice.respond = self.desk.notice.answer
        self.guide = Guide(self.desk, self.stage, self.prompt.texts, lambda layer: self.keys.bind(layer))
        self.closer = Closer(self.guide.pointing, NAPARI, self.stage.chosen)
        self.opening = Opening(self, self.desk, self.stage, dialogs)
        on = self.desk, self.stage
        self.objects_tool, self.split, self.join = ObjectsTool(*on), *(PartingTool(*on, key) for key in (SPLIT, JOIN))
        self.comings, self.proposals, self.rings, self.cells = Comings(*on), Proposals(*on), Rings(*on), Cells(*on)
        self.bottom, self.images, self.outlines = Bottom(self, *on), Images(self.image, *on), Outlines(*on)
        self.beside = Beside(napari_viewer, self.desk, self.stage, self.bottom, self._session, self.rings.mark)
        parts = self._session, self.desk.work, self.desk.notice
        self.engine_line, self.models = EngineLine(*parts, self.desk.timers), ModelPanel(*parts, self.settings)
        self.seeing = Seeing(self, self.shared.windows, self.desk.work, self.stage.chosen, self.row)
        self.means = EnginePanel(*parts, self.settings, lambda: bool(self.running.runs), self.engine_line.ask)
        self._fill()
        self.keys = self._keys()
        self._connect()
        self.images.show()
        self.show_state()
        self._show_folder()
        self.engine_line.ask()

    # --- what the user asks -------------------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """Shared with the other docks of this viewer."""
        return self.shared.session

    def take_model(self, name: str) -> None:
        """From the next run on."""
        self.models.choosing.load(name, again=True)

    def list_models(self) -> None:
        """There may be others than before."""
        self.models.list_again()

    @property
    def running(self) -> Running:
        return self.desk.running

    @property
    def keeper(self) -> Any:
        """What is accepted, autosaved and restored."""
        return self.desk.keeper

    def chosen_image(self) -> Image | None:
        """The image layer in the Image box."""
        return self.image.currentData()

    def tracks(self) -> list[Track]:
        """Masks of the chosen image."""
        return self.desk.tracks.chosen()

    def row(self) -> int:
        """The slice on screen as the viewer counts it; where the image is not on screen, the nearest one."""
        image = self.stage.chosen()
        return 0 if image is None else self.stage.row(image)

    def current_slice(self) -> int:
        """Index of the slice on screen along the plan's axis of the stored array."""
        image = self.stage.chosen()
        return 0 if image is None else image.plan.canonical_index(self.row())

    def jump(self, row: int) -> None:
        """Brings a slice of the chosen image on the screen."""
        if (image := self.stage.chosen()) is not None:
            self.stage.go(image, row)

    def active_track(self) -> Track | None:
        """The mask that is selected, else the last one that is shown."""
        return self.desk.tracks.active()

    def _how(self, image: OpenImage) -> dict[str, Any]:
        """What a question says beside its prompts, as it would be asked now."""
        window = self.shared.windows.of(image)
        return {"seed": SEED, "window": window, "model": self.session.model, "region": self.closer.region(image)}

    def _run(self, *, only_this: bool) -> None:
        self.running.start(self.prompt.texts(), only_this=only_this)

    # --- what is shown ------------------------------------------------------------------------------------------

    def show_state(self) -> None:
        """Which buttons can do something now."""
        self.show_runs(self.running, busy=self.desk.under_way.busy)
        show_picture_buttons(self, self.desk, self.stage)

    def show_progress(self) -> None:
        """How far the runs of the chosen image are, or learning."""
        self.show_far(self.desk.under_way.progress)

    def show_results(self) -> None:
        """Brings the rows up to date."""
        chosen = self.desk.tracks.on(self.stage.active())
        self.results.show_tracks(self.tracks(), self.desk.row_of, chosen)
        self.show_accepts(self.desk.accepts)
        show_planes(self, self.desk, self.stage)
        self.proposals.show()
        self.rings.show()

    def _show_soon(self, event: Any = None) -> None:
        """Between two events, once: layers must not come and go while the viewer draws or lists them."""
        self._soon.start()

    def _show_folder(self) -> None:
        self.show_folder(self.keeper.kept_in, accepted_folder())

    # --- what the viewer tells ----------------------------------------------------------------------------------

    def _on_scroll(self, event: Any = None) -> None:
        self.stage.scrolled()
        self.desk.scrolled()
        self.seeing.show_picture()
        self._show_soon()

    def _on_plane(self, event: Any = None) -> None:
        hang(self.viewer, self.chosen_image())
        self._show_soon()

    def _on_arrived(self, image: OpenImage) -> None:
        """Nothing of another patient is left to read."""
        self.settings.asked(self.prompt.keep(self.desk.patients.prompts_for(image, self.prompt.texts())))
        self._on_typed()
        self.beside.another_image()
        self._show_soon()

    def _on_made(self, track: Track) -> None:
        self.keys.bind(track.surface.layer)
        track.surface.layer.events.visible.connect(self._show_soon)
        track.surface.how_made = lambda: frozen(track).how_made()

    def _on_row(self, item: Any) -> None:
        track = self.results.tracks[self.results.row(item)]
        if track.surface.alive:
            track.surface.shown = True
            self.stage.activate(track.surface)
            self.desk.tracks.show_few(track)

    def _on_typed(self) -> None:
        self.desk.typed(self.prompt.texts())
        if any(track.warning for track in self.tracks()):  # which stands beside the prompt, or in its mask's row
            self._show_soon()

    def _restored(self, image: OpenImage, prompts: list[str]) -> None:
        if prompts:
            self.prompt.keep(prompts)

    # --- building and connecting --------------------------------------------------------------------------------

    def _fill(self) -> None:
        """What has parts of its own, into its act or among the settings."""
        self.remember(self.settings, self._show_soon)
        self.lay_window(self.seeing.choice, self.seeing.mine, self.seeing.picture)
        self.boxed.addWidget(self.closer, 1)
        self.learn = LearnPanel(self.desk, CanvasLight(self.viewer))
        for widget in (self.models, self.learn):
            self.lines[TEACH].addWidget(widget)
        for widget in (self.means, self.unsure, self.ring, self.models.sources):
            self.settings_lines.addWidget(widget)
        self.settings_lines.addStretch()
        self.acts.currentChanged.connect(lambda _: self._on_act())

    def _on_act(self) -> None:
        """What only one act needs is made when it is first seen."""
        self.desk.past_click()
        self.seeing.show_picture()
        self.beside.show_teaching(self.lines[TEACH], self.pages[TEACH].isVisible())

    def _keys(self) -> Keys:
        do = {
            RUN_THIS: self.this_slice.click,
            RUN_ALL: self.all_slices.click,
            "a": self.keeper.accept,
            "0": self.keeper.nothing,
            "n": self.keeper.next_doubtful,
            "Shift-t": self.learn.learn.click,
            ",": lambda: self.bottom.step(-1),
            ".": lambda: self.bottom.step(1),
        }
        held = {**dict.fromkeys(KEYS, self.objects_tool.held), SPLIT: self.split.held, JOIN: self.join.held}
        return Keys(self.desk.tracks, do, {**held, "w": self.learn.held})

    def _connect(self) -> None:
        desk = self.desk
        for button, do in (
            (self.example, self._example),
            (self.this_slice, lambda: self._run(only_this=True)),
            (self.all_slices, lambda: self._run(only_this=False)),
            (self.cancel, desk.under_way.stop),
            (self.looks, self.bottom.open_looks),
            (self.export, desk.exporting.ask),
            (self.notice.report, desk.report),
            (self.revert, desk.revert),
            (self.accept, desk.keeper.accept),
            (self.accept_all, desk.keeper.accept_all),
            (self.accept_painted, desk.keeper.accept_painted),
            (self.folder, desk.keeper.choose_folder),
            (self.next, desk.keeper.next_doubtful),
            (self.sure, desk.sure),
            (self.table, self.beside.open_table),
            (self.case_list, self.beside.open_cases),
            (self.open, self.opening.ask),
            (self.point, self.guide.point),
            (self.unpoint, self.guide.remove_last),
            (self.box, self.guide.box),
            (self.follow, desk.follow),
            (self.use_layer, lambda: ask_and_use(self, desk, self.stage, self.prompt.texts())),
            (self.between, desk.fill_between),
        ):
            button.clicked.connect(lambda _=False, do=do: do())
        for plane, button in self.planes.items():
            button.clicked.connect(lambda _=False, plane=plane: self._turn(plane))
        self.objects_tool.listen(self.objects, self.acts, self.more, self.this_slice, self.all_slices)
        for one in (self.proposals, self.objects_tool, self.split, self.join, self.guide):
            self.bottom.fitting.escaped.append(one.escape)
        self.engine_line.said.append(self.show_engine)
        self.engine_line.ready.append(self.means.show_health)
        self.engine_line.models.append(self._on_models)
        self.models.choosing.loaded.append(self.engine_line.ask)
        desk.running.paced.append(self.engine_line.paced)
        desk.changed.extend((self._show_soon, self.show_state, self._show_folder))
        for further in (desk.running.advanced, desk.learning.advanced):
            further.append(self.show_progress)
        desk.tracks.made.append(self._on_made)
        desk.keeper.back.restored.append(self._restored)
        for heard in (desk.keeper.place.moved, desk.cases.listed):
            heard.append(self._show_folder)
        desk.keeper.back.wanted.append(self.models.want)
        windows = partial(self.shared.windows.arrived, work=desk.work, notice=desk.notice)
        desk.patients.arrived.extend((self._on_arrived, windows))
        self.images.chosen.extend((self._on_chosen, lambda _: self.closer.show_image()))
        self.images.picked.append(lambda layer: uncover(self.viewer, layer, desk.notice))
        self.prompt.run.connect(self._on_run)
        self.results.itemClicked.connect(self._on_row)
        self.prompt.textChanged.connect(self._on_typed)
        self.prompt.history = lambda: tuple(self.settings.prompts)
        self.prompt.modality = lambda: "" if (image := self.stage.chosen()) is None else image.kind
        layers, dims, camera = self.viewer.layers.events, self.viewer.dims.events, camera_of(self.viewer).events
        told = [
            (layers.inserted, (self.images.show, self.comings.inserted, self._show_soon)),
            (layers.removing, (self.bottom.fitting.hold_still,)),
            (layers.removed, (self.images.show, self.comings.removed, self._show_soon)),
            (layers.renamed, (self.images.show,)),
            (dims.current_step, (self._on_scroll,)),
            (dims.range, (self.stage.step_through, self.bottom.fitting.look_again)),
            *((event, (self.bottom.fitting.look_again, self._on_plane)) for event in (dims.order, dims.ndisplay)),
            (camera.zoom, (self.rings.zoomed, self.guide.zoomed, self.outlines.zoomed, self.bottom.fitting.looked)),
            (camera.center, (self.bottom.fitting.looked,)),
            (
                self.viewer.layers.selection.events.active,
                (self.bottom.look_soon, self.objects_tool.selected, self.rings.selected, self.proposals.selected),
            ),
        ]
        heard = [(event, listener) for event, listeners in told for listener in listeners]
        for event, listener in heard:
            event.connect(listener)
        # Whoever is the last to use an engine ends it, also with a dock that is closed and may come back.
        waiting, leave = self.waiting, partial(self.shared.leave, self._user)
        waiting.hidden.append(desk.keeper.leave)  # the last strokes, and what has come of a run under way, are kept
        waiting.shown.append(lambda: self.bottom.watch(self.window()))
        later = partial(QTimer.singleShot, 0, self.bottom.leave)
        waiting.gone.extend((desk.under_way.stop, leave, self.images.rest, self.beside.rest, later))
        waiting.back.extend((partial(self.shared.join, self._user, self.take_model), self.beside.wake))
        waiting.awake.extend((self.images.wake, self.engine_line.ask, desk.overview.show_tracks))
        ends = leave, self.engine_line.leave, desk.leave
        self.destroyed.connect(partial(_leave, ends, heard))

    def _example(self) -> None:
        self.example.setEnabled(False)
        self.images.example(self.prompt.setPlainText, lambda: self.example.setEnabled(True))

    def _on_chosen(self, layer: Image | None) -> None:
        if layer is not None:
            self.keys.bind(layer)
        self.table.setText(table_name(self.stage.chosen()))
        self.bottom.fill.show_masks()
        self.seeing.show_picture()

    def _turn(self, plane: str) -> None:
        if (image := self.chosen_image()) is not None:
            turn_to(self.viewer, image, plane)

    def _on_models(self, states: list[ModelState]) -> None:
        self.prompt.knowledge = self.desk.knowledge = self.engine_line.knowledge
        self.models.show_models(states)
        self.show_doubts()

    # --- Qt -----------------------------------------------------------------------------------------------------

    def _on_run(self, whole: bool) -> None:
        (self.all_slices if whole else self.this_slice).click()
        if self.running.runs and self.prompt.hasFocus():
            self.bottom.fitting.take_keys()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """From every part of the dock that has no use for the key itself."""
        if (whole := asks_to_run(event)) is not None:
            self._on_run(whole)
        elif event.key() != Qt.Key.Key_Escape or not self.bottom.fitting.escape():
            super().keyPressEvent(event)


def _leave(ends: Sequence[Callable[[], None]], heard: list[tuple[Any, Any]], *_: object) -> None:
    """The dock is gone: end its engine and its threads, stop listening to the viewer."""
    for end in ends:
        end()
    for event, listener in heard:
        with suppress(ValueError, RuntimeError):
            event.disconnect(listener)
