"""Images that are compared: napari looks at all places of its grid with one camera, so each group of layers is moved to
where the others are, one that is much smaller is enlarged, and a picture beside a volume is there at all its slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_boltzformer.host.layers import grid_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

OWN = "boltzformer own place"
"""Where a layer's metadata holds its affine as it was."""
STOOD = "boltzformer stood"
"""Where an image's metadata holds its plane, and the place in each axis, while it is put away."""
MUCH = 1.5
"""Below this two images are shown at one scale: who compares sizes must not be misled by a slightly larger field."""


def bring_together(images: Sequence[Image], groups: Sequence[Sequence[Layer]]) -> None:
    """Each image, with all that lies on it, in the middle of its place; a much smaller one fills it, too."""
    plain = [_plain_extent(image) for image in images]
    sizes = [high - low for low, high in plain]
    largest = np.max(sizes, axis=0)
    middle = np.mean(plain[int(np.argmax([size.prod() for size in sizes]))], axis=0)
    larger = [_larger(largest, size) for size in sizes]
    deep = [(*_along(image), by) for image, by in zip(images, larger, strict=True) if not flat(image)]
    deep = deep or [(*_along(image), 1.0) for image in images]
    first = deep[0][:2]
    middles = [((begin + end) / 2 + _beside(first, begin, end), by * (end - begin) / 2) for begin, end, by in deep]
    whole = np.array([min(at - half for at, half in middles), max(at + half for at, half in middles)])
    for image, group, (low, high), by in zip(images, groups, plain, larger, strict=True):
        where = (low + high) / 2
        begin, end = _along(image)
        deeper = (whole[1] - whole[0]) / (end - begin) if flat(image) else by
        beneath = (whole.mean() if flat(image) else (begin + end) / 2 + _beside(first, begin, end)) - deeper * (
            begin + end
        ) / 2
        for layer in group:
            before = _own(layer)
            moved = np.eye(layer.ndim + 1)
            moved[range(layer.ndim), range(layer.ndim)] = by
            moved[-3:-1, -1] = middle - by * where
            if layer.ndim > 2:
                moved[-4, -4], moved[-4, -1] = deeper, beneath
            _give(layer, moved @ before)


def fill_up(viewer: napari.viewer.Viewer, groups: Mapping[str, list[Layer]], fills: str, whose: str) -> None:
    """As many layers in each of the images' groups as the largest has: napari's grid has as many in each place. Those
    that fill a place, marked by `fills` and `whose`, stay where they are needed still: each that comes or goes takes
    its time. One group alone needs none."""
    most = max(map(len, groups.values())) if len(groups) > 1 else 0
    for layer in [one for one in viewer.layers if fills in one.metadata]:
        group = groups.get(layer.metadata[whose], [])
        if len(group) < most and layer.metadata[whose] in groups:
            group.append(layer)
        else:
            viewer.layers.remove(layer)
    for key, group in groups.items():
        for _ in range(most - len(group)):
            told = {fills: True, whose: key}
            group.append(viewer.add_points(name="(room)", ndim=viewer.dims.ndim, visible=False, metadata=told))


def lay_out(viewer: napari.viewer.Viewer, order: Sequence[Layer], each: int, places: tuple[int, int]) -> None:
    """In napari's grid: layers in this order, so many in each of the places. napari is told once: after each of these
    steps it would find a place for all that is drawn anew, and until the last one nothing of it is seen."""
    grid, layers = grid_of(viewer), viewer.layers
    with grid.events.stride.blocker(), grid.events.shape.blocker(), layers.events.reordered.blocker():
        for place, layer in enumerate(order):
            layers.move(layers.index(layer), place)
        grid.stride, grid.shape = each, places
    grid.enabled = True
    layers.events.reordered(value=layers)


def _larger(largest: NDArray[np.float64], size: NDArray[np.float64]) -> float:
    """By how much an image of this size is enlarged."""
    by = float(np.min(largest / np.maximum(size, 1e-9)))
    return 1.0 if by < MUCH else by


def _beside(first: tuple[float, float], begin: float, end: float) -> float:
    """How far slices are moved to lie beside those of the first image: they stay at their own height in the scanner
    unless nothing of both is at one height. Else one of the two places would be empty at every slice."""
    apart = max(begin, first[0]) >= min(end, first[1])
    return (sum(first) - begin - end) / 2 if apart else 0.0


@contextmanager
def stay_in(viewer: napari.viewer.Viewer, image: Image | None) -> Iterator[None]:
    """At the voxel of an image that is looked at, whatever moves meanwhile: napari's slider holds on to the number of
    its step, which is another place as soon as there are more or fewer of them."""
    dims = viewer.dims
    before, at = dims.point, None if image is None else image.world_to_data(dims.point)
    yield
    if image is not None and image in viewer.layers and len(before) == dims.ndim:
        step_through(viewer, image)
        now = (*before[: -image.ndim], *(float(one) for one in image.data_to_world(at)))
        if not np.allclose(now, dims.point):
            dims.set_point(range(dims.ndim), now)


