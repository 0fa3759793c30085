"""Resizing planes as the reference does, in numpy: bicubic with and without antialiasing, and nearest for labels.

Only gathers, products and sums of single numbers, in a fixed order: every machine and host gets the same bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array

Resampler = Literal["bicubic", "antialiased"]
"""Plain bicubic (A = −0.75), how the public model is fed; antialiased (A = −0.5), how logits are always resized."""
Taps = tuple[NDArray[np.intp], Array]
"""(T, n) source positions and (T, n) weights of each of n target positions."""
WHOLE = slice(None)


def resize(
    plane: Array, shape: tuple[int, int], resampler: Resampler, keep: tuple[slice, slice] = (WHOLE, WHOLE)
) -> Array:
    """A plane (h, w) in another size, or the part of it to keep; uint8 stays uint8, all else becomes float32.

    Pixels are areas: their borders coincide, not their centres. Decimals may overshoot; uint8 is rounded and clipped
    after each of the two passes, columns first, as torch's kernel for integers does.
    """
    if plane.shape == shape:
        return (plane if plane.dtype == np.uint8 else plane.astype(np.float32))[keep]
    if plane.dtype != np.uint8:
        rows, columns = (_taps(plane.shape[axis], shape[axis], resampler) for axis in (0, 1))
        wide = _weigh(plane.astype(np.float32).T, columns, keep[1]).T
        return _weigh(wide, rows, keep[0])
    for axis in (1, 0):
        positions, weights, bits = _whole_taps(plane.shape[axis], shape[axis], resampler)
        sums = _weigh((plane.T if axis == 1 else plane).astype(np.int32), (positions, weights), keep[axis])
        whole = np.clip((sums + (1 << (bits - 1))) >> bits, 0, 255).astype(np.uint8)
        plane = whole.T if axis == 1 else whole
    return plane


def nearest(labels: Array, shape: tuple[int, int]) -> Array:
    """Label planes (…, h, w) in another size; positions in float32, for the reference's borders depend on it."""
    rows, columns = (
        np.minimum(np.floor(np.arange(n, dtype=np.float32) * np.float32(np.float32(old) / np.float32(n))), old - 1)
        for n, old in zip(shape, labels.shape[-2:], strict=True)
    )
    return labels[..., rows.astype(np.intp)[:, None], columns.astype(np.intp)]


def _weigh(plane: Array, taps: Taps, keep: slice) -> Array:
    """Weighted sums of rows."""
    plane = np.ascontiguousarray(plane)
    positions, weights = taps[0][:, keep], taps[1][:, keep, None]
    total = plane[positions[0]]
    total *= weights[0]
    for position, weight in zip(positions[1:], weights[1:], strict=True):
        total += plane[position] * weight
    return total


@lru_cache(maxsize=64)
def _taps(source: int, target: int, resampler: Resampler) -> Taps:
    """In float32."""
    positions, weights = _exact_taps(source, target, resampler)
    return positions, weights.astype(np.float32)


@lru_cache(maxsize=64)
def _whole_taps(source: int, target: int, resampler: Resampler) -> tuple[NDArray[np.intp], NDArray[np.int32], int]:
    """Weights as 16-bit integers, with the number of binary digits behind the point that still fit."""
    positions, weights = _exact_taps(source, target, resampler)
    bits = 0
    while bits < 22 and int(0.5 + weights.max() * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    return positions, np.trunc(weights * (1 << bits) + np.copysign(0.5, weights)).astype(np.int32), bits


def _exact_taps(source: int, target: int, resampler: Resampler) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    scale = source / target
    stretch, a = (max(scale, 1.0), -0.5) if resampler == "antialiased" else (1.0, -0.75)
    centres = (np.arange(target) + 0.5) * scale - 0.5
    reach = int(np.ceil(2 * stretch))
    offsets = np.arange(1 - reach, reach + 1)
    positions = np.floor(centres).astype(np.intp) + offsets[:, None]  # (T, n)
    weights = _cubic((positions - centres) / stretch, a)
    # What falls outside: plain, it counts for the edge pixel; antialiased, it is left out and the rest re-normalised.
    before, behind = positions < 0, positions >= source
    if resampler == "antialiased":
        weights[before | behind] = 0
        weights /= weights.sum(axis=0)
    else:
        for outer, inner, outside in ((0, 1, before), (1, 2, before), (3, 2, behind), (2, 1, behind)):
            weights[inner] += np.where(outside[outer], weights[outer], 0)
            weights[outer] = np.where(outside[outer], 0, weights[outer])
    return np.clip(positions, 0, source - 1), weights


def _cubic(x: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
