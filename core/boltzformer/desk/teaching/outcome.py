"""`Outcome`: what comes of a run: before and after on a slice, a name for the new model, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from boltzformer.client.session import Session
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.track import Track
from boltzformer.desk.models.knowledge import as_prompt
from boltzformer.desk.notice import Notice
from boltzformer.desk.teaching.runs import verdict
from boltzformer.desk.words import counted
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError
from boltzformer.image.intensity import Window
from boltzformer.protocol import ErrandState, Holding, Lineage
from boltzformer.types import Prediction, Volume

TOPIC = "a model that was promoted"
NOT_PASSED, ANYWAY = "a model that did not pass", "Promote anyway"
"""Topic of what is asked before such a model takes a name, and the answer that gives it one."""
WAY_BACK = "the way back to the model before"
NOT_NOW = "Wait until the run has ended, or press Stop: then the way back is free"
"""Why nobody goes back while a run learns."""
FIRST = "default"
"""The model that everybody begins with."""


class Outcome:
    """Of a run that left a model."""

    def __init__(self, session: Callable[[], Session], work: Work, notice: Notice) -> None:
        self._session, self._work, self._notice = session, work, notice
        self.compared: list[Callable[[Compared | None], None]] = []
        """Both have answered; None where they could not."""
        self.promoted: list[Callable[[str], None]] = []
        """This name is another model from now on."""
        self._question: Question | None = None
        """Whose answers are shown, once they are there."""
        self.wanted: list[Callable[[str], None]] = []
        """The user wants the model of this name."""

    def ask_both(self, question: Question, before: str, after: str) -> None:
        """One slice, by the old and the new model."""
        self._question = question
        asked = partial(ask_both, self._session(), question, before, after)
        self._work.do(asked, partial(self._tell, question), partial(self._tell, question, None))

    def another_image(self) -> None:
        """What was said of the last patient is not read beside this one; answers that are under way are let go."""
        self._tell(self._question, None)
        self._question = None

    def take_over(self, state: ErrandState, name: str, holding: Holding | None = None) -> None:
        """The model of a run takes a name, and what had the name is kept; one that did not pass does so once that is
        agreed to. `holding`: what there is to learn from now."""
        self.another_run()
        if state.result.get("promoted"):
            self._promote(state.output, name, anyway=False)
            return
        why = verdict(state, holding) or "It was not compared with the model that it began from."
        asked = f"{why} If you have looked at what it finds, it can be '{name}' all the same."
        self._notice.say("")
        self._notice.offer(NOT_PASSED, asked, (ANYWAY, partial(self._promote, state.output, name, anyway=True)))

    def another_run(self) -> None:
        """What was asked about the last one is past."""
        self._notice.withdraw(NOT_PASSED)

    def _promote(self, run: str, name: str, *, anyway: bool) -> None:
        self._work.do(partial(self._session().promote, run, name, anyway=anyway), self._promoted)

    def give_back(self, name: str) -> None:
        """Says first which model would have the name again (before the first one there is the one that everybody has),
        and does it once that is agreed to."""
        self._notice.withdraw(WAY_BACK)
        self._work.do(partial(self._session().lineage, name), partial(self._ask_back, name))

    def _ask_back(self, name: str, lineage: Lineage) -> None:
        models = lineage.models
        if len(models) > 1:
            last, before = (f" ({one['note']})" if one.get("note") else "" for one in (models[-1], models[-2]))
            asked = (
                f"'{name}' would stand for the model before it again{before}. The one of now{last} loses the name; "
                "its run stays, and can be promoted again."
            )
            do = partial(self._go_back, name)
        elif self._session().model == name:
            asked = f"Before '{name}' there is only '{FIRST}': that one would be in use again. '{name}' stays listed."
            do = partial(self._to_first, name)
        else:
            self._notice.say(f"Before '{name}' there is only '{FIRST}'; '{self._session().model}' stays in use.")
            return
        self._notice.say("")
        self._notice.offer(WAY_BACK, asked, ("Roll back", do), ("Keep", _keep))

    def _go_back(self, name: str) -> None:
        self._work.do(partial(self._session().roll_back, name), partial(self._rolled_back, name))

    def _to_first(self, name: str) -> None:
        self._notice.say(f"'{FIRST}' is in use again, and not '{name}'.")
        self._use(FIRST)

    def _tell(self, question: Question | None, answer: Compared | None) -> None:
        if question is None or question is not self._question:
            return
        for heard in self.compared:
            heard(answer)

    def _promoted(self, lineage: Lineage) -> None:
        name, kept = lineage.name, len(lineage.models) - 1
        before = f" The model that had the name before is kept, {counted(kept, 'step')} back." if kept else ""
        self._tell_of(name, f"'{name}' {self._now(name)} the model of this run now.{before}")

    def _rolled_back(self, name: str, lineage: Lineage) -> None:
        last = lineage.models[-1]
        self._tell_of(name, f"'{name}' {self._now(name)} the model before again ({last['note']}).")

    def _now(self, name: str) -> str:
        """The engine takes what a name stands for at the next question, so one that is in use is another model now."""
        return "is in use, and is" if name == self._session().model else "stands for"

    def _tell_of(self, name: str, sentence: str) -> None:
        """Whether it is to be used is asked only of a name that is not in use."""
        self._notice.withdraw(TOPIC)
        used = name == self._session().model
        self._notice.say(sentence if used else "")
        if not used:
            self._notice.offer(TOPIC, sentence, ("Use it now", partial(self._use, name)))
        for heard in self.promoted:
            heard(name)
        if used:
            self._use(name)

    def _use(self, name: str) -> None:
        for heard in self.wanted:
            heard(name)


def _keep() -> None:
    """It stays as it is."""


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
    mine: NDArray[np.bool_] | None = field(default=None, repr=False, compare=False)
    """(rows, columns): the person's own mask of the slice, where there is one."""
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
        one, other, mine = int(self.before.sum()), int(self.after.sum()), self.question.mine
        if not one + other:
            told = "neither finds anything"
        else:
            shared = int((self.before & self.after).sum())
            told = f"before {one} pixels, after {other}, {shared or 'none'} the same"
        if mine is not None:
            before, after = (dice(answer > 0, mine) for answer in (self.before, self.after))
            told += f". Dice with your mask: {before:.2f}, {after:.2f}"
        of = self.question
        where = "This picture" if of.image.is_picture else f"Slice {of.row}"
        return f"{where}, '{as_prompt(of.prompt).name}', seed {of.seed}: {told}."


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """How alike two masks are: 1 the same, 0 nothing in common; two blank ones are the same."""
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0


