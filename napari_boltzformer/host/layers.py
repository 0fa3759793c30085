"""napari layer ↔ `Volume` / `LabelMap`: layers show the canonical view, heads upright in every plane, with letters that
say which side is which; writes go back through the stored grid."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Points, Shapes

from boltzformer import GeometryError, Grid, Volume
from boltzformer.desk.keeping.stories import MaskInFile
from boltzformer.desk.scale import MICROSCOPIC_MM
from boltzformer.io.kinds import says_sides

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

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


def mask_layer(mask: MaskInFile) -> tuple[np.ndarray, dict[str, Any], str]:
    """A mask of a file as a Labels layer; where it lies on an open image, placed as that is."""
    axis = None if mask.image is None else mask.image.stacking_axis
    grid = mask.grid if mask.image is None else mask.image.grid
    data, options, _ = image_layer(Volume(mask.array, grid, name=mask.name, stacking_axis=axis))
    del options["rgb"]
    if mask.image is not None:
        options["metadata"] = {KEY: facts_of(mask.image)}
    return data, options, "labels"


def images_here(viewer: Any, first: Image | None = None) -> list[Volume]:
    """Those that are open and lie somewhere, the chosen one first: masks may belong to them."""
    layers = [] if viewer is None else [layer for layer in viewer.layers if isinstance(layer, Image)]
    return [volume_of(one) for one in [*([] if first is None else [first]), *layers] if KEY in one.metadata]


def facts_of(volume: Volume) -> dict[str, Any]:
    """What a layer of this image, or of a mask on it, must not lose."""
    return {name: getattr(volume, name) for name in ("grid", "modality", "name", "source", "stacking_axis", "placed")}


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
    return Volume(array, own_grid(layer, array.shape[:3]), name=layer.name, placed=_has_units(layer))


def empty_labels(layer: Image, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Data and options of an empty Labels layer that lies exactly on the image."""
    shape = layer.data.shape[:-1] if layer.rgb else layer.data.shape
    return np.zeros(shape, np.uint8), {**same_place(layer), "name": name}


def same_place(layer: Image) -> dict[str, Any]:
    """Options of a layer that lies exactly on the image."""
    return {key: getattr(layer, key) for key in ("scale", "translate", "units", "axis_labels")}


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


def edges_on_slider(viewer: napari.viewer.Viewer, layer: Image) -> tuple[float, float]:
    """Where the first slice begins and the last one ends, in steps of the viewer's slider: it goes through all images
    that are open, each with slices of its own."""
    steps = viewer.dims.range[viewer.dims.ndim - 3]
    ends = (layer.data_to_world((row, 0, 0))[0] for row in (-0.5, layer.data.shape[0] - 0.5))
    first, last = ((float(end) - steps.start) / steps.step for end in ends)
    return first, last


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


def _has_units(layer: Layer) -> bool:
    return any(str((1 * unit).units) not in ("pixel", "dimensionless", "") for unit in layer.units)


def _mm_per_unit(layer: Layer) -> np.ndarray:
    """Millimetres per unit of each axis; what has no units is taken as it is."""
    if not _has_units(layer):
        return np.ones(layer.ndim)
    units = [1 * unit for unit in layer.units]
    for one in units:
        if not one.is_compatible_with("millimeter"):
            raise GeometryError(
                f"The layer '{layer.name}' is measured in {one.units}: give all its axes units of length, or none."
            )
    return np.array([one.to("millimeter").magnitude for one in units])


DARK, FEW = 0.5, 200_000
"""An image is dark where nearly all of it lies below this share of the contrast; so many voxels tell. MR of a cropped
hippocampus ends between 0.31 and 0.44, CT in a window of its own, ultrasound and other MR beyond 0.51."""
SHARES = 0.5, 99.5
"""Percentiles that are shown black and white then."""


def lighten(layer: Image) -> None:
    """A few bright voxels make all others dark: then the contrast leaves them out. What the model sees is not this.
    A contrast that somebody chose stays: it is less than the slider's range, or leaves something out already."""
    if layer.rgb or layer.multiscale or tuple(layer.contrast_limits) != tuple(layer.contrast_limits_range):
        return
    data = np.asarray(layer.data)
    step = max(1, int(np.ceil((data.size / FEW) ** (1 / data.ndim))))
    some = data[(slice(None, None, step),) * data.ndim]
    low, high = (float(one) for one in np.percentile(some, SHARES))
    least, most = (float(one) for one in layer.contrast_limits)
    if least <= some.min() and some.max() <= most and low < high < least + DARK * (most - least):
        layer.contrast_limits = low, high


PLANES = {"axial": ("F", "H"), "coronal": ("A", "P"), "sagittal": ("R", "L")}
"""By the letters of the axis that one scrolls along."""


def turn_to(viewer: napari.viewer.Viewer, image: Image, plane: str) -> None:
    """That plane, flat; the others' axes keep their order."""
    axis = next(n for n in range(3) if set(sides(image, n)) == set(PLANES[plane])) + viewer.dims.ndim - 3
    viewer.dims.ndisplay = 2
    viewer.dims.order = (axis, *(one for one in range(viewer.dims.ndim) if one != axis))


