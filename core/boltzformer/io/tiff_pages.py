"""The pages of a TIFF file: the chain that links them, which of them make one stack, and what their numbers mean."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array
from boltzformer.io.checks import truncated
from boltzformer.io.stream import demand_memory, demand_room

PAGES = 20_000
"""More pages than this are no stack but a trap: following them alone would take seconds."""
_BELOW_MOST, _BELOW_EACH = 5_000, 64
"""Smaller copies and the like, which pages may name, all and each."""
_SUBPAGES = 330
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_PLAIN, _OLD_JPEG, _JPEG = 1, 6, 7
_PACKED_MOST = {5: 4096, 7: 1024, 8: 1032, 32946: 1032, 32773: 64, 2: 4096, 3: 4096, 4: 8192}
"""How much a packing can shrink its data at most (LZW, JPEG, deflate, run lengths, fax)."""
_PACKED_ANYHOW = 1 << 14
"""For packings that know no such limit (zstd, JPEG 2000, WebP)."""
_NAMES = {
    5: "CMYK colours",
    8: "CIELAB colours",
    9: "ICC LAB colours",
    10: "ITU LAB colours",
    32803: "the raw mosaic of a camera",
    32844: "logarithms of brightness",
    32845: "logarithmic colours",
    34892: "raw camera colours",
    51177: "a depth map",
}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, YCBCR = 0, 1, 2, 3, 4, 6
_REDUCED = 1
_MULTIPLIED = 1
_ALPHA = (_MULTIPLIED, 2)
"""Extra samples that say how opaque a pixel is; the first kind has its colours multiplied by it already."""


@dataclass(frozen=True)
class Stack:
    """Pages that belong together, or one series that the writing program describes (OME, ImageJ and others)."""

    pages: tuple[Any, ...]
    """tifffile's pages."""
    series: Any = None
    """tifffile's series, where a description says which page is what."""
    number: int = 0
    """Which image of the description it is."""

    @property
    def first(self) -> Any:
        """The page that stands for all."""
        return self.pages[0]

    @property
    def in_words(self) -> str:
        """For a list from which the user chooses."""
        page, count = self.first, len(self.pages)
        shape = self.series.shape if self.series is not None else (count, *page.shape)
        if self.series is not None:
            count = int(np.prod(shape, dtype=object)) // max(int(np.prod(page.shape, dtype=object)), 1)
        kind = {RGB: "colour", YCBCR: "colour", PALETTE: "palette colour"}.get(photometric(page), "gray")
        aside = ", a preview" if page.subfiletype & _REDUCED else ", a mask" if page.subfiletype & 4 else ""
        pages = f"{count} page{'s' if count != 1 else ''}"
        return f"{pages} of {page.imagewidth}×{page.imagelength}, {bits(page)} bit {kind}{aside}"


def demand_all_pages(path: Path) -> None:
    """Follow the chain of pages to its end: tifffile and ITK take a broken chain for a shorter stack."""
    length = os.path.getsize(path)
    with path.open("rb") as file:
        start = file.read(16)
        order = "<" if start[:1] == b"I" else ">"
        big = start[2:4] in (b"+\0", b"\0+")
        count_form, entry, link = ("Q", 20, "Q") if big else ("H", 12, "I")
        seen: set[int] = set()
        below = 0
        try:
            (offset,) = struct.unpack_from(order + link, start, 8 if big else 4)
            while offset:
                if offset in seen or offset >= length:
                    raise truncated(path)
                seen.add(offset)
                if len(seen) > PAGES:
                    raise ImageError(f"{path} holds more than {PAGES} pages: save the part you need.")
                file.seek(offset)
                (count,) = struct.unpack(order + count_form, file.read(struct.calcsize(count_form)))
                if count * entry > length:
                    raise truncated(path)
                below += _demand_entries(path, file.read(count * entry), order, big, length)
                if below > _BELOW_MOST:
                    raise ImageError(
                        f"{path} holds more than {_BELOW_MOST} pages below others: save the part you need."
                    )
                (offset,) = struct.unpack(order + link, file.read(struct.calcsize(link)))
        except (struct.error, OverflowError, ValueError) as error:
            raise truncated(path) from error
    if not seen:
        raise truncated(path)


