"""`Volumes`: uploaded images, slice by slice as they arrive. They lie in memory alone, so nothing stays behind."""

from __future__ import annotations

import secrets
import threading
import time
import zlib
from collections.abc import Iterable
from typing import Literal

import numpy as np

from boltzformer.errors import BoltzFormerError
from boltzformer.image.hashing import VoxelHash
from boltzformer.protocol import NewVolume, VolumeState
from boltzformer.server.limits import Limits
from boltzformer.server.refusals import NoRoom, NotFound, TooLarge
from boltzformer.types import Volume

Packing = Literal["identity", "deflate"]
GONE = "There is no such volume: upload it again."


class Stored:
    """One image, complete or on its way."""

    def __init__(self, new: NewVolume) -> None:
        dtype = _dtype(new.dtype)
        shape = (*new.grid.shape, 3) if new.colours == 3 else new.grid.shape
        if new.axis not in (0, 1, 2):
            raise BoltzFormerError(f"Slices along axis {new.axis} can't be sent: choose 0, 1 or 2 (z, y, x).")
        self.id = secrets.token_hex(16)
        try:
            array = np.empty(shape, dtype)
        except (MemoryError, ValueError) as error:
            raise NoRoom("The image is larger than this computer's memory: crop it.") from error
        self.volume = Volume(array, new.grid, new.modality, stacking_axis=new.stacking_axis)
        self.axis = new.axis
        self.arrived = time.monotonic()
        """When slices came last."""
        self.used = self.arrived
        self._here = np.zeros(shape[new.axis], np.bool_)
        self._hash = VoxelHash()
        self._writing = threading.Lock()

    @property
    def nbytes(self) -> int:
        """In memory, once it is there."""
        return self.volume.array.nbytes

    @property
    def slice_bytes(self) -> int:
        """Of one slice along the axis of the upload."""
        return self.nbytes // len(self._here)

    @property
    def complete(self) -> bool:
        return self._hash.planes == len(self.volume.array)

    def has(self, axis: int, indices: Iterable[int]) -> bool:
        """Whether these slices are there; along another axis than they come, all must be."""
        return bool(self._here[list(indices)].all()) if axis == self.axis else bool(self._here.all())

    def put(self, first: int, data: bytes, packing: Packing, most: int) -> None:
        """Slices from `first` on; those that are there already stay as they are."""
        planes = self._unpacked(data, packing, most)
        count, rest = divmod(len(planes), self.slice_bytes)
        if rest or not count or not 0 <= first <= len(self._here) - count:
            raise BoltzFormerError(
                f"{len(planes)} bytes from slice {first} on don't fit: one slice has {self.slice_bytes} bytes, "
                f"and there are {len(self._here)}."
            )
        shape = list(self.volume.array.shape)
        shape[self.axis] = count
        values = np.frombuffer(planes, self.volume.array.dtype).reshape(shape)
        with self._writing:
            target, source = (np.moveaxis(array, self.axis, 0) for array in (self.volume.array, values))
            new = ~self._here[first : first + count]
            target[first : first + count][new] = source[new]
            self._here[first : first + count] = True
            self.arrived = self.used = time.monotonic()

    def hash_what_is_there(self) -> None:
        """Goes on with the hash, in array order, as far as slices have come without a gap."""
        with self._writing:
            if self.axis == 0:
                gaps = np.flatnonzero(~self._here)
                end = int(gaps[0]) if len(gaps) else len(self._here)
            else:
                end = len(self.volume.array) if self._here.all() else 0
            self._hash.add(self.volume.array[self._hash.planes : end])

    def state(self) -> VolumeState:
        """What is there and what is missing."""
        edges = np.flatnonzero(np.diff(np.r_[True, self._here, True])).tolist()
        missing = [list(run) for run in zip(edges[::2], edges[1::2], strict=True)]
        return VolumeState(self.id, missing, self._hash.hex if self.complete else "")

    def _unpacked(self, data: bytes, packing: Packing, most: int) -> bytes:
        most = max(most, self.slice_bytes)
        if packing == "deflate":
            unpacker = zlib.decompressobj()
            try:
                data = unpacker.decompress(data, most + 1)  # never more than this, whatever it claims to hold
            except zlib.error as error:
                raise BoltzFormerError(f"The slices can't be unpacked ({error}): send them again.") from error
            if len(data) <= most and not unpacker.eof:
                raise BoltzFormerError("The slices end in the middle: send them again.")
        if len(data) > most:
            raise TooLarge(f"More than {most} bytes of slices came at once: send fewer together.")
        return data


class Volumes:
    """All that are here."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: dict[str, Stored] = {}  # the one used last is the last
        self._busy: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Of all."""
        with self._lock:
            return sum(one.nbytes for one in self._kept.values())

    def create(self, new: NewVolume) -> Stored:
        """Makes room for one; those that no job needs and that were not used for longest give way."""
        size = int(np.prod(np.array([*new.grid.shape, new.colours], dtype=object))) * _dtype(new.dtype).itemsize
        most = self._limits.volumes_bytes
        if size > most:
            raise TooLarge(f"The image has {size / 1e9:.1f} GB, more than the {most / 1e9:.1f} GB allowed: crop it.")
        with self._lock:
            idle = [one for one in self._kept.values() if not self._busy.get(one.id)]
            used = sum(one.nbytes for one in self._kept.values())
            while used + size > most and idle:
                used -= self._kept.pop(idle.pop(0).id).nbytes
            if used + size > most:
                raise NoRoom("The images of running jobs fill the memory: wait until one has ended, or cancel it.")
            stored = Stored(new)
            self._kept[stored.id] = stored
            return stored

    def get(self, name: str) -> Stored:
        """One that is here, and now used."""
        with self._lock:
            stored = self._kept.pop(name, None)
            if stored is None:
                raise NotFound(GONE)
            self._kept[name] = stored
            stored.used = time.monotonic()
            return stored

    def hold(self, name: str) -> Stored:
        """One that a job needs: it stays until it is released as often as it was held."""
        stored = self.get(name)
        with self._lock:
            self._busy[name] = self._busy.get(name, 0) + 1
        return stored

    def release(self, name: str) -> None:
        with self._lock:
            self._busy[name] -= 1
            if not self._busy[name]:
                del self._busy[name]
            if name in self._kept:
                self._kept[name].used = time.monotonic()

    def forget(self, name: str) -> None:
        """A job at work keeps its own hold."""
        with self._lock:
            if self._kept.pop(name, None) is None:
                raise NotFound(GONE)

    def sweep(self, now: float) -> None:
        """Forgets what nobody used for long."""
        with self._lock:
            for one in list(self._kept.values()):
                if now - one.used > self._limits.keep_seconds and not self._busy.get(one.id):
                    del self._kept[one.id]


def _dtype(name: str) -> np.dtype[np.generic]:
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, SyntaxError, OverflowError) as error:
        raise BoltzFormerError(f"There are no voxels of type {name!a}: send numbers such as '<i2' or '<f4'.") from error
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or dtype.str != name:
        raise BoltzFormerError(f"There are no voxels of type {name!a}: send numbers such as '<i2' or '<f4'.")
    return dtype
