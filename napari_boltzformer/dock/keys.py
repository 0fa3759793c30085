"""`Keys`: single keys on our masks and their image, never on the viewer; napari's own keep their meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from napari.layers import Image, Labels, Layer, Points

from boltzformer.desk.masks.tracks import Tracks
from napari_boltzformer.host.unlisted import pass_letters_on

RUN_THIS, RUN_ALL = "Control-Enter", "Control-Shift-Enter"
HIDE = "h"


class Keys:
    """Bound to a layer once."""

    def __init__(
        self, tracks: Tracks, do: Mapping[str, Callable[[], None]], hold: Mapping[str, Callable[[Any], Iterator[None]]]
    ) -> None:
        """`hold`: what something does while the key is held, on images, masks and our points; a box keeps its own."""
        self._tracks, self._do, self._held = tracks, do, hold

    @property
    def used(self) -> tuple[str, ...]:
        return (*self._do, *self._held, HIDE)

    def bind(self, layer: Layer) -> None:
        pass_letters_on()
        for key, hold in self._held.items() if isinstance(layer, Image | Labels | Points) else ():
            layer.bind_key(key, hold, overwrite=True)
        for key, do in self._do.items():
            layer.bind_key(key, _calls(do), overwrite=True)
        layer.bind_key(HIDE, self._hide, overwrite=True)

    def _hide(self, layer: Any) -> Iterator[None]:
        """As long as the key is held, the image alone."""
        hidden = [track.surface for track in self._tracks.shown()]
        for one in hidden:
            one.shown = False
        yield
        for one in hidden:
            if one.alive:
                one.shown = True


def _calls(do: Callable[[], None]) -> Callable[[Any], None]:
    """napari hands the layer over."""
    return lambda _layer: do()
