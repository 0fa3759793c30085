"""`Upload`: one image on its way to a backend, the slices that are needed first, first; hashed meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any, Protocol

import httpx
import numpy as np

from boltzformer.errors import BackendError
from boltzformer.image.geometry import Array
from boltzformer.image.hashing import hash_of_voxels
from boltzformer.image.intensity import Window
from boltzformer.protocol import NewVolume
from boltzformer.types import Volume

SLAB_BYTES = 4_000_000
"""Of one request: large enough to be quick, small enough that a new focus is heard soon."""


class Asks(Protocol):
    """A backend, as far as an upload needs it."""

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response: ...


class Upload:
    """Sends in a thread of its own. A connection that is cut goes on with the slices that are missing."""

    def __init__(self, backend: Asks, volume: Volume, axis: int, focus: int | None) -> None:
        self._backend, self._axis = backend, axis
        self._volume: Volume | None = volume  # until all of it is there
        self._missing = np.ones(volume.grid.shape[axis], np.bool_)
        self.look_at(len(self._missing) // 2 if focus is None else focus)
        self.alike = (volume.array.shape, volume.array.dtype.str, volume.grid, volume.modality, volume.stacking_axis)
        self.id = ""
        self.error: BackendError | None = None
        self._windows: dict[str, Window] = {}
        self._hash: Future[str] = Future()
        self._hashing = threading.Lock()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[BackendError], None]] = []

    @property
    def sha256(self) -> str:
        """Of the voxels; computed when first asked for."""
        with self._hashing:
            if self._volume is not None and not self._hash.done():
                self._hash.set_result(hash_of_voxels(self._volume.array))
        return self._hash.result()

    def window(self, volume: Volume, how: Window | str | None) -> Window:
        """What the model is shown of it; one that is chosen by name looks at all voxels, so a second run finds it made.

        None: the choice is the image's own.
        """
        if isinstance(how, Window):
            return how
        name = how or "auto"
        if name not in self._windows:
            self._windows[name] = Window.choose(name, volume.array, volume.modality)
        return self._windows[name]

    def look_at(self, index: int) -> None:
        """The slice that is needed next."""
        self._focus = min(max(int(index), 0), len(self._missing) - 1)

    def begin(self) -> None:
        """Announces the image, then sends it in the background."""
        volume = self._volume
        assert volume is not None
        new = NewVolume(
            volume.array.dtype.str,
            volume.grid,
            self._axis,
            3 if volume.array.ndim == 4 else 1,
            volume.modality,
            volume.stacking_axis,
        )
        self.id = self._backend.ask("POST", "/volumes", json=asdict(new)).json()["id"]
        threading.Thread(target=self._run, name="upload", daemon=True).start()
        threading.Thread(target=lambda: self.sha256, name="hash", daemon=True).start()

    def on_error(self, tell: Callable[[BackendError], None]) -> None:
        """Whoever waits for slices hears that no more will come."""
        with self._lock:
            self._listeners.append(tell)
            error = self.error
        if error is not None:
            tell(error)

    def off_error(self, tell: Callable[[BackendError], None]) -> None:
        with self._lock:
            self._listeners = [one for one in self._listeners if one is not tell]

    def _run(self) -> None:
        assert self._volume is not None
        try:
            told = self._send(self._volume.array)
            if told != self.sha256:
                raise BackendError("The image changed while it was sent: run again.")
        except BackendError as error:
            with self._lock:
                self.error, listeners = error, self._listeners
            for tell in listeners:
                tell(error)
        finally:
            if self.sha256:  # it is known before the voxels are let go
                self._volume = None

    def _send(self, array: Array) -> str:
        """The backend's hash of it all."""
        told = ""
        while self._missing.any():
            first, last = self._next_slab(array.nbytes)
            told = self._put(array, first, last)
            self._missing[first:last] = False
        return told

    def _next_slab(self, nbytes: int) -> tuple[int, int]:
        """Around the focus its neighbours, then runs of missing slices, the nearest first."""
        places = np.flatnonzero(self._missing)
        centre = self._focus
        if self._missing[centre]:
            first, last = centre, centre + 1
            if first > 0 and self._missing[first - 1]:
                first -= 1
            if last < len(self._missing) and self._missing[last]:
                last += 1
            return first, last
        nearest = int(places[np.argmin(np.abs(places - centre))])
        step = 1 if nearest > centre else -1
        most = max(1, SLAB_BYTES * len(self._missing) // max(nbytes, 1))
        end = nearest
        while abs(end + step - nearest) < most and 0 <= end + step < len(self._missing) and self._missing[end + step]:
            end += step
        return min(nearest, end), max(nearest, end) + 1

    def _put(self, array: Array, first: int, last: int) -> str:
        """The backend's hash, empty as long as slices are missing."""
        slab = np.moveaxis(np.moveaxis(array, self._axis, 0)[first:last], 0, self._axis)
        answer = self._backend.ask("PUT", f"/volumes/{self.id}/slices/{first}", content=slab.tobytes()).json()
        return str(answer["sha256"])
