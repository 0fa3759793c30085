"""DICOM headers: which series lie in a folder, and where each slice is. No patient's name or number is read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boltzformer.errors import ImageError
from boltzformer.io.checks import truncated

if TYPE_CHECKING:
    from pydicom import Dataset

_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "Rows",
    "Columns",
    "BitsAllocated",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
_LISTED = 20
_NOT_IMAGES = {"SEG", "RTSTRUCT", "SR", "PR", "KO", "REG"}


@dataclass(frozen=True)
class Slice:
    """One frame of one DICOM file."""

    path: Path
    frame: int
    """0-based place in its file."""
    number: int
    """Instance number: the order in which the scanner counted, which is not always the order in space."""
    instance: str
    size: tuple[int, int]
    """Rows and columns."""
    spacing: tuple[float, float]
    """Millimetres between rows, and between columns."""
    thickness: float
    """Distance to a next slice if there were one."""
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    """Direction of the columns' index (along a row), then of the rows' index."""
    rescale: tuple[float, ...] | None
    """Slope and intercept of this frame, where a file states them per frame."""
    packed: bool
    """Whether its pixels are compressed."""
    misread: bool
    """Whether GDCM is known to decode it wrongly: RLE colours of 16 bits, and big-endian numbers of 32."""


@dataclass(frozen=True)
class Series:
    """Slices that belong together, in no order yet."""

    uid: str
    number: int
    description: str
    modality: str
    slices: tuple[Slice, ...]

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
    """All image series in a folder and below it, by series number."""
    return series_from(_headers(sorted(_files_below(folder))))


def series_of(path: Path) -> Series:
    """The series that one file belongs to, with those of its neighbours in the folder that belong to it too."""
    own = _header(path)
    if own is None:
        raise ImageError(f"{path} is no DICOM image in spite of its name: rename it, or export it again.")
    if not _is_image(own):
        raise ImageError(
            f"{path} is a DICOM file of the kind {own.get('Modality', '?')} and holds no image: "
            "open the image series itself."
        )
    uid = own.get("SeriesInstanceUID", "")
    neighbours = [file for file in sorted(path.parent.iterdir()) if file.is_file() and file.name != path.name]
    headers = [(path, own)]
    headers += [(file, header) for file, header in _headers(neighbours) if header.get("SeriesInstanceUID", "") == uid]
    return series_from(headers)[0]


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


def _headers(files: Sequence[Path]) -> list[tuple[Path, Dataset]]:
    headers = []
    for path in files:
        header = _header(path)
        if header is not None and _is_image(header):
            headers.append((path, header))
    return headers


def _is_image(header: Dataset) -> bool:
    return "Rows" in header and header.get("Modality") not in _NOT_IMAGES


def _header(path: Path) -> Dataset | None:
    """The tags that matter, or None if the file is no DICOM file. Very old files lack the preamble."""
    import pydicom

    with path.open("rb") as file:
        start = file.read(132)
    old = start[:2] == b"\x08\0" and path.suffix.lower() in ("", ".dcm", ".ima")
    if start[128:] != b"DICM" and not old:
        return None
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS), force=old)
        header.get("Modality"), header.get("SeriesInstanceUID")  # decoded here, so that damage shows here
        kind = pydicom.uid.UID(str(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID", "")))
    except Exception:  # pydicom raises many kinds on damaged files, some with what stands in them
        raise truncated(path) from None
    if "Rows" not in header and kind.keyword.endswith("ImageStorage"):
        raise truncated(path)  # pydicom takes a file that ends in its header for a short header
    return header


def series_from(headers: Sequence[tuple[Path, Dataset]]) -> list[Series]:
    """The series that these headers belong to, by series number."""
    by_uid: dict[str, list[tuple[Path, Dataset]]] = {}
    for path, header in headers:
        by_uid.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((path, header))
    return sorted((_series(uid, members) for uid, members in by_uid.items()), key=lambda one: (one.number, one.uid))


def _series(uid: str, members: Sequence[tuple[Path, Dataset]]) -> Series:
    slices: dict[tuple[str, int], Slice] = {}
    for path, header in members:
        try:
            for one in _slices(path, header):
                slices.setdefault((one.instance or str(path), one.frame), one)  # a copy of a file counts once
            description = str(header.get("SeriesDescription", "") or "")
            modality = str(header.get("Modality", "") or "")
            number = int(header.get("SeriesNumber") or 0)
        except Exception:  # pydicom decodes values late, and raises many kinds on damaged ones, values included
            raise ImageError(f"{path} has a damaged DICOM header: export it again.") from None
    return Series(uid, number, description, modality, tuple(slices.values()))


def _slices(path: Path, header: Dataset) -> Iterator[Slice]:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

    shared = _first(header, "SharedFunctionalGroupsSequence")
    per_frame: Any = header.get("PerFrameFunctionalGroupsSequence") or []
    syntax = header.file_meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)
    bits, colour = int(header.get("BitsAllocated") or 16), int(header.get("SamplesPerPixel") or 1) > 1
    misread = (syntax == RLELossless and bits > 8 and colour) or (syntax == ExplicitVRBigEndian and bits > 16)
    for frame in range(int(header.get("NumberOfFrames") or 1)):
        places = [header, shared, per_frame[frame] if frame < len(per_frame) else None]
        spacing = _numbers(places, "PixelSpacing", "PixelMeasuresSequence") or _numbers(places, "ImagerPixelSpacing")
        thickness = _numbers(places, "SpacingBetweenSlices", "PixelMeasuresSequence") or _numbers(
            places, "SliceThickness", "PixelMeasuresSequence"
        )
        slope = _numbers(places[1:], "RescaleSlope", "PixelValueTransformationSequence")
        intercept = _numbers(places[1:], "RescaleIntercept", "PixelValueTransformationSequence")
        position = _numbers(places, "ImagePositionPatient", "PlanePositionSequence")
        orientation = _numbers(places, "ImageOrientationPatient", "PlaneOrientationSequence")
        yield Slice(
            path=path,
            frame=frame,
            number=int(header.get("InstanceNumber") or 0),
            instance=str(header.get("SOPInstanceUID", "")),
            size=(int(header.Rows), int(header.Columns)),
            spacing=(spacing[0], spacing[1]) if spacing else (1.0, 1.0),
            thickness=abs(thickness[0]) if thickness and thickness[0] else 1.0,
            position=position if position and len(position) == 3 else None,
            orientation=orientation if orientation and len(orientation) == 6 else None,
            rescale=(*slope, *intercept) if slope and intercept else None,
            packed=bool(syntax.is_compressed),
            misread=misread,
        )


def _numbers(places: Sequence[Dataset | None], name: str, within: str = "") -> tuple[float, ...] | None:
    """A value from the first place that has it: the file itself, what its frames share, the frame."""
    for place in places:
        holder = place if place is None or name in place else _first(place, within)
        value = None if holder is None else holder.get(name)
        if value is not None:
            return tuple(float(v) for v in (value if hasattr(value, "__len__") else [value]))
    return None


def _first(holder: Dataset, sequence: str) -> Dataset | None:
    items: Any = holder.get(sequence) if sequence else None
    return items[0] if items else None
