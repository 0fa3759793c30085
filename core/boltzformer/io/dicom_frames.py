"""The stored numbers of DICOM frames: where they lie in their file, held against its size, unpacked one by one."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array

if TYPE_CHECKING:
    from pydicom import Dataset

FRAMES_MOST = 100_000
"""A film of an hour; more in one file is a wrong header."""
PACKED_MOST = 1 << 14
"""How much a packed frame may grow: black frames in JPEG 2000 or JPEG-LS shrink to almost nothing."""
_SMALL = 64 << 20
_FLOATS: dict[int, np.dtype[np.generic]] = {0x0008: np.dtype("f4"), 0x0009: np.dtype("f8")}
_INTEGERS = 0x0010
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN")
_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 92, 93, 201, 202, 203))
_JPEG_XL = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (110, 112))
_GRAYS = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_RLE = "1.2.840.10008.1.2.5"
_DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True)
class Pixels:
    """How the numbers of a file are stored, and where."""

    path: Path
    begin: int
    """Of the numbers or, if they are packed, of the items that hold them."""
    length: int
    """Bytes that the file has for them."""
    syntax: str
    """UID of the packing; '' if they are plain."""
    inflated: bool
    """Whether the whole file is deflated."""
    dtype: np.dtype[np.generic]
    """As allocated, in the byte order of the file."""
    frames: int
    size: tuple[int, int]
    samples: int
    planar: bool
    stored: int
    """Bits that count, of those allocated."""
    high: int
    signed: bool
    photometric: str
    swapped: bool = False
    """Whether bytes lie in pairs of which the second comes first: big-endian words that hold two pixels."""

    @property
    def one_bit(self) -> bool:
        """Whether eight pixels share a byte."""
        return self.stored == 1 and self.dtype.itemsize == 1 and self.high == -1

    @property
    def halved(self) -> bool:
        """Whether two neighbours share their colour, plainly stored: Y Y B R."""
        return self.photometric == "YBR_FULL_422" and not self.syntax

    @property
    def values(self) -> int:
        """Numbers in a frame as they are stored."""
        return self.size[0] * self.size[1] * (2 if self.halved else self.samples)


def pixels_of(path: Path, header: Dataset, file: BinaryIO) -> Pixels | None:
    """What the header and the element behind it say; None if there are no numbers.

    `file` stands where the reading of the header ended.
    """
    syntax = str(header.file_meta.get("TransferSyntaxUID", "") or "")
    if syntax == _DEFLATED:
        return _described(path, header, _INTEGERS, 0, len(_inflated(path)), syntax, packed=False)
    length = os.path.getsize(path)
    little = bool(header.original_encoding[1])
    order = "<" if little else ">"
    start = file.read(12)
    if len(start) < 8:
        return None
    group, element = struct.unpack(order + "2H", start[:4])
    if group != 0x7FE0 or element not in (*_FLOATS, _INTEGERS):
        return None
    if start[4:6] in _LONG_VRS and start[6:8] == b"\0\0":  # as a length it would be odd, so this can't be mistaken
        (given,), begin = struct.unpack(order + "I", start[8:12]), file.tell()
    else:  # implicit, whatever the file says of itself
        (given,), begin = struct.unpack(order + "I", start[4:8]), file.tell() - len(start) + 8
    packed = given == 0xFFFFFFFF
    room = max(length - begin if packed else min(given, length - begin), 0)
    pixels = _described(path, header, element, begin, room, syntax, packed=packed)
    words = start[4:6] == b"OW" and not little and pixels.dtype.itemsize == 1
    return replace(pixels, swapped=words)


def _described(
    path: Path, header: Dataset, element: int, begin: int, length: int, syntax: str, *, packed: bool
) -> Pixels:
    order: Literal["<", ">"] = "<" if header.original_encoding[1] else ">"
    frames = int(header.get("NumberOfFrames") or 1)
    rows, columns, samples = int(header.Rows), int(header.Columns), int(header.get("SamplesPerPixel") or 1)
    allocated = int(header.get("BitsAllocated") or 16)
    stored = int(header.get("BitsStored") or allocated)
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2").strip().upper()
    if not 1 <= frames <= FRAMES_MOST or rows < 1 or columns < 1:
        raise ImageError(
            f"{path} has an impossible size in its header ({frames} frames of {columns}×{rows}): export it again."
        )
    planar, signed = (int(header.get(name) or 0) for name in ("PlanarConfiguration", "PixelRepresentation"))
    if planar not in (0, 1) or signed not in (0, 1) or (samples == 1 and photometric not in _GRAYS):
        raise ImageError(
            f"{path} does not say clearly what its numbers are ({photometric or 'nothing'}): export it again."
        )
    high = -1 if allocated == 1 else int(header.get("HighBit", stored - 1))
    if (
        samples not in (1, 3)
        or allocated not in (1, 8, 16, 32, 64)
        or not 1 <= stored <= allocated
        or high >= allocated
    ):
        raise ImageError(
            f"{path} stores its numbers in an unusual way ({samples} samples of {stored} in {allocated} bits): "
            "export it as 8 or 16 bits."
        )
    return Pixels(
        path=path,
        begin=begin,
        length=length,
        syntax=syntax if packed else "",
        inflated=syntax == _DEFLATED,
        dtype=(_FLOATS[element] if element in _FLOATS else np.dtype(f"u{max(allocated // 8, 1)}")).newbyteorder(order),
        frames=frames,
        size=(rows, columns),
        samples=samples,
        planar=bool(planar),
        stored=stored,
        high=high,
        signed=bool(signed),
        photometric=photometric,
    )


def has_room(pixels: Pixels) -> bool:
    """Whether the file can hold what its header promises."""
    if pixels.syntax:
        needed = pixels.frames * pixels.values * pixels.dtype.itemsize
        return pixels.length >= 8 * pixels.frames and needed <= pixels.length * PACKED_MOST + _SMALL
    return excess(pixels) >= 0


def excess(pixels: Pixels) -> int:
    """Bytes that plain numbers have in the file and don't need."""
    if pixels.syntax:
        return 0
    bits = 1 if pixels.one_bit else 8 * pixels.dtype.itemsize
    return pixels.length - (pixels.frames * pixels.values * bits + 7) // 8


