"""One label per object in a picture: objects that touch are parted by a line of background, so that whatever counts,
deletes and measures objects knows them apart. Also by a click: cut here, join these two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Grid
from boltzformer.masks.objects import box_of, in_order, pieces
from boltzformer.masks.postprocess import sigmoid
from boltzformer.types import LabelMap, Prediction

Mask = NDArray[np.bool_]
PROMINENCE = 0.08
"""Of an object's half width: a bulge that stands out by less is no object of its own."""
LEAST_PROMINENCE = 0.6
"""In pixels, for objects so small that noise of their border makes bulges."""
ANGLES = 36
"""Cuts that are tried through a click."""
CLOSE = 6
"""Pixels: objects that grow by so many and touch then are neighbours."""
REACH = 4
"""Pixels: what is farther from a click than this is not meant by it."""
FAR = 16
"""Pixels: two objects that are clicked one after the other are joined where no more than this lies between them."""
MEANING = (
    "0 outside; each object its own number, as the table counts them: 1 is the largest; what is missing was left out"
)
"""Of a picture of numbers."""


def parted(mask: Mask, logits: NDArray[np.float32] | None = None) -> Mask:
    """(rows, columns): the same, with a line of background between objects that touch.

    A watershed on how deep a pixel lies in its object, times the model's own probability where that is known: two
    cells that touch have a neck, a seam of doubt, or both.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    if not mask.any():
        return mask.copy()
    inside = box_of(mask)
    cut = np.pad(mask[inside], 1)
    depth = distance_transform_edt(cut)
    height = gaussian_filter(depth, 1.0)
    if logits is not None:
        height = height * np.pad(sigmoid(logits[inside]), 1)
    found = pieces(cut)
    width = np.zeros(int(found.max()) + 1)
    np.maximum.at(width, found.ravel(), depth.ravel())
    # heights in units of what must stand out in their object
    height = np.where(cut, height / np.maximum(LEAST_PROMINENCE, PROMINENCE * width)[found], 0)
    cores = pieces(np.asarray(h_maxima(height, 1.0)) > 0)
    cells = watershed(-height, cores, mask=cut, connectivity=2)
    # an object so small that nothing stands out is one all the same
    whole: Mask = np.zeros_like(mask)
    whole[inside] = (apart(cells) | (cut & (cells == 0)))[1:-1, 1:-1]
    return whole


def each_apart(labels: LabelMap, prediction: Prediction) -> LabelMap:
    """The same for the masks of a picture, of which label p + 1 belongs to prompt p."""
    layers, plan = labels.layers.copy(), prediction.plan
    for prompt, layer in enumerate(layers):
        seen = plan.view.apply(layer)
        for one in prediction.slices:
            row = plan.canonical_index(one.index)
            seen[row] = parted(seen[row] > 0, plan.expand(one.plane(prompt))) * np.uint8(prompt + 1)
    return replace(labels, layers=layers)


def apart(labels: NDArray[np.integer]) -> Mask:
    """Without the pixels that touch a higher label, also by a corner: what is left hangs together only by itself."""
    from scipy.ndimage import maximum_filter

    return (labels > 0) & (maximum_filter(labels, 3, mode="constant") <= labels)


def split(mask: Mask, row: int, column: int) -> Mask | None:
    """The object there, cut through this pixel where it is narrowest; None where there is none, or no cut parts it."""
    if not mask[row, column]:
        return None
    found = pieces(mask)
    inside = box_of(found == found[row, column])
    one = (found == found[row, column])[inside]
    at = row - inside[0].start, column - inside[1].start
    cuts = (_chord(one, at, angle) for angle in np.arange(ANGLES) * np.pi / ANGLES)
    for cut in sorted(cuts, key=len):
        left = one.copy()
        left[cut[:, 0], cut[:, 1]] = False
        if pieces(left).max(initial=0) > 1:
            whole = mask.copy()
            whole[inside] &= ~(one & ~left)
            return whole
    return None


def joined(mask: Mask, row: int, column: int) -> Mask | None:
    """The two objects nearest to this pixel as one, the gap between them filled; None where there are no two."""
    found = pieces(mask)
    near = np.argwhere(found > 0)
    away = np.hypot(*(near - (row, column)).T)
    order = np.argsort(away, kind="stable")
    reached = [int(found[tuple(near[one])]) for one in order[away[order] <= REACH]]
    two = list(dict.fromkeys(reached))[:2]
    return _bridged(found, two[0], two[1], REACH) if len(two) == 2 else None


def joined_two(mask: Mask, first: tuple[int, int], second: tuple[int, int]) -> Mask | None:
    """The objects at these two pixels as one; None where they are one already, or lie too far apart."""
    found = pieces(mask)
    one, other = int(found[first]), int(found[second])
    if not one or not other or one == other:
        return None
    near = _bridged(found, one, other, REACH)
    return _spanned(found, one, other) if near is None else near


def _spanned(found: NDArray[np.int32], one: int, other: int) -> Mask | None:
    """With a bridge where two objects lie closest to each other, unless that is far, or leads over a third."""
    from scipy.ndimage import distance_transform_edt

    way = distance_transform_edt(found != one) + distance_transform_edt(found != other)
    free = (found == 0) & (way <= way[found == 0].min(initial=np.inf) + 1)
    if not free.any() or way[free].min() > FAR + 1:
        return None
    made: Mask = (found > 0) | free
    joint = pieces(made)
    whole = np.unique(found[joint == joint[tuple(np.argwhere(found == one)[0])]])
    return made if set(whole.tolist()) == {0, one, other} else None


def _bridged(found: NDArray[np.int32], one: int, other: int, reach: int) -> Mask | None:
    """With the gap between two of the objects filled, where that is at most twice as wide as `reach`."""
    from scipy.ndimage import binary_dilation

    mask: Mask = found > 0
    block, first, second = np.ones((3, 3), bool), found == one, found == other
    for width in range(1, reach + 1):
        gap = binary_dilation(first, block, width) & binary_dilation(second, block, width) & ~mask
        made = mask | gap
        # a third object that the gap touches stays apart
        others = binary_dilation(mask & ~first & ~second, block)
        made &= ~(gap & others)
        joint = pieces(made)
        if joint[tuple(np.argwhere(first)[0])] == joint[tuple(np.argwhere(second)[0])]:
            return made
    return None


def numbered(mask: Mask, grid: Grid | None = None) -> NDArray[np.int32]:
    """Each object's own number, the largest first, as tables count them. (rows, columns), or a stored array (z, y, x)
    with its grid: of objects as large as each other the place in the world decides."""
    found = pieces(mask)
    whole = found if found.ndim == 3 else found[None]
    number = np.zeros(int(found.max(initial=0)) + 1, np.int32)
    number[in_order(whole, grid or Grid.pixels(whole.shape))] = np.arange(1, len(number))
    return number[found]


def _chord(one: Mask, at: tuple[int, int], angle: float) -> NDArray[np.intp]:
    """(n, 2): pixels of an object on a line through one of them, as far as it is inside; joined by their sides, so that
    no corner leads across."""
    way = np.array([np.sin(angle), np.cos(angle)])
    places = [at]
    for sign in (1, -1):
        last, far = at, 0.0
        while True:
            far += 0.25
            place = np.rint(np.array(at) + sign * far * way).astype(int)
            y, x = int(place[0]), int(place[1])
            if not (0 <= y < one.shape[0] and 0 <= x < one.shape[1] and one[y, x]):
                break
            if y != last[0] and x != last[1]:
                places.append((last[0], x))
            places.append((y, x))
            last = y, x
    return np.unique(np.array(places), axis=0)


def told_apart(mask: Mask) -> NDArray[np.uint8]:
    """(rows, columns): 0 outside, else a colour's number from 1 on: objects that lie close together have others."""
    from scipy.ndimage import distance_transform_edt

    found = pieces(mask)
    away, (rows, columns) = distance_transform_edt(found == 0, return_indices=True)
    near = np.where(away <= CLOSE, found[rows, columns], 0)
    touching: dict[int, set[int]] = {}
    for step in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = near[: len(near) - step[0], max(0, -step[1]) : near.shape[1] - max(0, step[1])]
        other = near[step[0] :, max(0, step[1]) : near.shape[1] + min(0, step[1])]
        seam = (one != other) & (one > 0) & (other > 0)
        for a, b in np.unique(np.stack([one[seam], other[seam]], 1), axis=0).tolist():
            touching.setdefault(a, set()).add(b)
            touching.setdefault(b, set()).add(a)
    colours = np.zeros(int(found.max(initial=0)) + 1, np.uint8)
    for number in range(1, len(colours)):
        taken = {int(colours[one]) for one in touching.get(number, ())}
        colours[number] = next(one for one in range(1, len(taken) + 2) if one not in taken)
    return colours[found]
