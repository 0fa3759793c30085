"""What the backend's tests share: a real server in this process with limits of its own, and a line that can be cut."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

import httpx
import numpy as np
from phantom_model import PHANTOM_MODEL

from boltzformer import Event, Session, Volume
from boltzformer.protocol import NewVolume, SegmentRequest, decode, frames
from boltzformer.server.backend import Backend
from boltzformer.server.guard import Limits
from boltzformer.server.process import server_of
from boltzformer.types import as_prompts

MODEL = str(PHANTOM_MODEL)
"""The tiny model that learned phantoms."""


@dataclass(frozen=True)
class Served:
    """A server on loopback, and a plain HTTP client that holds its token."""

    address: str
    token: str
    backend: Backend
    http: httpx.Client

    def session(self, address: str = "") -> Session:
        return Session.connect(address or self.address, self.token, MODEL)

    def upload(self, volume: Volume, slices: slice = slice(None)) -> str:
        """The id of a volume of which these slices were sent, along its first axis."""
        new = NewVolume(volume.array.dtype.str, volume.grid, 0)
        name: str = self.http.post("/volumes", json=asdict(new)).json()["id"]
        body = np.ascontiguousarray(volume.array[slices]).tobytes()
        self.http.put(f"/volumes/{name}/slices/{slices.start or 0}", content=body).raise_for_status()
        return name

    def events(self, job: str, after: int = 0) -> list[Event]:
        """All events of a job, waiting for its end."""
        answer = self.http.get(f"/jobs/{job}/events", params={"after": after}).raise_for_status()
        return [decode(frame) for frame in frames([answer.content])]

    def ask(self, name: str, volume: Volume, prompts: str | list[str], **how: object) -> httpx.Response:
        """A job for an uploaded volume."""
        request = SegmentRequest(name, list(as_prompts(prompts)), volume.window(), model=MODEL, **how)
        return self.http.post("/jobs/segment", json=asdict(request))


@contextmanager
def serving(*, own_files: bool = True, **limits: float) -> Iterator[Served]:
    """A server until the end of the block."""
    token = secrets.token_urlsafe(16)
    backend = Backend(MODEL, Limits(**limits), own_files=own_files)
    server = server_of(backend, token)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{address}/v1", headers=headers, trust_env=False, timeout=60) as http:
        yield Served(address, token, backend, http)
    server.should_exit = True
    thread.join()


class Line:
    """A TCP line between client and server that can be cut; those who connect again are let through."""

    def __init__(self, address: str) -> None:
        self._port = int(address.rpartition(":")[2])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Both ends see their connection break, whatever was on its way is lost."""
        ends, self._open = self._open, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._open += [near, far]
                self.connections += 1
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
