"""`Screen`: is the slice that somebody means the one on screen? Brings images and slices there, or says what to do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_boltzformer.canvas.light import LIGHT
from napari_boltzformer.host.hanging import camera_of
from napari_boltzformer.host.layers import lies_on_screen, plan_of, row_on_screen, shows_slices, volume_of
from napari_boltzformer.host.mask import same

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

SEE_THROUGH = ("additive", "minimum", "multiplicative")
"""Ways of blending that cover nothing."""


class Screen:
    """Remembers where each image was looked at last."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self._rows: dict[str, int] = {}
        self._said = ""
        """What was hidden, as long as that image is chosen."""

    def shows(self, image: Image) -> bool:
        """Whether one of its slices is on screen, as the model would see it."""
        viewer = self._dock.viewer
        return image.ndim == 2 or (shows_slices(viewer) and lies_on_screen(image, viewer.dims.point))

    def scrolled(self) -> None:
        """Another slice is on screen."""
        image = self._dock.chosen_image()
        if image is not None and self.shows(image):
            self._rows[image.unique_id] = row_on_screen(image, self._dock.viewer.dims.point)

    def ready(self) -> bool:
        """Whether what is asked of 'this slice' is asked of one that can be seen; otherwise says why not."""
        image, notice = self._dock.chosen_image(), self._dock.notice
        if image is None or self.shows(image):
            return True
        if shows_slices(self._dock.viewer):
            notice.say(
                f"'{image.name}' is not on screen here: scroll into it, or choose another image.",
                "Show it",
                partial(self.bring, image),
            )
            return False
        self._to_slices()
        self.enter(image)
        plane = plan_of(volume_of(image)).plane
        notice.say(f"The model looks at {plane} slices: this is slice {self._dock.row()}. Press again if you mean it.")
        return False

    def jump(self, row: int) -> None:
        """Brings a slice of the chosen image on the screen; a rendering in 3-D stays."""
        image, dims = self._dock.chosen_image(), self._dock.viewer.dims
        if image is not None and image.ndim == 3:
            if dims.ndisplay == 2:
                self._to_slices()
            dims.set_point(dims.ndim - 3, float(image.data_to_world((row, 0, 0))[0]))

    def enter(self, image: Image) -> None:
        """Where it was last, else its middle, if the place on screen lies outside of it."""
        dims = self._dock.viewer.dims
        if image.ndim == 3 and not lies_on_screen(image, dims.point):
            row = min(self._rows.get(image.unique_id, image.data.shape[0] // 2), image.data.shape[0] - 1)
            dims.set_point(dims.ndim - 3, float(image.data_to_world((row, 0, 0))[0]))

    def bring(self, image: Image) -> None:
        """Into the view: the slice, and the camera if it looks elsewhere."""
        viewer = self._dock.viewer
        if image not in viewer.layers or image.ndim not in (2, 3):
            return
        self._dock.notice.take_back(self._said)
        self.enter(image)
        if viewer.dims.ndisplay == 2:
            camera, shown = camera_of(viewer), [axis - viewer.dims.ndim for axis in viewer.dims.displayed]
            if min(shown) < -image.ndim:
                return
            low, high = image.extent.world[:, shown]
            if not np.all((low <= camera.center[-2:]) & (camera.center[-2:] <= high)):
                camera.center = (camera.center[0], *((low + high) / 2))

    def uncover(self, image: Image) -> None:
        """Makes it visible, and hides images that lie over it; one press shows them again."""
        viewer = self._dock.viewer
        image.visible = True
        layers = list(viewer.layers)
        above = layers[1 + next((n for n, one in enumerate(layers) if same(one, image)), len(layers)) :]
        hidden = [one for one in above if isinstance(one, Image) and _covers(one, image)]
        for one in hidden:
            one.visible = False
        if hidden:
            names = "', '".join(one.name for one in hidden)
            self._said = f"Hidden, as it lay over '{image.name}': '{names}'."
            self._dock.notice.add(self._said, "Show again", partial(_show, hidden))

    def _to_slices(self) -> None:
        dims = self._dock.viewer.dims
        if not shows_slices(self._dock.viewer):
            dims.ndisplay, dims.order = 2, tuple(range(dims.ndim))


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
