"""Headers as a hostile or careless program would write them: small images with some fields replaced by anything."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from hypothesis import strategies as st

from boltzformer.image.geometry import Array

NUMBERS = [0, 1, 2, 3, 7, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1]
SIGNED = [*NUMBERS, -1, -3, -(2**31)]
REALS = ["nan", "inf", "-inf", "1e400", "0", "-1", "1e-300", "0.7", "x", "", "(1,2,3)", "none"]


def values(size: int, kind: str, seed: int) -> Array:
    """Numbers of a kind, different from case to case."""
    raw = np.random.default_rng(seed).integers(0, 200, size)
    return raw.astype(kind)


@st.composite
def nrrd(draw: st.DrawFn) -> bytes:
    """A header of NRRD with attached data, plain or packed."""
    import gzip

    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    kind, name = draw(st.sampled_from([("u1", "uchar"), ("<i2", "short"), ("<u2", "ushort"), ("<f4", "float")]))
    spaces = " ".join(f"({','.join('1.5' if n == axis else '0' for n in range(3))})" for axis in range(3))
    fields: dict[str, Any] = {
        "type": name,
        "dimension": len(sizes),
        "sizes": " ".join(map(str, sizes)),
        "endian": "little",
        "encoding": draw(st.sampled_from(["raw", "gzip"])),
    }
    if len(sizes) == 3 and draw(st.booleans()):
        fields |= {"space": draw(st.sampled_from(["LPS", "RAS", "left-anterior-superior"])), "space directions": spaces}
    data = values(int(np.prod(sizes)), kind, draw(st.integers(0, 99))).tobytes()
    data = gzip.compress(data, mtime=0) if fields["encoding"] == "gzip" else data
    for key in draw(st.lists(st.sampled_from([*fields, "byte skip", "line skip", "kinds", "spacings"]), max_size=2)):
        others = (
            [str(n) for n in SIGNED] + REALS + ["uint8", "int", "double", "big", "bzip2", "ascii", "LPS", "1 2 3 4"]
        )
        fields[key] = draw(st.sampled_from([*others, " ".join(map(str, sizes[::-1])), f"{2**20} " * len(sizes)]))
    text = "".join(f"{key}: {value}\n" for key, value in fields.items())
    return b"NRRD0004\n" + text.encode() + b"\n" + data


@st.composite
def metaimage(draw: st.DrawFn) -> bytes:
    """A header of MetaImage with attached data, plain or packed."""
    import zlib

    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    kind, name = draw(
        st.sampled_from([("u1", "MET_UCHAR"), ("<i2", "MET_SHORT"), ("<u2", "MET_USHORT"), ("<f4", "MET_FLOAT")])
    )
    packed = draw(st.booleans())
    fields: dict[str, Any] = {
        "NDims": len(sizes),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": str(packed),
        "ElementSpacing": " ".join(["0.5"] * len(sizes)),
        "DimSize": " ".join(map(str, sizes)),
        "ElementType": name,
    }
    data = values(int(np.prod(sizes)), kind, draw(st.integers(0, 99))).tobytes()
    data = zlib.compress(data) if packed else data
    if packed:
        fields["CompressedDataSize"] = len(data)  # without it, ITK reads chance
    extra = ["ElementNumberOfChannels", "HeaderSize", "Offset", "TransformMatrix"]
    for key in draw(st.lists(st.sampled_from([*list(fields)[1:7], *extra]), max_size=2)):
        others = [str(n) for n in SIGNED] + REALS + ["True", "MET_DOUBLE", "MET_LONG_LONG", "1 1 1", "2 2 2 2"]
        fields[key] = draw(st.sampled_from([*others, " ".join(map(str, sizes[::-1])), f"{2**20} " * len(sizes)]))
    text = "".join(f"{key} = {value}\n" for key, value in fields.items())
    return text.encode() + b"ElementDataFile = LOCAL\n" + data


@st.composite
def nifti(draw: st.DrawFn) -> bytes:
    """A header of NIfTI-1, plain or packed."""
    import gzip

    sizes = draw(st.lists(st.integers(1, 5), min_size=3, max_size=4))
    code, kind = draw(st.sampled_from([(2, "u1"), (4, "<i2"), (512, "<u2"), (16, "<f4"), (8, "<i4"), (64, "<f8")]))
    raw = bytearray(352)
    struct.pack_into("<i", raw, 0, 348)
    struct.pack_into("<8h", raw, 40, len(sizes), *sizes, *[1] * (7 - len(sizes)))
    struct.pack_into("<2h", raw, 70, code, 8 * np.dtype(kind).itemsize)
    struct.pack_into("<8f", raw, 76, 1, 0.5, 0.7, 3, 1, 1, 1, 1)
    struct.pack_into("<f2f", raw, 108, 352, 1, 0)
    struct.pack_into("<2h", raw, 252, 1, 1)
    struct.pack_into("<12f", raw, 280, 0.5, 0, 0, 1, 0, 0.7, 0, 2, 0, 0, 3, 3)
    raw[344:348] = b"n+1\0"
    shorts = {40: "h", 42: "h", 44: "h", 46: "h", 48: "h", 70: "h", 252: "h", 254: "h"}
    reals = {76: "f", 80: "f", 84: "f", 108: "f", 112: "f", 116: "f", 280: "f", 292: "f", 300: "f"}
    for at in draw(st.lists(st.sampled_from([*shorts, *reals]), max_size=2)):
        if at in shorts:
            struct.pack_into("<h", raw, at, draw(st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 512, -1, -3, 32767, -32768])))
        else:
            number = draw(st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5, 1000.0, 1e38, float("nan"), float("inf")]))
            struct.pack_into("<f", raw, at, number)
    whole = bytes(raw) + values(int(np.prod(sizes)), kind, draw(st.integers(0, 99))).tobytes()
    return gzip.compress(whole, 1, mtime=0) if draw(st.booleans()) else whole


TIFF_KINDS = {(8, 1): "u1", (16, 1): "<u2", (16, 2): "<i2", (32, 3): "<f4", (32, 1): "<u4", (8, 2): "i1"}


@st.composite
def tiff(draw: st.DrawFn) -> bytes:
    """One or two pages with their tags as numbers, plain or deflated."""
    import zlib

    width, height, samples = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.sampled_from([1, 1, 1, 3]))
    bits, form = draw(st.sampled_from([*TIFF_KINDS]))
    data = values(width * height * samples, TIFF_KINDS[bits, form], draw(st.integers(0, 99))).tobytes()
    packed = draw(st.booleans())
    data = zlib.compress(data) if packed else data
    tags = {
        254: 0,
        256: width,
        257: height,
        258: bits,
        259: 8 if packed else 1,
        262: 2 if samples == 3 else draw(st.sampled_from([0, 1, 1])),
        273: 8,
        274: draw(st.sampled_from([1, 1, 1, 2, 3, 4, 5, 6, 7, 8])),
        277: samples,
        278: height,
        279: len(data),
        339: form,
    }
    pages = [dict(tags)] if draw(st.booleans()) else [dict(tags), dict(tags)]
    for code in draw(st.lists(st.sampled_from([*tags, 284, 317, 338, 266]), max_size=2)):
        draw(st.sampled_from(pages))[code] = draw(st.sampled_from([*NUMBERS, 4, 5, 6, 8, 16, 32, 32946, len(data) + 1]))
    raw, begin = struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data, 8 + len(data)
    for n, page in enumerate(pages):
        after = begin + 2 + 12 * len(page) + 4
        raw += struct.pack("<H", len(page))
        raw += b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in sorted(page.items()))
        raw += struct.pack("<I", after if n + 1 < len(pages) else 0)
        begin = after
    return raw


@st.composite
def dicom(draw: st.DrawFn) -> bytes:
    """A slice or a film with its fields replaced, plain."""
    from io import BytesIO

    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset

    rows, columns, frames = draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    bits, samples = draw(st.sampled_from([8, 16])), draw(st.sampled_from([1, 1, 3]))
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    one.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    one.SOPClassUID, one.SOPInstanceUID, one.SeriesInstanceUID = (
        pydicom.uid.SecondaryCaptureImageStorage,
        "1.2.3",
        "1.2",
    )
    one.Modality = "OT"
    one.Rows, one.Columns, one.SamplesPerPixel = rows, columns, samples
    one.PhotometricInterpretation = "RGB" if samples == 3 else draw(st.sampled_from(["MONOCHROME2", "MONOCHROME1"]))
    one.BitsAllocated, one.BitsStored, one.HighBit = bits, bits, bits - 1
    one.PixelRepresentation = 0 if samples == 3 else draw(st.integers(0, 1))
    one.PlanarConfiguration = 0
    one.NumberOfFrames = frames
    one.PixelSpacing = ["0.5", "0.7"]
    one.PixelData = values(frames * rows * columns * samples, f"<u{bits // 8}", draw(st.integers(0, 99))).tobytes()
    small = ["Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"]
    for name in draw(st.lists(st.sampled_from([*small, "NumberOfFrames", "PlanarConfiguration"]), max_size=2)):
        choices = SIGNED if name == "NumberOfFrames" else [0, 1, 2, 3, 7, 8, 11, 12, 16, 32, 64, 255, 65535]
        setattr(one, name, draw(st.sampled_from(choices)))
    texts = {"RescaleSlope": ["0", "1", "2.5", "-1", "1e30"], "RescaleIntercept": ["0", "-1024", "0.5"]}
    for name in draw(st.lists(st.sampled_from([*texts]), max_size=2)):
        setattr(one, name, draw(st.sampled_from(texts[name])))
    buffer = BytesIO()
    one.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
