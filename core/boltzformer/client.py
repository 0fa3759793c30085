"""`Session` and `Job`: what scripts and viewers hold. numpy and httpx only; the model runs in the backend process."""

from __future__ import annotations

import hashlib
import json
import queue
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from types import TracebackType
from typing import IO, Any

import httpx
import numpy as np

from boltzformer.errors import BackendError, BoltzFormerError
from boltzformer.intensity import Window
from boltzformer.protocol import SegmentRequest, TraceRequest, decode, encode, frames
from boltzformer.types import (
    Cancelled,
    Event,
    Failed,
    Prediction,
    Prompt,
    SamplingTrace,
    SliceResult,
    Volume,
    as_prompts,
)

KEPT_VOLUMES = 4
"""So many uploaded volumes stay in the backend."""
CLOSED = "This session is closed: open a new one with Session.local()."
DIED = "The engine stopped unexpectedly. Finished slices are kept; run again, and a fresh engine starts."


class _Backend:
    """One child process on the loopback address, and what was uploaded to it."""

    def __init__(self, model: str, python: str) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        command = [python, "-m", "boltzformer.server", model]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
            )
        except OSError as error:
            raise BackendError(
                f"The engine can't be started with {python} ({error.strerror}): give the path of a Python "
                "that has 'napari-boltzformer[engine]' installed."
            ) from error
        token = secrets.token_urlsafe(32)
        try:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(token + "\n")  # by the pipe: a command line could be read by others
            self.process.stdin.flush()
            port = json.loads(self.process.stdout.readline())["port"]
        except (OSError, ValueError) as error:
            self.close()
            raise BackendError(f"The engine did not start: {self._last_words()}") from error
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(30, read=None),
            trust_env=False,  # a proxy must never stand between two processes of one computer
        )
        self.uploaded: dict[str, str] = {}
        self._uploading = threading.Lock()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = self.http.request(method, path, **content)
        except httpx.TransportError as error:
            raise BackendError(DIED) from error
        if response.is_error:
            raise BackendError(_detail(response))
        return response

    def upload(self, volume: Volume) -> str:
        """Once per content; the earliest makes room."""
        array = np.ascontiguousarray(volume.array)
        content = hashlib.blake2b(array.data, digest_size=16)
        content.update(repr((array.shape, array.dtype.str, volume.grid)).encode())
        key = content.hexdigest()
        with self._uploading:
            if key not in self.uploaded:
                while len(self.uploaded) >= KEPT_VOLUMES:
                    self.ask("DELETE", f"/volumes/{self.uploaded.pop(next(iter(self.uploaded)))}")
                frame = encode(replace(volume, array=array))
                self.uploaded[key] = self.ask("POST", "/volumes", content=frame).json()["id"]
            return self.uploaded[key]

    def close(self) -> None:
        with suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()  # the child leaves when its owner's pipe closes
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        words = lines[-1] if lines else "it ended without a word."
        if "No module named" in words:
            return f"{words}. Install it with: pip install 'napari-boltzformer[engine]'"
        return words


