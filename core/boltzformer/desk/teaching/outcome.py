"""`Outcome`: what comes of a run: before and after on a slice, a name for the new model, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from boltzformer.client.session import Session
from boltzformer.desk.image import OpenImage
from boltzformer.desk.models.knowledge import as_prompt
from boltzformer.desk.notice import Notice
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError
from boltzformer.image.intensity import Window
from boltzformer.protocol import Lineage
from boltzformer.types import Prediction, Volume


class Outcome:
    """Of a run that left a model."""

    def __init__(self, session: Callable[[], Session], work: Work, notice: Notice) -> None:
        self._session, self._work, self._notice = session, work, notice
        self.compared: list[Callable[[Compared | None], None]] = []
        """Both have answered; None where they could not."""
        self.promoted: list[Callable[[str], None]] = []
        """This name is another model from now on."""

    def ask_both(self, question: Question, before: str, after: str) -> None:
        """One slice, by the old and the new model."""
        asked = partial(ask_both, self._session(), question, before, after)
        self._work.do(asked, self._tell, partial(self._tell, None))

    def take_over(self, run: str, name: str, *, anyway: bool) -> None:
        """The new model takes a name and is used from now on; what had the name is kept."""
        self._work.do(partial(self._session().promote, run, name, anyway=anyway), self._promoted)

    def give_back(self, name: str) -> None:
        """The model before it gets the name again."""
        self._work.do(partial(self._session().roll_back, name), self._rolled_back)

    def _tell(self, answer: Compared | None) -> None:
        for heard in self.compared:
            heard(answer)

    def _promoted(self, lineage: Lineage) -> None:
        kept = len(lineage.models) - 1
        before = f"; {kept} before it {'is' if kept == 1 else 'are'} kept" if kept else ""
        self._notice.say(f"'{lineage.name}' is the model of this run from now on{before}.")
        for heard in self.promoted:
            heard(lineage.name)

    def _rolled_back(self, lineage: Lineage) -> None:
        last = lineage.models[-1]
        self._notice.say(f"'{lineage.name}' is again the model before ({last['note']}, {last['sha256'][:12]}).")


@dataclass(frozen=True)
class Question:
    """What both models are asked. Made on the viewer's thread, for any other."""

    image: OpenImage
    row: int
    """The slice as the viewer counts it."""
    prompt: str
    seed: int
    window: Window | str | None = None
    """As `Session.segment` takes it."""
    volume: Volume = field(init=False, repr=False)
    """As it is at this moment."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "volume", self.image.volume)


@dataclass(frozen=True)
class Compared:
    """Both answers to one question: planes as the viewer shows them."""

    question: Question
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]

    @property
    def sentence(self) -> str:
        """What differs, in numbers."""
        one, other = int(self.before.sum()), int(self.after.sum())
        if not one + other:
            told = "neither finds anything"
        else:
            dice = 2 * int((self.before & self.after).sum()) / (one + other)
            told = f"before {one} pixels, after {other}; they agree by {dice:.2f} (Dice)"
        return f"Slice {self.question.row}, '{self.question.prompt}', seed {self.question.seed}: {told}."


def question_of(image: OpenImage | None, row: int, prompt: str, seed: int, window: Window | str | None) -> Question:
    """Raises where there is nothing to ask, and says what is missing."""
    if image is None:
        raise BoltzFormerError("There is no image to compare on: open one first.")
    if not prompt.strip():
        raise BoltzFormerError("There is no prompt: choose what to look for before you compare.")
    return Question(image, row, prompt.strip(), seed, window)


def ask_both(session: Session, question: Question, before: str, after: str) -> Compared:
    """Waits for both."""
    return Compared(question, _plane(session, question, before), _plane(session, question, after))


def _plane(session: Session, question: Question, model: str) -> NDArray[np.uint8]:
    volume, plan = question.volume, question.image.plan
    index = plan.canonical_index(question.row)
    job = session.segment(
        volume,
        as_prompt(question.prompt),
        seed=question.seed,
        slices=[index],
        window=question.window,
        model=model,
    )
    prediction: Prediction = job.result()
    view = volume.grid.canonical(volume.slice_axis)
    return np.ascontiguousarray(view.apply(prediction.labels().layers[0])[question.row])
