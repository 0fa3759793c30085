"""`Outcome`: what comes of a run: before and after on a slice, a name for the new model, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from boltzformer.client.session import Session
from boltzformer.desk.notice import Notice
from boltzformer.desk.teaching.comparing import Compared, Question, ask_both
from boltzformer.desk.work import Work
from boltzformer.protocol import Lineage


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
