"""Pictures without a place in the world: PNG and JPEG, taken as they are meant to be seen, also where they are stored
turned or mirrored."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io.checks import ImageWarning, pick_frame, truncated
from boltzformer.io.stream import demand_memory, demand_room
from boltzformer.types import Volume

_EXIF_ORIENTATION = 0x0112
_GRAY_ALPHA, _COLOURS = 4, (2, 6)
_SAMPLES = {2: 3, 4: 2, 6: 4}
"""Colour type of a PNG → numbers a pixel, where it is more than one."""


def read_picture(path: Path, frame: int | None = None) -> Volume:
    """PNG or JPEG: gray (8 or 16 bit) or RGB; transparency is dropped, a palette resolved, EXIF's turn applied.

    Of several pictures in the file (APNG, a phone's JPEG) it is the first, and that is said, unless `frame` is given.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            count = int(getattr(image, "n_frames", 1))
            pixels = image.width * image.height
            deep = image.format == "PNG" and _has_deep_samples(path)
            demand_room(path, pixels * _bits(path, image.format) // 8, packed=True)
            demand_memory(path, pixels * (8 if deep else 4))
            chosen = pick_frame(path, count, 1 if frame is None else frame)
            turn = int(image.getexif().get(_EXIF_ORIENTATION, 1) or 1)
            if deep and chosen > 0:
                raise ImageError(
                    f"{path} holds {count} pictures of 16 bits, of which only the first is read: save the other alone."
                )
            if deep:
                array = _all_bits(path)
            else:
                image.seek(chosen)
                image.load()
                array = _values(image)
    except (OSError, SyntaxError, ValueError, TypeError, RuntimeError, EOFError) as error:
        raise truncated(path) from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} has more pixels than a picture may have here: cut out the part you need.") from error
    if count > 1 and frame is None:
        message = f"{path} holds {count} pictures: this is the first of {count}, and 'frame' chooses another."
        warnings.warn(message, ImageWarning, stacklevel=3)
    if is_turned(turn):
        message = f"{path} is stored turned (EXIF {turn}): it is shown upright, and its masks lie on that."
        warnings.warn(message, ImageWarning, stacklevel=3)
    array = np.ascontiguousarray(upright(array, turn, rows=0))
    return Volume(array[np.newaxis], Grid.pixels((1, *array.shape[:2])))


def _values(image: Any) -> Array:
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode in ("L", "I", "F", "RGB"):
        return np.asarray(image)
    if image.mode == "LA":
        return np.asarray(image)[..., 0]
    colours = np.asarray(image.convert("RGB"))
    gray = image.mode == "P" and bool((colours == colours[..., :1]).all())
    return colours[..., 0] if gray else colours


def _bits(path: Path, kind: str | None) -> int:
    """A pixel has at least so many before it is packed."""
    if kind != "PNG":
        return 8
    with path.open("rb") as file:
        depth, colours = file.read(26)[24:]  # of the first chunk
    return depth * _SAMPLES.get(colours, 1)


def _has_deep_samples(path: Path) -> bool:
    """Whether its numbers of 16 bits are more than one a pixel: Pillow cuts these to 8 bits."""
    with path.open("rb") as file:
        start = file.read(26)
    return start[24] == 16 and start[25] in (_GRAY_ALPHA, *_COLOURS)  # bit depth and colour type of the first chunk


def _all_bits(path: Path) -> Array:
    """All 16 bits, without the transparency."""
    import imagecodecs

    array: Array = imagecodecs.png_decode(path.read_bytes())
    return array[..., :3] if array.shape[-1] > 2 else array[..., 0]


def write_png(file: BinaryIO, mask: NDArray[np.bool_]) -> None:
    """One mask (y, x): 0 outside, 255 inside."""
    from PIL import Image

    Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(file, "PNG")


TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
"""Orientation → whether rows and columns change places, then whether rows, then columns run backwards."""


def is_turned(orientation: int) -> bool:
    """Whether a picture does not lie as it is stored; what is no orientation says nothing."""
    return orientation in TURNS and orientation != 1


def swaps(orientation: int) -> bool:
    """Whether its rows are stored as columns."""
    return TURNS.get(orientation, TURNS[1])[0]


def upright(array: Array, orientation: int, *, rows: int) -> Array:
    """The picture as it is meant to be seen; `rows` is the array axis of its rows, the next one that of its columns."""
    swap, back, mirror = TURNS.get(orientation, TURNS[1])
    array = array.swapaxes(rows, rows + 1) if swap else array
    steps = (slice(None, None, -1 if back else None), slice(None, None, -1 if mirror else None))
    return array[(*(slice(None),) * rows, *steps)]