def _demand_entries(path: Path, entries: bytes, order: str, big: bool, length: int) -> int:
    """No field may be longer than the file that holds it: a reader would take memory for it first. → pages below."""
    step, form = (20, "HHQ") if big else (12, "HHI")
    below = 0
    for at in range(0, len(entries) - step + 1, step):
        code, kind, count = struct.unpack_from(order + form, entries, at)
        if count * _SIZES.get(kind, 1) > length:
            raise truncated(path)
        if code == _SUBPAGES:
            below += count if count <= _BELOW_EACH else _BELOW_MOST + 1
    return below


def stacks(path: Path, tiff: Any) -> list[Stack]:
    """What the file offers: described series as they are, else pages of one size, type and purpose; none is dropped."""
    pages = list(tiff.pages)
    described = [
        (number, one) for number, one in enumerate(tiff.series) if one.kind.lower() not in ("generic", "uniform")
    ]
    found: list[Stack] = []
    used: set[int] = set()
    for number, one in described:
        members = tuple(one.pages)
        if any(page is None for page in members):
            raise ImageError(
                f"{path} describes pages that lie in other files or are missing: save all of it in one file."
            )
        found.append(Stack((one.keyframe,), one, number))
        used |= {page.offset for page in members}
    groups: dict[Any, list[Any]] = {}
    # A description with one block of data (ImageJ) speaks for pages that repeat it one by one, and for no others.
    blocks = [(one.dataoffset, one.nbytes) for _, one in described if one.dataoffset is not None]
    for page in pages:
        begin = page.dataoffsets[0] if page.dataoffsets else 0
        if page.offset not in used and not any(at <= begin < at + size for at, size in blocks):
            groups.setdefault(_alike(page), []).append(page)
    found += [Stack(tuple(group)) for group in groups.values()]
    children = [child for page in pages for child in (page.pages or ()) if not child.subfiletype & _REDUCED]
    return found + [Stack((child,)) for child in children if child.offset not in used]


def _alike(page: Any) -> Any:
    """Pages with the same answer make one stack."""
    tags = [page.tags.valueof(code) for code in (282, 283, 296)]
    return (
        page.shape,
        page.axes,
        str(page.dtype),
        str(page.bitspersample),
        photometric(page),
        tuple(page.extrasamples),
        page.subfiletype & 5,
        orientation(page),
        str(tags),
    )


def photometric(page: Any) -> int:
    """What its numbers stand for; −1 if it does not say and they might be counted from white."""
    if 262 in page.tags:
        return int(page.photometric)
    signed = page.dtype is not None and page.dtype.kind in "if" and page.samplesperpixel == 1
    return BLACK_IS_ZERO if signed else -1


def orientation(page: Any) -> int:
    """How it is stored: 1 upright, to 8."""
    try:
        return int(page.tags.valueof(274, 1))
    except (TypeError, ValueError):
        return 1


def bits(page: Any) -> int:
    """Bits of a number."""
    several = page.bitspersample
    return int(several if isinstance(several, int) else max(several))


def demand_page(path: Path, page: Any) -> None:
    """Refuse what can't be shown truly, and a header that promises more than the file can hold."""
    meaning, packing = photometric(page), int(page.compression)
    if meaning in _NAMES:
        raise ImageError(f"{path} holds {_NAMES[meaning]}: save it in gray or RGB.")
    if meaning not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, YCBCR):
        raise ImageError(f"{path} does not say what its numbers stand for: save it again in gray or RGB.")
    if packing == _OLD_JPEG or (meaning == YCBCR and (packing != _JPEG or page.planarconfig != 1)):
        raise ImageError(f"{path} holds YCbCr colours in an outdated packing: save it in gray or RGB.")
    if page.dtype is None or page.dtype.kind not in "biuf":
        raise ImageError(f"{path} holds numbers of an unusual kind: save it as integers or 32-bit float.")
    colour = meaning in (RGB, YCBCR)
    if colour and (page.dtype.kind != "u" or bits(page) not in (8, 12, 16)):
        raise ImageError(f"{path} holds colours of {bits(page)} bits: save it with 8 or 16 bits for each colour.")
    if meaning == WHITE_IS_ZERO and page.dtype.kind not in "bu":
        raise ImageError(
            f"{path} counts from white to black in numbers that have no white (signed or float): "
            "save it so that zero is black."
        )
    if meaning == PALETTE and (page.dtype.kind not in "bu" or page.colormap is None):
        raise ImageError(f"{path} lacks the table of its colours: save it in gray or RGB.")
    offsets, lengths = page.dataoffsets, page.databytecounts
    ends = [at + length for at, length in zip(offsets, lengths, strict=False)]
    whole = len(offsets) == len(lengths) == int(np.prod(page.chunked, dtype=object))
    if not whole or 0 in lengths or max(ends) > os.path.getsize(path):
        raise truncated(path)


