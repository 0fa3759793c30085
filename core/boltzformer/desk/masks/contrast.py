"""In which colour a mask is outlined: the one of ours that an eye tells best from the image below."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.intensity import Window
from boltzformer.knowledge.vocabulary import PALETTE
from boltzformer.types import Volume

COLOURS = tuple(f"#{bytes(rgb).hex().upper()}" for rgb in PALETTE)
SAMPLED = 4096
"""So many pixels of an image tell its colours."""
WORST = 15
"""Percent of the pixels may be more like it: a few dark nuclei are no reason against a dark line on bright tissue."""
LIGHTER = 3
"""So much more counts how light a colour is than which one: a line of one or two pixels is seen by its lightness alone,
and orange on the pink of a stained tissue, which is as light, is not."""


def by_contrast(volume: Volume) -> tuple[str, ...]:
    """Our colours, the one first that is least like any of the image's: an outline is thin."""
    seen = volume.grid.canonical(volume.slice_axis).apply(volume.array)
    step = max(1, int(np.sqrt(seen.shape[1] * seen.shape[2] / SAMPLED)))
    sample = seen[len(seen) // 2, ::step, ::step]
    shown = Window.guess(sample, volume.modality).apply(sample).astype(np.float64)
    rgb = shown.reshape(-1, 3) if shown.ndim == 3 else np.repeat(shown.reshape(-1, 1), 3, axis=1)
    pixels, own = _as_seen(rgb), dict(zip(COLOURS, _as_seen(np.array(PALETTE, float)), strict=True))

    def nearest(colour: str) -> float:
        return float(np.percentile(np.linalg.norm(pixels - own[colour], axis=1), WORST))

    return tuple(sorted(COLOURS, key=nearest, reverse=True))


_XYZ = np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
"""Of red, green and blue light (sRGB, daylight D65)."""


def _as_seen(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) of 0 to 255 → CIE L*a*b*, in which equal ways look equally far, with more weight on how light it is."""
    share = rgb / 255
    light = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    x, y, z = ((light @ _XYZ) / _XYZ.sum(axis=0)).T
    x, y, z = (np.where(one > 0.008856, np.cbrt(one), 7.787 * one + 16 / 116) for one in (x, y, z))
    return np.stack([LIGHTER * (116 * y - 16), 500 * (x - y), 200 * (y - z)], axis=1)