def stored_frames(pixels: Pixels, wanted: Collection[int]) -> Iterator[tuple[int, Array]]:
    """The wanted frames, each (rows, columns) or (rows, columns, 3), in the order of the file."""
    if not has_room(pixels):
        raise undecodable(pixels.path)
    with _opened(pixels) as file:
        file.seek(pixels.begin)
        if pixels.syntax:
            yield from _packed_frames(pixels, file, wanted)
            return
        if pixels.one_bit:
            everything = np.unpackbits(np.frombuffer(file.read(pixels.length), np.uint8), bitorder="little")
            for frame in sorted(wanted):
                yield frame, everything[frame * pixels.values :][: pixels.values].reshape(pixels.size)
            return
        count = pixels.values * pixels.dtype.itemsize
        for frame in sorted(wanted):
            odd = frame * count % 2 if pixels.swapped else 0
            file.seek(pixels.begin + frame * count - odd)
            raw = file.read(odd + count + (odd + count) % 2 if pixels.swapped else count)
            if pixels.swapped:
                raw = np.frombuffer(raw[: len(raw) // 2 * 2], "u2").byteswap().tobytes()[odd : odd + count]
            plain = np.frombuffer(raw[: len(raw) // pixels.dtype.itemsize * pixels.dtype.itemsize], pixels.dtype)
            if len(plain) != pixels.values:
                raise undecodable(pixels.path)
            yield frame, _numbers(pixels, _arranged(pixels, plain.astype(plain.dtype.newbyteorder("="))))


def _opened(pixels: Pixels) -> BinaryIO:
    return io.BytesIO(_inflated(pixels.path)) if pixels.inflated else pixels.path.open("rb")


def demand_inflatable(path: Path, file: BinaryIO) -> None:
    """A file that is deflated as a whole is unpacked as a whole: only if that stays small."""
    from pydicom.filereader import read_file_meta_info

    start = file.read(132 + 1024)
    file.seek(0)
    if _DEFLATED.encode() not in start:
        return
    meta = read_file_meta_info(path)
    skip = 128 + 4 + 12 + int(meta.get("FileMetaInformationGroupLength", 0))
    unpack, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    packed = path.read_bytes()[skip:]
    while packed and not unpack.eof:
        total += len(unpack.decompress(packed, 1 << 20))
        packed = unpack.unconsumed_tail
        if total > _SMALL + 2 * os.path.getsize(path):
            raise ImageError(f"{path} is packed more tightly than can be read here: export it uncompressed.")


def _inflated(path: Path) -> bytes:
    """The numbers of a file that is deflated as a whole."""
    import pydicom

    return bytes(pydicom.dcmread(path).get("PixelData", b""))


def undecodable(path: Path) -> ImageError:
    """The error for numbers that can't be unpacked."""
    return ImageError(
        f"{path} can't be decoded: it is damaged, or packed in a way that we don't know. "
        "Copy it again, or export the series uncompressed."
    )


def _arranged(pixels: Pixels, plain: Array) -> Array:
    """Samples last; where two neighbours share a colour, each gets it."""
    rows, columns = pixels.size
    if pixels.halved:
        full = pixels.frames * rows * columns * 3
        if columns % 2 or pixels.length >= full:  # each pixel has a colour of its own, whatever the header says
            raise ImageError(
                f"{pixels.path} holds colours of an unusual kind (shared by neighbours): export it as RGB."
            )
        pairs = plain.reshape(-1, 4)  # Y, Y, B, R
        spread = pairs[:, [0, 2, 3, 1, 2, 3]]
        return spread.reshape(rows, columns, 3)
    if pixels.samples == 1:
        return plain.reshape(rows, columns)
    if pixels.planar:
        return np.moveaxis(plain.reshape(3, rows, columns), 0, -1)
    return plain.reshape(rows, columns, 3)


def _numbers(pixels: Pixels, raw: Array, *, aligned: bool = False) -> Array:
    """Without bits that hold something else (old overlays), and with their sign."""
    if raw.dtype.kind == "f":
        return raw
    unsigned = raw.view(raw.dtype.str.replace("i", "u"))
    width = 8 * raw.dtype.itemsize
    if pixels.stored < width:
        shift = 0 if aligned else max(pixels.high + 1 - pixels.stored, 0)
        unsigned = (unsigned >> unsigned.dtype.type(shift)) & unsigned.dtype.type(2**pixels.stored - 1)
    if not pixels.signed:
        return unsigned
    left = unsigned.dtype.type(max(width - pixels.stored, 0))
    kind = unsigned.dtype.str.replace("u", "i")
    return (unsigned << left).view(kind) >> np.dtype(kind).type(left)


def _packed_frames(pixels: Pixels, file: BinaryIO, wanted: Collection[int]) -> Iterator[tuple[int, Array]]:
    from pydicom.encaps import generate_frames

    last = max(wanted)
    try:
        for frame, packed in enumerate(generate_frames(file, number_of_frames=pixels.frames)):
            if frame in wanted:
                yield frame, _unpacked(pixels, packed)
            if frame == last:
                return
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # pydicom and the codecs raise many kinds on damaged items
        raise undecodable(pixels.path) from error
    raise undecodable(pixels.path)


def _unpacked(pixels: Pixels, packed: bytes) -> Array:
    import imagecodecs

    rows, columns = pixels.size
    if pixels.syntax == _RLE:
        flat = imagecodecs.dicomrle_decode(packed, dtype=pixels.dtype.newbyteorder("<"))
        planes = np.frombuffer(flat, pixels.dtype.newbyteorder("<")).reshape(pixels.samples, rows, columns)
        plain = np.moveaxis(planes, 0, -1) if pixels.samples > 1 else planes[0]
        return _numbers(pixels, np.ascontiguousarray(plain.astype(plain.dtype.newbyteorder("="))))
    if pixels.syntax.startswith("1.2.840.10008.1.2.4.10") and pixels.syntax not in _JPEG_XL:
        raise ImageError(f"{pixels.path} is packed as a video (MPEG): export its frames as pictures.")
    if pixels.syntax not in (*_JPEG, *_JPEG_LS, *_JPEG_2000, *_JPEG_XL):
        raise undecodable(pixels.path)
    found = stream_size(packed)
    if found is not None and 0 in found:
        raise undecodable(pixels.path)
    if found is not None and found != pixels.size:
        raise ImageError(f"{pixels.path} holds a picture of another size than its header says: export it again.")
    if pixels.syntax in _JPEG:
        plain = _jpeg(pixels, packed)
    elif pixels.syntax in _JPEG_LS:
        plain = imagecodecs.jpegls_decode(packed)
    elif pixels.syntax in _JPEG_2000:
        plain = imagecodecs.jpeg2k_decode(packed)
    else:
        plain = imagecodecs.jpegxl_decode(packed)
    plain = plain[..., 0] if plain.ndim == 3 and plain.shape[-1] == 1 else plain
    wanted = (rows, columns) if pixels.samples == 1 else (rows, columns, pixels.samples)
    if plain.shape != wanted:
        raise ImageError(f"{pixels.path} holds a picture of another size than its header says: export it again.")
    return _numbers(pixels, np.ascontiguousarray(plain), aligned=True)


def _jpeg(pixels: Pixels, packed: bytes) -> Array:
    """Colours as red, green, blue, if the stream or the header says that they are stored otherwise."""
    import imagecodecs

    if pixels.samples == 1:
        return np.asarray(imagecodecs.jpeg_decode(packed))
    stored = "YCBCR" if _is_ybr(pixels, packed) else "RGB"
    return np.asarray(imagecodecs.jpeg_decode(packed, colorspace=stored, outcolorspace="RGB"))


def _is_ybr(pixels: Pixels, packed: bytes) -> bool:
    """Adobe's marker knows best, then the names of the components, then the header."""
    adobe = packed.find(b"\xff\xee\x00\x0eAdobe", 0, 4096)
    if adobe >= 0:
        return packed[adobe + 15] != 0
    names = _components(packed)
    if names == b"RGB":
        return False
    return b"JFIF" in packed[:32] or pixels.photometric.startswith("YBR")


def _components(packed: bytes) -> bytes:
    at = _frame_header(packed)
    return b"" if at is None else bytes(packed[at + 10 + 3 * n] for n in range(3) if at + 10 + 3 * n < len(packed))


def stream_size(packed: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG of any kind says of itself; None if it does not say."""
    if packed[:4] == b"\xff\x4f\xff\x51" and len(packed) >= 24:  # JPEG 2000
        width, height, left, top = struct.unpack(">4I", packed[8:24])
        return height - top, width - left
    at = _frame_header(packed)
    if at is None or len(packed) < at + 9:
        return None
    height, width = struct.unpack(">2H", packed[at + 5 : at + 9])
    return height, width


def _frame_header(packed: bytes) -> int | None:
    """Where the frame header of a JPEG or JPEG-LS stream begins."""
    at = 2
    while packed[:2] == b"\xff\xd8" and at + 4 <= len(packed) and packed[at] == 0xFF:
        kind = packed[at + 1]
        if kind == 0xFF:
            at += 1
            continue
        if kind == 0xF7 or (0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC)):
            return at
        at += 2 + int(struct.unpack(">H", packed[at + 2 : at + 4])[0])
    return None
