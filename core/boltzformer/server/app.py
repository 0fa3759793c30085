"""The routes: what can be asked of a backend. The classes of `protocol` say how; OpenAPI tells it to other programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Header, Path, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from boltzformer.errors import BoltzFormerError
from boltzformer.protocol import (
    ROOT,
    AdapterName,
    AdaptRequest,
    Focus,
    Health,
    JobState,
    ModelFile,
    ModelName,
    ModelState,
    NewVolume,
    Problem,
    SegmentRequest,
    TraceRequest,
    VolumeState,
    encode,
)
from boltzformer.server.adapting import adapter_of
from boltzformer.server.backend import Backend
from boltzformer.server.errand_routes import about_errands, about_hub
from boltzformer.server.guard import Guard
from boltzformer.server.refusals import status_of
from boltzformer.server.volumes import Packing
from boltzformer.version import VERSION

FRAME = "application/octet-stream"
Name = Annotated[str, Path(max_length=64)]
REFUSED: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem} for code in (400, 401, 403, 404, 409, 410, 413, 422, 429, 431, 500, 507)
}


BYTES = {"required": True, "content": {FRAME: {"schema": {"type": "string", "format": "binary"}}}}
LARGE = ("/slices/", "/adapters", "/jobs/adapt")
"""Parts of the addresses to which more than a few numbers are sent."""


def frame_of(what: str) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI tells of raw bytes."""
    return {200: {"content": {FRAME: {"schema": {"type": "string", "format": "binary"}}}, "description": what}}


