"""One number per object: a gray PNG of 16 bits beside the masks of a picture, or a label TIFF beside masks in TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Grid
from boltzformer.io import tiff_labels
from boltzformer.io.kinds import split_name

MOST_IN_PNG = 65535


def ending(masks: Path) -> str:
    """What follows the name of a mask in the name of its numbers' file."""
    extension = split_name(masks)[1]
    return f".objects{extension if extension in tiff_labels.EXTENSIONS else '.png'}"


def write(file: BinaryIO, path: Path, numbers: NDArray[np.int32], grid: Grid) -> None:
    """(z, y, x) of one slice, as its picture is stored."""
    from PIL import Image

    if split_name(path)[1] in tiff_labels.EXTENSIONS:
        tiff_labels.write(file, numbers, grid)
        return
    if numbers.max(initial=0) > MOST_IN_PNG:
        raise ImageError(
            f"{path} can't hold {numbers.max()} objects: export masks as .tif, hide the smallest, or cut out a part."
        )
    Image.fromarray(numbers[0].astype(np.uint16)).save(file, "PNG")
