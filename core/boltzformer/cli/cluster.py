"""`boltzformer segment … --cluster`: the same archive on many processes and machines, through Ray.

Readers, models and writers each do one step of a case; images and answers go from one to the next through Ray's object
store, never through this process, which only decides who does what. Whatever ends a process, its case is tried again.
"""

from __future__ import annotations

import os
import re
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from boltzformer.cli.archive import Ledger, Outcome
from boltzformer.cli.casework import SOME_FAILED, say_failed, say_model, say_totals
from boltzformer.cli.cluster_work import (
    Errand,
    Model,
    Note,
    Reader,
    Worker,
    Writer,
    memory_of_device,
    models_per_device,
    repeat,
)
from boltzformer.cli.show import Show
from boltzformer.engine.devices import Place
from boltzformer.errors import BoltzFormerError
from boltzformer.io.cases import Case

LOCAL = "local"
"""The address of a cluster that is made of this computer alone, for this command alone."""
_HOST = re.compile(r"(?:ray://)?(\S+):([0-9]{1,5})")
TRIES = 3
AHEAD = 2
"""Images that are read, or being read, for each model: so it never waits, and memory never fills."""
AHEAD_BYTES = 8_000_000_000
"""Of images that wait; one may always."""
MODELS_PER_READER = 4
"""On CPUs, where asking takes much longer than reading: docs/scaling.md."""


@dataclass
class Hand:
    """A process of the cluster."""

    role: type[Worker]
    errand: Errand
    needs: Mapping[str, Any]
    """Cores, GPUs, and where."""
    actor: Any = None
    told: str = ""
    """Its machine and number, once it has said so."""
    ended: int = 0
    """Times that it ended before it was ready, one after the other."""

    def begin(self) -> None:
        """As a process of its own, instead of the one before."""
        if self.actor is not None:
            ray.kill(self.actor)
        self.actor = ray.remote(self.role).options(**self.needs).remote(self.errand)


