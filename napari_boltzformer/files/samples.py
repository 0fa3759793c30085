"""Images that need no file of the user's."""

from __future__ import annotations

from typing import Any

from boltzformer.io.phantom import phantom
from boltzformer.io.samples import sample
from napari_boltzformer.host.layers import image_layer


def open_phantom() -> list[Any]:
    """A generated volume; try 'bright blob' and 'dark blob'."""
    return [image_layer(phantom(4242).volume)]


def open_flair() -> list[Any]:
    """A brain with MS lesions."""
    return [image_layer(sample().volume)]
