"""`ObjectsTool`: D held and a click deletes the object under the mouse; with Shift, it is the only one that stays."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray
from qtpy.QtGui import QGuiApplication

from boltzformer.masks.objects import pieces
from napari_boltzformer.host.mask import Track
from napari_boltzformer.run import counted

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

KEYS = ("d", "Shift-d")
"""Shift may be pressed before or after."""
Voxel = tuple[int, int, int]


class ObjectsTool:
    """For the selected mask. An object is what hangs together in three dimensions, also by a corner."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self._armed: tuple[Layer, str] | None = None
        """The layer that listens for clicks, and the tool that was in hand."""
        for key in KEYS:
            dock.keys.hold(key, self.held)

    def held(self, layer: Layer) -> Iterator[None]:
        """As long as the key is: the tool in hand waits, so that a click neither paints nor erases."""
        self._let_go()
        self._armed = layer, str(layer.mode)
        layer.mode = "pan_zoom"
        layer.mouse_drag_callbacks.append(self._on_click)
        # Where another window gets the keys, it also gets the release: napari never hears of it.
        QGuiApplication.instance().focusWindowChanged.connect(self._let_go)
        yield
        self._let_go()

    def _let_go(self, _window: Any = None) -> None:
        if self._armed is not None:
            (layer, mode), self._armed = self._armed, None
            QGuiApplication.instance().focusWindowChanged.disconnect(self._let_go)
            layer.mouse_drag_callbacks.remove(self._on_click)
            if layer.mode == "pan_zoom":
                layer.mode = mode

    def _on_click(self, layer: Layer, event: Any) -> None:
        track = self._dock.active_track()
        if track is not None and not track.layer.visible:
            self._dock.notice.say(f"'{track.name}' is hidden, so nothing of it is deleted: show it first.")
            return
        voxel = None if track is None else voxel_under(track, event)
        if track is None or voxel is None or not track.rows[voxel]:
            name = "any mask" if track is None else f"'{track.name}'"
            self._dock.notice.say(f"There is no object of {name} under the mouse: hold D and click on one.")
            return
        only = "Shift" in event.modifiers
        # Beside the viewer: a large volume takes a second.
        self._dock.background.do(partial(picked, track.rows > 0, voxel, only), partial(self._change, track, only))

    def _change(self, track: Track, only: bool, found: tuple[dict[int, NDArray[np.bool_]], int]) -> None:
        if track.layer not in self._dock.viewer.layers:
            return
        gone, others = found
        changed = track.change_all({row: (track.rows[row] > 0) & ~mask for row, mask in gone.items()})
        self._dock.running.recount(track)
        self._dock.notice.say(sentence(track.name, only, others, len(changed)))
        self._dock.show_results()


def sentence(name: str, only: bool, others: int, slices: int) -> str:
    """What was done, and how it is taken back."""
    if only and not slices:
        return f"'{name}' has no other object."
    count = "1 object" if not only or others == 1 else f"{others} objects"
    return f"Deleted {count} of '{name}' in {counted(slices)}. One Ctrl+Z on its layer brings back what was there."


def picked(mask: NDArray[np.bool_], voxel: Voxel, only: bool) -> tuple[dict[int, NDArray[np.bool_]], int]:
    """What goes, by row: the object that a voxel belongs to, or all others; and how many others there are."""
    found = pieces(mask)
    gone = (found > 0) & (found != found[voxel]) if only else found == found[voxel]
    rows = np.nonzero(gone.any(axis=(1, 2)))[0].tolist()
    return {row: gone[row] for row in rows}, int(found.max()) - 1


def voxel_under(track: Track, event: Any) -> Voxel | None:
    """Slice, row and column; in the 3-D view, the first voxel of the mask that the line of sight meets."""
    layer, shape = track.layer, np.array(track.rows.shape)
    shown = list(event.dims_displayed)
    if len(shown) == 3 and layer.ndim == 3:
        near, far = layer.get_ray_intersections(event.position, event.view_direction, shown)
        if near is None or far is None:
            return None
        steps = int(4 * np.abs(far - near).max()) + 1
        places = np.rint(np.linspace(near, far, steps)).astype(int)
    else:
        places = np.rint([np.array((0.0, *layer.world_to_data(event.position))[-3:])]).astype(int)
    places = places[((places >= 0) & (places < shape)).all(axis=1)]
    hit = [place for place in places if track.rows[tuple(place)]][:1] or list(places[:1])
    return (int(hit[0][0]), int(hit[0][1]), int(hit[0][2])) if hit else None
