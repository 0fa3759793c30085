"""Where a person points, as the engine wants it: places in the viewer become voxels of the stored array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.masks.region import stored_voxel
from boltzformer.image.guidance import Guidance
from boltzformer.types import Volume


@dataclass(frozen=True)
class Pointed:
    """One click, at (slice, row, column) or (row, column) in the viewer."""

    place: Sequence[float]
    here: bool
    """False: not here."""
    prompt: str
    """What it was said about."""


def guidance_of(volume: Volume, prompt: str, points: Iterable[Pointed], box: NDArray[np.float64] | None) -> Guidance:
    """What is said about one prompt. `box`: its ends (2, 2 or 3), as the viewer counts."""

    def voxel(place: Sequence[float]) -> tuple[float, float, float]:
        return stored_voxel(volume, (0.0, *place)[-3:])

    said: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
    for one in points:
        if one.prompt == prompt:
            said[one.here].append(voxel(one.place))
    corners = None if box is None else (voxel(box[0].tolist()), voxel(box[1].tolist()))
    return Guidance(tuple(said[True]), tuple(said[False]), corners, prompt)