class Job:
    """A running segmentation. Events are fetched by a thread of its own; `poll` never waits.

    Once cancelled, the next event is `Cancelled`: what was handed out stays, what nobody has seen yet is dropped.
    """

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._where: tuple[_Backend, str] | None = None
        self._lock = threading.Lock()
        self._done = False

    def poll(self, most: int = 8) -> list[Event]:
        """The next events, if any have come; few at a time, so that a viewer's tick stays short."""
        events: list[Event] = []
        with suppress(queue.Empty):
            while len(events) < most and not self._done:
                events.append(self._take(wait=False))
        return events

    def cancel(self) -> None:
        """Asks the backend to stop after the slice in hand; returns at once."""
        self._stop.set()
        self._events.put(Cancelled())  # whoever waits for an event wakes up
        threading.Thread(target=self._tell, daemon=True).start()

    def __iter__(self) -> Iterator[Event]:
        while not self._done:
            yield self._take(wait=True)

    def _take(self, *, wait: bool) -> Event:
        event = self._events.get(wait)
        event = Cancelled() if self._stop.is_set() else event
        self._done = isinstance(event, Prediction | Cancelled | Failed)
        return event

    def result(self) -> Prediction:
        """Waits for the end; raises if there is no prediction."""
        for event in self:
            match event:
                case Prediction():
                    return event
                case Failed(error):
                    raise BackendError(error)
                case Cancelled():
                    raise BackendError("The job was cancelled, so it has no result.")
                case _:
                    pass
        raise BackendError("The job's result was taken before.")

    def _tell(self) -> None:
        with self._lock:
            if self._where is not None:
                backend, name = self._where
                with suppress(BackendError):  # a dead backend has stopped, too
                    backend.ask("POST", f"/jobs/{name}/cancel")

    def _run(
        self, session: Session, volume: Volume, prompts: tuple[Prompt, ...], window: Window | None, **how: Any
    ) -> None:
        """On the job's thread: start or find the backend, upload, ask, listen."""
        try:
            backend = session.backend()
            request = SegmentRequest(backend.upload(volume), list(prompts), window or volume.window(), **how)
            name = backend.ask("POST", "/jobs", json=asdict(request)).json()["id"]
            with self._lock:
                self._where = (backend, name)
            if self._stop.is_set():
                self._tell()
            self._listen(backend, name)
        except BoltzFormerError as error:
            self._events.put(Failed(str(error)))
        except Exception as error:  # the viewer must hear an end, whatever it was
            self._events.put(
                Failed(f"The job failed ({type(error).__name__}: {error}). Run again; if it stays, report it.")
            )

    def _listen(self, backend: _Backend, name: str) -> None:
        slices: dict[int, SliceResult] = {}
        try:
            with backend.http.stream("GET", f"/jobs/{name}/events") as response:
                for frame in frames(response.iter_raw()):
                    event = decode(frame)
                    if isinstance(event, SliceResult):
                        slices[event.index] = event
                    if isinstance(event, Prediction):
                        event = replace(event, slices=tuple(slices[index] for index in sorted(slices)))
                    self._events.put(event)
                    if isinstance(event, Prediction | Cancelled | Failed):
                        return
        except httpx.TransportError as error:
            raise BackendError(DIED) from error
        raise BackendError(DIED)


class Session:
    """A connection to an engine. `Session.local()` starts one as a child process when it is first needed."""

    def __init__(self, model: str, python: str) -> None:
        self.model, self._python = model, python
        self._lock = threading.Lock()
        self._backend: _Backend | None = None
        self._closed = False

    @staticmethod
    def local(model: str = "default", python: str = sys.executable) -> Session:
        """The engine on this computer, for this process alone."""
        return Session(str(model), python)

    def backend(self) -> _Backend:
        """The living backend; a dead one is replaced."""
        with self._lock:
            if self._closed:
                raise BackendError(CLOSED)
            if self._backend is None or not self._backend.alive:
                self._backend = None
                self._backend = _Backend(self.model, self._python)
            return self._backend

    def health(self) -> dict[str, str]:
        """Starts the backend if need be → 'starting', 'ready' or 'failed', version, model."""
        answer: dict[str, str] = self.backend().ask("GET", "/health").json()
        return answer

    def segment(
        self,
        volume: Volume,
        prompts: str | Prompt | Sequence[str | Prompt],
        *,
        seed: int = 0,
        start: int | None = None,
        slices: Sequence[int] | None = None,
        window: Window | None = None,
    ) -> Job:
        """Returns at once; the job's events follow."""
        job = Job()
        how = {"seed": seed, "start": start, "slices": None if slices is None else list(slices)}
        arguments = (self, volume, as_prompts(prompts), window)
        threading.Thread(target=job._run, args=arguments, kwargs=how, daemon=True).start()
        return job

    def trace(
        self, volume: Volume, prompt: str | Prompt, index: int, *, seed: int = 0, window: Window | None = None
    ) -> SamplingTrace:
        """Where the model looked on one slice; waits for the answer."""
        (one,), backend = as_prompts(prompt), self.backend()
        request = TraceRequest(backend.upload(volume), one, index, window or volume.window(), seed)
        return decode(backend.ask("POST", "/traces", json=asdict(request)).content)

    def close(self) -> None:
        """Ends the backend, for good."""
        with self._lock:
            self._closed = True
            if self._backend is not None:
                self._backend.close()
                self._backend = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The engine refused the request ({response.status_code})."
