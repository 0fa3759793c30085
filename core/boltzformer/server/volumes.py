"""`Volumes`: uploaded images, slice by slice as they arrive. They lie in memory alone, so nothing stays behind."""

from __future__ import annotations

import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

import numpy as np

from boltzformer.errors import BoltzFormerError
from boltzformer.image.hashing import VoxelHash
from boltzformer.protocol import NewVolume, VolumeState
from boltzformer.server.guard import Limits
from boltzformer.server.refusals import NoRoom, NotFound, TooLarge
from boltzformer.types import Volume

Packing = Literal["identity", "deflate"]
FULL = "The images of running jobs fill the memory: wait until one has ended, or cancel it."
GONE = "There is no such volume: upload it again."


class Stored:
    """One image, complete or on its way."""

    def __init__(self, new: NewVolume, make_room: Callable[[Stored], None]) -> None:
        dtype = _dtype(new.dtype)
        shape = (*new.grid.shape, 3) if new.colours == 3 else new.grid.shape
        if new.axis not in (0, 1, 2):
            raise BoltzFormerError(f"Slices along axis {new.axis} can't be sent: choose 0, 1 or 2 (z, y, x).")
        self.id = secrets.token_hex(16)
        nothing = np.broadcast_to(np.zeros((), dtype), shape)  # takes no memory, whatever is announced
        self.announced = Volume(nothing, new.grid, new.modality, stacking_axis=new.stacking_axis)
        """Without its voxels."""
        self._volume: Volume | None = None
        self._make_room, self._making = make_room, threading.Lock()
        self.axis = new.axis
        self.arrived = time.monotonic()
        """When slices came last."""
        self.used = self.arrived
        self._here = np.zeros(shape[new.axis], np.bool_)
        self._hash = VoxelHash()
        self._writing = threading.Lock()

    @property
    def volume(self) -> Volume:
        """With its voxels, as far as they are there. Takes the memory for all of them when first asked for."""
        with self._making:
            if self._volume is None:
                self._make_room(self)
                try:
                    array = np.empty(self.announced.array.shape, self.announced.array.dtype)
                except (MemoryError, ValueError) as error:
                    raise NoRoom("The image is larger than this computer's memory: crop it.") from error
                self._volume = replace(self.announced, array=array)
            return self._volume

    @property
    def begun(self) -> bool:
        """Whether it takes memory."""
        return self._volume is not None

    @property
    def nbytes(self) -> int:
        """In memory, once it is there."""
        return self.announced.array.nbytes

    @property
    def slice_bytes(self) -> int:
        """Of one slice along the axis of the upload."""
        return self.nbytes // len(self._here)

    @property
    def complete(self) -> bool:
        return self._hash.planes == len(self.announced.array)

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
        shape = list(self.announced.array.shape)
        shape[self.axis] = count
        values, whole = np.frombuffer(planes, self.announced.array.dtype).reshape(shape), self.volume.array
        with self._writing:
            target, source = (np.moveaxis(array, self.axis, 0) for array in (whole, values))
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
        """Of all that were begun."""
        with self._lock:
            return sum(one.nbytes for one in self._kept.values() if one.begun)

    def create(self, new: NewVolume) -> Stored:
        """Announces one, which takes no memory and drives no other out until its slices come or a job needs it."""
        size = int(np.prod(np.array([*new.grid.shape, new.colours], dtype=object))) * _dtype(new.dtype).itemsize
        most = self._limits.volumes_bytes
        if size > most:
            raise TooLarge(f"The image has {size / 1e9:.1f} GB, more than the {most / 1e9:.1f} GB allowed: crop it.")
        count, largest = max(new.grid.shape), self._limits.volume_slices
        if count > largest:
            raise TooLarge(f"The image has {count} slices, more than the {largest} allowed: crop it.")
        with self._lock:
            if sum(one.nbytes for one in self._kept.values() if self._busy.get(one.id)) + size > most:
                raise NoRoom(FULL)
            stored = Stored(new, self._make_room)
            idle = sorted((one for one in self._kept.values() if not self._busy.get(one.id)), key=lambda one: one.begun)
            while len(self._kept) >= self._limits.volumes:
                if not idle:
                    raise NoRoom(FULL)
                del self._kept[idle.pop(0).id]
            self._kept[stored.id] = stored
            return stored

    def _make_room(self, stored: Stored) -> None:
        """Those that no job needs and that were not used for longest give way."""
        with self._lock:
            others = [one for one in self._kept.values() if one is not stored]
            idle = [one for one in others if one.begun and not self._busy.get(one.id)]
            used = stored.nbytes + sum(one.nbytes for one in others if one.begun or self._busy.get(one.id))
            while used > self._limits.volumes_bytes and idle:
                used -= self._kept.pop(idle.pop(0).id).nbytes
            if used > self._limits.volumes_bytes:
                raise NoRoom(FULL)

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
        if not stored.begun:
            self._make_room(stored)
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
