"""`OwnNames`: of layers that napari numbered while another image's layer had their name, and that they get back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_boltzformer.host.mask import key_of, unnumbered

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer


class OwnNames:
    """Of one viewer."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._names: dict[str, str] = {}
        """By a layer's key, its name, which another image's layer had when it came back."""

    def note(self, layer: Layer, name: str) -> None:
        self._names[key_of(layer)] = name

    def take(self, layer: Layer) -> str:
        """Without the number that napari gave it while another image's layer had the name."""
        own = self._names.pop(key_of(layer), layer.name)
        return own if unnumbered(own) == unnumbered(layer.name) else str(layer.name)

    def give_back(self) -> None:
        """To whom nobody's is in the way any more."""
        for layer in (layers := self._viewer.layers):
            if key_of(layer) in self._names:
                own = self.take(layer)
                if own == layer.name or own not in {one.name for one in layers}:
                    layer.name = own
                else:
                    self.note(layer, own)
