"""Objects: the connected pieces of a mask. Which are small, which are doubles, which only touch each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array, Grid
from boltzformer.types import LabelMap, Prediction

Pieces = NDArray[np.int32]
"""Like the mask; 0 outside, 1…n on the objects."""
DOUBLE = 0.5
"""Two objects whose intersection over union is above this show the same thing."""


def pieces(mask: Array, edges: Array | None = None) -> Pieces:
    """Voxels that touch, also by a corner, are one object; where `edges` run through the mask, they part it."""
    whole = mask.astype(bool)
    if edges is None:
        from scipy.ndimage import label as connected  # all that a viewer has: scikit-image is the engine's

        return connected(whole, np.ones((3,) * whole.ndim), output=np.int32)[0]
    from skimage.measure import label
    from skimage.segmentation import watershed  # takes 50 ms to import, and a viewer may wait

    cores = label(whole & ~edges.astype(bool), connectivity=1)
    parted = watershed(edges.astype(np.uint8), cores, mask=whole, connectivity=whole.ndim).astype(np.int32)
    # what is nothing but edge has no core to grow from, and is still an object
    rest = label(whole & (parted == 0), connectivity=whole.ndim)
    return np.where(rest > 0, rest + parted.max(initial=0), parted).astype(np.int32)


def voxel_mm3(grid: Grid) -> float:
    """Volume of one voxel."""
    return abs(float(np.linalg.det(np.array(grid.axes))))


def centre_lps(voxels: NDArray[np.int64], grid: Grid) -> tuple[float, float, float]:
    """Middle of an object's voxels, (n, 3) as z, y, x, in LPS mm."""
    x, y, z = grid.world(voxels.mean(axis=0)[::-1]).tolist()
    return x, y, z


def in_order(found: Pieces, grid: Grid) -> list[int]:
    """The pieces of a stored array in the order in which tables count them: the largest first, of those as large as
    each other the one whose middle lies first in LPS."""
    from scipy.ndimage import find_objects

    keys = []
    for one, box in enumerate(find_objects(found), 1):
        voxels = np.argwhere(found[box] == one) + [part.start for part in box]
        keys.append((-len(voxels), centre_lps(voxels, grid), one))
    return [one for *_, one in sorted(keys)]


def kept(labels: LabelMap, *, smallest_mm3: float = 0, largest: int | None = None) -> LabelMap:
    """Without the objects below a volume, and with only so many of the largest per label."""
    layers = labels.layers.copy()
    for layer in layers:
        for value in labels.names:
            found = pieces(layer == value)
            stay = staying(np.bincount(found.ravel()), voxel_mm3(labels.grid), smallest_mm3, largest)
            layer[~stay[found]] = 0
    return replace(labels, layers=layers)


def staying(sizes: NDArray[np.int64], voxel: float, smallest_mm3: float, largest: int | None) -> NDArray[np.bool_]:
    """Which pieces stay, by number; `sizes` counts the voxels of each, of `voxel` mm³, the background's first.

    Of several that are the last of the largest, all do.
    """
    counted = sizes.copy()
    counted[0] = 0
    stay: NDArray[np.bool_] = counted * voxel >= smallest_mm3
    if largest is not None:
        stay &= counted >= np.sort(counted)[::-1][:largest][-1]
    stay[0] = True
    return stay


def without_doubles(labels: LabelMap, prediction: Prediction) -> LabelMap:
    """Of two prompts' objects that cover the same voxels the surer stays; nested ones (a tumour in a liver) both do.

    Judged on whole objects, not slice by slice: near the poles of an organ a tumour may fill its slice and is still
    another thing. How sure is the highest existence in the slices that an object lies in; in a tie the earlier prompt.
    """
    inside = box_of(labels.layers.max(axis=0))
    layers = labels.layers.copy()
    cut = [layer[inside] for layer in layers]  # views: what is cleared here is cleared in `layers`
    found = [pieces(layer) for layer in cut]
    sizes = [np.bincount(one.ravel()) for one in found]
    sure = [_sureness(one, prompt, prediction, inside) for prompt, one in enumerate(found)]
    doubles = [pair for a in range(len(cut)) for b in range(a) for pair in _doubles(b, a, found, sizes)]
    candidates = sorted({one for pair in doubles for one in pair}, key=lambda one: (-sure[one[0]][one[1]], one))
    staying: set[tuple[int, int]] = set()
    for one in candidates:
        if any(one in pair and (staying & set(pair)) for pair in doubles):
            cut[one[0]][found[one[0]] == one[1]] = 0
        else:
            staying.add(one)
    return replace(labels, layers=layers)


def _doubles(
    a: int, b: int, found: Sequence[Pieces], sizes: Sequence[NDArray[np.int64]]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    both = (found[a] > 0) & (found[b] > 0)
    pairs, shared = np.unique(np.stack([found[a][both], found[b][both]]), axis=1, return_counts=True)
    overlap = shared / (sizes[a][pairs[0]] + sizes[b][pairs[1]] - shared)
    return [((a, int(x)), (b, int(y))) for x, y in pairs[:, overlap > DOUBLE].T]


def _sureness(found: Pieces, prompt: int, prediction: Prediction, inside: tuple[slice, ...]) -> NDArray[np.float64]:
    """(n + 1,): per object, the highest existence of its prompt in the slices that it lies in."""
    axis, best = prediction.plan.axis, np.zeros(int(found.max(initial=0)) + 1)
    first = inside[axis].start or 0
    for result in prediction.slices:
        if first <= result.index < first + found.shape[axis]:
            here = np.unique(found.take(result.index - first, axis=axis))
            best[here] = np.maximum(best[here], result.existence[prompt])
    return best


def box_of(mask: Array) -> tuple[slice, ...]:
    """The smallest box around a mask."""
    slices: list[slice] = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        slices.append(slice(int(hit[0]), int(hit[-1]) + 1) if len(hit) else slice(0, 0))
    return tuple(slices)
