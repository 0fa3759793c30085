"""The Fine-tune dock: from what was accepted to a better model, and back if it is not. A run outlives the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QGuiApplication, QShowEvent
from qtpy.QtWidgets import QDockWidget, QMainWindow

from boltzformer import BoltzFormerError, Progress, Session
from boltzformer.desk.image import OpenImage
from boltzformer.desk.notice import Notice
from boltzformer.desk.settings import Settings
from boltzformer.desk.teaching.outcome import NOT_NOW, Compared, Outcome, question_of
from boltzformer.desk.teaching.runs import runs, verdict
from boltzformer.desk.teaching.watching import Watching
from boltzformer.desk.work import Work
from boltzformer.protocol import ErrandState, FinetunePlan, FinetuneRequest, Holding, command_line
from napari_boltzformer.host import sessions
from napari_boltzformer.host.dialogs import QtDialogs, QtTimers
from napari_boltzformer.host.layers import row_on_screen
from napari_boltzformer.host.mask import key_of, mask_on
from napari_boltzformer.host.stage import FOR, LIGHT, image_on
from napari_boltzformer.teaching.form import BACK, FinetuneForm
from napari_boltzformer.teaching.pair import flip_pair, hide_pair, pair_of, show_pair

if TYPE_CHECKING:
    import napari


class FinetunePanel(FinetuneForm):
    """What the form's buttons do. It asks the same engine as the viewer's other docks."""

    def __init__(
        self, napari_viewer: napari.viewer.Viewer, session: Session | None = None, *, inside: bool = False
    ) -> None:
        """`inside`: a part of the dock, whose session it shares; napari itself gives it a dock of its own."""
        super().__init__(inside=inside)
        self.viewer = napari_viewer
        self.shared, self._user = sessions.of(napari_viewer, session), object()
        self.shared.join(self._user)
        self.said, timers = Notice(self.notice), QtTimers(self)
        self.work = Work(timers, "boltzformer-teaching", self.said.fail, threads=3)
        self.watching = Watching(self.session, self.work, self.said, timers, lambda: Settings.load().folder)
        self.outcome = Outcome(self.session, self.work, self.said)
        self.mine: Callable[[OpenImage, int, str], NDArray[np.bool_] | None] = lambda image, row, prompt: None
        """A person's own mask of a slice, where somebody knows of one."""
        self.usual: Callable[[], str] = lambda: ""
        """The prompt of the open image that is compared first."""
        self.in_hand: Callable[[], tuple[OpenImage, int] | None] = self._selected
        """The image that a person works on, and its slice on screen."""
        self._unseen: Compared | None = None
        """What both models found while the form was covered for a moment: it is drawn once that is seen again."""
        self._chose = False
        """Whether a person chose what is compared on this image."""
        kept = Settings.load()
        self.length.setValue(kept.length)
        self.unit.setCurrentText(kept.unit)
        self._connect()
        self._list_runs()
        self.show_state()

    def session(self) -> Session:
        """Shared with the other docks of this viewer."""
        return self.shared.session

    # --- what there is to learn from ----------------------------------------------------------------------------

    def _show_looked(self) -> None:
        dataset = self.watching.dataset
        self.folder.setText(Path(dataset).name or "no folder yet")
        self.folder.setToolTip(dataset)
        self.model.setText(Path(self.session().model).stem)
        if not dataset or self.watching.waiting:
            self.holds.setText("Accept slices first, or choose the folder where they are kept.")
        self._ask_need()

    def _show_holding(self, holding: Holding) -> None:
        self.holds.setText(holding.sentence)
        self.verdict.setText("" if self.watching.state is None else verdict(self.watching.state, holding))
        before = self.prompt.currentText()
        self.prompt.clear()
        self.prompt.addItems([text for name, text in holding.prompts.items() if name in holding.targets])
        if before:
            self.prompt.setEditText(before)
        self.show_usual()
        self.show_state()
        self._ask_need()

    def another_image(self) -> None:
        """What was chosen for the last one is not what this one is asked."""
        self._chose = False
        self.outcome.another_image()
        self.show_usual()

    def show_usual(self) -> None:
        """What is compared is looked for in the image that is open, unless a person says otherwise."""
        if not self._chose and (text := self.usual()):
            self.prompt.setEditText(text)

    def _on_chose(self) -> None:
        self._chose = True

    def _ask_need(self) -> None:
        """Only where somebody reads it."""
        if self.isVisible():
            self.watching.plan(self.request(mode="auto"))

    def _show_plan(self, plan: FinetunePlan) -> None:
        self.facts = plan.facts
        self.show_need()

    def request(self, output: str = "", mode: str = "") -> FinetuneRequest:
        """What the form asks for."""
        length: Any = {self.unit.currentText(): self.length.value()}
        return self.watching.request(output, mode=mode or self.mode.currentData(), seed=self.seed.value(), **length)

    # --- a run --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new run."""
        request = self.request()
        kept = Settings.load()
        kept.length, kept.unit = self.length.value(), self.unit.currentText()
        kept.save()
        self.watching.begin(request)
        self.said.say("Starting… First the model is asked what it can do already. Closing napari does not end it.")
        self._list_runs(request.output)

    def _on_run(self) -> None:
        """Another run is looked at."""
        self.watching.follow(self.run.currentData() or "")

    def _show_followed(self) -> None:
        self.curve.shown.clear()
        self.show_curve()
        self.show_seen("")
        self.verdict.setText("")
        self.outcome.another_run()
        self.show_state()

    def _show_step(self, step: Progress) -> None:
        self.curve.shown.add(step.step, step.steps, step.losses)
        self.show_curve()

    def _show_told(self, state: ErrandState) -> None:
        self.progress.setRange(0, max(state.steps, 1 if state.state != "running" else 0))
        self.progress.setValue(state.step)
        self.curve.shown.measured({int(one["at_step"]): float(one["dice"]) for one in state.checks})
        self.curve.update()
        picture = state.checks[-1].get("picture", "") if state.checks else ""
        self.show_seen(str(Path(state.output) / picture) if picture else "")
        self.verdict.setText(verdict(state, self.watching.holding))
        if state.state != "running":
            self.show_usual()
        self.show_state()

    def _show_lost(self) -> None:
        self._list_runs()
        self.show_state()

    # --- what comes of it ---------------------------------------------------------------------------------------

    def _ask_both(self) -> None:
        """The slice on screen, by the old and the new model."""
        state, (opened, row) = self.watching.state, self.in_hand() or (None, 0)
        if state is None:
            return
        window = None if opened is None else self.shared.windows.of(opened)
        try:
            text = self.prompt.currentText()
            mine = None if opened is None else self.mine(opened, row, text)
            question = question_of(opened, row, text, self.seed.value(), window, mine)
        except BoltzFormerError as error:
            self.said.fail(str(error))
            return
        self.compared.setText("Asking both models…")
        self.compare.setEnabled(False)
        self.outcome.ask_both(question, state.before, state.model)

    def _show_both(self, answer: Compared | None) -> None:
        self.compared.setText("" if answer is None else answer.sentence)
        self._unseen = None if self.isVisible() else answer
        if answer is not None and self.isVisible():
            show_pair(self.viewer, answer)
        self.show_state()

    def escape(self) -> bool:
        """Whether there was a comparison on the canvas to take away."""
        if there := hide_pair(self.viewer):
            self.show_state()
        return there

    def _take_over(self) -> None:
        if (state := self.watching.state) is not None:
            self.outcome.take_over(state, self.name.text().strip(), self.watching.holding)

    # --- showing ------------------------------------------------------------------------------------------------

    def show_state(self) -> None:
        """Which buttons can do something now."""
        watching, state = self.watching, self.watching.state
        self.start.setEnabled(watching.can_teach and not watching.running)
        self.stop.setEnabled(watching.running)
        self.stop.setVisible(watching.running)  # one takes the other's place
        self.start.setVisible(not watching.running)
        self.resume.setEnabled(watching.can_go_on)
        for button in (self.compare, self.promote):
            button.setEnabled(state is not None and bool(state.model) and not watching.running)
        self.roll_back.setEnabled(not watching.running)
        self.roll_back.setToolTip(NOT_NOW if watching.running else BACK)
        for widget in (self.prompt, self.compare):
            widget.setVisible(self.compare.isEnabled())
        self.toggle.setEnabled(len(pair_of(self.viewer)) == 2)
        self.toggle.setVisible(self.toggle.isEnabled())
        self.show_curve()
        self._show_command()

    def _on_choice(self) -> None:
        self.show_need()
        self._show_command()

    def _show_command(self) -> None:
        self.command.setText(command_line(self.request().arguments()) if self.watching.dataset else "")
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
        if self._unseen is not None:
            self._show_both(self._unseen)
        self.watching.look()
        self._on_run()

    def _on_folder(self) -> None:
        path = QtDialogs(self).folder("Where accepted slices are kept", self.watching.dataset)
        if path is not None:
            self.watching.dataset = str(path)
            self.watching.look()

    def _selected(self) -> tuple[OpenImage, int] | None:
        """The image that is selected, itself or by a mask, points or a box of its own; else the first."""
        images = {
            key_of(one): one for one in self.viewer.layers if isinstance(one, Image) and LIGHT not in one.metadata
        }
        key, active = "", self.viewer.layers.selection.active
        if active is not None:
            mask = mask_on(active)
            key = mask.image if mask is not None else str(active.metadata.get(FOR) or key_of(active))
        layer = images.get(key, next(iter(images.values()), None))
        return None if layer is None else (image_on(layer), row_on_screen(layer, self.viewer.dims.point))

    def _connect(self) -> None:
        for button, do in (
            (self.choose, self._on_folder),
            (self.start, self.begin),
            (self.stop, self.watching.end),
            (self.resume, lambda: self.watching.go_on(self.run.currentData())),
            (self.compare, self._ask_both),
            (self.toggle, lambda: flip_pair(self.viewer)),
            (self.promote, self._take_over),
            (self.roll_back, lambda: self.outcome.give_back(self.name.text().strip())),
            (self.copy, lambda: QGuiApplication.clipboard().setText(self.command.text())),
        ):
            button.clicked.connect(lambda _=False, do=do: do())
        self.run.activated.connect(lambda _: self._on_run())
        self.prompt.activated.connect(lambda _: self._on_chose())
        self.prompt.lineEdit().textEdited.connect(lambda _: self._on_chose())
        for changed in (
            self.mode.currentIndexChanged,
            self.unit.currentIndexChanged,
            self.length.valueChanged,
            self.seed.valueChanged,
        ):
            changed.connect(lambda _: self._on_choice())
        watching = self.watching
        watching.looked.append(self._show_looked)
        watching.held.append(self._show_holding)
        watching.planned.append(self._show_plan)
        watching.followed.append(self._show_followed)
        watching.stepped.append(self._show_step)
        watching.told.append(self._show_told)
        watching.lost.append(self._show_lost)
        self.outcome.compared.append(self._show_both)
        self.outcome.promoted.append(lambda _: self.shared.told_models())
        self.outcome.wanted.append(self.shared.use)
        self.notice.respond = self.said.answer
        self.notice.act, self.notice.tell = self.said.act, lambda: self.said.details
        leave = partial(self.shared.leave, self._user)
        self.destroyed.connect(partial(_leave, (watching.let_go, leave, partial(self.work.close, wait=False))))

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """A run that goes on is found again."""
        super().showEvent(event)
        QTimer.singleShot(0, self._first)
        self.show_usual()

    def event(self, event: QEvent) -> bool:
        """napari takes a dock that is closed out of its window: nothing is asked any more, the training goes on."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self.rest()
            else:
                self.wake()
        return super().event(event)

    def _share_place(self) -> None:
        """A tab with the dock that is at this side already: beside it, both would be too wide."""
        outer = self.parent()
        main = outer.parent() if isinstance(outer, QDockWidget) else None
        if isinstance(outer, QDockWidget) and isinstance(main, QMainWindow):
            here = main.dockWidgetArea(outer)
            others = [one for one in main.findChildren(QDockWidget) if one is not outer and one.isVisible()]
            first = next((one for one in others if main.dockWidgetArea(one) == here), None)
            if first is not None and here == Qt.DockWidgetArea.RightDockWidgetArea:
                main.tabifyDockWidget(first, outer)
                outer.raise_()

    def rest(self) -> None:
        """Out of the window: nothing is asked any more."""
        self.watching.rest()
        self.shared.leave(self._user)

    def wake(self) -> None:
        """In the window again."""
        self.shared.join(self._user)
        QTimer.singleShot(0, self._share_place)
        self.watching.wake()


def _leave(ends: Sequence[Callable[[], None]], *_: object) -> None:
    """The panel is gone: nothing is waited for. A training goes on."""
    for end in ends:
        end()
