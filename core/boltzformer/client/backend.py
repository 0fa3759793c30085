"""`Backend`: one backend as its client sees it: whether it lives, how to ask it, what was uploaded to it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import httpx
import numpy as np

from boltzformer.client.child import Child
from boltzformer.client.upload import Upload
from boltzformer.errors import BackendError
from boltzformer.masks.lessons import Adapter
from boltzformer.protocol import ROOT, encode
from boltzformer.types import Volume

CLOSED = "This session is closed: open a new one with Session.local()."
DIED = "The engine stopped unexpectedly. Finished slices are kept; run again, and a fresh engine starts."
LOST = "The connection to the engine is lost. Finished slices are kept; run again when it is there."
PATIENCE, RETRY = 30.0, 0.1
"""Seconds for which a connection that was lost is tried again, and between two tries."""
KEPT = 16
"""So many uploads are remembered; the backend itself decides how many it keeps."""


class Refused(BackendError):
    """The answer was no."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Backend:
    """At an address, with a token; the child process behind it if we started one."""

    def __init__(self, address: str, token: str, child: Child | None = None) -> None:
        self._child = child
        self.http = httpx.Client(
            base_url=f"{address}{ROOT}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(30, read=None),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,  # a proxy must never stand between two processes of one computer
        )
        self._uploads: list[Upload] = []
        self._uploading = threading.Lock()
        self.adapters: set[str] = set()
        """Ids of what was learnt from cases, as far as the backend has it."""
        self.closed = self._reached = False

    @property
    def process(self) -> subprocess.Popen[str]:
        """The child."""
        if self._child is None:
            raise BackendError("This session did not start its engine, so it has no process of it.")
        return self._child.process

    @property
    def alive(self) -> bool:
        """False once it is known to be gone."""
        return not self.closed and (self._child is None or self._child.alive)

    @property
    def last_words(self) -> str:
        """Why it is gone."""
        return CLOSED if self.closed else DIED

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        """The answer; `Refused` if it is no. A line that worked before and breaks is tried again for a while."""
        until = time.monotonic() + (PATIENCE if self._reached else 0)
        while True:
            try:
                response = self.http.request(method, path, **content)
                break
            except (httpx.TransportError, RuntimeError) as error:  # RuntimeError: the client was closed
                if not self.alive:
                    raise BackendError(self.last_words) from error
                if time.monotonic() >= until:
                    raise BackendError(LOST) from error
            time.sleep(RETRY)
        self._reached = True
        if response.is_error:
            raise Refused(response.status_code, sentence_of(response))
        return response

    def upload(self, volume: Volume, axis: int | None, focus: int | None) -> Upload:
        """The upload of this image, begun if it was not sent yet; returns at once."""
        along = volume.slice_axis if axis not in (0, 1, 2) else axis
        new = Upload(self, volume, along, focus)
        with self._uploading:
            # Hashed before it is sent only if an image like it was sent: the first slices must not wait for a hash.
            alike = [one for one in self._uploads if one.alike == new.alike and one.error is None]
            for one in alike:
                if one.sha256 == new.sha256:
                    return one
            new.begin()
            self._uploads = [*(one for one in self._uploads[-KEPT:] if one.error is None), new]
            return new

    def bring(self, adapter: Adapter | None) -> str:
        """What was learnt from a case, sent if it is not there yet → its id; none for none."""
        if adapter is None:
            return ""
        if adapter.id not in self.adapters:
            self.ask("PUT", "/adapters", content=encode(adapter))
            self.adapters.add(adapter.id)
        return adapter.id

    def forget(self, upload: Upload) -> None:
        """The backend let go of it, and perhaps of what was learnt as well."""
        self.adapters.clear()
        with self._uploading:
            self._uploads = [one for one in self._uploads if one is not upload]

    def close(self) -> None:
        self.closed = True
        if self._child is not None:
            self._child.close()
        with suppress(RuntimeError):  # a stream in another thread
            self.http.close()


class Connected(Protocol):
    """Whoever knows the living backend: a session, as jobs and errands see it."""

    def backend(self) -> Backend: ...


def sentence_of(response: httpx.Response) -> str:
    """What the backend says about a refusal."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The engine refused the request ({response.status_code})."


def plain(indices: Sequence[int] | None) -> list[int] | None:
    """Slice numbers as JSON knows them."""
    return None if indices is None else [int(np.int64(index)) for index in indices]
