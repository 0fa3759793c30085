"""`Job`: a running segmentation. Its own thread talks to the backend; whoever holds it never waits for a socket."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Literal

import httpx

from boltzformer.client.backend import LOST, PATIENCE, RETRY, Backend, Connected, Refused, sentence_of
from boltzformer.client.upload import Upload
from boltzformer.errors import BackendError, BoltzFormerError
from boltzformer.masks.lessons import Adapted, Learning
from boltzformer.protocol import AdaptRequest, SegmentRequest, decode_event, frames
from boltzformer.types import Cancelled, Event, Failed, Prediction, SliceResult, Started, Volume

LINGER = 2.0
"""Seconds that the thread which tells what the user wants waits for more: to begin one costs a scroll 1 ms."""
Told = Event | Learning | Adapted
END = Prediction | Adapted | Cancelled | Failed


class Job:
    """Events are fetched by a thread of its own; `poll` never waits.

    Once cancelled, the next event is `Cancelled`: what was handed out stays, what nobody has seen yet is dropped.
    """

    kind: Literal["segment", "adapt"] = "segment"

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._lock = threading.Condition()
        self._backend: Backend | None = None
        self._name = ""
        self._upload: Upload | None = None
        self._focus: int | None = None
        self._telling = self._unwanted = False
        self._done = False

    # --- for whoever holds it ------------------------------------------------------------------------------------

    def poll(self, most: int = 8) -> list[Told]:
        """The next events, if any have come; few at a time, so that a viewer's tick stays short."""
        events: list[Told] = []
        with suppress(queue.Empty):
            while len(events) < most and not self._done:
                events.append(self._take(wait=False))
        return events

    def focus(self, index: int) -> None:
        """The user looks at this slice now: go on there. Returns at once."""
        with self._lock:
            self._focus = int(index)
            if self._upload is not None:
                self._upload.look_at(self._focus)
        self._tell()

    def cancel(self) -> None:
        """Asks the backend to stop after the slice in hand; returns at once."""
        self._stop.set()
        self._events.put(Cancelled())  # whoever waits for an event wakes up
        self._tell()

    def __iter__(self) -> Iterator[Told]:
        while not self._done:
            yield self._take(wait=True)

    def result(self) -> Prediction:
        """Waits for the end; raises if there is no prediction."""
        found = self._last()
        if not isinstance(found, Prediction):
            raise BackendError("The job made no masks: it learns.")
        return found

    def _last(self) -> Prediction | Adapted:
        for event in self:
            match event:
                case Prediction() | Adapted():
                    return event
                case Failed(error):
                    raise BackendError(error)
                case Cancelled():
                    raise BackendError("The job was cancelled, so it has no result.")
                case _:
                    pass
        raise BackendError("The job's result was taken before.")

    def _take(self, *, wait: bool) -> Told:
        event = self._events.get(wait)
        event = Cancelled() if self._stop.is_set() else event
        self._done = isinstance(event, END)
        return event

    # --- what the user wants, told by a thread that lives as long as there is something to tell -------------------

    def _tell(self) -> None:
        with self._lock:
            self._lock.notify_all()
            if self._telling or not self._name or not self._something_is_wanted():
                return  # it is told once the job has a name, or by the thread that tells already
            self._telling = True
        threading.Thread(target=self._tell_all, daemon=True).start()

    def _tell_all(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(self._something_is_wanted, LINGER)
                focus, self._focus = self._focus, None
                stop, backend = self._stop.is_set() or self._unwanted, self._backend
                if backend is None or (focus is None and not stop):
                    self._telling = False
                    return
            with suppress(BackendError):  # a dead backend has stopped, too; one that ended has no focus
                if stop:
                    backend.ask("POST", f"/jobs/{self._name}/cancel")
                else:
                    backend.ask("POST", f"/jobs/{self._name}/focus", json={"index": focus})
            if stop:
                return  # and never again, refused or not: nothing else can be wanted of it

    def _something_is_wanted(self) -> bool:
        return self._focus is not None or self._stop.is_set() or self._unwanted

    # --- on the job's thread -------------------------------------------------------------------------------------

    def _run(self, session: Connected, volume: Volume, request: Mapping[str, Any]) -> None:
        """Find or start the backend, upload, ask, listen."""
        try:
            backend = session.backend()
            self._ask(backend, volume, request)
            self._listen(backend, volume)
        except BoltzFormerError as error:
            self._fail(error)
        except Exception as error:  # the viewer must hear an end, whatever it was
            self._events.put(
                Failed(f"The job failed ({type(error).__name__}: {error}). Run again; if it stays, report it.")
            )
        finally:
            if self._upload is not None:
                self._upload.off_error(self._fail)

    def _ask(self, backend: Backend, volume: Volume, request: Mapping[str, Any], again: bool = True) -> None:
        upload = backend.upload(volume, request["axis"], self._first(request))
        upload.on_error(self._fail)
        shown = upload.window(volume, request["window"])
        once = {"Idempotency-Key": secrets.token_hex(16)}  # asked twice if the line breaks, done once
        try:
            whole = self._request(backend, upload.id, {**request, "window": shown})
            name = backend.ask("POST", f"/jobs/{self.kind}", json=asdict(whole), headers=once).json()["id"]
        except Refused as error:
            if error.status != 404 or not again:
                raise
            upload.off_error(self._fail)
            backend.forget(upload)  # the backend let go of the image to make room
            self._ask(backend, volume, request, again=False)
            return
        with self._lock:
            self._backend, self._name, self._upload = backend, name, upload
            if self._focus is not None:
                upload.look_at(self._focus)
        self._tell()

    def _first(self, request: Mapping[str, Any]) -> int | None:
        """The slice that is needed first."""
        slices, start = request["slices"], request["start"]
        return slices[0] if start is None and slices else start

    def _request(self, backend: Backend, volume: str, wanted: Mapping[str, Any]) -> SegmentRequest | AdaptRequest:
        return SegmentRequest(volume, **{**wanted, "adapter": backend.bring(wanted["adapter"])})

    def _fail(self, error: BoltzFormerError) -> None:
        """Ends here; the backend is told not to go on."""
        self._events.put(Failed(str(error)))
        self._unwanted = True
        self._tell()

    def _listen(self, backend: Backend, volume: Volume) -> None:
        """Until the last event; a connection that is cut goes on from the event after the last one that came."""
        slices: dict[int, SliceResult] = {}
        last, silent_since = 0, time.monotonic()
        while True:
            try:
                with backend.http.stream("GET", f"/jobs/{self._name}/events", params={"after": last}) as response:
                    if response.is_error:
                        response.read()
                        raise Refused(response.status_code, sentence_of(response))
                    for frame in frames(response.iter_raw()):
                        last, event = decode_event(frame)
                        silent_since = time.monotonic()
                        if isinstance(event, Adapted):
                            backend.adapters.add(event.adapter.id)  # the backend keeps it, too
                        self._hand_out(event, slices, volume)
                        if isinstance(event, END):
                            with suppress(BackendError):
                                backend.ask("DELETE", f"/jobs/{self._name}")  # we have it all
                            return
            except (httpx.TransportError, httpx.StreamError, RuntimeError) as error:
                if not backend.alive:
                    raise BackendError(backend.last_words) from error
            if time.monotonic() - silent_since > PATIENCE:
                raise BackendError(LOST)
            time.sleep(RETRY)

    def _hand_out(self, event: Told, slices: dict[int, SliceResult], volume: Volume) -> None:
        match event:
            case SliceResult():
                slices[event.index] = event
            case Started():
                event = replace(event, provenance=self._named(event.provenance, volume))
            case Prediction():
                done = tuple(slices[index] for index in sorted(slices))
                event = replace(event, slices=done, provenance=self._named(event.provenance, volume))
            case _:
                pass
        self._events.put(event)

    def _named(self, provenance: Mapping[str, Any], volume: Volume) -> Mapping[str, Any]:
        """The image's name never left this process; its hash is known here as soon as there."""
        assert self._upload is not None
        return {**provenance, "image": {"name": volume.name, "sha256": self._upload.sha256}}


class CaseJob(Job):
    """A running learning from one case: `Learning` after every step, last `Adapted`."""

    kind = "adapt"

    def adapted(self) -> Adapted:
        """Waits for the end; raises if nothing was learnt."""
        found = self._last()
        if not isinstance(found, Adapted):
            raise BackendError("The job learnt nothing: it makes masks.")
        return found

    def _first(self, request: Mapping[str, Any]) -> int | None:
        return int(request["lessons"][-1].index) if request["lessons"] else None

    def _request(self, backend: Backend, volume: str, wanted: Mapping[str, Any]) -> SegmentRequest | AdaptRequest:
        return AdaptRequest(volume, **{**wanted, "start": backend.bring(wanted["start"])})
