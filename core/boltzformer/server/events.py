"""`EventLog`: what a job told, numbered from 1, kept until its owner has it; `LiveJob`: what every job on the worker
thread is, told from outside, done step by step, ended exactly once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Literal

from boltzformer.errors import BoltzFormerError, slice_of
from boltzformer.masks.lessons import Adapted, Learning
from boltzformer.protocol import encode
from boltzformer.server.guard import Limits
from boltzformer.server.refusals import sentence_about
from boltzformer.server.volumes import Stored
from boltzformer.types import Cancelled, Event, Failed, Prediction, Queued

Told = Event | Learning | Adapted
END = Prediction | Adapted | Cancelled | Failed


class EventLog:
    """Written by the worker thread, read by the server's loop."""

    def __init__(self, limits: Limits, on_read: Callable[[], None]) -> None:
        self._limits, self._on_read = limits, on_read
        self._frames: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._wake: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._unread = 0
        self.first, self.last, self.sent = 1, 0, 0
        """Numbers of the earliest and the last event that are kept, and of the last that a reader took."""
        self.nbytes = 0
        self.end: END | None = None
        """The last event, once it is there."""
        self.touched = time.monotonic()
        """When somebody listened last, or when it ended."""

    @property
    def readers(self) -> int:
        return len(self._wake)

    @property
    def full(self) -> bool:
        """The reader is so far behind that the job had better wait."""
        return self._unread > self._limits.unread_bytes

    def add(self, event: Told) -> None:
        """After the end nothing is added."""
        with self._lock:
            if self.end is not None:
                return
            self.last += 1
            frame = encode(event, self.last)
            self._frames.append(frame)
            self.nbytes += len(frame)
            self._unread += len(frame)
            if isinstance(event, END):
                self.end, self.touched = event, time.monotonic()
            while self.nbytes > self._limits.log_bytes and self.first <= self.sent:
                self._drop()
            for wake, loop in self._wake.items():
                loop.call_soon_threadsafe(wake.set)

    def drop_all(self) -> None:
        """Frees the memory."""
        with self._lock:
            while self._frames:
                self._drop()

    def kept(self, after: int) -> bool:
        """Whether reading can go on after this event."""
        return self.first - 1 <= after <= self.last

    def frames(self) -> list[bytes]:
        """All that are kept."""
        with self._lock:
            return list(self._frames)

    async def read(self, after: int) -> AsyncIterator[bytes]:
        """Frames after event number `after`, as they come, until the last. A slow reader holds one frame at a time."""
        wake = asyncio.Event()
        with self._lock:
            self._wake[wake] = asyncio.get_running_loop()
        try:
            while True:
                wake.clear()
                frame, ended = self._take(after)
                if frame is not None:
                    after += 1
                    yield frame
                elif ended:
                    return
                else:
                    await wake.wait()
        finally:
            with self._lock:
                del self._wake[wake]
            self.touched = time.monotonic()

    def _take(self, after: int) -> tuple[bytes | None, bool]:
        with self._lock:
            if not self.kept(after):
                return None, True
            if after == self.last:
                return None, self.end is not None
            frame, was_full = self._frames[after + 1 - self.first], self.full
            if after == self.sent:
                self.sent += 1
                self._unread -= len(frame)
        if was_full:
            self._on_read()
        return frame, False

    def _drop(self) -> None:
        frame = self._frames.popleft()
        self.nbytes -= len(frame)
        if self.first > self.sent:
            self._unread -= len(frame)
            self.sent = self.first
        self.first += 1


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
