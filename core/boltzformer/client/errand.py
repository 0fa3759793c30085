"""`Errand`: what runs as a process of its own, seen from here. It goes on without us, and is found again."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from boltzformer.client.backend import PATIENCE, Connected, Refused
from boltzformer.errors import BackendError, BoltzFormerError
from boltzformer.protocol import ErrandFolder, ErrandState
from boltzformer.types import Failed, Progress

ASK_S = 0.5
"""Seconds between two questions."""

Told = Progress | ErrandState | Failed


class Errand:
    """A thread of its own asks how far it is: `poll` never waits.

    Every step comes once as `Progress`; an `ErrandState` (without its curve) follows whenever something else changed.
    The last event is an `ErrandState` that is not running, or `Failed`.
    """

    def __init__(self, session: Connected, output: str) -> None:
        self.output = output
        self.state: ErrandState | None = None
        """The last that was handed out."""
        self._session = session
        self._events: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._done = False
        self._left = threading.Event()

    # --- for whoever holds it ------------------------------------------------------------------------------------

    def poll(self, most: int = 200) -> list[Told]:
        """The next events, if any have come."""
        events: list[Told] = []
        with suppress(queue.Empty):
            while len(events) < most and not self._done:
                events.append(self._take(wait=False))
        return events

    def __iter__(self) -> Iterator[Told]:
        while not self._done:
            yield self._take(wait=True)

    def result(self) -> ErrandState:
        """Waits for the end; raises where it failed."""
        for event in self:
            match event:
                case Failed(error) | ErrandState(state="failed", error=error):
                    raise BackendError(error)
                case ErrandState() if event.state != "running":
                    return event
                case _:
                    pass
        raise BackendError("The result was taken before: ask the session for its state.")

    def stop(self) -> None:
        """Asks it to end after the step in hand and to keep the best so far; returns at once."""
        threading.Thread(target=self._stop, name="stop", daemon=True).start()

    def leave(self) -> None:
        """Asks no more; the process goes on."""
        self._left.set()

    def _take(self, *, wait: bool) -> Told:
        event = self._events.get(wait)
        match event:
            case ErrandState():
                self.state, self._done = event, event.state != "running"
            case Failed():
                self._done = True
            case _:
                pass
        return event

    # --- on threads of its own -----------------------------------------------------------------------------------

    def _stop(self) -> None:
        try:
            self._ask("/errands/stop", asdict(ErrandFolder(self.output)))
        except BoltzFormerError as error:
            self._events.put(Failed(str(error)))

    def _run(self, begin: str, request: Mapping[str, Any]) -> None:
        """Begins it where there is something to begin; then asks until it has ended."""
        try:
            if begin:
                self._ask(begin, request)
            self._follow()
        except BoltzFormerError as error:
            self._events.put(Failed(str(error)))
        except Exception as error:  # the viewer must hear an end, whatever it was
            self._events.put(
                Failed(f"The run can't be followed ({type(error).__name__}: {error}). It goes on; look again later.")
            )

    def _follow(self) -> None:
        after, before, heard = 0, None, time.monotonic()
        while not self._left.is_set():
            try:
                state = self._ask("/errands/state", asdict(ErrandFolder(self.output, after)))
            except Refused:
                raise
            except BackendError:  # it died and a fresh one is on its way, or it is gone for good
                if time.monotonic() - heard > PATIENCE:
                    raise
                self._left.wait(ASK_S)
                continue
            heard = time.monotonic()
            for row in state.curve:
                after = int(row["step"])
                losses = {name: value for name, value in row.items() if name not in ("step", "seconds")}
                self._events.put(Progress(after, state.steps, losses))
            more, state = bool(state.curve), replace(state, curve=[])
            if state.state != "running" and more:
                continue  # the rest of the curve first
            if state != before:
                self._events.put(state)
                before = state
            if state.state != "running":
                return
            self._left.wait(ASK_S)

    def _ask(self, path: str, content: Mapping[str, Any]) -> ErrandState:
        return ErrandState(**self._session.backend().ask("POST", path, json=content).json())
