"""`EventLog`: what a job told, numbered from 1, kept until its owner has it, read as often as it is asked for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from boltzformer.masks.lessons import Adapted, Learning
from boltzformer.protocol import encode
from boltzformer.server.guard import Limits
from boltzformer.types import Cancelled, Event, Failed, Prediction

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
