"""Files of known kinds that can't be read here, named for what they are, with what to do instead."""

from __future__ import annotations

from pathlib import Path

from boltzformer.io.checks import companion

_CONVERT = "which can't be read here: convert it to NIfTI first."
_PICTURE = "which can't be read here: save it as PNG."
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", f"a GIF picture, {_PICTURE}"),
    (b"BM", f"a BMP picture, {_PICTURE}"),
    (b"\0\0\0\x0cjP  ", f"a JPEG 2000 picture, {_PICTURE}"),
    (b"\xff\x4f\xff\x51", f"a JPEG 2000 picture, {_PICTURE}"),
    (b"%PDF", "a PDF document and no image: save the picture in it as PNG."),
    (b"8BPS", f"a Photoshop picture, {_PICTURE}"),
    (b"PK\x03\x04", "a zip archive: unpack it and give what is in it."),
    (b"Rar!", "a rar archive: unpack it and give what is in it."),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it and give what is in it."),
    (b"BZh", "packed with bzip2: unpack it and give what is in it."),
    (b"\xfd7zXZ", "packed with xz: unpack it and give what is in it."),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it and give what is in it."),
    (b"\x1f\x8b", "packed with gzip and holds no NIfTI image: unpack it and give what is in it."),
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file (such as MINC 2), {_CONVERT}"),
    (b"CDF\x01", f"a MINC file, {_CONVERT}"),
    (b"CDF\x02", f"a MINC file, {_CONVERT}"),
    (b"\x93NUMPY", "an array of numpy without a place in the world: save it as NIfTI."),
    (b"MATLAB ", "a file of MATLAB: save the image as NIfTI."),
    (b"MATRIX7", f"a PET file of CTI (ECAT), {_CONVERT}"),
    (b"!INTERFILE", f"an Interfile header, {_CONVERT}"),
    (b"\0\0\0\x01\0\0", f"an MGH volume of FreeSurfer, {_CONVERT}"),
)
_NAMES = {
    ".raw": "a block of numbers without a header: give the .mhd or .nhdr file that describes it.",
    ".zraw": "a block of numbers without a header: give the .mhd file that describes it.",
    ".mgz": f"an MGH volume of FreeSurfer, {_CONVERT}",
    ".mgh": f"an MGH volume of FreeSurfer, {_CONVERT}",
    ".par": f"a PAR/REC header of Philips, {_CONVERT}",
    ".rec": f"the data of a PAR/REC pair of Philips, {_CONVERT}",
    ".head": f"an AFNI header, {_CONVERT}",
    ".brik": f"the data of an AFNI pair, {_CONVERT}",
    ".trk": "a set of fibre tracks and no image.",
    ".tck": "a set of fibre tracks and no image.",
    ".heic": f"a HEIC picture, {_PICTURE}",
    ".avif": f"an AVIF picture, {_PICTURE}",
    ".czi": "a Zeiss microscope file: save it as OME-TIFF.",
    ".nd2": "a Nikon microscope file: save it as OME-TIFF.",
    ".svg": f"a drawing (SVG), {_PICTURE}",
}
_PAIR = "half of a pair (.hdr and .img, NIfTI or Analyze): save it as one .nii file."


def foreign_kind(path: Path) -> str:
    """What the file is, and what to do, as the rest of a sentence; '' where nothing is known."""
    with path.open("rb") as file:
        start = file.read(352)
    analyze = start[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and path.suffix.lower() == ".hdr"
    if analyze or start[344:347] == b"ni1" or start[4:7] == b"ni2":
        return _PAIR
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return f"a WebP picture, {_PICTURE}"
    if start[4:12] in (b"ftypheic", b"ftypmif1", b"ftypavif"):
        return f"a HEIC or AVIF picture, {_PICTURE}"
    named = path.suffix.lower()
    if named == ".img" and companion(path, path.with_suffix(".hdr").name) is not None:
        return _PAIR
    for begins, words in _STARTS:
        if start.startswith(begins) and not (begins == b"\x1f\x8b" and named in (".mgz", ".brik", ".gz")):
            return words
    if named in _NAMES:
        return _NAMES[named]
    return _STARTS[12][1] if start.startswith(b"\x1f\x8b") else ""
