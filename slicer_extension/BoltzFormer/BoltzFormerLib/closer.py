"""The tick 'Look closer': each image has one of its own, for the next one has no box yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from boltzformer.desk.image import OpenImage
from boltzformer.image.region import Region
from BoltzFormerLib.guide import Guide


class Closer:
    """What it makes of the box. What had been found outside of the box stays."""

    def __init__(self, box: Any, guide: Guide, chosen: Callable[[], OpenImage | None]) -> None:
        self._box, self._guide, self._chosen = box, guide, chosen
        self._ticked: set[str] = set()
        """Keys of images."""
        box.connect("toggled(bool)", self._on_toggled)

    def region(self, image: OpenImage) -> Region | None:
        """What a run is to look at; None: all of it."""
        return self._guide.region(image) if image.key in self._ticked else None

    def show_image(self) -> None:
        """Another one is chosen."""
        image = self._chosen()
        self._box.checked = image is not None and image.key in self._ticked

    def _on_toggled(self, on: bool) -> None:
        if (image := self._chosen()) is not None:
            (self._ticked.add if on else self._ticked.discard)(image.key)
