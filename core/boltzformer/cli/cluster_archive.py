"""`boltzformer segment … --cluster`: the same archive on many processes and machines.

Readers, models and writers each do one step of a case.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from boltzformer.cli.archive import Ledger, Outcome
from boltzformer.cli.casework import SOME_FAILED, say_failed, say_model, say_totals
from boltzformer.cli.cluster import Attempt, Crew, Hand, connected, room_for
from boltzformer.cli.cluster_work import Errand, Model, Note, Reader, Writer
from boltzformer.cli.show import Show
from boltzformer.engine.devices import Place
from boltzformer.io.cases import Case

AHEAD = 2
"""Images that are read, or being read, for each model: so it never waits, and memory never fills."""
AHEAD_BYTES = 8_000_000_000
"""Of images that wait; one may always."""
MODELS_PER_READER = 4
"""On CPUs, where asking takes much longer than reading: docs/scaling.md."""


class Drive(Crew):
    """Gives cases to processes until each has come to its end."""

    def __init__(self, hands: Sequence[Hand], cases: Sequence[Case], errand: Errand, show: Show, ledger: Ledger):
        self.errand, self.ledger = errand, ledger
        self.failed: dict[str, str] = {}
        self._opened, self._answered = deque[Attempt](), deque[Attempt]()
        super().__init__(hands, cases, show)

    def run(self) -> None:
        """Until all are done."""
        while self.ledger.done < self.ledger.total:
            at_work = self._work_on()
            self.show.totals(f"{self.ledger.in_words}; {at_work} at work")

    def _give(self) -> None:
        """What is nearest to its end goes first: so few images are held at once."""
        while (hand := self._free(Writer, self._answered)) is not None:
            attempt = self._answered.popleft()
            self._start(hand, attempt, "write", attempt.opened, attempt.answered, self._place)
        while len(self._answered) < 2 * len(self._hands[Writer]):
            if (hand := self._free(Model, self._opened)) is None:
                break
            attempt = self._opened.popleft()
            self.show.event("working", case=attempt.case.name, worker=hand.told)
            self._start(hand, attempt, "answer", attempt.opened)
        while self._place is not None and self._has_room():
            if (hand := self._free(Reader, self._todo)) is None:
                break
            attempt = self._todo.popleft()
            self._start(hand, attempt, "read", attempt.case, self._place)

    def _has_room(self) -> bool:
        """For one more image."""
        reading = sum(attempt is not None and hand.role is Reader for hand, attempt, _ in self._running.values())
        held = sum(attempt.size for attempt in self._opened)
        return reading + len(self._opened) < AHEAD * len(self._hands[Model]) and held < AHEAD_BYTES

    def _done(self, hand: Hand, attempt: Attempt, note: Note, made: Any) -> None:
        if note.skipped or note.kept:
            self._end(attempt, hand, skipped=note.skipped and attempt.tries == 1)
        elif hand.role is Reader:
            attempt.opened, attempt.size = made, note.size
            self._opened.append(attempt)
        else:
            attempt.answered = made
            self._answered.append(attempt)

    def _placed(self, place: Place) -> None:
        super()._placed(place)
        say_model(self.errand.about, place, self.show)

    def _end(self, attempt: Attempt, hand: Hand, error: str = "", *, skipped: bool = False) -> None:
        case = attempt.case
        if error:
            self.failed[case.name] = error
            self.show.event("failed", case=case.name, error=error)
        outcome: Outcome = "quarantined" if error else "skipped" if skipped else "finished"
        self.ledger.write(case, outcome, attempt.tries, error, hand.told, attempt.spent)
        self.show.case_done()


def run_on_cluster(
    errand: Errand, cases: Sequence[Case], address: str, workers: int | None, show: Show, ending: str = ""
) -> int:
    """The exit code."""
    ledger = Ledger(errand.output, len(cases), ending)
    if not cases:
        say_totals(show, ledger)
        return 0
    show.cases(len(cases), always=True)
    _ = errand.about.sha256  # read once, here
    with connected(address, show):
        drive = Drive(_hands(errand, workers, len(cases)), cases, errand, show, ledger)
        drive.run()
    say_failed(show, drive.failed, len(cases))
    say_totals(show, ledger)
    return SOME_FAILED if drive.failed else 0


def _hands(errand: Errand, workers: int | None, most: int) -> list[Hand]:
    """As many models as the devices hold, and who reads and writes for them."""
    room = room_for(errand.device, errand.threads, workers, errand.about)
    models = min(workers or room.processes, most)
    beside = models if room.gpus else -(-models // MODELS_PER_READER)
    others = [role for role in (Reader, Writer) for _ in range(beside)]
    return [
        *(Hand(Model, errand, room.needs) for _ in range(models)),
        *(Hand(role, errand, {"num_cpus": 0, "scheduling_strategy": "SPREAD"}) for role in others),
    ]
