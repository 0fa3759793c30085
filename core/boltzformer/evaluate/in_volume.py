"""What an answer to a whole volume does slice by slice: where it marks, how sure it is, how much it claims."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array, Grid

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class InVolume:
    """One question about a volume, answered on all slices."""

    present: NDArray[np.bool_]
    """(slices,): whether the object is in each."""
    marked: NDArray[np.bool_]
    """(slices,): whether the answer marks anything there."""
    existence: NDArray[np.float64]
    """(slices,): how sure the answer is that something is there; without an own word, whether it marks."""
    true_ml: float
    claimed_ml: float

    @property
    def empty(self) -> int:
        """Slices without the object."""
        return int(np.count_nonzero(~self.present))

    @property
    def empty_marked(self) -> int:
        """How many of them are marked all the same."""
        return int(np.count_nonzero(self.marked & ~self.present))

    @property
    def ratio(self) -> float | None:
        """Claimed volume over the true one."""
        return self.claimed_ml / self.true_ml if self.true_ml else None


def in_volume(
    mask: NDArray[np.bool_],
    truth: NDArray[np.bool_] | None,
    grid: Grid,
    axis: int,
    existence: NDArray[np.float32] | None,
) -> InVolume | None:
    """None for a picture. Without truth the object is nowhere; `axis` is the one that slices are counted along."""
    if mask.shape[axis] == 1:
        return None
    true = np.zeros_like(mask) if truth is None else truth
    voxel_ml = abs(float(np.linalg.det(np.array(grid.axes)))) / MM3_PER_ML
    present, marked = _slices(true, axis), _slices(mask, axis)
    sure = marked if existence is None else existence
    return InVolume(
        present,
        marked,
        sure.astype(float),
        int(np.count_nonzero(true)) * voxel_ml,
        int(np.count_nonzero(mask)) * voxel_ml,
    )


def _slices(mask: Array, axis: int) -> NDArray[np.bool_]:
    return np.asarray(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