def other_plane(viewer: napari.viewer.Viewer, image: Image) -> str:
    """Of which plane its slices are, where the viewer shows another one, flat; '' where it shows them."""
    if image.ndim != 3 or viewer.dims.ndisplay != 2 or shows_slices(viewer):
        return ""
    across = set(sides(image, 0)) if has_sides(image) else set()
    return next((name for name, letters in PLANES.items() if set(letters) == across), "other")


LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
"""Towards smaller and larger LPS coordinates: right, left; anterior, posterior; foot, head."""


def sides(image: Image, axis: int) -> tuple[str, str]:
    """The letters at the beginning and the end of one of the image's axes as shown (slice, row, column)."""
    facts = image.metadata[KEY]
    direction = facts["grid"].canonical_directions(facts["stacking_axis"])[:, axis]
    world = int(np.abs(direction).argmax())
    low, high = LETTERS[world]
    return (low, high) if direction[world] > 0 else (high, low)


def has_sides(image: Image) -> bool:
    """Whether anybody knows which side is which: a picture (PNG, JPEG, TIFF) says nothing of it, though one of a
    microscope says how many µm a pixel measures."""
    facts = image.metadata.get(KEY)
    if facts is None:
        return False
    grid = facts["grid"]
    if grid == Grid.pixels(grid.shape) and not facts.get("placed"):
        return False
    microscope = min(grid.spacing_mm) < MICROSCOPIC_MM  # its picture, kept as NIfTI, still says nothing but a size
    if microscope and grid == Grid.from_lps(grid.shape, np.diag([*grid.spacing_mm, 1.0])):
        return False
    return says_sides(Path(facts["source"]))


def hang(viewer: napari.viewer.Viewer, image: Image | None) -> None:
    """Turns the camera, and writes the letters, for the plane that is shown; foreign layers stay as they are."""
    if image is None or KEY not in image.metadata or viewer.dims.ndisplay != 2 or image.ndim != 3:
        _text(viewer).visible = False
        return
    offset = viewer.dims.ndim - 3
    vertical, horizontal = (axis - offset for axis in viewer.dims.displayed)
    if min(vertical, horizontal) < 0:
        return
    up = sides(image, vertical)[1] in ("H", "A")  # what grows towards head or face is drawn upwards
    left = sides(image, horizontal)[1] in ("R", "A")
    camera_of(viewer).orientation2d = ("up" if up else "down", "left" if left else "right")
    top, bottom = sides(image, vertical)[:: -1 if up else 1]
    west, east = sides(image, horizontal)[:: -1 if left else 1]
    text = _text(viewer)
    text.visible = has_sides(image)
    text.text = f"top {top} · bottom {bottom} · left {west} · right {east}"


def camera_of(viewer: napari.viewer.Viewer) -> Any:
    """napari 0.9 moved it."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def grid_of(viewer: napari.viewer.Viewer) -> Any:
    """Moved as well."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.grid if canvas is None else canvas.grid


def together(viewer: napari.viewer.Viewer) -> AbstractContextManager[Any]:
    """For layers that go one after the other: napari tidies up (a third of a second and more) once, not after each."""
    batched = getattr(viewer.layers, "batched_update", None)  # since napari 0.9
    return nullcontext() if batched is None else batched()


def fit(viewer: napari.viewer.Viewer) -> None:
    """All of the picture into the view, where that is flat. Rings and points are as large as the zoom makes them, and
    count to napari as far as they reach: of another zoom, they would reach far beyond the picture."""
    if len(viewer.layers) and viewer.dims.ndisplay == 2:
        to_view = viewer.fit_to_view if hasattr(viewer, "fit_to_view") else viewer.reset_view
        pictures = [layer for layer in viewer.layers if not isinstance(layer, Points | Shapes)]
        of_these = pictures and "layers" in signature(to_view).parameters  # napari 0.9
        to_view(**({"layers": pictures} if of_these else {}))


def bare_brush(viewer: napari.viewer.Viewer) -> None:
    """napari 0.9 lays a small black square under the circle of its brush, from the second time that one is taken up,
    and leaves it lying when the brush is put down."""
    canvas = getattr(viewer, "canvas", None)
    if canvas is not None and "_brush_circle" in canvas.overlays:
        canvas.overlays["_brush_circle"].box = False


def _text(viewer: napari.viewer.Viewer) -> Any:
    """The viewer's words on the canvas, moved as well."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.text_overlay if canvas is None else canvas.overlays.text


def lay_down(layer: Layer) -> None:
    """Whatever tool works on it: its brush would stay on the canvas, and paint unseen once the layer is back."""
    if str(layer.mode) != "pan_zoom":
        layer.mode = "pan_zoom"


def same(one: Any, other: Any) -> bool:
    """Whether two are one layer: plugins get layers in wrappers that differ each time."""
    return one is not None and other is not None and one.unique_id == other.unique_id