def steps_of(viewer: napari.viewer.Viewer, image: Image) -> list[tuple[float, float, float]]:
    """First place, last place and step of each of the viewer's axes, where its sliders go through one image alone."""
    found = [tuple(one) for one in viewer.dims.range]
    first, last = (
        image.data_to_world(at) for at in ((0,) * image.ndim, [n - 1 for n in image.data.shape[: image.ndim]])
    )
    for axis, count in zip(range(-image.ndim, 0), image.data.shape, strict=False):
        low, high = sorted((float(first[axis]), float(last[axis])))
        step = (high - low) / max(count - 1, 1)
        found[axis] = low, high + step / 1000, step or 1.0  # napari counts whole steps, and rounds down
    return found


def goes_through(viewer: napari.viewer.Viewer, image: Image) -> bool:
    """Whether every step of napari's slider is a slice of an image that is compared; to a flat one it may belong or
    not, as is any step where nothing is compared."""
    return OWN not in image.metadata or flat(image) or np.allclose(viewer.dims.range, steps_of(viewer, image))


def step_through(viewer: napari.viewer.Viewer, image: Image) -> None:
    """Of images that are compared, the slider goes through that in hand: through all of them at once it would have more
    steps than any has slices, and some at which nothing changes."""
    if not goes_through(viewer, image):
        viewer.dims.range = steps_of(viewer, image)


def stepped(image: Image | None, images: Sequence[Image], last: Sequence[str]) -> Image | None:
    """Whose slices the slider goes through while one of these is in hand: a picture has none, so it is those of a
    volume beside it, and of several, of the one whose key is the last."""
    deep = [one for one in images if not flat(one)]
    if image is None or not deep or not flat(image):
        return image
    keys = [str(one.unique_id) for one in deep]
    return max(zip(keys, deep, strict=True), key=lambda one: last.index(one[0]) if one[0] in last else -1)[1]


def under_mouse(viewer: napari.viewer.Viewer, event: Any) -> list[Layer]:
    """What lies in the place of the grid that a mouse is over: to its layers all places are one. The first napari of
    ours does not tell."""
    grid, place, layers = grid_of(viewer), getattr(event, "viewbox", None), list(viewer.layers)
    if place is None or not grid.enabled:
        return []
    among: Any = layers if "layers" in signature(grid.position).parameters else len(layers)  # before 0.9 their number
    return [layer for number, layer in enumerate(layers) if tuple(grid.position(number, among)) == tuple(place)]


def note_place(viewer: napari.viewer.Viewer, image: Layer) -> None:
    """It is about to be put away: the next one may be looked at in another plane, and end elsewhere."""
    image.metadata[STOOD] = viewer.dims.order, viewer.dims.point


def find_place(viewer: napari.viewer.Viewer, image: Layer, images: Sequence[Image]) -> bool:
    """It is back, and shown as it was left → whether it was there before. A picture, by itself or beside a volume, is
    there in one plane alone: in another one it would be a line, drawn as wide as the volume is deep."""
    dims = viewer.dims
    order, point = image.metadata.pop(STOOD, ((), ()))
    if point and len(point) == dims.ndim:
        dims.order = order
        dims.set_point(range(len(point)), point)
    if dims.ndisplay == 2 and any(flat(one) and (one is image or OWN in one.metadata) for one in images):
        dims.order = tuple(range(dims.ndim))
    return bool(point)


def put_back(layers: Sequence[Layer]) -> None:
    """Each where it lies."""
    for layer in layers:
        if OWN in layer.metadata:
            _give(layer, layer.metadata.pop(OWN))


@contextmanager
def tell_of_sizes(viewer: napari.viewer.Viewer, heard: Sequence[Callable[[], None]]) -> Iterator[None]:
    """Where layers are drawn larger or smaller afterwards: lines and points on them would be, too."""
    before = {str(layer.unique_id): width_of(layer) for layer in viewer.layers}
    yield
    now = {str(layer.unique_id): width_of(layer) for layer in viewer.layers}
    if any(not np.isclose(width, before.get(key, width)) for key, width in now.items()):
        for one in heard:
            one()


def width_of(layer: Layer) -> float:
    """Of one of its pixels in the world, where it lies now."""
    return float(layer.scale[-1] * np.linalg.norm(layer.affine.affine_matrix[:-1, -2]))


def _own(layer: Layer) -> NDArray[np.float64]:
    found: NDArray[np.float64] = layer.metadata.setdefault(OWN, np.array(layer.affine.affine_matrix, float))
    return found


def _own_world(image: Image) -> NDArray[np.float64]:
    """(2, ndim): the ends of an image where it lies by itself."""
    shape = np.array(image.data.shape[: image.ndim], float)
    scale, begin = np.asarray(image.scale, float), np.asarray(image.translate, float)
    return np.stack([begin - scale / 2, begin + scale * (shape - 0.5)])


def _plain_extent(image: Image) -> NDArray[np.float64]:
    """The same, of its rows and columns."""
    return np.sort(_own_world(image)[:, -2:], axis=0)


def flat(image: Image) -> bool:
    """A picture: without slices of its own."""
    return bool(image.ndim < 3 or image.data.shape[0] == 1)


def _along(image: Image) -> tuple[float, float]:
    """The same, of its slices; of a picture without any, nothing much."""
    begin, end = np.sort(_own_world(image)[:, -3]) if image.ndim > 2 else (0.0, 1.0)
    return float(begin), float(end)


def _give(layer: Layer, affine: NDArray[np.float64]) -> None:
    if not np.allclose(layer.affine.affine_matrix, affine):
        layer.affine = affine
