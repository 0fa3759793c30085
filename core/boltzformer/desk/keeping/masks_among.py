"""Which image files of a folder are masks on others of them, by what they hold: nothing in their names says so."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from boltzformer import io
from boltzformer.desk.keeping.foreign import holds_labels, lies_together, named_a_mask, size_in, whole
from boltzformer.errors import BoltzFormerError

FEW_VALUES = 64
"""So many labels a mask has at most."""
PACKED = 16
"""So many times fewer bytes than voxels has a file that may be a mask: images pack badly."""
PARTS, PART = 16, 16_384
"""So many parts of a file that packs nothing are looked at, of so many bytes."""
LITTLE = 100_000
"""Of a file with fewer voxels the size tells nothing, as its header takes a good part of it: it is read."""


def masks_among(files: Collection[Path]) -> set[Path]:
    """Those that lie on another of them: in its folder or, as TotalSegmentator writes them, in one below; in a folder
    that is named for masks, also on one in a folder beside it. Masks alone are no masks on anything."""
    sizes = {path: size for path in files if (size := size_in(path))}
    voxels = {path: int(np.prod(size, dtype=object)) for path, size in sizes.items()}
    read = {path: _holds_a_mask(path) for path in sizes if voxels[path] < LITTLE}
    marks = {path for path in sizes if read.get(path, _packs_well(path, voxels[path]))}
    images = {(path.parent, size) for path, size in sizes.items() if path not in marks}
    beside = {(folder.parent, size) for folder, size in images}
    found = set()
    for path in marks:
        folder, size, named = path.parent, sizes[path], named_a_mask(path.parent)
        its = any((one, size) in images for one in (folder, *folder.parents))
        if (its or (named and (folder.parent, size) in beside)) and (named or path in read or _holds_a_mask(path)):
            found.add(path)
    return found


def _packs_well(path: Path, voxels: int) -> bool:
    """Whether so many voxels take much less room than those of images: on the disk or, of a file that packs nothing,
    if it were packed, by parts of it."""
    size = path.stat().st_size
    if size * PACKED < voxels:
        return True
    if size < voxels / 8:  # it packs what it holds, which is more than a mask
        return False
    with path.open("rb") as file:
        parts = []
        for place in range(PARTS):
            file.seek(place * size // PARTS)
            parts.append(file.read(PART))
    whole = b"".join(parts)
    return len(zlib.compress(whole, 1)) * PACKED < len(whole)


def lies_on(path: Path, images: Sequence[Path]) -> bool:
    """Whether a file beside an image, named after it, holds nothing but labels: it is opened only then."""
    stem = io.split_name(path)[0]
    if not any(is_named_after(stem, io.split_name(one)[0]) and one != path for one in images):
        return False
    try:
        array = io.read(path).array
    except BoltzFormerError:
        return False  # opening says why
    return holds_labels(whole(array))


def is_named_after(stem: str, other: str) -> bool:
    """'a lesions' after 'a', and '10' not after '1'."""
    return stem.startswith(other) and not (stem[len(other) :][:1].isdigit() and other[-1:].isdigit())


def _holds_a_mask(path: Path) -> bool:
    try:
        array = whole(io.read(path).array)
    except BoltzFormerError:
        return False  # opening says why
    return len(np.unique(array)) <= FEW_VALUES and holds_labels(array) and lies_together(array)
