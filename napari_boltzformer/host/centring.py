"""`look_at`: brings a place into the middle of the screen, as far as no more of the canvas stays empty for that; and
`stand_in` a slice under its sliders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_boltzformer.host.layers import camera_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

Pair = NDArray[np.float64]


def look_at(viewer: napari.viewer.Viewer, layer: Layer, place: tuple[float, ...]) -> None:
    """A place in the world, of a layer that covers the picture."""
    camera, shown = camera_of(viewer), [axis - viewer.dims.ndim for axis in viewer.dims.displayed]
    half = _half(viewer, float(camera.zoom))
    if half is None or len(shown) != 2 or min(shown) < -layer.ndim:
        camera.center = tuple(place[-3:])
        return
    extent = layer.extent  # from the middle of the first voxel to that of the last one
    low, high = extent.world[:, shown] + np.array([[-0.5], [0.5]]) * extent.step[shown]
    before, wanted = np.array(camera.center[-2:], float), np.array(place, float)[shown]
    after = middle(before, wanted, half, low, high)
    if not np.allclose(after, before):
        camera.center = (camera.center[0], *after.tolist())


def look_towards(viewer: napari.viewer.Viewer, layer: Layer) -> None:
    """At its middle, where the camera is beside it."""
    camera, shown = camera_of(viewer), [axis - viewer.dims.ndim for axis in viewer.dims.displayed]
    if viewer.dims.ndisplay != 2 or min(shown) < -layer.ndim:
        return
    low, high = layer.extent.world[:, shown]
    if not np.all((low <= camera.center[-2:]) & (camera.center[-2:] <= high)):
        camera.center = (camera.center[0], *((low + high) / 2))


def middle(before: Pair, wanted: Pair, half: Pair, low: Pair, high: Pair) -> Pair:
    """Where a view of twice `half` that has its middle at `before` has it afterwards. Along an axis on which all of the
    picture, from `low` to `high`, is in view nothing moves; on another one its edge is the view's edge at most."""
    fits = high - low <= 2 * half
    in_view = fits & (before - half <= low) & (high <= before + half)
    inside = np.clip(wanted, np.minimum(low + half, high - half), np.maximum(low + half, high - half))
    return np.where(in_view, before, np.where(fits, (low + high) / 2, inside))


def _half(viewer: Any, zoom: float) -> Pair | None:
    """Height and width of what the canvas shows of an image, halved; None before napari 0.9, which tells nobody."""
    canvas = getattr(viewer, "canvas", None)
    size = None if canvas is None else canvas.viewbox_size(viewer.layers)
    return None if size is None else np.array(size, float) / (2 * max(zoom, 1e-9))


def stand_in(viewer: napari.viewer.Viewer, image: Image, row: int, *, whole: bool) -> None:
    """napari's sliders at one of its slices; `whole`: those of the other planes at its middle."""
    dims = viewer.dims
    place = image.data_to_world((row, *(n // 2 for n in image.data.shape[1:3])))
    axes = range(dims.ndim - 3, dims.ndim if whole else dims.ndim - 2)
    dims.set_point(axes, [float(one) for one in place[: len(axes)]])
