"""Opens images and masks with their true grid, and samples that need no file. Never a dialog: of several DICOM series
the largest, told in a word. A folder of images becomes the dock's case list; without the dock its first is opened."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import napari
from napari.utils.notifications import show_info

from boltzformer import Volume, io
from boltzformer.desk.keeping.cases import cases_in, largest, series_below
from boltzformer.desk.keeping.foreign import Read
from boltzformer.desk.keeping.frames import frame_of
from boltzformer.desk.keeping.stories import masks_in
from boltzformer.desk.no_command_line import for_viewers
from boltzformer.errors import BoltzFormerError, GeometryError, SeveralFrames
from boltzformer.io.phantom import phantom, sample
from napari_boltzformer.host.layers import image_layer, images_here, mask_layer

LOOKED_AT = 200
"""So many files of a folder are looked at before napari is told whether it can be opened."""

NO_LAYER: list[Any] = [(None,)]
"""napari's word for 'done, and there is no layer'."""


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[Any]] | None:
    """napari asks: can you read this?"""
    paths = [path] if isinstance(path, str) else path
    if len(paths) == 1 and _is_list(Path(paths[0])):
        return _list
    if all(io.can_read(Path(one)) for one in paths):
        return _read
    return None


def _is_list(path: Path) -> bool:
    """Of images, by their names; DICOM slices are one image."""
    if not path.is_dir() or io.can_read(path):
        return False
    return any(one.is_file() and io.can_read(one) for one in islice(path.iterdir(), LOOKED_AT))


def _list(path: str | list[str]) -> list[Any]:
    folder = Path(path if isinstance(path, str) else path[0])
    if dock := _dock():
        dock.beside.open_cases()
        dock.desk.cases.show_folder(folder)
        show_info(f"{folder.name} is in the case list: click on an image there, or on 'Next case'.")
        return NO_LAYER
    found = cases_in(folder)
    if not found:
        raise BoltzFormerError(f"{folder.name} holds nothing but masks: open the images that they belong to first.")
    if len(found) > 1:
        more = len(found) - 1
        show_info(f"{more} more in {folder.name}: 'Case list' of 'Segment by text' opens one after the other.")
    return [image_layer(found[0].read())]


def _dock() -> Any:
    """'Segment by text', if it is open."""
    viewer = napari.current_viewer()
    shown = () if viewer is None else viewer.window.dock_widgets.values()
    return next((one for one in shown if hasattr(one, "beside")), None)


def _read(path: str | list[str]) -> list[Any]:
    with for_viewers():
        return _layers([Path(one) for one in ([path] if isinstance(path, str) else path)])


def _layers(files: list[Path]) -> list[Any]:
    layers: list[Any] = []
    images = images_here(napari.current_viewer())
    for one in files:
        read = cache(io.read)
        try:
            masks = masks_in(one, images, read)
        except GeometryError:  # its image may come behind it
            if files.count(one) > 1 or one is files[-1]:
                if (dock := _dock()) is None:
                    raise
                dock.opening.later(one)
            else:
                files.append(one)
            continue
        if masks is not None:
            layers += map(mask_layer, masks)
            continue
        images.append(_volume(one, read))
        layers.append(image_layer(images[-1]))
    return layers or NO_LAYER


def _volume(path: Path, read: Read) -> Volume:
    if not path.is_dir():
        return _first_frame(path, read)
    found = series_below(path)
    if len(found) < 2:
        return io.read(path)
    rest = len(found) - 1
    show_info(f"{rest} more series in {path.name}: choose with Open… in 'Segment by text'.")
    return io.read(path, series=largest(found).uid)


def _first_frame(path: Path, read: Read) -> Volume:
    """The image; of several time points or channels the first."""
    try:
        return read(path)
    except SeveralFrames as several:
        show_info(
            f"{path.name} holds {several.frames} time points or channels, this is the first: choose with Open… in "
            "'Segment by text'."
        )
        return frame_of(path, 1)


def open_phantom() -> list[Any]:
    """A generated volume; try 'bright blob' and 'dark blob'."""
    return [image_layer(phantom(4242).volume)]


def open_flair() -> list[Any]:
    """A brain with MS lesions."""
    return [image_layer(sample().volume)]
