"""Opens images and masks with their true grid, and samples that need no file. Never a dialog: of several DICOM series
the largest, told in a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from napari.utils.notifications import show_info

from boltzformer import Volume, io
from boltzformer.desk.keeping.cases import largest, series_below
from boltzformer.desk.keeping.stories import masks_in
from boltzformer.io.phantom import phantom, sample
from napari_boltzformer.host.layers import image_layer, images_here, mask_layer


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[Any]] | None:
    """napari asks: can you read this?"""
    paths = [path] if isinstance(path, str) else path
    if all(io.can_read(Path(one)) for one in paths):
        return _read
    return None


def _read(path: str | list[str]) -> list[Any]:
    layers: list[Any] = []
    for one in [path] if isinstance(path, str) else path:
        masks = masks_in(Path(one), images_here(napari.current_viewer()))
        layers += [image_layer(_volume(Path(one)))] if masks is None else [mask_layer(mask) for mask in masks]
    return layers


def _volume(path: Path) -> Volume:
    if not path.is_dir():
        return io.read(path)
    found = series_below(path)
    if len(found) < 2:
        return io.read(path)
    rest = len(found) - 1
    show_info(f"{rest} more series in {path.name}: choose with Open… in 'Segment by text'.")
    return io.read(path, series=largest(found).uid)


def open_phantom() -> list[Any]:
    """A generated volume; try 'bright blob' and 'dark blob'."""
    return [image_layer(phantom(4242).volume)]


def open_flair() -> list[Any]:
    """A brain with MS lesions."""
    return [image_layer(sample().volume)]
