"""The backend process: the HTTP API over one engine. One worker thread does all model work; it dies with its owner."""

from __future__ import annotations

import json
import os
import queue
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from boltzformer import __version__
from boltzformer.engine import Engine, load
from boltzformer.errors import BoltzFormerError
from boltzformer.protocol import SegmentRequest, TraceRequest, decode, encode
from boltzformer.types import Cancelled, Event, Failed, Prediction, Volume


@dataclass
class _Job:
    request: SegmentRequest
    volume: Volume
    events: queue.SimpleQueue[Event] = field(default_factory=queue.SimpleQueue)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def run(self, engine: Callable[[], Engine]) -> None:
        """On the worker thread. The last event is always a Prediction, Cancelled or Failed."""
        try:
            self.events.put(self._segment(engine()))
        except BoltzFormerError as error:
            self.events.put(Failed(str(error)))
        except Exception as error:  # whatever it was, the client must hear an end and the server goes on
            self.events.put(
                Failed(f"The engine failed ({type(error).__name__}: {error}). Run again; if it stays, report it.")
            )

    def _segment(self, engine: Engine) -> Event:
        r = self.request
        steps = engine.segment(self.volume, r.prompts, seed=r.seed, start=r.start, slices=r.slices, window=r.window)
        while not self.cancelled.is_set():
            event = next(steps)
            if isinstance(event, Prediction):  # its slices were sent before; the client puts them back
                return Prediction(event.prompts, (), event.plan, event.provenance)
            self.events.put(event)
        return Cancelled()

    def stream(self) -> Iterator[bytes]:
        """Events as they come, until the last."""
        while True:
            event = self.events.get()
            yield encode(event)
            if isinstance(event, Prediction | Cancelled | Failed):
                return


def create_app(model: str, token: str) -> FastAPI:
    """The API; the model is loaded on the worker thread meanwhile."""
    worker = ThreadPoolExecutor(1, "engine")
    engine: Future[Engine] = worker.submit(load, model)
    volumes: dict[str, Volume] = {}
    jobs: dict[str, _Job] = {}

    def allowed(request: Request, authorization: str = Header("")) -> None:
        if not secrets.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "The token is missing or wrong.")
        if (request.url.hostname or "") not in ("127.0.0.1", "localhost") or "origin" in request.headers:
            raise HTTPException(403, "Only programs on this computer may ask.")

    app = FastAPI(title="boltzformer", version=__version__, dependencies=[Depends(allowed)])

    def known(volume: str) -> Volume:
        if volume not in volumes:
            raise HTTPException(404, "There is no such volume: upload it again.")
        return volumes[volume]

    @app.get("/v1/health")
    def health() -> dict[str, str]:
        """'starting', 'ready' or 'failed', and the model's own words."""
        if not engine.done():
            return {"state": "starting", "version": __version__}
        error = engine.exception()
        if error is not None:
            return {"state": "failed", "version": __version__, "error": str(error)}
        about = engine.result().about
        return {"state": "ready", "version": __version__, "model": about.history.name, "note": about.history.data}

    @app.post("/v1/volumes")
    async def upload(request: Request) -> dict[str, str]:
        """A `Volume` frame → its id."""
        try:
            volume = decode(await request.body())
        except BoltzFormerError as error:
            raise HTTPException(400, str(error)) from error
        if not isinstance(volume, Volume):
            raise HTTPException(400, "The body is no volume.")
        name = secrets.token_hex(8)
        volumes[name] = volume
        return {"id": name}

    @app.delete("/v1/volumes/{volume}")
    def forget(volume: str) -> Response:
        known(volume)
        del volumes[volume]
        return Response(status_code=204)

    @app.post("/v1/jobs")
    def segment(request: SegmentRequest) -> dict[str, str]:
        """Puts the work in the queue → the job's id."""
        job, name = _Job(request, known(request.volume)), secrets.token_hex(8)
        jobs[name] = job
        worker.submit(job.run, engine.result)
        return {"id": name}

    @app.get("/v1/jobs/{job}/events")
    def events(job: str) -> StreamingResponse:
        """The job's events as frames, once."""
        if job not in jobs:
            raise HTTPException(404, "There is no such job.")

        def until_the_end() -> Iterator[bytes]:
            try:
                yield from jobs[job].stream()
            finally:
                jobs.pop(job).cancelled.set()  # nobody listens any more: stop working for them

        return StreamingResponse(until_the_end(), media_type="application/octet-stream")

    @app.post("/v1/jobs/{job}/cancel")
    def cancel(job: str) -> Response:
        """Stops after the slice in hand; cancelling what has ended is no error."""
        if job in jobs:
            jobs[job].cancelled.set()
        return Response(status_code=204)

    @app.post("/v1/traces")
    def trace(request: TraceRequest) -> Response:
        """A `SamplingTrace` frame."""
        volume = known(request.volume)

        def look() -> bytes:
            return encode(
                engine.result().trace(volume, request.prompt, request.index, seed=request.seed, window=request.window)
            )

        try:
            return Response(worker.submit(look).result(), media_type="application/octet-stream")
        except BoltzFormerError as error:
            raise HTTPException(400, str(error)) from error

    return app


def main() -> None:
    """`python -m boltzformer.server MODEL`: token on the first line of stdin, {"port": N} on stdout."""
    token = sys.stdin.readline().strip()
    threading.Thread(target=_die_with_owner, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(5)  # the viewer stays smooth
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(sys.argv[1], token)
    sys.stdout.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([listener])


def _die_with_owner() -> None:
    """The owner holds the other end of stdin; when it is gone, however it went, so are we."""
    while sys.stdin.read(1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
