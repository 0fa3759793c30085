"""What the stored numbers of DICOM frames mean: rescale, modality table, dose, palette, colour model, inverted gray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array
from boltzformer.io.dicom_frames import Pixels

if TYPE_CHECKING:
    from pydicom import Dataset

PALETTE_TAGS = [
    f"{kind}{colour}PaletteColorLookupTable{what}"
    for colour in ("Red", "Green", "Blue")
    for kind, what in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
]


@dataclass(frozen=True)
class Meaning:
    """What holds for all frames of a file."""

    first: int = 0
    """Stored number that the first entry of the table is for."""
    table: Array | None = None
    """Modality table: stored number → value."""
    palette: Any = None
    """The elements of a header that say which colour a number is."""


def meaning_of(header: Dataset, pixels: Pixels) -> Meaning:
    """The tables of a header."""
    from pydicom import Dataset

    if pixels.photometric == "PALETTE COLOR":
        palette = Dataset()
        for name in PALETTE_TAGS:
            if name in header:
                palette[name] = header[name]
        palette.set_original_encoding(header.original_encoding[0], header.original_encoding[1], None)
        palette.PixelRepresentation = int(pixels.signed)
        return Meaning(palette=palette)
    sequence: Any = header.get("ModalityLUTSequence")
    if not sequence:
        return Meaning()
    count, first, bits = (int(number) for number in sequence[0].LUTDescriptor)
    count = count or 1 << 16
    first = first - (1 << 16) if pixels.signed and first >= 1 << 15 else first
    data = sequence[0].LUTData
    if isinstance(data, bytes):
        numbers = np.frombuffer(data, "<u2" if len(data) >= 2 * count else "u1")
    else:
        numbers = np.atleast_1d(np.asarray(data))
    table = numbers[:count].astype(np.uint16 if bits > 8 else np.uint8)
    if len(table) < count:
        raise ValueError
    return Meaning(first, table)


def values_of(pixels: Pixels, meaning: Meaning, rescale: tuple[float, ...] | None, stored: Array) -> Array:
    """A frame in the unit of its modality; gray so that more is brighter, colours as red, green, blue."""
    if meaning.palette is not None:
        return _through_palette(pixels, meaning, stored)
    if pixels.samples == 3:
        return _rgb(pixels, stored)
    least, most = _range(pixels, stored)
    if meaning.table is not None:
        last = len(meaning.table) - 1
        seen = meaning.table[np.clip(stored.astype(np.int64) - meaning.first, 0, last)]
        ends = int(meaning.table.min()), int(meaning.table.max())
    elif rescale is None or rescale == (1.0, 0.0) or not np.isfinite(rescale).all() or rescale[0] == 0:
        seen, ends = stored, (least, most)
    else:
        seen = _rescaled(stored, rescale)
        ends = least * rescale[0] + rescale[1], most * rescale[0] + rescale[1]  # type: ignore[assignment]
    if pixels.photometric != "MONOCHROME1":
        return seen
    if seen.dtype.kind == "f":
        return seen.dtype.type(ends[0] + ends[1]) - seen
    turned = int(ends[0]) + int(ends[1])
    return (turned - seen.astype(np.int64)).astype(seen.dtype)


def _range(pixels: Pixels, stored: Array) -> tuple[int, int]:
    if stored.dtype.kind == "f":
        return 0, 0
    bits = min(pixels.stored, 8 * stored.dtype.itemsize)
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if pixels.signed else (0, (1 << bits) - 1)


def _rescaled(stored: Array, rescale: tuple[float, ...]) -> Array:
    """Whole numbers stay whole where slope and intercept are."""
    slope, intercept = rescale
    if stored.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
        ends = [int(v) * int(slope) + int(intercept) for v in (stored.min(), stored.max())]
        if max(map(abs, (*ends, int(slope), int(intercept)))) < 1 << 62:
            wide: Array = stored.astype(
                np.int64 if max(map(abs, ends)) >= 1 << 30 or abs(slope) >= 1 << 15 else np.int32
            )
            wide *= wide.dtype.type(int(slope))
            wide += wide.dtype.type(int(intercept))
            return wide
    scaled: Array = stored.astype(np.float64 if stored.dtype.itemsize > 2 else np.float32)
    scaled *= slope
    scaled += intercept
    return scaled.astype(np.float32)


def _through_palette(pixels: Pixels, meaning: Meaning, stored: Array) -> Array:
    """Entries of 16 bits are cut to the 8 that a picture has."""
    from pydicom.pixels.processing import apply_color_lut

    try:
        colours: Array = apply_color_lut(stored, meaning.palette)[..., :3]
    except Exception as error:  # pydicom raises many kinds on damaged tables
        raise ImageError(f"{pixels.path} has a damaged table of colours in its header: export it again.") from error
    return (colours >> 8).astype(np.uint8) if colours.dtype.itemsize > 1 else colours


def _rgb(pixels: Pixels, stored: Array) -> Array:
    from pydicom.pixels.processing import convert_color_space

    if stored.dtype.kind != "u" or stored.dtype.itemsize > 2:
        raise ImageError(f"{pixels.path} holds colours of an unusual kind: export it with 8 bits for each colour.")
    model = pixels.photometric
    jpeg = pixels.syntax.startswith("1.2.840.10008.1.2.4.") and pixels.syntax[20:] in ("50", "51", "57", "70")
    if model == "RGB" or jpeg or (pixels.syntax and model in ("YBR_ICT", "YBR_RCT")):
        return stored  # unpacking made them red, green, blue already
    if model not in ("YBR_FULL", "YBR_FULL_422") or stored.dtype.itemsize > 1:
        raise ImageError(f"{pixels.path} holds colours of an unusual kind ({model}): export it as RGB.")
    return np.asarray(convert_color_space(stored, "YBR_FULL", "RGB"))
