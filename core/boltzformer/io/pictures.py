"""Pictures without a place in the world: PNG, JPEG, TIFF. A 2-D picture is taken as it is; a TIFF may be a stack."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io.checks import is_colour, pick_frame, truncated
from boltzformer.types import Volume

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # or its complaints go past us to the terminal


def read_picture(path: Path, frame: int | None = None) -> Volume:
    """PNG or JPEG: gray (8 or 16 bit) or RGB; transparency is dropped, a palette resolved."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            pick_frame(path, 1, frame)
            if image.format == "PNG" and _sixteen_bit_colour(path):
                array = _through_itk(path)
            else:
                image.load()
                array = _values(image)
    except (OSError, SyntaxError, ValueError, RuntimeError) as error:
        raise truncated(path) from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} has more pixels than a picture may have here: cut out the part you need.") from error
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


def _sixteen_bit_colour(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(26)
    return start[24] == 16 and start[25] in (2, 6)  # bit depth and colour type of the first chunk


def _through_itk(path: Path) -> Array:
    """Pillow cuts these to 8 bit."""
    import SimpleITK

    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[..., :3]


def read_tiff(path: Path, frame: int | None = None) -> Volume:
    """TIFF: gray or RGB, any number type, one page or a stack of equal pages (slices)."""
    import tifffile

    _demand_all_pages(path)
    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            axes, array = str(series.axes), np.asarray(series.asarray())
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise truncated(path) from error
        array, axes = _pages_by_pillow(path)
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise truncated(path) from error
    array = _as_stack(path, array, axes, frame)
    return Volume(array, Grid.pixels(array.shape[:3]))


def _demand_all_pages(path: Path) -> None:
    """Follow the chain of pages to its end: tifffile and ITK take a broken chain for a shorter stack."""
    with path.open("rb") as file:
        start = file.read(16)
        order = "<" if start[:1] == b"I" else ">"
        big = start[2:4] in (b"+\0", b"\0+")
        count_form, entry, link = ("Q", 20, "Q") if big else ("H", 12, "I")
        seen: set[int] = set()
        try:
            (offset,) = struct.unpack_from(order + link, start, 8 if big else 4)
            while offset:
                if offset in seen:
                    raise truncated(path)
                seen.add(offset)
                file.seek(offset)
                (count,) = struct.unpack(order + count_form, file.read(struct.calcsize(count_form)))
                file.seek(count * entry, 1)
                (offset,) = struct.unpack(order + link, file.read(struct.calcsize(link)))
        except struct.error as error:
            raise truncated(path) from error


def _pages_by_pillow(path: Path) -> tuple[Array, str]:
    """For packings (LZW, JPEG) that tifffile can't undo alone."""
    from PIL import Image, ImageSequence

    try:
        with Image.open(path) as image:
            pages = [_values(page) for page in ImageSequence.Iterator(image)]
    except (OSError, SyntaxError, ValueError) as error:
        raise truncated(path) from error
    if len({page.shape for page in pages}) > 1:
        raise ImageError(f"{path} has pages of different sizes: save the page you need as a file of its own.")
    return np.stack(pages), "ZYXS"[: pages[0].ndim + 1]


def _as_stack(path: Path, array: Array, axes: str, frame: int | None) -> Array:
    """To (z, y, x) or (z, y, x, 3), whatever axes the file names."""
    if array.ndim != len(axes) or not array.size:
        raise truncated(path)
    order = sorted(range(len(axes)), key=lambda n: "TZYXS".find(axes[n]) if axes[n] in "TZYXS" else 0.5)
    array, samples = array.transpose(order), array.shape[axes.index("S")] if "S" in axes else 1
    colour = is_colour(samples, array.dtype)
    if samples == 2:  # gray with transparency
        array = array[..., 0]
    elif colour:
        array = array[..., :3]
    elif "S" in axes:  # any other number of samples: as many images
        array = np.moveaxis(array, -1, 0)
    planes = 3 if colour else 2
    if array.ndim > planes + 2:
        raise ImageError(f"{path} has {len(axes)} dimensions ({axes}): save one stack of it as a file of its own.")
    frames = len(array) if array.ndim == planes + 2 or (not colour and samples > 2) else 1
    stack = array.reshape(-1, *array.shape[-planes:])
    chosen, depth = pick_frame(path, frames, frame), len(stack) // frames
    return stack[chosen * depth : (chosen + 1) * depth]


def write_png(file: BinaryIO, mask: NDArray[np.bool_]) -> None:
    """One mask (y, x): 0 outside, 255 inside."""
    from PIL import Image

    Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(file, "PNG")
