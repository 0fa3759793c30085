"""What lies over an image: hidden when the image is chosen and shown again by one press; and a look, which dims all but
where it went."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from boltzformer.desk.image import OpenImage
from boltzformer.desk.notice import Notice
from napari_boltzformer.host.layers import grid_of, same
from napari_boltzformer.host.mask import key_of
from napari_boltzformer.host.stage import LIGHT

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

SEE_THROUGH = ("additive", "minimum", "multiplicative")
"""Ways of blending that cover nothing."""
HIDDEN = "images that were hidden"


def uncover(viewer: napari.viewer.Viewer, image: Image, notice: Notice) -> None:
    """Makes it visible, and hides images that lie over it."""
    notice.take_back(HIDDEN)
    image.visible = True
    layers = list(viewer.layers)
    if grid_of(viewer).enabled:
        return  # side by side, nothing lies over anything
    above = layers[1 + next((n for n, one in enumerate(layers) if same(one, image)), len(layers)) :]
    hidden = [one for one in above if isinstance(one, Image) and _covers(one, image)]
    for one in hidden:
        one.visible = False
    if hidden:
        names = "', '".join(one.name for one in hidden)
        sentence = f"Hidden, as it lay over '{image.name}': '{names}'."
        notice.add(sentence, "Show again", partial(_show, hidden), topic=HIDDEN)


def _covers(one: Image, image: Image) -> bool:
    """Whether nothing can be seen of an image where another lies over it."""
    if not one.visible or LIGHT in one.metadata or one.opacity < 1 or str(one.blending) in SEE_THROUGH:
        return False
    ndim = min(one.ndim, image.ndim)
    (low, high), (first, last) = one.extent.world[:, -ndim:], image.extent.world[:, -ndim:]
    return bool(np.all((low < last) & (first < high)))


def _show(layers: list[Image]) -> None:
    for one in layers:
        one.visible = True


class CanvasLight:
    """One layer above the others, there only while it is asked for; it takes neither selection nor tool."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Image | None = None

    def show(self, image: OpenImage, picture: NDArray[np.uint8], name: str) -> None:
        """Over the slice on screen, where the viewer shows the plane of the slices flat; elsewhere nothing."""
        dims = self._viewer.dims
        below = next((layer for layer in self._viewer.layers if key_of(layer) == image.key), None)
        if below is None or dims.ndisplay != 2 or tuple(dims.order[-2:]) != (dims.ndim - 2, dims.ndim - 1):
            return self.clear()
        if self._layer is not None and self._lies_above(below) and self._fits(below):
            self._layer.data, self._layer.name = picture, name
            self._layer.visible = True
            return None
        self.clear()
        selected = set(self._viewer.layers.selection)
        active = self._viewer.layers.selection.active
        same = {key: getattr(below, key)[-2:] for key in ("scale", "translate", "units", "axis_labels")}
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

    def _lies_above(self, image: Image) -> bool:
        """Beneath an image that came after it, nothing of it could be seen."""
        layers = self._viewer.layers
        return self._layer in layers and layers.index(self._layer) > layers.index(image)

    def _fits(self, image: Image) -> bool:
        assert self._layer is not None
        places = (self._layer.scale, image.scale[-2:]), (self._layer.translate, image.translate[-2:])
        return all(np.array_equal(ours, theirs) for ours, theirs in places)
