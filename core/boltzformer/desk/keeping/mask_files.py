"""Files that are masks: told apart from images by name, content and story, and placed on the image they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.desk.keeping.stories import names_in
from boltzformer.errors import BoltzFormerError, GeometryError
from boltzformer.image.geometry import Grid
from boltzformer.io.cases import is_dicom
from boltzformer.types import LabelMap, Volume

MANY = 24
"""So many labels get a mask each; more of them share one."""


@dataclass(frozen=True)
class MaskInFile:
    """One mask of a file: values above 0 are inside."""

    name: str
    array: NDArray[np.uint8]
    """As it is stored."""
    grid: Grid
    image: Volume | None
    """The open image that it lies on."""


def masks_in(path: Path, images: Sequence[Volume]) -> list[MaskInFile] | None:
    """The masks of a file, those first that lie on an image that is open; None if the file is an image."""
    sure = path.is_file() and (path.name.lower().endswith(".seg.nrrd") or _is_segmentation(path))
    known = None if path.is_dir() else names_in(path)
    if known is None and not sure:
        return None
    try:
        labels, image = _placed(path, images)
    except BoltzFormerError:
        if sure:
            raise
        return None  # a story lies beside it, but it holds no labels
    names = {**labels.names, **(known or {})}
    if not known and len(names) == 1 and not sure:
        names = dict.fromkeys(names, io.split_name(path)[0])
    marked = [label for label in sorted(names) if label in labels.names or (known and len(known) <= MANY)]
    if len(marked) <= MANY:
        planes = [(names[one], labels.mask(one) * np.uint8(one)) for one in marked]
    else:
        planes = [(io.split_name(path)[0], layer) for layer in labels.layers]
    return [MaskInFile(name, plane, labels.grid, image) for name, plane in planes]


def _placed(path: Path, images: Sequence[Volume]) -> tuple[LabelMap, Volume | None]:
    """On the voxels of an image that is open, if it lies there; DICOM-SEG and pictures can't say alone where."""
    if io.split_name(path)[1] in (".dcm", ".ima", "", ".png", ".jpg", ".jpeg", ".tif", ".tiff"):
        for image in images:
            try:
                return io.read_labels(path, grid=image.grid), image
            except GeometryError:
                continue
    labels = io.read_labels(path)
    return labels, next((image for image in images if labels.grid.same_as(image.grid)), None)


def _is_segmentation(path: Path) -> bool:
    """Whether it is a DICOM-SEG."""
    if not is_dicom(path):
        return False
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
    except Exception:  # its reader says what is wrong
        return False
    return str(header.get("Modality", "")) == "SEG"
