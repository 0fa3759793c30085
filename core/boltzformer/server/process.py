"""The process around a backend: its owner, its address, its token, its end."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from boltzformer.atomic import write_text
from boltzformer.errors import BackendError
from boltzformer.protocol import Means
from boltzformer.server.app import create_app
from boltzformer.server.backend import Backend
from boltzformer.server.guard import HERE
from boltzformer.server.limits import Limits


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
    if means.threads is not None:
        os.environ["BOLTZFORMER_THREADS"] = str(means.threads)
    limits = Limits() if means.cache_bytes is None else Limits(cache_bytes=means.cache_bytes)
    server = _server(Backend(model, limits, device=means.device), token)
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
    try:  # who waits for the file never reads half of it
        write_text(token_file, json.dumps({"address": address, "token": token}), mode=0o600)
    except OSError as error:
        raise BackendError(f"{token_file} can't be written ({error.strerror}): choose another --token-file.") from error
    sys.stdout.write(f"Serving this computer at {address}; the token is in {token_file}. Ctrl-C ends it.\n")
    sys.stdout.flush()
    _be_nice()
    server = _server(Backend(model), token)
    for number in (signal.SIGINT, signal.SIGTERM):  # so that the file goes, too
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    try:
        server.run([listener])
    finally:
        token_file.unlink(missing_ok=True)


def _server(backend: Backend, token: str) -> uvicorn.Server:
    """Errors alone are logged, and never what was asked (see `faults`)."""
    app = create_app(backend, token)
    config = uvicorn.Config(
        app, log_level="error", access_log=False, timeout_graceful_shutdown=2, server_header=False, lifespan="on"
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """Ends without raising again the signal that ended it: the process has something left to do."""

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
