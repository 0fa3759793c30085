"""`Guidance`: a user's hand on the sampler, in voxels of the stored image. Numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from boltzformer.errors import BoltzFormerError

STRENGTH, WIDTH = 2.0, 16.0
"""Of guidance, unless said otherwise; what other values did is in benchmarks/RESULTS.md."""
Voxel = tuple[float, float, float]
"""A place i, j, k in the stored array (along x, y, z), 0-based: whole numbers are the centres of voxels."""


@dataclass(frozen=True)
class Guidance:
    """A user's hand on the sampler: looks are drawn with p ∝ exp((U + strength · g)/τ) instead of exp(U/τ).

    It says something about the slices that its points and its box lie in, and nothing about others.
    """

    here: tuple[Voxel, ...] = ()
    """The object is here: g rises to 1, and the slice has a mask whatever its existence."""
    not_here: tuple[Voxel, ...] = ()
    """It is not: g falls to −1."""
    box: tuple[Voxel, Voxel] | None = None
    """Two corners: nothing outside is looked at, in the slices between them."""
    prompt: str = ""
    """The text of the prompt that is meant; empty for all."""
    strength: float = STRENGTH
    """λ: by how much of a sure guess (U = 1) a point changes what the model believes of its place."""
    width: float = WIDTH
    """Standard deviation of g around a point, in pixels of the network's input."""

    def __post_init__(self) -> None:
        if not (0 <= self.strength < np.inf and 0 < self.width < np.inf):
            raise BoltzFormerError(
                f"Guidance can't have strength {self.strength} and width {self.width}: "
                "give a strength of 0 or more and a width above 0."
            )
        object.__setattr__(self, "here", tuple(map(_voxel, self.here)))
        object.__setattr__(self, "not_here", tuple(map(_voxel, self.not_here)))
        if self.box is not None:
            corners = tuple(map(_voxel, self.box))
            if len(corners) != 2:
                raise BoltzFormerError(f"A box of guidance has two corners, not {len(corners)}.")
            low, high = (tuple(end(pair) for pair in zip(*corners, strict=True)) for end in (min, max))
            object.__setattr__(self, "box", (low, high))

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self.here or self.not_here or self.box)


def as_guidance(guidance: Guidance | Sequence[Guidance] | None) -> tuple[Guidance, ...]:
    """Nothing, one, or several (for other prompts); those that say nothing are left out."""
    several = () if guidance is None else [guidance] if isinstance(guidance, Guidance) else guidance
    return tuple(one for one in several if one)


def _voxel(place: Sequence[float]) -> Voxel:
    try:
        i, j, k = map(float, place)
    except (TypeError, ValueError):
        i = j = k = np.nan
    if not np.isfinite((i, j, k)).all():
        raise BoltzFormerError(f"The point {place} is no place in an image: give three numbers i, j, k.")
    return i, j, k
