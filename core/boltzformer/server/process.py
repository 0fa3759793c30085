"""The process around a backend: its owner, its address, its token, its lines, its end. Nobody keeps the owner out, and
nothing that is said fills a disk."""

from __future__ import annotations

import asyncio
import io
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, TextIO

import h11
import httpx
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from boltzformer.atomic import write_text
from boltzformer.errors import BackendError
from boltzformer.json_text import loads
from boltzformer.protocol import ROOT, Means
from boltzformer.server.app import create_app
from boltzformer.server.backend import Backend
from boltzformer.server.guard import HERE, Limits
from boltzformer.speaking import shown

WAITING = 2048
"""So many connections may wait to be accepted."""


def serve_owner(model: str, means: Means) -> None:
    """For `Session.local`: token on the first line of standard input, {"port": N} on standard output.

    Standard input stays open as long as the owner lives; when it closes, so do we.
    """
    token = sys.stdin.readline().strip()
    if not token:
        return  # the owner is gone already
    _die_with_owner()
    listener = socket.create_server(("127.0.0.1", 0))
    _be_nice()
    sys.stderr = Bounded(sys.stderr)
    if means.threads is not None:
        os.environ["BOLTZFORMER_THREADS"] = str(means.threads)
    limits = Limits() if means.cache_bytes is None else Limits(cache_bytes=means.cache_bytes)
    server = server_of(Backend(model, limits, device=means.device, precision=means.precision), token)
    sys.stdout.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    server.run([listener])


