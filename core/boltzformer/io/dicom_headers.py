"""DICOM headers: which series lie in a folder, and where each slice is. No patient's name or number is read."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boltzformer.errors import BoltzFormerError, ImageError
from boltzformer.io.checks import ImageWarning, truncated
from boltzformer.io.dicom_frames import Pixels, demand_inflatable, has_room, pixels_of, undecodable
from boltzformer.io.dicom_slices import PALETTE_TAGS, Slice, slices_of

if TYPE_CHECKING:
    from pydicom import Dataset

_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "ImageType",
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "NumberOfSlices",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
    "SequenceOfUltrasoundRegions",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "DetectorInformationSequence",
    "GridFrameOffsetVector",
    "DimensionIndexSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "DoseGridScaling",
    *PALETTE_TAGS,
]
_LISTED = 20
_NAMED = 5
_NOT_IMAGES = {"SEG", "RTSTRUCT", "SR", "PR", "KO", "REG"}
_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class Series:
    """Slices that belong together, in no order yet."""

    uid: str
    number: int
    description: str
    modality: str
    slices: tuple[Slice, ...]
    notes: tuple[str, ...] = ()
    """What the user should know about it."""

    @property
    def in_words(self) -> str:
        """For a list from which the user chooses."""
        first = self.slices[0]
        rows, columns = first.size
        apart = f"{first.spacing[0]:g}×{first.spacing[1]:g}×{first.thickness:g} mm"
        count = f"{len(self.slices)} slice{'s' if len(self.slices) > 1 else ''} of {columns}×{rows}"
        return f"{self.modality} '{self.description or 'without description'}', {count}, {apart}"


@contextmanager
def discreet() -> Iterator[None]:
    """Keeps pydicom from quoting header values, patient data among them, in warnings and logs."""
    import pydicom

    with pydicom.config.disable_value_validation(), warnings.catch_warnings(action="ignore"):
        yield


def series_in(folder: Path) -> list[Series]:
    """All image series in a folder and below it, by series number. What can't be used is left out, and said once."""
    with discreet():
        found, left_out = _files(sorted(_files_below(folder)))
        series = series_from(found, left_out)
    if not series and (broken := next((one for one in left_out if one.error), None)):
        raise broken.error or truncated(broken.path)
    _say(folder, left_out)
    return series


def series_of(path: Path) -> Series:
    """The series that one file belongs to, with those of its neighbours in the folder that belong to it too."""
    with discreet():
        own = _read(path)
        if own is None:
            raise ImageError(f"{path} is no DICOM image in spite of its name: rename it, or export it again.")
        if not _is_image(own):
            raise ImageError(
                f"{path} is a DICOM file of the kind {own[0].get('Modality', '?')} and holds no image: "
                "open the image series itself."
            )
        if own[1] is not None and not has_room(own[1]):
            raise undecodable(path)
        uid = own[0].get("SeriesInstanceUID", "")
        neighbours = [file for file in sorted(path.parent.iterdir()) if file.is_file() and file.name != path.name]
        found, left_out = _files(neighbours)
        mine = [one for one in found if one[1][0].get("SeriesInstanceUID", "") == uid]
        series = series_from([(path, own), *mine], left_out, strict=True)[0]
    _say(path.parent, [one for one in left_out if one.error])
    return series


@dataclass(frozen=True)
class LeftOut:
    """A DICOM file from which no image can be read."""

    path: Path
    why: str
    error: BoltzFormerError | None = None
    """What reading it alone would say, if it is damaged."""


def can_be_referred_to(path: Path) -> bool:
    """Whether masks as DICOM can refer to this slice: X-ray, ultrasound and photographs lie in no patient's space."""
    with discreet():
        found = _read(path)
        first = next(slices_of(path, *found, []), None) if found else None
    return first is not None and first.reference


def demand_all_frames(path: Path) -> None:
    """Before a library counts them: has the file as many frames of masks as its header promises?"""
    with discreet():
        header, pixels = _read(path) or (None, None)
        if header is None or pixels is None:
            return  # whoever reads it says what it is
        told: Any = header.get("PerFrameFunctionalGroupsSequence") or []
        if not has_room(pixels) or len(told) not in (0, pixels.frames):
            raise undecodable(path)


def _say(folder: Path, left_out: Sequence[LeftOut]) -> None:
    if left_out:
        ordered = sorted(left_out, key=lambda one: one.path)
        named = ", ".join(f"{one.path.name} ({one.why})" for one in ordered[:_NAMED])
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        count = f"{len(left_out)} files are" if len(left_out) > 1 else "1 file is"
        message = f"{folder}: {count} left out because no image can be read from it: {named}{more}."
        warnings.warn(message, ImageWarning, stacklevel=4)


def choose(path: Path, found: Sequence[Series], series: int | str | None) -> Series:
    """The series that the user asked for by its place in the list (from 1) or its UID; the only one needs no asking."""
    if series is None:
        if len(found) == 1:
            return found[0]
        raise ImageError(f"{path} holds {len(found)} series: choose one with --series N. {listing(found)}")
    for place, one in enumerate(found, 1):
        if str(series) in (str(place), one.uid):
            return one
    raise ImageError(f"{path} has no series {series}: choose one of these. {listing(found)}")


