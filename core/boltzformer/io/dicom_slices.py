"""One DICOM header → its frames: where each lies, how large its pixels are, what its numbers mean (rescale, modality
table, dose, palette, colour model, inverted gray)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array
from boltzformer.io.dicom_frames import Pixels, excess

if TYPE_CHECKING:
    from pydicom import Dataset

Numbers = tuple[float, ...]
_CENTIMETRES = 3
_PADDING = 64
"""Bytes behind the pixels that some programs leave there."""
_PLACES = ("ImagePositionPatient", "ImagePositionVolume", "InStackPositionNumber", "PlanePositionSequence")
"""Dimensions of a multi-frame file that say where a frame lies, and not which of several at one place it is."""


@dataclass(frozen=True)
class Meaning:
    """What holds for all frames of a file."""

    first: int = 0
    """Stored number that the first entry of the table is for."""
    table: Array | None = None
    """Modality table: stored number → value."""
    palette: Any = None
    """The elements of a header that say which colour a number is."""


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
    position: Numbers | None
    orientation: Numbers | None
    """Direction of the columns' index (along a row), then of the rows' index."""
    rescale: Numbers | None = None
    """Slope and intercept of this frame."""
    order: tuple[int, ...] = ()
    """Where several frames share a place: which of them it is (echo, time, direction), as the file counts."""
    reference: bool = True
    """Whether it says where in which patient it lies, so that masks as DICOM can refer to it."""
    pixels: Pixels | None = field(default=None, repr=False)
    meaning: Meaning = field(default_factory=Meaning, repr=False)


def slices_of(path: Path, header: Dataset, pixels: Pixels | None, notes: list[str]) -> Iterator[Slice]:
    """Its frames; what the user should know about them is added to the notes."""
    shared = _first(header, "SharedFunctionalGroupsSequence")
    per_frame: Any = header.get("PerFrameFunctionalGroupsSequence") or []
    frames = int(header.get("NumberOfFrames") or 1)
    if "MOSAIC" in [str(word).upper() for word in _several(header.get("ImageType"))]:
        raise ImageError(f"{path} is a mosaic of slices in one picture: export it as single slices, or as NIfTI.")
    meaning = meaning_of(header, pixels) if pixels else Meaning()
    places = _frame_places(header, frames)
    dimensions = _dimensions(header)
    usual = _rescale([header])
    by_regions = _by_regions(path, header, notes)
    if pixels is not None and excess(pixels) > _PADDING:  # once, however many files
        notes.append(f"{path.parent} holds more pixels than headers in it speak of: sizes may be told wrongly.")
    reference = "FrameOfReferenceUID" in header and "StudyInstanceUID" in header
    common: Slice | None = None
    for frame in range(frames):
        if common is not None and frame >= len(per_frame):  # a film: nothing but its place in the file is its own
            yield replace(common, frame=frame, position=places[frame] if places else common.position)
            continue
        where = [per_frame[frame] if frame < len(per_frame) else None, shared, header]
        spacing = (
            _numbers(where, "PixelSpacing", "PixelMeasuresSequence")
            or _numbers(where, "ImagerPixelSpacing")
            or _numbers(where, "NominalScannedPixelSpacing")
            or by_regions
            or _by_aspect(header)
        )
        thickness = _numbers(where, "SpacingBetweenSlices", "PixelMeasuresSequence") or _numbers(
            where, "SliceThickness", "PixelMeasuresSequence"
        )
        own = _numbers(where[:2] if frames > 1 or per_frame else where, "ImagePositionPatient", "PlanePositionSequence")
        position = (
            own
            or _numbers(where[:2], "ImagePositionVolume", "PlanePositionVolumeSequence")
            or (places[frame] if places else _numbers([header], "ImagePositionPatient"))
        )
        orientation = (
            _numbers(where, "ImageOrientationPatient", "PlaneOrientationSequence")
            or _numbers(where, "ImageOrientationVolume", "PlaneOrientationVolumeSequence")
            or _numbers([_first(header, "DetectorInformationSequence")], "ImageOrientationPatient")
        )
        common = Slice(
            path=path,
            frame=frame,
            number=int(header.get("InstanceNumber") or 0),
            instance=str(header.get("SOPInstanceUID", "")),
            size=(int(header.Rows), int(header.Columns)),
            spacing=(spacing[0], spacing[1]) if spacing else (1.0, 1.0),
            thickness=abs(thickness[0]) if thickness and thickness[0] else 1.0,
            position=position if position and len(position) == 3 else None,
            orientation=orientation if orientation and len(orientation) == 6 else None,
            rescale=_rescale([_first(group, "PixelValueTransformationSequence") for group in where[:2] if group])
            or usual,
            order=_order(where[0], dimensions),
            reference=reference and own is not None,
            pixels=pixels,
            meaning=meaning,
        )
        yield common


def _numbers(places: Sequence[Dataset | None], name: str, within: str = "") -> Numbers | None:
    """A value from the first place that has it: the frame, what all frames share, the file itself."""
    for place in places:
        holder = place if place is None or name in place else _first(place, within)
        value = None if holder is None else holder.get(name)
        if value is not None:
            numbers = tuple(float(v) for v in _several(value))
            if not np.isfinite(numbers).all():
                raise ValueError
            return numbers
    return None


def _several(value: Any) -> Sequence[Any]:
    return () if value is None else value if hasattr(value, "__len__") and not isinstance(value, str) else [value]


def _first(holder: Dataset | None, sequence: str) -> Dataset | None:
    items: Any = holder.get(sequence) if holder is not None and sequence else None
    return items[0] if items else None


def _rescale(places: Sequence[Dataset | None]) -> Numbers | None:
    """Slope and intercept; a plan of dose has only a slope."""
    slope, intercept = _numbers(places, "RescaleSlope"), _numbers(places, "RescaleIntercept")
    if slope or intercept:
        return (slope or (1.0,))[0], (intercept or (0.0,))[0]
    dose = _numbers(places, "DoseGridScaling")
    return (dose[0], 0.0) if dose else None


def _frame_places(header: Dataset, frames: int) -> list[Numbers]:
    """Where the frames of older multi-frame files lie: planes of a dose, slices of a SPECT or PET."""
    detector = _first(header, "DetectorInformationSequence")
    origin = _numbers([header, detector], "ImagePositionPatient")
    turn = _numbers([header, detector], "ImageOrientationPatient")
    if frames < 2 or origin is None or turn is None or len(turn) != 6:
        return []
    normal = np.cross(turn[:3], turn[3:])
    offsets = _numbers([header], "GridFrameOffsetVector")
    if offsets is not None:
        if len(offsets) != frames:
            raise ValueError
        # From the first plane, or (if the first is not 0) positions along the patient's own axis.
        along = np.array(offsets) if offsets[0] == 0 else (np.array(offsets) - origin[2]) * np.sign(normal[2])
        return [tuple(np.array(origin) + normal * step) for step in along]
    apart = _numbers([header], "SpacingBetweenSlices")
    if detector is not None and apart and int(header.get("NumberOfSlices") or 0) == frames:
        return [tuple(np.array(origin) + normal * apart[0] * n) for n in range(frames)]
    return []


def _dimensions(header: Dataset) -> list[int]:
    """The indices of a frame that do not say where it lies."""
    from pydicom.datadict import keyword_for_tag

    items: Any = header.get("DimensionIndexSequence") or []
    names = [keyword_for_tag(item.get("DimensionIndexPointer") or 0) for item in items]
    return [n for n, name in enumerate(names) if name not in _PLACES]


def _order(group: Dataset | None, dimensions: Sequence[int]) -> tuple[int, ...]:
    content = _first(group, "FrameContentSequence")
    values = [int(v) for v in _several(content.get("DimensionIndexValues"))] if content is not None else []
    return tuple(values[n] for n in dimensions if n < len(values))


def _by_regions(path: Path, header: Dataset, notes: list[str]) -> Numbers | None:
    """Millimetres between rows and columns of an ultrasound picture, from its largest region that measures lengths."""
    found = []
    for region in header.get("SequenceOfUltrasoundRegions") or []:
        units = (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection"))
        down, along = (abs(float(region.get(f"PhysicalDelta{axis}") or 0)) * 10 for axis in "YX")
        if units == (_CENTIMETRES, _CENTIMETRES) and down > 0 and along > 0:
            corners = [float(region.get(f"RegionLocation{name}") or 0) for name in ("MinX0", "MaxX1", "MinY0", "MaxY1")]
            found.append(((corners[1] - corners[0]) * (corners[3] - corners[2]), (down, along)))
    if not found:
        return None
    chosen = max(found, key=lambda one: one[0])[1]
    if any(not np.allclose(one, chosen, rtol=0.01) for _, one in found):
        notes.append(
            f"{path} shows regions of different scale: lengths hold for its largest ({chosen[1]:.3g} mm a pixel)."
        )
    return chosen


def _by_aspect(header: Dataset) -> Numbers | None:
    """How high a pixel is to its width, where nothing says how large it is."""
    ratio = _numbers([header], "PixelAspectRatio")
    if ratio is None or len(ratio) != 2 or min(ratio) <= 0:
        return None
    return max(ratio[0] / ratio[1], 1.0), max(ratio[1] / ratio[0], 1.0)


PALETTE_TAGS = [
    f"{kind}{colour}PaletteColorLookupTable{what}"
    for colour in ("Red", "Green", "Blue")
    for kind, what in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
]


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
    elif rescale is None or rescale == (1.0, 0.0) or rescale[0] == 0:
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
