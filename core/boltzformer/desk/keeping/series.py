"""The DICOM series of a folder as they are offered: which is meant unless the user says otherwise, with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import BoltzFormerError
from boltzformer.image.intensity import Window
from boltzformer.io.dicom_headers import Series, series_in
from boltzformer.io.dicom_pixels import read_pixels

SCOUT = 5
"""So few slices are a scout or a report, where a longer series lies beside them."""


@dataclass(frozen=True)
class Offer:
    """One series, as a table shows it."""

    series: Series
    thumbnail: NDArray[np.uint8] | None
    """(rows, columns); None where its pixels can't be read."""


def series_below(folder: Path) -> list[Series]:
    """The image series of a folder."""
    return series_in(folder)


def largest(found: Sequence[Series]) -> Series:
    """The one that is opened unless the user says otherwise: most voxels, the first among equals."""
    return max(found, key=_voxels)


def is_scout(series: Series, found: Sequence[Series]) -> bool:
    """Whether it is a scout or a report beside a real series."""
    return len(series.slices) < SCOUT <= len(largest(found).slices)


def offers(found: Sequence[Series]) -> list[Offer]:
    """With a picture of each one's middle slice."""
    return [Offer(one, _thumbnail(one)) for one in found]


def _voxels(series: Series) -> int:
    rows, columns = series.slices[0].size
    return len(series.slices) * rows * columns


def _thumbnail(series: Series) -> NDArray[np.uint8] | None:
    ordered = sorted(series.slices, key=lambda one: one.number)
    try:
        plane = read_pixels([ordered[len(ordered) // 2]])[0]
        plane = plane if plane.ndim == 2 else plane.mean(axis=-1)
        return np.ascontiguousarray(Window.guess(plane, series.modality).apply(plane))
    except BoltzFormerError:
        return None  # opening says why