def demand_space(path: Path, pages: Sequence[Any], shape: Sequence[int]) -> None:
    """Before memory is taken for them: can the file hold so much, and this computer?"""
    first = pages[0]
    count = int(np.prod(shape, dtype=object))
    packing = int(first.compression)
    most = 1 if packing == _PLAIN else _PACKED_MOST.get(packing, _PACKED_ANYHOW)
    demand_room(path, count * bits(first) // 8, ratio=most)
    demand_memory(path, count * first.dtype.itemsize)


def true_values(path: Path, page: Any, array: Array, axes: str) -> tuple[Array, str]:
    """Numbers that grow from black to white, or red, green, blue; whatever the page's own way to say it."""
    meaning = photometric(page)
    if meaning == PALETTE:
        array, axes = _through_palette(page, array, axes)
    elif meaning == WHITE_IS_ZERO:
        array = ~array if array.dtype.kind == "b" else array.dtype.type(2 ** bits(page) - 1) - array
    if "S" in axes:
        array, axes = _without_alpha(page, array, axes)
    if array.dtype.kind == "b":
        array = array.astype(np.uint8) * np.uint8(255)  # as a bilevel picture of any other kind
    return array, axes


def _through_palette(page: Any, array: Array, axes: str) -> tuple[Array, str]:
    """Gray where every entry is gray; entries of 16 bits that hold only 8 are scaled as all readers do."""
    if "S" in axes:  # an index and its transparency
        array, axes = array.take(0, axes.index("S")), axes.replace("S", "")
    table = np.asarray(page.colormap)  # (3, entries)
    table = (table >> 8 if table.max(initial=0) > 255 else table).astype(np.uint8)
    index = np.minimum(array.astype(np.intp), table.shape[1] - 1)
    if bool((table == table[:1]).all()):
        return table[0][index], axes
    return np.moveaxis(table[:, index], 0, -1), axes + "S"


def _without_alpha(page: Any, array: Array, axes: str) -> tuple[Array, str]:
    """Colours stay three samples, gray none; what else there is stays as samples to choose from."""
    meaning, at = photometric(page), axes.index("S")
    samples = array.shape[at]
    if meaning == PALETTE:
        return array, axes
    extra = int(page.extrasamples[0]) if page.extrasamples else 0
    plain = 3 if meaning in (RGB, YCBCR) else 1
    if extra == _MULTIPLIED and samples == plain + 1 and array.dtype.kind == "u":
        array = _divided(array, at)
    if meaning in (RGB, YCBCR):
        return array.take(range(3), at), axes
    if samples == 2 and extra in _ALPHA:
        return array.take(0, at), axes.replace("S", "")
    return (array.take(0, at), axes.replace("S", "")) if samples == 1 else (array, axes.replace("S", "C"))


def _divided(array: Array, at: int) -> Array:
    """Samples that were multiplied by their transparency, as they were before; where nothing was left, they stay."""
    most, alpha = np.iinfo(array.dtype).max, array.take([-1], at).astype(np.float64)
    whole = np.where(alpha > 0, array * (most / np.maximum(alpha, 1)), array)
    return np.minimum(whole, most).astype(array.dtype)