def serve(model: str, host: str, port: int, token_file: Path) -> None:
    """For `boltzformer serve`: until it is stopped. Who can read the token file may ask."""
    if host not in HERE:
        raise BackendError(
            f"The backend can't listen on {host}: it serves this computer alone (127.0.0.1). "
            "A server for others is not part of this version."
        )
    token = secrets.token_urlsafe(32)
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise BackendError(
            f"Port {port} can't be used ({error.strerror or error}): choose another, or 0 for any."
        ) from error
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    _demand_nobodys(token_file)
    ended: list[int] = []
    servers: list[uvicorn.Server] = []

    def end(number: int, _: object) -> None:
        ended.append(number)
        for one in servers:
            one.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` means that a closed terminal is no end
            signal.signal(number, end)  # before the file is there, which goes, too
    try:
        try:  # who waits for the file never reads half of it
            write_text(token_file, json.dumps({"address": address, "token": token}), mode=0o600)
        except OSError as error:
            raise BackendError(
                f"{token_file} can't be written ({error.strerror}): choose another --token-file."
            ) from error
        said = f"Serving this computer at {address}; the token is in {shown(str(token_file))}. Ctrl-C ends it.\n"
        with suppress(OSError):  # a terminal that is gone
            sys.stdout.write(said)
            sys.stdout.flush()
        _be_nice()
        sys.stderr = Bounded(sys.stderr)
        if not ended:
            servers.append(server_of(Backend(model), token))
            servers[0].should_exit = bool(ended)
            servers[0].run([listener])
    finally:
        if _told(token_file).get("token") == token:  # it may be another server's by now
            token_file.unlink(missing_ok=True)


def server_of(backend: Backend, token: str) -> uvicorn.Server:
    """Errors alone are logged, and never what was asked (see `faults`)."""
    config = uvicorn.Config(
        create_app(backend, token),
        http=connections(backend.limits),
        ws="none",
        h11_max_incomplete_event_size=backend.limits.header_bytes,
        # So many are accepted in one go: thousands would use up all files before the first is looked at.
        backlog=max(8, backend.limits.connections // 16),
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=2,
        server_header=False,
        lifespan="on",
    )
    return _Server(config)


def _told(token_file: Path) -> dict[str, str]:
    """What a token file says, if it is one."""
    try:
        told = loads(token_file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and all(isinstance(word, str) for word in told.values()) else {}


def _demand_nobodys(token_file: Path) -> None:
    """A file that was left over may be replaced; that of a server that still answers is needed."""
    told = _told(token_file)
    try:
        headers = {"Authorization": f"Bearer {told['token']}"}
        answer = httpx.get(f"{told['address']}{ROOT}/health", headers=headers, timeout=2, trust_env=False)
    except (KeyError, httpx.HTTPError, httpx.InvalidURL, ValueError, UnicodeError):
        return
    if answer.status_code == 200:
        raise BackendError(
            f"{token_file} belongs to a server that runs already, at {told['address']}: "
            "use that one, end it, or choose another --token-file."
        )


class _Server(uvicorn.Server):
    """Ends without raising again the signal that ended it: the process has something left to do."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(WAITING)  # or the system lets those who come in a crowd wait a second for their next try

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _be_nice() -> None:
    """The viewer stays smooth. (Windows: the client starts us so.)"""
    if hasattr(os, "nice"):
        os.nice(5)


def _die_with_owner() -> None:
    """The owner holds the other end of our standard input; when it is gone, however it went, so are we."""

    def wait_for_the_end() -> None:
        while sys.stdin.read(1):
            pass
        os._exit(0)

    def watch_the_parent(parent: int) -> None:
        while os.getppid() == parent:  # a process that the owner forked might hold the pipe open
            time.sleep(1)
        os._exit(0)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    if os.name != "nt":
        threading.Thread(target=watch_the_parent, args=(os.getppid(),), daemon=True).start()


MOST, WITHIN_SECONDS = 100_000, 3600.0
"""So many characters, in so long."""


class Bounded(io.TextIOBase):
    """Passes on what is written to it until it is too much; then it says so once, and is silent for a while."""

    def __init__(self, stream: TextIO, most: int = MOST, within_seconds: float = WITHIN_SECONDS) -> None:
        self._stream, self._most, self._within = stream, most, within_seconds
        self._lock = threading.Lock()
        self._written, self._since, self._silent = 0, time.monotonic(), False

    def write(self, text: str) -> int:
        with self._lock, suppress(OSError):
            if time.monotonic() - self._since > self._within:
                self._written, self._since, self._silent = 0, time.monotonic(), False
            self._written += len(text)
            if self._written <= self._most:
                self._stream.write(text)
                self._stream.flush()
            elif not self._silent:
                self._silent = True
                self._stream.write("\nToo much is said here; the rest of the hour is left out.\n")
                self._stream.flush()
        return len(text)

    def flush(self) -> None:
        pass  # nothing is held back

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


class Connection(H11Protocol):
    """HTTP as uvicorn speaks it, with a patience of its own: a request's head must be there in time, whole; its body
    may take longer, but must not stop coming. What waits for us waits as long as it likes."""

    limits: ClassVar[Limits] = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()
        self._look_again()
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        begins = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        super().data_received(data)
        if begins or (self.conn.their_state is h11.SEND_BODY and not self.idle):
            self._expect()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    @property
    def idle(self) -> bool:
        """Whether nothing is being done for it."""
        return self.cycle is None or self.cycle.response_complete

    def drop(self) -> None:
        """At once: who holds a line for nothing is owed no words."""
        self.connections.discard(self)  # rather than when the loop comes round: others may be waiting for the place
        self.transport.abort()

    def _expect(self) -> None:
        """From now on it has so long."""
        self._until = self.loop.time() + self.limits.silence_seconds

    def _look_again(self) -> None:
        self.loop.call_at(self._until, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        theirs = self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and not self.flow.read_paused
        if theirs and self.loop.time() >= self._until:
            self.drop()
            return
        if not theirs:
            self._expect()
        self._look_again()

    def _make_room(self) -> None:
        """The one goes that never asked anything, else the one that has not asked for longest; the newest if all are
        being answered."""
        others: list[Any] = [one for one in self.connections if isinstance(one, Connection) and one is not self]
        idle = [one for one in others if one.idle]
        min(idle, key=lambda one: (one.cycle is not None, one._until), default=self).drop()


def connections(limits: Limits) -> type[Connection]:
    """The class of all lines to one server."""
    return type("Connection", (Connection,), {"limits": limits})
