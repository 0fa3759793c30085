"""Processes on Ray, each with one kind of work: begun, given cases, begun again when gone. Nobody else knows Ray.

Images and answers go from one to the next through Ray's object store, never through this process, which only decides
who does what. Whatever ends a process, its case is tried again.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from boltzformer.cli.cluster_work import Note, Worker, memory_of_device, models_per_device, repeat
from boltzformer.cli.show import Show
from boltzformer.engine.devices import Place
from boltzformer.errors import BoltzFormerError
from boltzformer.io.cases import Case
from boltzformer.weights.checkpoint import Checkpoint

LOCAL = "local"
"""The address of a cluster that is made of this computer alone, for this command alone."""
_HOST = re.compile(r"(?:ray://)?(\S+):([0-9]{1,5})")
TRIES = 3


@dataclass
class Hand:
    """A process of the cluster."""

    role: type[Worker[Any]]
    errand: Any
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


class Crew(ABC):
    """Who is there, who is free, and what the others are at."""

    def __init__(self, hands: Sequence[Hand], cases: Sequence[Case], show: Show, place: Place | None = None) -> None:
        self.show = show
        self._place = place
        """Where models run, and in which precision: the same for all of them. None: as the first says."""
        self._todo = deque(Attempt(case) for case in cases)
        roles = dict.fromkeys(hand.role for hand in hands)
        self._hands = {role: [hand for hand in hands if hand.role is role] for role in roles}
        self._idle: dict[type[Worker[Any]], deque[Hand]] = {role: deque() for role in roles}
        self._running: dict[Any, tuple[Hand, Attempt | None, Any]] = {}
        for hand in hands:
            self._begin(hand)

    @abstractmethod
    def _give(self) -> None:
        """What can be begun now."""

    @abstractmethod
    def _done(self, hand: Hand, attempt: Attempt, note: Note, made: Any) -> None:
        """A process did its step; it may have found that it can't."""

    @abstractmethod
    def _end(self, attempt: Attempt, hand: Hand, error: str) -> None:
        """A case that can't be done."""

    def _work_on(self) -> int:
        """Gives what can be given and waits for what comes; how many are at work then."""
        self._give()
        ray.wait(list(self._running), timeout=1.0)
        running = list(self._running)  # all that is ready at once: with many workers there is always something
        for ref in ray.wait(running, num_returns=len(running), timeout=0)[0]:
            self._take(ref)
        return sum(attempt is not None for _, attempt, _ in self._running.values())

    def _free(self, role: type[Worker[Any]], waiting: deque[Attempt]) -> Hand | None:
        return self._idle[role].popleft() if waiting and self._idle[role] else None

    def _start(self, hand: Hand, attempt: Attempt | None, what: str, *given: Any) -> None:
        note, made = getattr(hand.actor, what).options(num_returns=2).remote(*given)
        self._running[note] = (hand, attempt, made)

    def _begin(self, hand: Hand) -> None:
        """For the first time or again: it gets work once it is ready."""
        hand.begin()
        self._start(hand, None, "ready")

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
        else:
            self._done(hand, attempt, note, made)

    def _is_ready(self, hand: Hand, note: Note, made: Any) -> None:
        hand.told, hand.ended = f"{note.node}:{note.pid}", 0
        if note.error and self._place is None:
            raise BoltzFormerError(note.error)
        place: Place | None = None if note.error else ray.get(made)
        if place is not None:
            if self._place is None:
                self._placed(place)
            assert self._place is not None
            same = (place.device.type, place.dtype) == (self._place.device.type, self._place.dtype)
            differs = f"{place.in_words} on {place.device.type}, where the others have {self._place.in_words}"
            note = note if same else Note(error=differs)
        if note.error:
            self.show.note(f"{hand.told} is left out: {note.error}")
            self._give_up(hand)
            return
        self.show.event("worker", role=hand.role.__name__.lower(), worker=hand.told)
        self._idle[hand.role].append(hand)

    def _placed(self, place: Place) -> None:
        """The first model is ready: the others have to be like it."""
        self._place = place

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
        """From its beginning: what was read or answered may be lost with the process."""
        self.show.event("again", case=attempt.case.name, tries=attempt.tries, why=why)
        self.show.say(f"{attempt.case.name}: tried again, for {why}")
        self._todo.append(Attempt(attempt.case, attempt.tries + 1))


class Each(Crew):
    """Work of a single step: one process does all of a case. The first that can't be done ends it all."""

    def run(self) -> Iterator[tuple[Case, Any]]:
        """Each case as it is done, with what was made of it."""
        left, self._made = len(self._todo), deque[tuple[Case, Any]]()
        while left:
            self._work_on()
            while self._made:
                left -= 1
                yield self._made.popleft()

    def _give(self) -> None:
        (role,) = self._hands
        while (hand := self._free(role, self._todo)) is not None:
            attempt = self._todo.popleft()
            self.show.event("working", case=attempt.case.name, worker=hand.told)
            self._start(hand, attempt, "work", attempt.case)

    def _done(self, hand: Hand, attempt: Attempt, note: Note, made: Any) -> None:
        self._made.append((attempt.case, ray.get(made)))

    def _end(self, attempt: Attempt, hand: Hand, error: str) -> None:
        raise BoltzFormerError(error)


# --- the cluster ------------------------------------------------------------------------------------------------------


@contextmanager
def connected(address: str, show: Show) -> Iterator[None]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing about an archive is told to anyone
    if address == LOCAL:  # which token its own processes know each other by, nobody has to hear
        logging.getLogger("ray").setLevel(logging.ERROR)
    # Ray prints about processes that died where programs read our events; we tell that ourselves.
    with redirect_stdout(StringIO()):
        yield from _started(address, show)


def _started(address: str, show: Show) -> Iterator[None]:
    try:
        if found := _HOST.fullmatch(address):  # Ray itself would wait for ever where nobody is
            socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=10).close()
        context = ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except Exception as error:  # that it waited in vain, Ray says with the plainest of all
        said = " ".join(str(error).split())[:200]
        if address == LOCAL:
            raise BoltzFormerError(
                f"Ray can't start on this computer ({said}): try again when less is going on here, or leave --cluster "
                "out, with --shard for shares of the work."
            ) from error
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


@dataclass(frozen=True)
class Room:
    """What a cluster holds."""

    processes: int
    needs: Mapping[str, Any]
    """Of each: cores, a GPU or a part of one."""
    gpus: int


def room_for(device: str, threads: int, wanted: int | None, model: Checkpoint | None = None) -> Room:
    """For processes of so many threads, or on GPUs: several of a model on each where they fit, one of all else."""
    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    gpus = 0 if device == "cpu" else int(ray.cluster_resources().get("GPU", 0))
    if gpus:
        each = 1
        if model is not None:
            probe = ray.remote(memory_of_device).options(num_gpus=1, max_calls=1)
            each = models_per_device(model.config, model.parameters, ray.get(probe.remote()))
        found = Room(gpus * each, {"num_gpus": 1 / each, "num_cpus": 1}, gpus)
    else:
        found = Room(sum(one // threads for one in cores), {"num_cpus": threads}, 0)
    if found.processes < (wanted or 1):
        raise BoltzFormerError(
            f"{wanted or 1} models don't fit the cluster, which has room for {found.processes} ({gpus} GPUs, "
            f"{sum(cores)} cores, {threads} threads each): ask for fewer, or set BOLTZFORMER_THREADS."
        )
    return found