def listing(found: Sequence[Series]) -> str:
    """The series as a numbered list in one line; of very many only the first."""
    named = [f"{place}: {one.in_words}" for place, one in enumerate(found[:_LISTED], 1)]
    more = [f"and {len(found) - _LISTED} more"] if len(found) > _LISTED else []
    return "; ".join(named + more) + "."


def _files_below(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where) / name for name in files if not name.startswith("."))


Found = tuple["Dataset", Pixels | None]
"""What a file says, and where its numbers are."""


def _files(files: Sequence[Path]) -> tuple[list[tuple[Path, Found]], list[LeftOut]]:
    """The images among the files, and the DICOM files that are none, with the reason."""
    images: list[tuple[Path, Found]] = []
    left_out: list[LeftOut] = []
    for path in files:
        try:
            found = _read(path)
        except BoltzFormerError as error:
            left_out.append(LeftOut(path, "damaged", error))
            continue
        except OSError as error:  # no rights, or a link that leads nowhere
            why = error.strerror or str(error)
            said = ImageError(f"{path} could not be read ({why}): check the file and your rights.")
            left_out.append(LeftOut(path, why.lower(), said))
            continue
        if found is None or _is_directory(found[0]):
            continue
        if not _is_image(found):
            left_out.append(LeftOut(path, str(found[0].get("Modality", "") or "no pixels")))
        elif found[1] is not None and not has_room(found[1]):
            left_out.append(LeftOut(path, "damaged", undecodable(path)))
        else:
            images.append((path, found))
    return images, left_out


def _is_image(found: Found) -> bool:
    header, pixels = found
    return pixels is not None and header.get("Modality") not in _NOT_IMAGES


def _is_directory(header: Dataset) -> bool:
    return str(header.file_meta.get("MediaStorageSOPClassUID", "")) == _DIRECTORY


def _read(path: Path) -> Found | None:
    """The tags that matter, or None if the file is no DICOM file. Very old files lack the preamble."""
    import pydicom

    if not stat.S_ISREG(path.stat().st_mode):
        return None  # a pipe may give bytes for ever, or none
    with path.open("rb") as file:
        start = file.read(132)
        old = start[:2] == b"\x08\0" and path.suffix.lower() in ("", ".dcm", ".ima")
        if start[128:] != b"DICM" and not old:
            return None
        file.seek(0)
        try:
            demand_inflatable(path, file)
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS), force=old)
            header.get("Modality"), header.get("SeriesInstanceUID")  # decoded here, so that damage shows here
            kind = pydicom.uid.UID(
                str(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID", ""))
            )
            pixels = pixels_of(path, header, file) if "Rows" in header else None
        except ImageError:
            raise
        except Exception:  # pydicom raises many kinds on damaged files, some with what stands in them
            raise truncated(path) from None
    if "Rows" not in header and kind.keyword.endswith("ImageStorage"):
        raise truncated(path)  # pydicom takes a file that ends in its header for a short header
    return header, pixels


def series_from(files: Sequence[tuple[Path, Found]], left_out: list[LeftOut], *, strict: bool = False) -> list[Series]:
    """The series that these files belong to, by series number. A file whose header is damaged is left out, too.

    `strict`: unless it is the first.
    """
    by_uid: dict[str, list[tuple[Path, Found]]] = {}
    for path, found in files:
        by_uid.setdefault(str(found[0].get("SeriesInstanceUID", "")), []).append((path, found))
    own = files[0][0] if strict and files else None
    made = (_series(uid, members, left_out, own) for uid, members in by_uid.items())
    return sorted((one for one in made if one is not None), key=lambda one: (one.number, one.uid))


def _series(
    uid: str, members: Sequence[tuple[Path, Found]], left_out: list[LeftOut], own: Path | None
) -> Series | None:
    slices: dict[tuple[object, ...], Slice] = {}
    notes: list[str] = []
    about: tuple[int, str, str] | None = None
    for path, (header, pixels) in members:
        try:
            frames = list(slices_of(path, header, pixels, notes))
            described = tuple(str(header.get(name, "") or "") for name in ("SeriesDescription", "Modality"))
            about = (int(header.get("SeriesNumber") or 0), described[0], described[1])
        except Exception as error:  # pydicom decodes values late, raises many kinds, and quotes what stands there
            damaged = ImageError(f"{path} has a damaged DICOM header: export it again.")
            said: BoltzFormerError = error if isinstance(error, BoltzFormerError) else damaged
            if path == own:
                raise said from None
            left_out.append(LeftOut(path, "damaged", said))
            continue
        for one in frames:
            # A copy of a file counts once; but some programs that anonymise give all files of a series one UID.
            slices.setdefault((one.instance or str(path), one.frame, one.number, one.position), one)
    if about is None:
        return None
    return Series(uid, *about, slices=tuple(slices.values()), notes=tuple(dict.fromkeys(notes)))