@dataclass
class Attempt:
    """A case on its way."""

    case: Case
    tries: int = 1
    opened: Any = None
    """Where its image is, not the image."""
    size: int = 0
    answered: Any = None
    spent: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds of each step."""


class Drive:
    """Gives cases to processes until each has come to its end."""

    def __init__(self, hands: Sequence[Hand], cases: Sequence[Case], errand: Errand, show: Show, ledger: Ledger):
        self.errand, self.show, self.ledger = errand, show, ledger
        self.failed: dict[str, str] = {}
        self._place: Place | None = None
        self._todo = deque(Attempt(case) for case in cases)
        self._opened, self._answered = deque[Attempt](), deque[Attempt]()
        roles: tuple[type[Worker], ...] = (Reader, Model, Writer)
        self._hands = {role: [hand for hand in hands if hand.role is role] for role in roles}
        self._idle: dict[type[Worker], deque[Hand]] = {role: deque() for role in self._hands}
        self._running: dict[Any, tuple[Hand, Attempt | None, Any]] = {}
        for hand in hands:
            self._begin(hand)

    def run(self) -> None:
        """Until all are done."""
        while self.ledger.done < self.ledger.total:
            self._give()
            ray.wait(list(self._running), timeout=1.0)
            running = list(self._running)  # all that is ready at once: with many workers there is always something
            for ref in ray.wait(running, num_returns=len(running), timeout=0)[0]:
                self._take(ref)
            at_work = sum(attempt is not None for _, attempt, _ in self._running.values())
            self.show.totals(f"{self.ledger.in_words}; {at_work} at work")

    # --- giving -------------------------------------------------------------------------------------------------------

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

    def _free(self, role: type[Worker], waiting: deque[Attempt]) -> Hand | None:
        return self._idle[role].popleft() if waiting and self._idle[role] else None

    def _has_room(self) -> bool:
        """For one more image."""
        reading = sum(attempt is not None and hand.role is Reader for hand, attempt, _ in self._running.values())
        held = sum(attempt.size for attempt in self._opened)
        return reading + len(self._opened) < AHEAD * len(self._hands[Model]) and held < AHEAD_BYTES

    def _start(self, hand: Hand, attempt: Attempt | None, what: str, *given: Any) -> None:
        note, made = getattr(hand.actor, what).options(num_returns=2).remote(*given)
        self._running[note] = (hand, attempt, made)

    def _begin(self, hand: Hand) -> None:
        """For the first time or again: it gets work once it is ready."""
        hand.begin()
        self._start(hand, None, "ready")

    # --- taking -------------------------------------------------------------------------------------------------------

    def _take(self, ref: Any) -> None:
        hand, attempt, made = self._running.pop(ref)
        try:
            note: Note = ray.get(ref)
        except RayTaskError as error:  # the process lives, but what it was given is lost
            self._idle[hand.role].append(hand)
            self._lost(hand, attempt, str(error.cause))
            return
        except RayError as error:
            self._lost(hand, attempt, type(error).__name__)
            self._gone(hand, attempt)
            return
        if attempt is None:
            self._is_ready(hand, note, made)
            return
        self._idle[hand.role].append(hand)
        attempt.spent[hand.role.__name__.lower()] = round(note.seconds, 4)
        repeat(note, self.show)
        if note.error and note.again and attempt.tries < TRIES:
            self._again(attempt, note.error)
        elif note.error:
            self._end(attempt, hand, note.error)
        elif note.skipped or note.kept:
            self._end(attempt, hand, skipped=note.skipped and attempt.tries == 1)
        elif hand.role is Reader:
            attempt.opened, attempt.size = made, note.size
            self._opened.append(attempt)
        else:
            attempt.answered = made
            self._answered.append(attempt)

    def _is_ready(self, hand: Hand, note: Note, made: Any) -> None:
        hand.told, hand.ended = f"{note.node}:{note.pid}", 0
        if note.error and self._place is None:
            raise BoltzFormerError(note.error)
        if hand.role is Model and not note.error:
            place: Place = ray.get(made)
            if self._place is None:
                self._place = place
                say_model(self.errand.about, place, self.show)
            same = (place.device.type, place.dtype) == (self._place.device.type, self._place.dtype)
            differs = f"{place.in_words} on {place.device.type}, where the others have {self._place.in_words}"
            note = note if same else Note(error=differs)
        if note.error:
            self.show.note(f"{hand.told} is left out: {note.error}")
            self._give_up(hand)
            return
        self.show.event("worker", role=hand.role.__name__.lower(), worker=hand.told)
        self._idle[hand.role].append(hand)

    def _lost(self, hand: Hand, attempt: Attempt | None, why: str) -> None:
        if attempt is None:
            return
        if attempt.tries < TRIES:
            self._again(attempt, f"the process {hand.told} ended while it worked on it ({why})")
            return
        sentence = (
            f"{attempt.case.path}: the processes that worked on it ended {TRIES} times ({why}). Usually that is too "
            "little memory: do it on a computer that has more."
        )
        self._end(attempt, hand, sentence)

    def _gone(self, hand: Hand, attempt: Attempt | None) -> None:
        """Another takes its place; where none gets ready, it is given up."""
        hand.ended += attempt is None
        if hand.ended < TRIES:
            self._begin(hand)
            return
        self.show.note(f"A {hand.role.__name__.lower()} ended {TRIES} times before it was ready: it is left out.")
        self._give_up(hand)

    def _give_up(self, hand: Hand) -> None:
        self._hands[hand.role].remove(hand)
        ray.kill(hand.actor)
        if not self._hands[hand.role]:
            raise BoltzFormerError(
                f"No {hand.role.__name__.lower()} of the cluster is left: look whether its machines have enough "
                "memory, and give the same command again: it goes on from here."
            )

    def _again(self, attempt: Attempt, why: str) -> None:
        """From the image on: what was read or answered may be lost with the process."""
        self.show.event("again", case=attempt.case.name, tries=attempt.tries, why=why)
        self.show.say(f"{attempt.case.name}: tried again, for {why}")
        self._todo.append(Attempt(attempt.case, attempt.tries + 1))

    def _end(self, attempt: Attempt, hand: Hand, error: str = "", *, skipped: bool = False) -> None:
        case = attempt.case
        if error:
            self.failed[case.name] = error
            self.show.event("failed", case=case.name, error=error)
        outcome: Outcome = "quarantined" if error else "skipped" if skipped else "finished"
        self.ledger.write(case, outcome, attempt.tries, error, hand.told, attempt.spent)
        self.show.case_done()


# --- the cluster ------------------------------------------------------------------------------------------------------


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
    with _connected(address, show):
        drive = Drive(_hands(errand, workers, len(cases)), cases, errand, show, ledger)
        drive.run()
    say_failed(show, drive.failed, len(cases))
    say_totals(show, ledger)
    return SOME_FAILED if drive.failed else 0


@contextmanager
def _connected(address: str, show: Show) -> Iterator[None]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing about an archive is told to anyone
    # Ray prints about processes that died where programs read our events; we tell that ourselves.
    with redirect_stdout(StringIO()):
        yield from _started(address, show)


def _started(address: str, show: Show) -> Iterator[None]:
    try:
        if found := _HOST.fullmatch(address):  # Ray itself would wait for ever where nobody is
            socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=10).close()
        context = ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except (OSError, OverflowError, RuntimeError, ValueError, AssertionError, RayError) as error:
        said = " ".join(str(error).split())[:200]
        raise BoltzFormerError(
            f"No Ray cluster answers at '{address}' ({said}): start one with `ray start --head`, or leave the address "
            "out for this computer alone."
        ) from error
    try:
        board = getattr(context, "dashboard_url", "")
        if board:
            show.say(f"Ray's dashboard: http://{board}")
        yield
    finally:
        ray.shutdown()


def _hands(errand: Errand, workers: int | None, most: int) -> list[Hand]:
    """As many models as the devices hold, and who reads and writes for them."""
    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    gpus = 0 if errand.device == "cpu" else int(ray.cluster_resources().get("GPU", 0))
    if gpus:
        probe = ray.remote(memory_of_device).options(num_gpus=1, max_calls=1)
        memory = ray.get(probe.remote())
        each = models_per_device(errand.about.config, errand.about.parameters, memory)
        room, needs = gpus * each, {"num_gpus": 1 / each, "num_cpus": 1}
    else:
        room, needs = sum(one // errand.threads for one in cores), {"num_cpus": errand.threads}
    if room < (workers or 1):
        raise BoltzFormerError(
            f"{workers or 1} models don't fit the cluster, which has room for {room} ({gpus} GPUs, {sum(cores)} cores, "
            f"{errand.threads} threads each): ask for fewer, or set BOLTZFORMER_THREADS."
        )
    models = min(workers or room, most)
    beside = models if gpus else -(-models // MODELS_PER_READER)
    others = [role for role in (Reader, Writer) for _ in range(beside)]
    return [
        *(Hand(Model, errand, needs) for _ in range(models)),
        *(Hand(role, errand, {"num_cpus": 0, "scheduling_strategy": "SPREAD"}) for role in others),
    ]
