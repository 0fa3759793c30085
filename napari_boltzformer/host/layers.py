"""napari layer ↔ `Volume` / `LabelMap`: layers show the canonical view, writes go back through the stored grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from boltzformer import GeometryError, Grid, SlicePlan, Volume
from boltzformer.desk.image import OpenImage

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

KEY = "boltzformer"
"""Where an image layer's metadata holds the true grid."""


def image_layer(volume: Volume) -> tuple[np.ndarray, dict[str, Any], str]:
    """A `Volume` as napari layer data: transposed and flipped (no copy), with diagonal scale and translate only."""
    view = volume.grid.canonical(volume.slice_axis)
    scale, translate = volume.grid.canonical_scale_translate(volume.slice_axis)
    options = {
        "name": volume.name or "image",
        "scale": scale,
        "translate": translate,
        "metadata": {KEY: facts_of(volume)},
        "rgb": volume.array.ndim == 4,
    }
    return view.apply(volume.array), options, "image"


def facts_of(volume: Volume) -> dict[str, Any]:
    """What a layer of this image, or of a mask on it, must not lose."""
    return {name: getattr(volume, name) for name in ("grid", "modality", "name", "source", "stacking_axis")}


def volume_of(layer: Image) -> Volume:
    """The volume that an image layer shows."""
    if layer.multiscale:
        raise GeometryError(
            f"The layer '{layer.name}' has several scales: give one of its levels as a layer of its own."
        )
    data = np.asarray(layer.data)
    if data.ndim - bool(layer.rgb) not in (2, 3):
        raise GeometryError(f"The layer '{layer.name}' has {data.ndim} dimensions: give a 2-D or 3-D image.")
    facts = layer.metadata.get(KEY)
    if facts is not None:
        axis = facts["stacking_axis"]
        return Volume(facts["grid"].canonical(axis).undo(data), **facts)
    array = data[None] if data.ndim - bool(layer.rgb) == 2 else data
    return Volume(array, own_grid(layer, array.shape[:3]), name=layer.name)


def open_image(layer: Image) -> OpenImage:
    """A layer as the desk knows images: by its id, with whatever voxels and name it has by then."""
    return OpenImage(layer.unique_id, lambda: volume_of(layer), lambda: str(layer.name), lambda: layer.data)


def empty_labels(layer: Image, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Data and options of an empty Labels layer that lies exactly on the image."""
    shape = layer.data.shape[:-1] if layer.rgb else layer.data.shape
    return np.zeros(shape, np.uint8), {**same_place(layer), "name": name}


def same_place(layer: Image) -> dict[str, Any]:
    """Options of a layer that lies exactly on the image."""
    return {key: getattr(layer, key) for key in ("scale", "translate", "units", "axis_labels")}


def plan_of(volume: Volume) -> SlicePlan:
    """How it is cut into slices, whatever size a model sees them at."""
    return SlicePlan.of(volume.grid, 1, volume.slice_axis)


def row_on_screen(layer: Image, point: Sequence[float]) -> int:
    """The slice that `viewer.dims.point` lies in, as the viewer counts it."""
    if layer.ndim == 2:
        return 0
    count = layer.data.shape[0]
    return int(np.clip(np.rint(np.asarray(layer.world_to_data(point))[-3]), 0, count - 1))


def lies_on_screen(layer: Image, point: Sequence[float]) -> bool:
    """Whether `viewer.dims.point` lies in one of its slices; `row_on_screen` gives the nearest one otherwise."""
    return layer.ndim == 2 or 0 <= np.rint(np.asarray(layer.world_to_data(point))[-3]) < layer.data.shape[0]


def shows_slices(viewer: napari.viewer.Viewer) -> bool:
    """Whether the viewer shows the plane of the slices, flat."""
    dims = viewer.dims
    return dims.ndisplay == 2 and set(dims.displayed) == {dims.ndim - 2, dims.ndim - 1}


def stored_voxel(volume: Volume, canonical: Sequence[float]) -> tuple[float, float, float]:
    """A place (slice, row, column) in the viewer → i, j, k of the stored array."""
    view, zyx = volume.grid.canonical(volume.slice_axis), [0.0, 0.0, 0.0]
    for place, stored, flip in zip(canonical, view.order, view.flips, strict=True):
        zyx[stored] = volume.grid.shape[stored] - 1 - place if flip else place
    return zyx[2], zyx[1], zyx[0]


def own_grid(layer: Layer, shape: tuple[int, ...]) -> Grid:
    """A layer that is not ours: its own transform, when that is diagonal."""
    matrix = np.asarray(layer.affine.affine_matrix)[:-1, :-1]
    if (
        not np.allclose(matrix, np.diag(np.diagonal(matrix)))
        or np.any(layer.rotate != np.eye(layer.ndim))
        or np.any(layer.shear)
    ):
        raise GeometryError(
            f"The layer '{layer.name}' is rotated or sheared in napari: open the file itself with BoltzFormer instead."
        )
    pad, mm = [1.0] * (3 - layer.ndim), _mm_per_unit(layer)
    scale = [*pad, *(np.asarray(layer.scale) * np.diagonal(matrix) * mm)]
    offset = [*(0.0 for _ in pad), *((np.asarray(layer.translate) + np.asarray(layer.affine.translate)) * mm)]
    lps = np.eye(4)
    lps[:3, :3] = np.diag(scale[::-1])
    lps[:3, 3] = offset[::-1]
    return Grid.from_lps(shape, lps)


def _mm_per_unit(layer: Layer) -> np.ndarray:
    """Millimetres per unit of each axis; what has no units is taken as it is."""
    units = [1 * unit for unit in layer.units]
    if all(str(one.units) in ("pixel", "dimensionless", "") for one in units):
        return np.ones(layer.ndim)
    for one in units:
        if not one.is_compatible_with("millimeter"):
            raise GeometryError(
                f"The layer '{layer.name}' is measured in {one.units}: give all its axes units of length, or none."
            )
    return np.array([one.to("millimeter").magnitude for one in units])
