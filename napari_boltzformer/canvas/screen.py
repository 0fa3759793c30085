"""What lies over an image: hidden when the image is chosen, and shown again by one press."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from boltzformer.desk.notice import Notice
from napari_boltzformer.host.stage import LIGHT, same

if TYPE_CHECKING:
    import napari

SEE_THROUGH = ("additive", "minimum", "multiplicative")
"""Ways of blending that cover nothing."""
HIDDEN = "images that were hidden"


def uncover(viewer: napari.viewer.Viewer, image: Image, notice: Notice) -> None:
    """Makes it visible, and hides images that lie over it."""
    notice.take_back(HIDDEN)
    image.visible = True
    layers = list(viewer.layers)
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
