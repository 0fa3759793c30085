"""A look on the canvas: all is dimmed but where it was visited, as long as the pointer or a pin asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from boltzformer import LookTrace, SlicePlan
from boltzformer.masks.pictures import CYAN, DIM, WHITE, border, on_slice, smooth_on_slice
from napari_boltzformer.host.stage import LIGHT

if TYPE_CHECKING:
    from napari.layers import Image


def veil(
    plan: SlicePlan, light: NDArray[np.float32], look: LookTrace, mask: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    """(rows, columns, 4): black that lets the image through where it is lit, the guess in cyan, the mask in white."""
    rows, columns = plan.slice_shape
    seen = np.full((rows, columns), DIM, np.float32)
    seen[plan.crop] = on_slice(light, plan, *plan.crop_shape)
    picture = np.zeros((rows, columns, 4), np.uint8)
    picture[..., 3] = np.rint(255 * (1 - seen))
    inside = picture[plan.crop]
    inside[border(smooth_on_slice(look.guess, plan, *plan.crop_shape) >= 0.5)] = (*CYAN, 255)
    if mask is not None:
        picture[border(mask)] = (*WHITE, 255)
    return picture


class CanvasLight:
    """One layer above the others, there only while it is asked for; it takes neither selection nor tool."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Image | None = None

    def show(self, image: Image, picture: NDArray[np.uint8], name: str) -> None:
        """Over the slice on screen, where the viewer shows the plane of the slices flat; elsewhere nothing."""
        dims = self._viewer.dims
        if dims.ndisplay != 2 or tuple(dims.order[-2:]) != (dims.ndim - 2, dims.ndim - 1):
            return self.clear()
        if self._layer is not None and self._layer in self._viewer.layers and self._fits(image):
            self._layer.data, self._layer.name = picture, name
            self._layer.visible = True
            return None
        self.clear()
        selected = set(self._viewer.layers.selection)
        active = self._viewer.layers.selection.active
        same = {key: getattr(image, key)[-2:] for key in ("scale", "translate", "units", "axis_labels")}
        self._layer = self._viewer.add_image(picture, rgb=True, name=name, metadata={LIGHT: True}, **same)
        self._viewer.layers.selection = selected
        self._viewer.layers.selection.active = active
        return None

    def hide(self) -> None:
        """For a moment."""
        if self._layer is not None:
            self._layer.visible = False

    def clear(self) -> None:
        """Takes the layer out of the viewer."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _fits(self, image: Image) -> bool:
        assert self._layer is not None
        places = (self._layer.scale, image.scale[-2:]), (self._layer.translate, image.translate[-2:])
        return all(np.array_equal(ours, theirs) for ours, theirs in places)