def create_app(backend: Backend, token: str) -> FastAPI:
    """The API over a backend, for those who hold the token."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(backend))
        yield
        sweeping.cancel()
        backend.worker.stop()

    app = FastAPI(
        title="boltzformer",
        version=VERSION,
        openapi_url=f"{ROOT}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=REFUSED,
        dependencies=[Security(HTTPBearer(auto_error=False))],  # for OpenAPI; `Guard` is who looks
    )
    largest = backend.limits

    def most(path: str) -> int:
        return largest.slab_bytes if any(part in path for part in LARGE) else largest.body_bytes

    app.add_middleware(Guard, token=token, most=most, header_bytes=largest.header_bytes)
    app.add_exception_handler(BoltzFormerError, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    _about_volumes(app, backend)
    _about_jobs(app, backend)
    _about_models(app, backend)
    about_errands(app, backend.errands)
    about_hub(app, backend.downloads)
    return app


def _about_volumes(app: FastAPI, backend: Backend) -> None:
    volumes = backend.volumes

    @app.post(f"{ROOT}/volumes", status_code=201)
    def create(new: NewVolume) -> VolumeState:
        """Begins an upload. Slices may come in any order; jobs may be asked for at once."""
        return volumes.create(new).state()

    @app.get(ROOT + "/volumes/{volume}")
    def what_is_there(volume: Name) -> VolumeState:
        """Which slices are missing; the hash once none is."""
        return volumes.get(volume).state()

    @app.put(ROOT + "/volumes/{volume}/slices/{first}", openapi_extra={"requestBody": BYTES})
    async def send(
        volume: Name, first: int, request: Request, content_encoding: Annotated[Packing, Header()] = "identity"
    ) -> VolumeState:
        """The voxels of whole slices from `first` on along the axis of the upload, in array order, raw or deflated.

        Slices that are there already stay as they are, so that sending again is safe.
        """
        stored, data = volumes.get(volume), await request.body()
        await run_in_threadpool(stored.put, first, data, content_encoding, backend.limits.slab_bytes)
        backend.worker.wake()
        await run_in_threadpool(stored.hash_what_is_there)
        if stored.complete:
            backend.worker.wake()
        return stored.state()

    @app.delete(ROOT + "/volumes/{volume}", status_code=204)
    def forget(volume: Name) -> Response:
        """Erases it, as soon as no job needs it."""
        volumes.forget(volume)
        return Response(status_code=204)


def _about_jobs(app: FastAPI, backend: Backend) -> None:
    jobs = backend.jobs

    @app.post(f"{ROOT}/jobs/segment", status_code=201)
    def segment(request: SegmentRequest, idempotency_key: Annotated[str, Header(max_length=64)] = "") -> JobState:
        """Puts the work in the queue. Jobs of at most three slices overtake whole volumes at the next slice.

        With an `Idempotency-Key` it may be asked for again after a lost connection: the job is the same.
        """
        return jobs.segment(request, idempotency_key)

    @app.post(f"{ROOT}/jobs/adapt", status_code=201)
    def adapt(request: AdaptRequest, idempotency_key: Annotated[str, Header(max_length=64)] = "") -> JobState:
        """Learns from lessons of an image, giving way to every other job at each step. The newest lessons win: a
        learning that is under way is cancelled. Its last event, `Adapted`, holds what was learnt."""
        return jobs.adapt(request, idempotency_key)

    @app.put(f"{ROOT}/adapters", openapi_extra={"requestBody": BYTES})
    async def bring(request: Request) -> AdapterName:
        """Brings back what was learnt before: the frame of an `Adapter`."""
        data = await request.body()
        return AdapterName(backend.adapters.add(await run_in_threadpool(adapter_of, data)))

    @app.get(ROOT + "/jobs/{job}")
    def where_it_stands(job: Name) -> JobState:
        """Its state, and which events are kept."""
        return jobs.state(job)

    @app.get(ROOT + "/jobs/{job}/events", response_class=StreamingResponse, responses=frame_of("Frames of events."))
    def events(job: Name, after: Annotated[int, Query(ge=0)] = 0) -> StreamingResponse:
        """The events after number `after`, as frames, until the last; may be asked for again from any that is kept."""
        return StreamingResponse(jobs.log_after(job, after).read(after), media_type=FRAME)

    @app.post(ROOT + "/jobs/{job}/focus", status_code=204)
    def focus(job: Name, focus: Focus) -> Response:
        """The user looks at this slice now: go on there."""
        jobs.focus(job, focus.index)
        return Response(status_code=204)

    @app.post(ROOT + "/jobs/{job}/cancel", status_code=204)
    def cancel(job: Name) -> Response:
        """Stops after the slice in hand; cancelling what has ended is no error."""
        jobs.cancel(job)
        return Response(status_code=204)

    @app.get(ROOT + "/jobs/{job}/masks", response_class=Response, responses=frame_of("A frame with a LabelMap."))
    async def masks(
        job: Name, threshold: float = 0.5, existence: Annotated[float | None, Query(ge=0, le=1)] = None
    ) -> Response:
        """The masks of a job that has ended, on the stored grid; other thresholds need no new run."""
        made = await run_in_threadpool(jobs.masks, job, threshold, existence)
        return Response(await run_in_threadpool(encode, made), media_type=FRAME)

    @app.delete(ROOT + "/jobs/{job}", status_code=204)
    def forget(job: Name) -> Response:
        """The owner has all it wants: stop, and let go of the results."""
        jobs.forget(job)
        return Response(status_code=204)

    @app.post(f"{ROOT}/traces", response_class=Response, responses=frame_of("A frame with a SamplingTrace."))
    async def trace(request: TraceRequest) -> Response:
        """Where the model looked on one slice; overtakes whole volumes."""
        return Response(await asyncio.wrap_future(backend.trace(request)), media_type=FRAME)


def _about_models(app: FastAPI, backend: Backend) -> None:
    @app.get(f"{ROOT}/health")
    def health() -> Health:
        """Whether the model is ready, and what is kept."""
        return backend.health()

    @app.get(f"{ROOT}/models")
    def known() -> list[ModelState]:
        """Every model that can be asked for by name."""
        return backend.models.known()

    @app.post(f"{ROOT}/models", status_code=201)
    def add(file: ModelFile) -> ModelState:
        """Copies a .safetensors file of ours into the models folder, after loading it once."""
        return backend.models.add(file.path, file.name)

    @app.post(f"{ROOT}/models/load")
    async def load(model: ModelName) -> ModelState:
        """Loads it now, so that the first job need not wait."""
        return await asyncio.wrap_future(backend.load(model.name))

    @app.post(f"{ROOT}/memory/free", status_code=204)
    async def free() -> Response:
        """Lets go of kept image features and loaded models, between two slices."""
        await asyncio.wrap_future(backend.free())
        return Response(status_code=204)


async def _sweep(backend: Backend) -> None:
    while True:
        await asyncio.sleep(backend.limits.sweep_seconds)
        now = time.monotonic()
        backend.jobs.sweep(now)
        backend.volumes.sweep(now)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, BoltzFormerError)
    return JSONResponse({"detail": str(error)}, status_of(error))


async def _not_understood(request: Request, error: Exception) -> Response:
    """One sentence; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"detail": f"The request is not understood: {where}: {first['msg']}."}, 422)
