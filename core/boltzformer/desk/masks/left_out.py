"""Objects that a person left out: they stay on screen, and are in no number, no export, nothing that is accepted."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from boltzformer.masks.strands import Strands


def left_out(rows: NDArray[np.uint8], voxels: Collection[Sequence[int]]) -> tuple[NDArray[np.bool_], int]:
    """(slices, rows, columns): the objects that hold one of these voxels, and how many they are; what was erased
    meanwhile needs no leaving out."""
    if not voxels:
        return np.zeros(rows.shape, bool), 0
    found, marks = Strands.of(rows), np.zeros(rows.shape, bool)
    marks[tuple(np.array(list(voxels)).T)] = True
    out = np.zeros(found.count + 1, bool)
    out[found.under(marks)] = True
    return found.mask(out), int(np.count_nonzero(out))


def without(rows: NDArray[np.uint8], voxels: Collection[Sequence[int]]) -> NDArray[np.uint8]:
    """What counts."""
    return np.where(left_out(rows, voxels)[0], 0, rows).astype(np.uint8) if voxels else rows
