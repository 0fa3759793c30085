"""How an image hangs: heads upright in every plane, and letters that say which side is which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from boltzformer import Grid
from napari_boltzformer.host.layers import KEY

if TYPE_CHECKING:
    import napari

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
    """Whether anybody knows which side is which: a picture (PNG, JPEG, TIFF) says nothing of it."""
    facts = image.metadata.get(KEY)
    return facts is not None and facts["grid"] != Grid.pixels(facts["grid"].shape)


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


def _text(viewer: napari.viewer.Viewer) -> Any:
    """The viewer's words on the canvas, moved as well."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.text_overlay if canvas is None else canvas.overlays.text
