"""`Outcome`: what comes of a run: before and after on a slice, a name for the new model, and the way back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Image

from boltzformer import BoltzFormerError
from boltzformer.protocol import Lineage
from napari_boltzformer import comparing

if TYPE_CHECKING:
    from napari_boltzformer.finetune_panel import FinetunePanel


class Outcome:
    """Of the run that the panel shows."""

    def __init__(self, panel: FinetunePanel) -> None:
        self._panel = panel

    def question(self) -> comparing.Question:
        """Of the slice on screen, in the window that is chosen beside it."""
        panel, image, dock = self._panel, self._panel.image(), self._panel.main_dock()
        window = None if dock is None or image is None else dock.seeing.chosen(image)
        text, seed = panel.prompt.currentText(), panel.seed.value()
        return comparing.question_of(image, panel.viewer.dims.point, text, seed, window)

    def ask_both(self) -> None:
        """The slice on screen, by the old and the new model."""
        panel, image, state = self._panel, self._panel.image(), self._panel.state
        try:
            question = self.question()
        except BoltzFormerError as error:
            panel.notice.fail(str(error))
            return
        assert state is not None
        assert image is not None
        panel.compared.setText("Asking both models…")
        panel.compare.setEnabled(False)
        session, before, after = panel.session(), state.before, state.model

        def work() -> comparing.Compared | BoltzFormerError:
            try:
                return comparing.ask_both(session, question, before, after)
            except BoltzFormerError as error:
                return error  # told where the button is made to work again

        panel.background.do(work, partial(self._show_both, image), failed=self._show_none)

    def _show_none(self) -> None:
        self._panel.compared.setText("")
        self._panel.show_state()

    def _show_both(self, image: Image, answer: comparing.Compared | BoltzFormerError) -> None:
        panel = self._panel
        if isinstance(answer, BoltzFormerError):
            panel.compared.setText("")
            panel.notice.fail(str(answer))
        else:
            panel.compared.setText(answer.sentence)
            if image in panel.viewer.layers:
                comparing.show(panel.viewer, image, answer)
        panel.show_state()

    def take_over(self) -> None:
        """The new model takes a name and is used from now on; what had the name is kept."""
        panel, name = self._panel, self._panel.name.text().strip()
        promote, anyway = panel.session().promote, panel.anyway.isChecked()
        panel.background.do(partial(promote, panel.run.currentData(), name, anyway=anyway), self._promoted)

    def _promoted(self, lineage: Lineage) -> None:
        panel, name, kept = self._panel, lineage.name, len(lineage.models) - 1
        before = f"; {kept} before it {'is' if kept == 1 else 'are'} kept" if kept else ""
        panel.notice.say(f"'{name}' is the model of this run from now on{before}.")
        dock = panel.main_dock()
        if dock is not None:
            dock.models.load(name)
        else:
            panel.session().model = name

    def give_back(self) -> None:
        """The model before it gets the name again."""
        panel, name = self._panel, self._panel.name.text().strip()
        panel.background.do(partial(panel.session().roll_back, name), self._rolled_back)

    def _rolled_back(self, lineage: Lineage) -> None:
        last = lineage.models[-1]
        self._panel.notice.say(f"'{lineage.name}' is again the model before ({last['note']}, {last['sha256'][:12]}).")
