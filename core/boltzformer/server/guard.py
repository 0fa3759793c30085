"""`Guard`: who may ask and how much they may send; it stands before every route. `Limits`: how much one backend takes
in, keeps and waits for."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boltzformer.server.refusals import sentence_about

HERE = ("127.0.0.1", "localhost")


class Guard:
    """Only programs of this computer that hold the token; browsers, which name an origin, never."""

    def __init__(self, app: ASGIApp, token: str, most: Callable[[str], int], header_bytes: int) -> None:
        self._app, self._most, self._header_bytes = app, most, header_bytes
        self._token = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        head = sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["query_string"])
        if head + len(scope.get("raw_path") or b"") > self._header_bytes:
            sentence = f"The request's head is longer than the {self._header_bytes} bytes allowed: send less in it."
            await _answer(431, sentence)(scope, receive, send)
            return
        most = self._most(scope["path"])
        refused = self._refused(headers, most)
        if refused is not None:
            await _answer(*refused)(scope, receive, send)
            return
        begun = False

        async def listen(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, _counted(receive, most), listen)
        except Exception as error:
            sentence = sentence_about(error)
            if not begun:
                await _answer(500, sentence)(scope, receive, send)

    def _refused(self, headers: dict[bytes, bytes], most: int) -> tuple[int, str] | None:
        host, _, _ = headers.get(b"host", b"").decode("latin-1").partition(":")
        if host not in HERE or b"origin" in headers:
            return 403, "Only programs on this computer may ask."
        if not secrets.compare_digest(headers.get(b"authorization", b""), self._token):
            return 401, "The token is missing or wrong."
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 20 or int(length) > most:
            return 413, _too_long(most)
        return None


def _counted(receive: Receive, most: int) -> Receive:
    """A body may come without saying how long it is."""
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise HTTPException(413, _too_long(most))
        return message

    return counting


def _too_long(most: int) -> str:
    return f"The request is longer than the {most} bytes allowed: send less at once."


def _answer(status: int, sentence: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"detail": sentence}, status, headers)


def _half_of_memory() -> int:
    """At most 8 GB, and never more than half of what the computer has."""
    try:
        return min(8_000_000_000, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    except (AttributeError, OSError, ValueError):  # Windows does not tell so
        return 4_000_000_000


def _quarter_of_files() -> int:
    """Each connection is an open file, and there must be others."""
    try:
        import resource
    except ImportError:  # Windows
        return 256
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 256 if most == resource.RLIM_INFINITY else max(16, min(256, most // 4))


@dataclass(frozen=True)
class Limits:
    """Bytes, seconds and numbers."""

    connections: int = field(default_factory=_quarter_of_files)
    """Open at the same time; silent ones make room."""
    silence_seconds: float = 10
    """A request's head must be there after so long, and of its body something each time."""
    header_bytes: int = 16 * 2**10
    """Of a request's first line and headers."""
    volumes: int = 256
    """Announced at the same time, sent or not."""
    volume_slices: int = 100_000
    """Of one image, along the axis of its upload."""
    volumes_bytes: int = field(default_factory=_half_of_memory)
    """Of all images together, as they lie in memory."""
    slab_bytes: int = 64 * 2**20
    """Of one upload of slices, before and after unpacking; a single larger slice is allowed as well."""
    body_bytes: int = 2**20
    """Of any other request."""
    models_bytes: int = 6_000_000_000
    """Of the weights that stay loaded; the model in use is always allowed."""
    cache_bytes: int = 2_000_000_000
    """Of image features that are kept for the next prompt."""
    adapters_bytes: int = 256 * 2**20
    """Of what was learnt from cases; the one used last is always kept."""
    jobs: int = 32
    """Waiting or running at the same time."""
    job_seconds: float = 6 * 3600
    """From a job's first step to its end."""
    stall_seconds: float = 60
    """A job that waits for slices gives up when none has come for so long."""
    keep_seconds: float = 1800
    """What nobody asks for any more is forgotten: results, volumes, jobs that nobody listens to."""
    unread_bytes: int = 32 * 2**20
    """A job pauses when its reader is so far behind."""
    log_bytes: int = 128 * 2**20
    """Of one job's events; those that were read make room first."""
    results_bytes: int = 512 * 2**20
    """Of the events of all jobs that have ended; the earliest go first."""
    ended_jobs: int = 256
    sweep_seconds: float = 5
    """How often what is too old is looked for."""
