"""napari layer ↔ `Volume` / `LabelMap`: layers show the canonical view, writes go back through the stored grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from boltzformer import GeometryError, Grid, LabelMap, Volume

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

KEY = "boltzformer"
"""Where an image layer's metadata holds the true grid."""
MASK = "boltzformer mask"
"""Where a mask layer's metadata holds its image, prompt, what the model wrote, and how."""


def image_layer(volume: Volume) -> tuple[np.ndarray, dict[str, Any], str]:
    """A `Volume` as napari layer data: transposed and flipped (no copy), with diagonal scale and translate only."""
    view = volume.grid.canonical(volume.slice_axis)
    scale, translate = volume.grid.canonical_scale_translate(volume.slice_axis)
    facts = {name: getattr(volume, name) for name in ("grid", "modality", "name", "source", "stacking_axis")}
    options = {
        "name": volume.name or "image",
        "scale": scale,
        "translate": translate,
        "metadata": {KEY: facts},
        "rgb": volume.array.ndim == 4,
    }
    return view.apply(volume.array), options, "image"


def volume_of(layer: Image) -> Volume:
    """The volume that an image layer shows."""
    data = np.asarray(layer.data)
    if layer.multiscale or data.ndim - bool(layer.rgb) not in (2, 3):
        raise GeometryError(f"The layer '{layer.name}' has {data.ndim} dimensions: give a 2-D or 3-D image.")
    facts = layer.metadata.get(KEY)
    if facts is not None:
        axis = facts["stacking_axis"]
        return Volume(facts["grid"].canonical(axis).undo(data), **facts)
    array = data[None] if data.ndim - bool(layer.rgb) == 2 else data
    return Volume(array, _own_grid(layer, array.shape[:3]), name=layer.name)


def empty_labels(layer: Image, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Data and options of an empty Labels layer that lies exactly on the image."""
    shape = layer.data.shape[:-1] if layer.rgb else layer.data.shape
    same = {key: getattr(layer, key) for key in ("scale", "translate", "units", "axis_labels")}
    return np.zeros(shape, np.uint8), {**same, "name": name, "opacity": 0.5}


def masks_of(viewer: Any, image: Image) -> list[Labels]:
    """The mask layers that were made for an image, whatever either is called by now."""
    marked = [layer for layer in viewer.layers if MASK in layer.metadata]
    return [layer for layer in marked if layer.metadata[MASK]["image"] == image.unique_id]


def shown_name(mask: Labels) -> str:
    """The prompt, unless the user renamed the layer (napari itself numbers layers of one name)."""
    facts = mask.metadata[MASK]
    return facts["prompt"] if mask.name == facts["first name"] else mask.name


def how_made(mask: Labels) -> dict[str, Any]:
    """The runs that wrote into a mask, and the slices that differ from what they wrote."""
    facts = mask.metadata[MASK]
    rows = mask.data[None] if mask.ndim == 2 else mask.data
    edited = [row for row, seen in enumerate(rows) if not np.array_equal(seen, facts["written"].get(row, 0 * seen))]
    return {"prompt": facts["prompt"], "runs": facts["runs"], "slices edited, as shown": edited}


def label_map(image: Image, masks: list[Labels]) -> LabelMap:
    """The masks on the stored grid of their image, one layer and one label each."""
    volume = volume_of(image)
    view = volume.grid.canonical(volume.slice_axis)
    seen = view.apply(volume.array).shape[:3]
    layers = [view.undo(np.asarray(mask.data).reshape(seen) > 0) * np.uint8(n + 1) for n, mask in enumerate(masks)]
    return LabelMap(np.stack(layers), volume.grid, {n + 1: shown_name(mask) for n, mask in enumerate(masks)})


def _own_grid(layer: Layer, shape: tuple[int, ...]) -> Grid:
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
    pad = [1.0] * (3 - layer.ndim)
    scale = [*pad, *(np.asarray(layer.scale) * np.diagonal(matrix))]
    offset = [*(0.0 for _ in pad), *(np.asarray(layer.translate) + np.asarray(layer.affine.translate))]
    lps = np.eye(4)
    lps[:3, :3] = np.diag(scale[::-1])
    lps[:3, 3] = offset[::-1]
    return Grid.from_lps(shape, lps)
