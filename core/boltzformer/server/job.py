"""`LiveJob`: what every job on the worker thread is: told from outside, done step by step, ended exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from boltzformer.errors import BoltzFormerError, slice_of
from boltzformer.server.events import END, EventLog, Told
from boltzformer.server.guard import Limits
from boltzformer.server.refusals import sentence_about
from boltzformer.server.volumes import Stored
from boltzformer.types import Cancelled, Failed, Queued

STALLED = "The image stopped arriving before all its slices were there: run again."


class LiveJob:
    """Its last event is always one of `END`. A kind of job says what it is ready for and how it goes on."""

    kind: Literal["segment", "adapt"]
    small = False
    patient = False

    def __init__(self, log: EventLog, on_end: Callable[[], None]) -> None:
        self.log, self._on_end = log, on_end
        self._ending: Cancelled | Failed | None = None
        self._place = 0
        self._began: float | None = None

    @property
    def state(self) -> Literal["waiting", "running", "ended"]:
        if self.log.end is not None:
            return "ended"
        return "waiting" if self._began is None else "running"

    def end(self, how: Cancelled | Failed) -> None:
        """At the next step; what is finished stays valid."""
        self._ending = self._ending or how

    def focus(self, index: int) -> None:
        """The slice to go on with, where that means something."""

    def waits(self, position: int) -> None:
        if position and position != self._place and self._began is None:
            self._place = position
            self.log.add(Queued(position))

    def step(self) -> bool:
        try:
            event = self._ending or self._advance()
        except BoltzFormerError as error:
            event = Failed(str(error), slice_of(error))
        except Exception as error:  # whatever it was, the client must hear an end and the server goes on
            event = Failed(sentence_about(error), slice_of(error))
        self.log.add(event)
        if not isinstance(event, END):
            return False
        self._let_go()
        self._on_end()
        return True

    def _give_up_if_stalled(self, stored: Stored, limits: Limits) -> None:
        """For a job that needs the whole image before it begins."""
        if not stored.complete and time.monotonic() - stored.arrived > limits.stall_seconds:
            self.end(Failed(STALLED))

    def ready(self) -> bool:
        raise NotImplementedError

    def _advance(self) -> Told:
        raise NotImplementedError

    def _let_go(self) -> None:
        raise NotImplementedError

    def _begin(self) -> None:
        self._began = time.monotonic()