def mine_of(tracks: Sequence[Track], prompt: str, row: int) -> NDArray[np.bool_] | None:
    """A person's own mask of a slice: painted, or accepted as it was."""
    named = (one for one in tracks if prompt in (one.prompt.text, one.name) and row < one.count)
    return next((one.mask(row) for one in named if one.belongs_to_a_person(row)), None)


def to_compare(image: OpenImage | None, tracks: Sequence[Track], row: int) -> str:
    """The prompt of the open image of which a comparison tells most: one with a person's own mask on the slice, else
    with one anywhere, else with any, else the first that is typed; '' where there is none."""
    own = [one for one in tracks if row < one.count and one.belongs_to_a_person(row)]
    touched = [one for one in tracks if any(one.belongs_to_a_person(at) for at in one.touched)]
    prompts = [one.prompt.text for one in (*own, *touched, *tracks)]
    return next(iter([*prompts, *(() if image is None else image.typed)]), "")


def question_of(
    image: OpenImage | None,
    row: int,
    prompt: str,
    seed: int,
    window: Window | str | None,
    mine: NDArray[np.bool_] | None = None,
) -> Question:
    """Raises where there is nothing to ask, and says what is missing."""
    if image is None:
        raise BoltzFormerError("There is no image to compare on: open one first.")
    if not prompt.strip():
        raise BoltzFormerError("There is no prompt: choose what to look for before you compare.")
    return Question(image, row, prompt.strip(), seed, window, mine)


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
