"""`Keys`: single keys on our masks and their image, never on the viewer; napari's own keep their meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

RUN_THIS, RUN_ALL = "Control-Enter", "Control-Shift-Enter"
HIDE = "h"


class Keys:
    """Bound to a layer once."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self._held: dict[str, Callable[[Any], Iterator[None]]] = {}
        self._do: dict[str, Callable[[], None]] = {
            RUN_THIS: lambda: dock.this_slice.click(),
            RUN_ALL: lambda: dock.all_slices.click(),
        }

    def add(self, key: str, do: Callable[[], None]) -> None:
        """Another key, before layers are bound."""
        self._do[key] = do

    def hold(self, key: str, do: Callable[[Any], Iterator[None]]) -> None:
        """One that does something as long as it is held, on images and masks; points and boxes keep theirs."""
        self._held[key] = do

    @property
    def used(self) -> tuple[str, ...]:
        return (*self._do, *self._held, HIDE)

    def bind(self, layer: Layer) -> None:
        for key, hold in self._held.items() if isinstance(layer, Image | Labels) else ():
            layer.bind_key(key, hold, overwrite=True)
        for key, do in self._do.items():
            layer.bind_key(key, _calls(do), overwrite=True)
        layer.bind_key(HIDE, self._hide, overwrite=True)

    def _hide(self, layer: Any) -> Iterator[None]:
        """As long as the key is held, the image alone."""
        shown = [track.layer for track in self._dock.tracks() if track.layer.visible]
        for one in shown:
            one.visible = False
        yield
        for one in shown:
            if one in self._dock.viewer.layers:
                one.visible = True


def _calls(do: Callable[[], None]) -> Callable[[Any], None]:
    """napari hands the layer over."""
    return lambda _layer: do()
