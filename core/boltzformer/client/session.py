"""`Session`: a connection to an engine, started as a child process when it is first needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from boltzformer.client.backend import CLOSED, Backend, Refused, plain
from boltzformer.client.child import Child
from boltzformer.client.environment import engine_python
from boltzformer.client.errand import Teaching
from boltzformer.client.job import CaseJob, Job
from boltzformer.errors import BackendError
from boltzformer.image.guidance import Guidance, as_guidance
from boltzformer.image.intensity import Window
from boltzformer.image.region import Region
from boltzformer.masks.lessons import Adapter
from boltzformer.protocol import (
    HubOffer,
    HubPlace,
    HubState,
    Means,
    ModelFile,
    ModelName,
    ModelState,
    SentLesson,
    TraceRequest,
    decode,
)
from boltzformer.types import Lesson, Prompt, SamplingTrace, Volume, as_prompts

ASK_S = 0.2
"""Seconds between two questions after a download."""


class Session(Teaching):
    """For viewers, scripts and notebooks. Nothing here waits but what returns an answer."""

    def __init__(
        self, model: str, *, python: str = "", means: Means | None = None, address: str = "", token: str = ""
    ) -> None:
        self.model, self.means = model, means or Means()
        self._python, self._address, self._token = python, address, token
        self._lock = threading.Lock()
        self._backend: Backend | None = None
        self._starting: Child | None = None
        """What holds the lock may take seconds: it is stopped without waiting for it."""
        self._closed = False

    @staticmethod
    def local(model: str | Path = "default", python: str = "", **means: Any) -> Session:
        """The engine on this computer, for this process alone: started when needed, and again when it died.

        `python` is one that has the engine: by default this one, or that of the environment made for it. `means` are
        the fields of `protocol.Means`: device, precision, threads, cache_bytes.
        """
        return Session(str(model), python=python, means=Means(**means))

    @staticmethod
    def connect(address: str, token: str, model: str = "default") -> Session:
        """An engine that was started by `boltzformer serve`, whose token file names both."""
        return Session(model, address=address.rstrip("/"), token=token)

    def again(self) -> Session:
        """A new session with the same engine, or one that starts such an engine: after this one was closed."""
        return Session(self.model, python=self._python, means=self.means, address=self._address, token=self._token)

    def backend(self) -> Backend:
        """The living backend; a dead one is replaced."""
        with self._lock:
            if self._closed:
                raise BackendError(CLOSED)
            if self._backend is not None and not self._backend.alive:
                self._backend.close()
                self._backend = None
            if self._backend is None and self._address:
                self._backend = Backend(self._address, self._token)
            elif self._backend is None:
                self._backend = self._start()
            return self._backend

    def _start(self) -> Backend:
        child = self._starting = Child(self.model, self._python or engine_python(), self.means)
        try:
            if self._closed:
                child.stop()
            child.greet()
        except BackendError:
            if self._closed:
                raise BackendError(CLOSED) from None
            raise
        finally:
            self._starting = None
        return Backend(child.address, child.token, child)

    def use(self, **means: Any) -> None:
        """Other means (`protocol.Means`): the engine ends now, and the next call starts one that has them."""
        with self._lock:
            self.means, backend = replace(self.means, **means), self._backend
            self._backend = None
        if backend is not None:
            backend.close()

    def free_memory(self) -> None:
        """Lets go of kept image features and of loaded models; what is asked next takes longer once."""
        self.backend().ask("POST", "/memory/free")

    def health(self) -> dict[str, Any]:
        """Starts the backend if need be → the fields of `protocol.Health`: 'starting', 'ready' or 'failed', version…"""
        answer: dict[str, Any] = self.backend().ask("GET", "/health").json()
        return answer

    def models(self) -> list[ModelState]:
        """Every model that can be asked for by name."""
        return [ModelState(**one) for one in self.backend().ask("GET", "/models").json()]

    def import_model(self, path: str | Path, name: str = "") -> ModelState:
        """Registers a copy of a .safetensors file that the backend's user can read."""
        file = ModelFile(str(Path(path).absolute()), name)
        return ModelState(**self.backend().ask("POST", "/models", json=asdict(file)).json())

    def load_model(self, name: str | Path) -> ModelState:
        """Loads it now, so that the first job need not wait."""
        return ModelState(**self.backend().ask("POST", "/models/load", json=asdict(ModelName(str(name)))).json())

    def offer_model(self, what: str) -> HubOffer:
        """What 'owner/repository[:file]' on the hub is, and on whose terms; the file itself is not downloaded."""
        return HubOffer(**self.backend().ask("POST", "/models/hub/offer", json=asdict(HubPlace(what))).json())

    def fetch_model(self, what: str) -> Iterator[HubState]:
        """Downloads, checks and registers it → how far it is; the last one is not running. Closing it stops it."""
        place, backend = asdict(HubPlace(what)), self.backend()
        state = HubState(**backend.ask("POST", "/models/hub/fetch", json=place).json())
        try:
            while state.state == "running":
                yield state
                time.sleep(ASK_S)
                state = HubState(**backend.ask("POST", "/models/hub/state", json=place).json())
        except GeneratorExit:
            backend.ask("POST", "/models/hub/stop", json=place)
            raise
        yield state

    def stop_fetching(self, what: str) -> None:
        """Asks a download to end at its next block; whoever follows it hears what became of it."""
        self.backend().ask("POST", "/models/hub/stop", json=asdict(HubPlace(what)))

    def segment(
        self,
        volume: Volume,
        prompts: str | Prompt | Sequence[str | Prompt],
        *,
        seed: int = 0,
        start: int | None = None,
        slices: Sequence[int] | None = None,
        window: Window | str | None = None,
        axis: int | None = None,
        samples: int = 1,
        region: Region | None = None,
        size: int | None = None,
        guidance: Guidance | Sequence[Guidance] | None = None,
        tiles: bool | None = None,
        scout: int | None = None,
        model: str | None = None,
        adapter: Adapter | None = None,
    ) -> Job:
        """Returns at once; the job's events follow, from slice `start` outwards, or of `slices` alone.

        `window`: one, or how it is to be chosen, as `Window.choose` takes it; then nobody waits for that here.
        `adapter`: what `adapt` made of lessons of this image; the model then answers as they taught it. `scout`: every
        so many slices first, then only where something may be.
        """
        job = Job()
        request: dict[str, Any] = {
            "prompts": list(as_prompts(prompts)),
            "window": window,
            "model": self.model if model is None else model,
            "seed": int(seed),
            "start": None if start is None else int(start),
            "slices": plain(slices),
            "axis": axis,
            "samples": int(samples),
            "region": region,
            "size": size,
            "guidance": list(as_guidance(guidance)),
            "tiles": tiles,
            "scout": scout,
            "adapter": adapter,
        }
        threading.Thread(target=job._run, args=(self, volume, request), name="job", daemon=True).start()
        return job

    def adapt(
        self,
        volume: Volume,
        prompt: str | Prompt,
        lessons: Sequence[Lesson],
        *,
        seconds: float = 20.0,
        steps: int | None = None,
        seed: int = 0,
        window: Window | None = None,
        axis: int | None = None,
        start: Adapter | None = None,
        model: str | None = None,
    ) -> CaseJob:
        """Learns from this case; returns at once. The job's last event, `Adapted`, holds the adapter for `segment`.

        It gives way to every other job at each step, and ends when another learning begins. See `boltzformer.adapt`.
        """
        job = CaseJob()
        (asked,) = as_prompts(prompt)
        request: dict[str, Any] = {
            "prompt": asked,
            "window": window,
            "lessons": [SentLesson.of(one) for one in lessons],
            "model": self.model if model is None else model,
            "seed": int(seed),
            "seconds": float(seconds),
            "steps": None if steps is None else int(steps),
            "axis": axis,
            "start": start,
        }
        threading.Thread(target=job._run, args=(self, volume, request), name="case", daemon=True).start()
        return job

    def trace(
        self,
        volume: Volume,
        prompt: str | Prompt,
        index: int,
        *,
        seed: int = 0,
        window: Window | str | None = None,
        axis: int | None = None,
        region: Region | None = None,
        size: int | None = None,
        guidance: Guidance | Sequence[Guidance] | None = None,
        model: str | None = None,
        query: int | None = None,
        adapter: Adapter | None = None,
    ) -> SamplingTrace:
        """Where the model looked on one slice; waits for the answer, which overtakes whole volumes.

        `query`: only the looks of that one, from 0 (`SamplingTrace.queries` says how many there are).
        """
        (one,), backend = as_prompts(prompt), self.backend()
        for again in (True, False):
            upload = backend.upload(volume, axis, index)
            shown, chosen = upload.window(volume, window), self.model if model is None else model
            pointed, learnt = list(as_guidance(guidance)), backend.bring(adapter)
            whose = None if query is None else int(query)
            request = TraceRequest(
                upload.id, one, int(index), shown, chosen, int(seed), axis, region, size, pointed, whose, learnt
            )
            try:
                return decode(backend.ask("POST", "/traces", json=asdict(request)).content)
            except Refused as error:
                if error.status != 404 or not again:
                    raise
                backend.forget(upload)  # the backend let go of the image to make room
        raise AssertionError("the loop returns or raises")

    def close(self) -> None:
        """Ends a backend that we started, for good, and at once where it is still starting."""
        self._closed = True
        if (starting := self._starting) is not None:
            starting.stop()
        with self._lock:
            if self._backend is not None:
                self._backend.close()
                self._backend = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
