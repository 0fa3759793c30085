"""`Backend`: volumes, models, jobs and the worker together, as the routes see them."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import cast

from boltzformer.errors import BoltzFormerError
from boltzformer.protocol import Health, ModelState, TraceRequest, encode
from boltzformer.server.adapting import Adapters
from boltzformer.server.downloads import Downloads
from boltzformer.server.errands import Errands
from boltzformer.server.guard import Limits
from boltzformer.server.jobs import Jobs
from boltzformer.server.models import Models
from boltzformer.server.refusals import Conflict, sentence_about
from boltzformer.server.volumes import Volumes
from boltzformer.server.work import Call, Worker
from boltzformer.version import VERSION


class Backend:
    """Loads its own model at once, on the worker thread, while others already talk to it."""

    def __init__(
        self,
        model: str = "default",
        limits: Limits | None = None,
        *,
        own_files: bool = True,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        self.limits = limits or Limits()
        self.model = model
        self.worker = Worker()
        self.volumes = Volumes(self.limits)
        self.models = Models(self.limits, own_files=own_files, device=device, precision=precision, first=model)
        self.adapters = Adapters(self.limits)
        self.jobs = Jobs(self.volumes, self.models, self.adapters, self.worker, self.limits)
        self.errands = Errands(own_files=own_files)
        self.downloads = Downloads(own_files=own_files)
        self._first = Call(self._load_first)
        self.worker.submit(self._first)

    def health(self) -> Health:
        """Whether its own model is ready, and what is kept."""
        told = cast(Health, self._first.outcome.result()) if self._first.outcome.done() else None
        return Health(
            state=told.state if told else "starting",
            version=VERSION,
            model=told.model if told else "",
            note=told.note if told else "",
            device=told.device if told else "",
            why=told.why if told else "",
            error=told.error if told else "",
            jobs=self.jobs.live,
            volumes=len(self.volumes),
            volume_bytes=self.volumes.nbytes,
            result_bytes=self.jobs.nbytes,
            cached_bytes=self.models.cached_bytes,
        )

    def load(self, name: str) -> Future[ModelState]:
        """Now, between two slices."""

        def make() -> ModelState:
            self.models.engine(name)
            return next(state for state in self.models.known() if state.name == name)

        return cast("Future[ModelState]", self._call(Call(make)))

    def free(self) -> Future[object]:
        """Now, between two slices: what can be made again is let go of."""
        return self._call(Call(self.models.free))

    def trace(self, request: TraceRequest) -> Future[bytes]:
        """The frame of a `SamplingTrace`, once the slice is there; small, so it overtakes."""
        adapter = self.adapters.get(request.adapter)
        stored = self.volumes.hold(request.volume)

        def ready() -> bool:
            return stored.complete or time.monotonic() - stored.arrived > self.limits.stall_seconds

        def make() -> bytes:
            if not stored.complete:
                raise Conflict("The image stopped arriving before all its slices were there: send the rest.")
            name = request.model
            engine = self.models.engine(name) if adapter is None else self.models.adapted(name, adapter)
            return encode(
                engine.trace(
                    stored.volume,
                    request.prompt,
                    request.index,
                    seed=request.seed,
                    window=request.window,
                    axis=request.axis,
                    region=request.region,
                    size=request.size,
                    guidance=request.guidance,
                    query=request.query,
                    voxels=stored.id,
                )
            )

        call = Call(make, ready)
        call.outcome.add_done_callback(lambda _: self.volumes.release(stored.id))
        return cast("Future[bytes]", self._call(call))

    def _call(self, call: Call) -> Future[object]:
        self.worker.submit(call)
        return call.outcome

    def _load_first(self) -> Health:
        try:
            engine = self.models.engine(self.model)
        except BoltzFormerError as error:
            return Health("failed", VERSION, error=str(error))
        except Exception as error:
            return Health("failed", VERSION, error=sentence_about(error))
        history = engine.about.history
        return Health("ready", VERSION, history.name, history.data, engine.device, engine.why)
