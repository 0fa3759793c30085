"""Teach: from what was accepted to a better model, and back if it is not. A run outlives Slicer and is found again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.notice import Notice
from boltzformer.desk.teaching.outcome import NOT_NOW, Compared, Outcome, mine_of, question_of, to_compare
from boltzformer.desk.teaching.runs import ASKED_FIRST, Losses, runs, verdict
from boltzformer.desk.teaching.watching import Watching
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError
from boltzformer.protocol import ErrandState, FinetuneRequest, Holding
from boltzformer.types import Progress
from BoltzFormerLib.notice import LabelSpeaker
from BoltzFormerLib.translating import tr

MODES = ("auto", "existence", "decoder", "lora", "full")
UNITS = ("minutes", "steps")
SEED = 0


class Teaching:
    """Asks nothing before somebody opens the part."""

    def __init__(
        self,
        ui: Any,
        desk: Desk,
        window: Callable[[OpenImage], Any],
        *,
        use: Callable[[str], None],
        renamed: Callable[[], None],
    ) -> None:
        """`window`: through which the model is shown an image; `use`: another model, by name, from now on; `renamed`:
        a name stands for another model than before."""
        self._ui, self._desk, self._window = ui, desk, window
        self._losses = Losses()
        self._runs: list[str] = []
        speaker = LabelSpeaker(ui.teachNoticeLabel, ui.teachOffersBox)
        self.said = Notice(speaker)
        speaker.respond = self.said.answer
        self.work = Work(desk.timers, "boltzformer-teaching", self.said.fail, threads=3)
        self.outcome = Outcome(desk.session, self.work, self.said)
        self.outcome.wanted.append(use)
        self.outcome.promoted.append(lambda _: renamed())
        self.outcome.compared.append(self._show_both)
        desk.patients.arrived.append(lambda _: self.outcome.another_image())
        self.watching: Watching | None = None
        for mode in MODES:
            ui.teachModeSelector.addItem(mode)
        for unit in UNITS:
            ui.teachUnitSelector.addItem(unit)
        ui.teachStartButton.toolTip = tr(ASKED_FIRST)
        self._connect()
        self.show_state()

    def open(self) -> None:
        """Somebody looks: what there is to learn from is counted, and a run that goes on is found again."""
        if self.watching is None:
            folder = self._desk.settings
            self.watching = Watching(self._desk.session, self.work, self.said, self._desk.timers, lambda: folder.folder)
            self.watching.looked.append(self._show_looked)
            self.watching.held.append(self._show_holding)
            self.watching.followed.append(self._show_followed)
            self.watching.stepped.append(self._show_step)
            self.watching.told.append(self._show_told)
            self.watching.lost.append(self.show_state)
        self.watching.wake()
        self._list_runs()
        self.watching.look()
        self._on_run()

    def rest(self) -> None:
        """Nobody looks: the run goes on by itself."""
        if self.watching is not None:
            self.watching.rest()

    def leave(self) -> None:
        self.rest()
        self.work.close(wait=False)

    # --- asking -------------------------------------------------------------------------------------------------

    def request(self) -> FinetuneRequest:
        """What the form asks for."""
        assert self.watching is not None
        ui = self._ui
        mode = MODES[ui.teachModeSelector.currentIndex]
        length: Any = {UNITS[ui.teachUnitSelector.currentIndex]: ui.teachLength.value}
        return self.watching.request(mode=mode, seed=SEED, **length)

    def _begin(self) -> None:
        if self.watching is not None:
            request = self.request()
            self.watching.begin(request)
            self.said.say(
                tr("Starting… First the model is asked what it can do already. Closing Slicer does not end it.")
            )
            self._list_runs(request.output)

    def _ask_both(self) -> None:
        """The slice on screen, by the old and the new model."""
        state = None if self.watching is None else self.watching.state
        image = self._desk.stage.chosen()
        if state is None:
            return
        try:
            row = 0 if image is None else self._desk.stage.row(image)
            window = None if image is None else self._window(image)
            prompt = self._ui.teachPromptSelector.currentText
            mine = None if image is None else mine_of(self._desk.tracks.of(image), prompt, row)
            question = question_of(image, row, prompt, SEED, window, mine)
        except BoltzFormerError as error:
            self.said.fail(str(error))
            return
        self._ui.comparedLabel.text = tr("Asking both models…")
        self.outcome.ask_both(question, state.before, state.model)

    def _take_over(self) -> None:
        if self.watching is not None and (state := self.watching.state) is not None:
            self.outcome.take_over(state, self._ui.promoteName.text.strip(), self.watching.holding)

    def _on_folder(self) -> None:
        path = self._desk.dialogs.folder(tr("Where accepted slices are kept"))
        if path is not None and self.watching is not None:
            self.watching.dataset = str(path)
            self.watching.look()

    # --- showing ------------------------------------------------------------------------------------------------

    def show_state(self) -> None:
        """Which buttons can do something now."""
        ui, watching = self._ui, self.watching
        state = None if watching is None else watching.state
        running = watching is not None and watching.running
        ui.teachStartButton.enabled = watching is not None and watching.can_teach and not running
        ui.teachStopButton.enabled = running
        ui.teachResumeButton.enabled = watching is not None and watching.can_go_on
        ui.rollBackButton.enabled = not running
        ui.rollBackButton.toolTip = tr(NOT_NOW) if running else tr("Asks first, and says which model that is")
        ui.compareButton.enabled = ui.promoteButton.enabled = state is not None and bool(state.model) and not running

    def _show_looked(self) -> None:
        assert self.watching is not None
        dataset = self.watching.dataset
        self._ui.teachFolderLabel.text = Path(dataset).name or tr("no folder yet")
        if not dataset or self.watching.waiting:
            held = tr("Accept slices first (under Keep), or choose the folder where they are kept.")
            self._ui.holdsLabel.text = held

    def _show_holding(self, holding: Holding) -> None:
        self._ui.holdsLabel.text = holding.sentence
        state = None if self.watching is None else self.watching.state
        self._ui.verdictLabel.text = "" if state is None else verdict(state, holding)
        self._ui.teachPromptSelector.clear()
        for name, text in holding.prompts.items():
            if name in holding.targets:
                self._ui.teachPromptSelector.addItem(text)
        image = self._desk.stage.chosen()
        row = 0 if image is None else self._desk.stage.row(image)
        known = [text for name, text in holding.prompts.items() if name in holding.targets]
        if (usual := to_compare(image, self._desk.tracks.chosen(), row)) in known:
            self._ui.teachPromptSelector.currentIndex = known.index(usual)
        self.show_state()

    def _show_followed(self) -> None:
        self._losses.clear()
        self._ui.verdictLabel.text = ""
        self.outcome.another_run()
        self.show_state()

    def _show_step(self, step: Progress) -> None:
        self._losses.add(step.step, step.steps, step.losses)
        self._ui.lossLabel.text = self._losses.title()

    def _show_told(self, state: ErrandState) -> None:
        self._ui.teachProgress.maximum = max(state.steps, 1)
        self._ui.teachProgress.value = state.step
        self._losses.measured({int(one["at_step"]): float(one["dice"]) for one in state.checks})
        self._ui.lossLabel.text = self._losses.title()
        self._ui.verdictLabel.text = verdict(state, None if self.watching is None else self.watching.holding)
        self.show_state()

    def _show_both(self, answer: Compared | None) -> None:
        self._ui.comparedLabel.text = "" if answer is None else answer.sentence

    def _run(self) -> str:
        index = self._ui.teachRunSelector.currentIndex
        return self._runs[index] if 0 <= index < len(self._runs) else ""

    def _on_run(self) -> None:
        if self.watching is not None:
            self.watching.follow(self._run())

    def _list_runs(self, chosen: str = "") -> None:
        chosen = chosen or self._run()
        self._runs = [str(path) for path in runs()]
        if chosen and chosen not in self._runs:
            self._runs.insert(0, chosen)
        self._ui.teachRunSelector.clear()
        for path in self._runs:
            self._ui.teachRunSelector.addItem(Path(path).name)
        if self._runs:
            self._ui.teachRunSelector.currentIndex = self._runs.index(chosen) if chosen else 0

    def _connect(self) -> None:
        ui = self._ui
        for button, do in (
            (ui.teachFolderButton, self._on_folder),
            (ui.teachStartButton, self._begin),
            (ui.teachStopButton, lambda: self.watching and self.watching.end()),
            (ui.teachResumeButton, lambda: self.watching and self.watching.go_on(self._run())),
            (ui.compareButton, self._ask_both),
            (ui.promoteButton, self._take_over),
            (ui.rollBackButton, lambda: self.outcome.give_back(ui.promoteName.text.strip())),
        ):
            button.connect("clicked()", do)
        ui.teachRunSelector.connect("activated(int)", lambda _: self._on_run())
        ui.teachButton.connect("contentsCollapsed(bool)", lambda collapsed: self.rest() if collapsed else self.open())
