"""`read`: any image file or DICOM folder → `Volume`; `read_labels`: any mask file → `LabelMap`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from boltzformer.errors import GeometryError, ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io import dicom, dicom_rt, dicom_seg, metaimage, nifti, nrrd, pictures, seg_nrrd, tiff
from boltzformer.io.checks import ImageWarning, demand_finite
from boltzformer.io.kinds import kind_of, split_name
from boltzformer.types import LabelMap, Volume

_READERS: dict[str, Callable[[Path, int | None], Volume]] = {
    "NIfTI": nifti.read,
    "NRRD": nrrd.read,
    "MetaImage": metaimage.read,
    "PNG": pictures.read_picture,
    "JPEG": pictures.read_picture,
}


def read(
    path: str | Path, *, series: int | str | None = None, frame: int | None = None, allow_gaps: bool = False
) -> Volume:
    """The image at `path`: a file, a folder of DICOM slices, or one slice that finds its neighbours.

    `series` chooses among several DICOM series (place in the list, from 1, or UID) or stacks of a TIFF file, `frame`
    among time points or channels (from 1). `allow_gaps` reads a series with missing slices and shows nothing in their
    place.
    """
    path = Path(path)
    try:
        kind = "DICOM" if path.is_dir() else kind_of(path)
        if kind == "DICOM":
            volume = dicom.read(path, series=series, frame=frame, allow_gaps=allow_gaps)
        elif kind == "TIFF":
            volume = replace(tiff.read(path, frame, series), name=split_name(path)[0], source=str(path))
        elif series is not None:
            raise ImageError(f"{path} is a {kind} file and holds no series to choose from: leave the series out.")
        else:
            volume = _READERS[kind](path, frame)
            volume = replace(volume, name=split_name(path)[0], source=str(path))
    except OSError as error:
        raise ImageError(
            f"{path} could not be read ({error.strerror or error}): check the file and your rights."
        ) from error
    except MemoryError as error:
        raise ImageError(f"{path} does not fit into this computer's memory: read a part of it.") from error
    demand_finite(path, volume.array)
    return volume


def read_labels(path: str | Path, *, grid: Grid | None = None) -> LabelMap:
    """The masks at `path`. With `grid`, that of the image they belong to, they must lie on it.

    DICOM-SEG files hold only the slices where something is marked: the grid puts them back in their places. RTSTRUCT
    files hold contours: the grid says which voxels lie inside.
    """
    path = Path(path)
    try:
        kind = kind_of(path)
        if kind == "DICOM":
            labels = (dicom_rt if dicom_rt.is_structure_set(path) else dicom_seg).read(path, grid)
        elif kind == "NRRD":
            labels = seg_nrrd.read(path)
        else:
            volume = read(path)
            array = _sharpened(path, volume.array) if kind == "JPEG" else volume.array
            labels = LabelMap(_as_labels(path, array)[np.newaxis], volume.grid, {})
    except OSError as error:
        raise ImageError(
            f"{path} could not be read ({error.strerror or error}): check the file and your rights."
        ) from error
    if grid is not None and not labels.grid.same_as(grid):
        if kind in ("PNG", "JPEG", "TIFF") and labels.grid.shape == grid.shape:
            return replace(_named(labels), grid=grid)  # pictures carry no place: the size must do
        raise GeometryError(
            f"{path} does not lie on the grid of its image (mask {_in_words(labels.grid)}, image {_in_words(grid)}): "
            "export the mask on the image's own grid."
        )
    return _named(labels)


_BLURRED = 0.02
"""Part of a black and white picture that lies along its edges, at most, where JPEG makes gray of it."""


def _sharpened(path: Path, array: Array) -> Array:
    """A black and white mask without the grays that JPEG adds; of other values nobody knows what they were."""
    if array.ndim != 3 or np.isin(array, (0, 255)).all():
        return array
    if array.max() < 192 or ((array >= 64) & (array < 192)).mean() > _BLURRED:
        raise ImageError(f"{path} is a JPEG, which blurs the values of a mask into others: save the mask as PNG.")
    message = f"{path} is a JPEG, which blurs the edges of masks: what is brighter than half is taken."
    warnings.warn(message, ImageWarning, stacklevel=3)
    return np.where(array >= 128, np.uint8(255), np.uint8(0))


def _as_labels(path: Path, array: Array) -> Array:
    """Whole numbers 0…255; a picture that holds only 0 and 255 is one mask."""
    if array.ndim != 3:
        raise ImageError(f"{path} is a colour image and no mask: save the mask as whole numbers, one per structure.")
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if low < 0 or high > 255 or (array.dtype.kind == "f" and bool((array != np.rint(array)).any())):
        raise ImageError(f"{path} is no mask (its values go from {low:g} to {high:g}): use whole numbers 0 to 255.")
    labels = array.astype(np.uint8)
    marked = labels == 255
    return marked.astype(np.uint8) if high == 255 and bool((marked | (labels == 0)).all()) else labels


def _named(labels: LabelMap) -> LabelMap:
    if labels.names:
        return labels
    return replace(labels, names={int(label): f"label {label}" for label in np.unique(labels.layers) if label})


def _in_words(grid: Grid) -> str:
    z, y, x = grid.shape
    return f"{x}×{y}×{z} voxels of {'×'.join(f'{s:.3g}' for s in grid.spacing_mm)} mm"
