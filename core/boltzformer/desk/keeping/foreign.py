"""Labels that another program left of a picture (cellpose, StarDist, QuPath) or a volume (TotalSegmentator, ITK-SNAP):
nothing in the file says that it is no image itself, so its name, its place and its values must."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.errors import BoltzFormerError, GeometryError, OnNoImage
from boltzformer.image.geometry import Grid
from boltzformer.io import metaimage, nrrd_header
from boltzformer.io.nifti import grid_in
from boltzformer.types import Volume

MASK_WORDS = frozenset(
    {"label", "labels", "labelled", "labeled", "labelmap", "mask", "masks", "seg", "segmentation", "segmentations"}
    | {"annotation", "gt", "labelstr", "labelsts"}
)
"""How masks are called, in one of the last two words of their name, and folders of them (nnU-Net's are two words)."""
FEW = 24
"""So few values are classes, of which each may have many objects; of more, each is an object."""
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
SAMPLE = 1_000_000
"""So many voxels tell how many values there are: a CT has thousands of them anywhere."""
ALIKE = 0.5
"""So many of what is marked have a neighbour of the same value: counts of few photons are as few values, but noise."""
Read = Callable[[Path], Volume]
"""How a file is read: whoever goes on with what was read reads it once."""
PIECES = 2
"""So many pieces an object may have on average: overlapped cells are cut in two, gray values lie everywhere."""


def named_a_mask(path: Path) -> bool:
    """Whether its name says so: 'x_cp_masks.png', 'x-labels.tif'."""
    return bool(MASK_WORDS & set(re.split(r"[\W_]+", io.split_name(path)[0].lower())[-2:]))


def labels_of(
    path: Path, images: Sequence[Volume], read: Read = io.read
) -> tuple[NDArray[np.unsignedinteger[Any]], Volume] | None:
    """Its numbers and the open picture that they lie on, which is exactly as large; None if it is a picture. Refused
    where its name and its values say that it is a mask, of a picture of another size."""
    if not path.is_file() or io.split_name(path)[1] not in (".png", ".tif", ".tiff"):
        return None
    others = [one for one in images if not one.source or Path(one.source).resolve() != path.resolve()]
    stem = io.split_name(path)[0]
    its = [one for one in others if one.source and stem.startswith(io.split_name(Path(one.source))[0])]
    told = named_a_mask(path)
    if not (its or (told and others)):
        return None
    try:
        found = read(path)
    except BoltzFormerError:
        return None  # opening says why
    where = [one for one in (*its, *(others if told else ())) if one.grid.shape == found.grid.shape]
    array = whole(found.array)
    if array.ndim != 3 or array.dtype.kind not in "iub" or array.min() < 0:
        return None
    if not where:
        if told and array.any() and holds_labels(array):
            raise _on_none(path, found.grid, [*its, *others][0])
        return None
    if not (told and its) and not holds_labels(array):
        return None
    return array.astype(np.uint8 if array.dtype.kind == "b" else f"u{array.dtype.itemsize}"), where[0]


def lies_as_labels(path: Path, images: Sequence[Volume], read: Read = io.read) -> bool:
    """Whether a volume is a mask of one that is open: it holds 0 and few whole numbers, and lies on the same voxels.
    Refused where it lies on others; a picture without a place is nothing that it could have been made on."""
    others = [one for one in images if not one.source or Path(one.source).resolve() != path.resolve()]
    if not others or not path.is_file() or io.split_name(path)[1] not in VOLUMES:
        return False
    try:
        found = read(path)
    except BoltzFormerError:
        return False  # opening says why
    array = whole(found.array)
    if not _are_labels(path, array):
        return False
    if any(found.grid.same_as(one.grid) for one in others):
        return True
    if placed := [one for one in others if one.has_place]:
        raise _on_none(path, found.grid, placed[0])
    return False


def _are_labels(path: Path, array: NDArray[Any]) -> bool:
    if array.ndim != 3 or array.dtype.kind not in "iub" or array.min() != 0:
        return False
    few = all(len(np.unique(some)) <= FEW + 1 for some in (array.reshape(-1)[:: max(1, array.size // SAMPLE)], array))
    if named_a_mask(path):
        return few or holds_labels(array)
    return few and lies_together(array)


def _on_none(path: Path, grid: Grid, image: Volume) -> GeometryError:
    """For labels that lie on no image that is open."""
    its = "as many, at another place" if grid.shape == image.grid.shape else _size(image.grid)
    kind = GeometryError if named_a_mask(path) else OnNoImage
    return kind(
        f"{path.name} holds labels of {_size(grid)}, which lie on no open image ('{image.name}' has {its}): open the "
        "image that they were made on first. With no image open, they open alone."
    )


def _size(grid: Grid) -> str:
    flat = grid.shape[0] == 1
    return f"{'×'.join(map(str, grid.shape[flat:]))} {'pixels' if flat else 'voxels'}"


def whole(array: NDArray[Any]) -> NDArray[Any]:
    """ImageJ keeps the numbers of objects as 32-bit floats: whole ones are numbers, others gray values."""
    if array.dtype.kind != "f" or not (np.isfinite(array).all() and array.min() >= 0 and array.max() < 2**32):
        return array
    numbers = array.astype(np.uint32)
    return numbers if np.array_equal(numbers, array) else array


def size_in(path: Path) -> tuple[int, ...] | None:
    """Of a file that holds one image or mask by itself, as its header has it; None if it is of another kind."""
    kind = io.split_name(path)[1]
    try:
        if kind in _SHAPES:
            return _SHAPES[kind](path)
        if kind in PICTURES:
            with PIL.Image.open(path) as header:
                alone = getattr(header, "n_frames", 1) == 1
                return header.size if alone and header.mode in ("1", "L", "P", "I", "I;16", "F") else None
    except (BoltzFormerError, OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        pass  # opening says why
    return None


PICTURES = (".png", ".tif", ".tiff")
_SHAPES: dict[str, Callable[[Path], tuple[int, ...] | None]] = {
    ".nii": lambda path: grid_in(path).shape,
    ".nii.gz": lambda path: grid_in(path).shape,
    ".nrrd": nrrd_header.shape_in,
    ".mha": metaimage.shape_in,
}
"""Files whose data lie elsewhere are not among them."""


def lies_together(array: NDArray[Any]) -> bool:
    """Whether most of what is marked has a neighbour of the same value."""
    there = array[..., 1:] > 0
    return bool(there.any()) and float((array[..., 1:] == array[..., :-1])[there].mean()) >= ALIKE


def holds_labels(array: NDArray[Any]) -> bool:
    """Whether whole numbers are those of objects (a value lies in one place) and not gray values (everywhere)."""
    from skimage.measure import label

    if array.ndim != 3 or array.dtype.kind not in "iub" or array.min() != 0:
        return False
    values = np.count_nonzero(np.unique(array))
    if values and not lies_together(array):
        return False  # a dim picture has few values, too
    return bool(values <= FEW or label(array.astype(np.int64), background=0).max() <= PIECES * values)
