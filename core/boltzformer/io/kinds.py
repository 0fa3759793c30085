"""Which kind of file is this: what its name says, what its first bytes say, and that both agree."""

from __future__ import annotations

import errno
import stat
import zlib
from itertools import islice
from pathlib import Path

from boltzformer.errors import ImageError
from boltzformer.io.foreign import foreign_kind
from boltzformer.io.metaimage import looks_like_metaimage
from boltzformer.io.nifti_header import looks_like_nifti

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
READABLE = ".nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, .png, .jpg, .tif, or DICOM"


def split_name(path: Path) -> tuple[str, str]:
    """File name → stem and known extension ('' if unknown): scan.v2.nii.gz → scan.v2, .nii.gz."""
    for extension in EXTENSIONS:  # the longer ones come first
        if path.name.lower().endswith(extension) and len(path.name) > len(extension):
            return path.name[: -len(extension)], extension
    return path.name, ""


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
