"""`VoxelHash`: the identity of an image's stored values, the same in files, engine, server and client."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from boltzformer.image.geometry import Array


def sha256_of(file: Path) -> str:
    """Of a file's bytes."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class VoxelHash:
    """SHA-256 of the stored values in array order, fed plane by plane: a flipped view is not copied as a whole."""

    def __init__(self) -> None:
        self._found = hashlib.sha256()
        self.planes = 0
        """So many have been fed."""

    def add(self, planes: Array) -> VoxelHash:
        """The next planes along the first axis."""
        for plane in planes:
            self._found.update(np.ascontiguousarray(plane).data)
            self.planes += 1
        return self

    @property
    def hex(self) -> str:
        """Of all planes so far."""
        return self._found.hexdigest()


def hash_of_voxels(array: Array) -> str:
    """Of a whole image."""
    return VoxelHash().add(array).hex
