"""The Fine-tune dock: from what was accepted to a better model, and back if it is not. A run outlives the viewer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QGuiApplication, QShowEvent
from qtpy.QtWidgets import QApplication, QFileDialog

from boltzformer import Failed, Progress, Session
from boltzformer.client import Errand
from boltzformer.desk.models.engine import means_of
from boltzformer.desk.settings import Settings
from boltzformer.desk.teaching.runs import new_run, runs, stamp
from boltzformer.desk.teaching.words import sentence, verdict
from boltzformer.protocol import ErrandState, FinetunePlan, FinetuneRequest, Holding, command_line
from napari_boltzformer.background import Background
from napari_boltzformer.teaching import pair as comparing
from napari_boltzformer.teaching.form import FinetuneForm
from napari_boltzformer.teaching_outcome import Outcome

if TYPE_CHECKING:
    import napari

    from napari_boltzformer.widget import BoltzFormerDock

TICK_MS, LOOK_MS = 100, 2000
"""How often events of a run are taken, and how often the folder of accepted slices is looked at."""


class FinetunePanel(FinetuneForm):
    """What the form's buttons do. It asks the main dock's engine where there is one, else one of its own."""

    def __init__(self, napari_viewer: napari.viewer.Viewer, session: Session | None = None) -> None:
        super().__init__()
        self.viewer, self._given = napari_viewer, session
        self._own: Session | None = None
        self._asked: Session | None = None
        self.errand: Errand | None = None
        self.state: ErrandState | None = None
        self.holding: Holding | None = None
        self.dataset = ""
        self._seen = -1.0
        self._planned = ("", "")
        self.background = Background(self, "boltzformer-teaching", self.notice.fail, threads=3)
        self._tick, self._look = QTimer(self), QTimer(self)
        for timer, every, do in ((self._tick, TICK_MS, self._on_tick), (self._look, LOOK_MS, self.look)):
            timer.setInterval(every)
            timer.timeout.connect(do)
            timer.start()
        self.outcome = Outcome(self)
        self._connect()
        self._list_runs()
        self.show_state()

    def session(self) -> Session:
        """The main dock's, so that no second engine is started; else our own."""
        if self._given is not None:
            return self._given
        dock = self.main_dock()
        if dock is not None:
            return dock.session
        if self._own is None:
            kept = Settings.load()
            self._own = Session.local(kept.model, **means_of(kept))
        return self._own

    # --- what there is to learn from ----------------------------------------------------------------------------

    def look(self) -> None:
        """Counts again where something was accepted since."""
        self.dataset = self.dataset or Settings.load().folder
        self.folder.setText(Path(self.dataset).name or "no folder yet")
        self.folder.setToolTip(self.dataset)
        self.model.setText(Path(self.session().model).stem)
        if not self.dataset:
            self.holds.setText("Accept slices in 'Segment by text' first, or choose the folder where they are kept.")
            return
        now = stamp(Path(self.dataset))
        if now != self._seen:
            self._seen = now
            self.background.do(partial(self.session().holding, self.dataset), self._held)
        self._ask_need()

    def _held(self, holding: Holding) -> None:
        self.holding = holding
        self.holds.setText(holding.sentence)
        before = self.prompt.currentText()
        self.prompt.clear()
        self.prompt.addItems([text for name, text in holding.prompts.items() if name in holding.targets])
        if before:
            self.prompt.setEditText(before)
        self.show_state()
        self._ask_need()

    def _ask_need(self) -> None:
        """Memory and time by mode, once for a folder and a model: a process of its own works some seconds for it."""
        about = (self.dataset, self.session().model)
        idle = self.isVisible() and not self._is_running()
        if idle and about != self._planned and self.holding is not None and self.holding.targets:
            self._planned = about
            plan = self.session().plan
            self.background.do(partial(plan, self.request(mode="auto")), partial(self._show_plan, about))

    def _show_plan(self, about: tuple[str, str], plan: FinetunePlan) -> None:
        if about == self._planned:
            self.facts = plan.facts
            self.show_need()

    def request(self, output: str = "", mode: str = "") -> FinetuneRequest:
        """What the form asks for."""
        length: Any = {self.unit.currentText(): self.length.value()}
        return self.session().finetune_request(
            self.dataset or ".",
            output or new_run(),
            mode=mode or self.mode.currentData(),
            seed=self.seed.value(),
            **length,
        )

    # --- a run --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new run."""
        request, session = self.request(), self.session()
        how = {name: getattr(request, name) for name in ("model", "mode", "steps", "epochs", "minutes", "seed")}
        self._follow(session.finetune(request.source, request.output, **how), session)
        self.notice.say("Starting… Closing napari does not end it.")
        self._list_runs(request.output)

    def go_on(self) -> None:
        """Where the run was stopped or killed."""
        session = self.session()
        self._follow(session.resume(self.run.currentData()), session)
        self.notice.say("Going on…")

    def end(self) -> None:
        """After the step in hand."""
        if self.errand is not None:
            self.errand.stop()
            self.notice.say("Stopping after the step in hand; the best so far is kept…")

    def _follow(self, errand: Errand, session: Session) -> None:
        if self.errand is not None:
            self.errand.leave()
        self.errand, self._asked, self.state = errand, session, None
        self.curve.clear()
        self.show_seen("")
        self.verdict.setText("")
        self.show_state(waiting=True)

    def _on_run(self) -> None:
        """Another run is looked at."""
        path = self.run.currentData()
        if path and (self.errand is None or self.errand.output != path):
            session = self.session()
            self._follow(session.follow(path), session)

    def _on_tick(self) -> None:
        errand = self.errand
        if errand is None:
            return
        for event in errand.poll():
            match event:
                case Progress(step, steps, losses):
                    self.curve.add(step, steps, losses)
                case ErrandState():
                    self._told(event)
                case Failed(error):
                    self._lost(error)

    def _told(self, state: ErrandState) -> None:
        was, self.state = self.state, state
        self.progress.setRange(0, max(state.steps, 1 if state.state != "running" else 0))
        self.progress.setValue(state.step)
        self.curve.measured({int(one["at_step"]): float(one["dice"]) for one in state.checks})
        picture = state.checks[-1].get("picture", "") if state.checks else ""
        self.show_seen(str(Path(state.output) / picture) if picture else "")
        if state.state == "failed":
            self.notice.fail(state.error)
        elif was is None or state.state == "running" or was.state != state.state:
            self.notice.say(sentence(state))
        self.verdict.setText(verdict(state))
        self.show_state()

    def _lost(self, error: str) -> None:
        """The engine that was asked is gone, or it refused. A run that goes on is asked about elsewhere."""
        lost, self.errand = self.errand, None
        if lost is not None and self.session() is not self._asked:
            self._asked = self.session()
            self.errand = self._asked.follow(lost.output)
            return
        self.notice.fail(error)
        self._list_runs()
        self.show_state()

    # --- showing ------------------------------------------------------------------------------------------------

    def _is_running(self) -> bool:
        return self.errand is not None and (self.state is None or self.state.state == "running")

    def show_state(self, *, waiting: bool = False) -> None:
        """Which buttons can do something now."""
        state, running = self.state, waiting or self._is_running()
        holds = self.holding is not None and bool(self.holding.targets)
        self.start.setEnabled(holds and not running)
        self.stop.setEnabled(self._is_running())
        self.resume.setEnabled(state is not None and state.state in ("stopped", "failed") and bool(state.command))
        for button in (self.compare, self.promote):
            button.setEnabled(state is not None and bool(state.model) and not running)
        self.toggle.setEnabled(len(comparing.pair_of(self.viewer)) == 2)
        self.anyway.setVisible(state is not None and bool(state.result) and not state.result.get("promoted"))
        self._show_command()

    def _on_choice(self) -> None:
        self.show_need()
        self._show_command()

    def _show_command(self) -> None:
        self.command.setText(command_line(self.request().arguments()) if self.dataset else "")
        self.command.setCursorPosition(0)

    def _list_runs(self, chosen: str = "") -> None:
        """The newest first; it is looked at, so that a run that goes on is found again."""
        chosen = chosen or (self.run.currentData() or "")
        found = [str(path) for path in runs()]
        if chosen and chosen not in found:
            found.insert(0, chosen)
        self.run.blockSignals(True)
        self.run.clear()
        for path in found:
            self.run.addItem(Path(path).name, path)
        self.run.setCurrentIndex(max(0, self.run.findData(chosen)) if found else -1)
        self.run.blockSignals(False)

    def _first(self) -> None:
        self.look()
        self._on_run()

    def _on_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(
            self, "Where accepted slices are kept", self.dataset, QFileDialog.Option.DontUseNativeDialog
        )
        if path:
            self.dataset, self._seen = path, -1.0
            self.look()

    def image(self) -> Image | None:
        """The image that is selected, else the first."""
        active = self.viewer.layers.selection.active
        images = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        return active if isinstance(active, Image) else next(iter(images), None)

    def main_dock(self) -> BoltzFormerDock | None:
        """'Segment by text' in the same window."""
        from napari_boltzformer.widget import BoltzFormerDock  # later: the dock must not need us, nor we it

        found = (one for one in QApplication.allWidgets() if isinstance(one, BoltzFormerDock))
        return next((one for one in found if one.window() is self.window() and one.parent() is not None), None)

    def _connect(self) -> None:
        for button, do in (
            (self.choose, self._on_folder),
            (self.start, self.begin),
            (self.stop, self.end),
            (self.resume, self.go_on),
            (self.compare, self.outcome.ask_both),
            (self.toggle, lambda: comparing.flip(self.viewer)),
            (self.promote, self.outcome.take_over),
            (self.roll_back, self.outcome.give_back),
            (self.copy, lambda: QGuiApplication.clipboard().setText(self.command.text())),
        ):
            button.clicked.connect(lambda _=False, do=do: do())
        self.run.activated.connect(lambda _: self._on_run())
        for changed in (
            self.mode.currentIndexChanged,
            self.unit.currentIndexChanged,
            self.length.valueChanged,
            self.seed.valueChanged,
        ):
            changed.connect(lambda _: self._on_choice())
        self.destroyed.connect(partial(_leave, self.background.pool, self.__dict__))

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Only now are we in a window, and see whose engine to ask."""
        super().showEvent(event)
        QTimer.singleShot(0, self._first)

    def event(self, event: QEvent) -> bool:
        """napari takes a dock that is closed out of its window: our own engine ends, the training goes on."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            if self.errand is not None:
                self.errand.leave()
                self.errand = None
            if self._own is not None:
                self._own.close()
                self._own = None
        return super().event(event)


def _leave(pool: ThreadPoolExecutor, held: dict[str, Any], *_: object) -> None:
    """The panel is gone: nothing is waited for. A training goes on."""
    errand, own = held.get("errand"), held.get("_own")
    if errand is not None:
        errand.leave()
    if own is not None:
        own.close()
    pool.shutdown(wait=False, cancel_futures=True)
