"""Which kind of file is this: what its name says, what its first bytes say, and that both agree; unreadable ones
are named for what they are."""

from __future__ import annotations

import errno
import stat
import zlib
from itertools import islice
from pathlib import Path

from boltzformer.errors import ImageError
from boltzformer.io.checks import companion
from boltzformer.io.metaimage import looks_like_metaimage
from boltzformer.io.nifti import looks_like_nifti

EXTENSIONS = {
    ".seg.nrrd": "NRRD",
    ".nii.gz": "NIfTI",
    ".nii": "NIfTI",
    ".nrrd": "NRRD",
    ".nhdr": "NRRD",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".rtstruct.dcm": "DICOM",
    ".labelmap.dcm": "DICOM",
    ".dcm": "DICOM",
    ".ima": "DICOM",
}
PICTURES = frozenset({"PNG", "JPEG", "TIFF"})
"""Of these no file says how it lies in a patient; a TIFF may say how large a pixel is."""
READABLE = ".nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, .png, .jpg, .tif, or DICOM"


def split_name(path: Path) -> tuple[str, str]:
    """File name → stem and known extension ('' if unknown): scan.v2.nii.gz → scan.v2, .nii.gz."""
    for extension in EXTENSIONS:  # the longer ones come first
        if path.name.lower().endswith(extension) and len(path.name) > len(extension):
            return path.name[: -len(extension)], extension
    return path.name, ""


def says_sides(path: Path) -> bool:
    """Whether a file of this name can say which side of it is left, front or top."""
    return EXTENSIONS.get(split_name(path)[1]) not in PICTURES


def can_read(path: Path) -> bool:
    """Quick, for a viewer that asks before it opens: a name that is known, or a folder with DICOM files."""
    if not path.is_dir():
        return bool(split_name(path)[1])
    first = islice((file for file in sorted(path.iterdir()) if file.is_file()), 20)
    return any(_by_content(file) == "DICOM" for file in first)


def kind_of(path: Path) -> str:
    """The kind of a file that exists; the name and the content must agree."""
    demand_file(path)
    named = EXTENSIONS.get(split_name(path)[1], "")
    found = _by_content(path)
    if not found:
        unreadable = foreign_kind(path)
        if unreadable:
            raise ImageError(f"{path} is {unreadable}")
    if named and found and named != found:
        raise ImageError(f"{path} is named like a {named} file but holds {found}: give it the right extension.")
    if named and not found and named not in ("DICOM",):
        raise ImageError(f"{path} is no readable {named} file: it is damaged or something else under this name.")
    if not named and not found:
        raise ImageError(f"{path} is no image that can be read here: give a {READABLE} file.")
    return found or named


def demand_file(path: Path) -> None:
    """Only what is a file of its own is opened: a pipe or a device may give bytes for ever, or none."""
    try:
        mode = path.stat()
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist: check the path.") from None
    except (OSError, ValueError) as error:
        looped = getattr(error, "errno", None) == errno.ELOOP
        reason = "its links lead in a circle" if looped else getattr(error, "strerror", None) or "no possible name"
        raise ImageError(f"{path} could not be read ({reason}): check the path and your rights.") from None
    if stat.S_ISDIR(mode.st_mode):
        raise ImageError(f"{path} is a folder and no image file: give the file in it.")
    if not stat.S_ISREG(mode.st_mode):
        raise ImageError(f"{path} is no file but a {_special(mode.st_mode)}: save the image as a file.")
    if mode.st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes): copy or export it again.")


def _special(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"


def _by_content(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4096)
    if start[:2] == b"\x1f\x8b":
        try:
            start = zlib.decompressobj(31).decompress(start, 540)
        except zlib.error:
            return "NIfTI" if split_name(path)[1] == ".nii.gz" else ""  # its reader says what is wrong
    if looks_like_nifti(start):
        return "NIfTI"
    if start[:5] == b"NRRD0":
        return "NRRD"
    if start[128:132] == b"DICM" or start[:4] == b"\x08\0\x05\0":
        return "DICOM"
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if start[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    return "MetaImage" if looks_like_metaimage(start) else ""


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
