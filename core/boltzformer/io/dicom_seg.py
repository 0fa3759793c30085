"""DICOM-SEG: masks as a DICOM object that refers to the slices it was drawn on (BINARY, the widely understood kind)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from boltzformer.errors import GeometryError, ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io.dicom import Stack, stack_of, stack_slices
from boltzformer.io.dicom_headers import Series, demand_all_frames, discreet, series_in
from boltzformer.io.dicom_slices import Slice, slices_of
from boltzformer.io.kinds import kind_of
from boltzformer.io.straight import straightened
from boltzformer.io.stream import demand_memory
from boltzformer.knowledge.snomed import Code
from boltzformer.knowledge.vocabulary import label_colour, terms_of
from boltzformer.types import LabelMap
from boltzformer.version import VERSION

_LABEL_LENGTH = 64  # what DICOM allows for a segment's label
REPEATED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
OFF_GRID = 0.05
"""Part of a voxel by which a frame may miss the grid: headers round."""


def made(labels: LabelMap, path: Path, source: Path | None, *, labelmap: bool = False) -> Any:
    """The DICOM-SEG object (highdicom's `Segmentation`), to be saved under `path`.

    `labelmap`: the newer kind, one number per voxel, which few programs read yet and which holds no overlaps.
    """
    if source is None:
        raise ImageError(
            f"{path}: a DICOM-SEG refers to the slices it was drawn on: give the DICOM series as source, "
            "or write .seg.nrrd or .nii.gz instead."
        )
    if not labels.names:
        raise ImageError(f"{path}: a DICOM-SEG needs at least one named mask, and there is none.")
    with discreet():
        stack, straight = _stack_for(source, labels.grid, path)
        try:
            return _segmentation(labels, path, stack, labelmap, straight=straight)
        except (ImageError, GeometryError):
            raise
        except Exception:  # what the libraries say may quote the header too: not passed on
            raise ImageError(
                f"{path}: the slices of {source} lack something that a DICOM-SEG has to repeat: "
                "write .seg.nrrd or .nii.gz instead."
            ) from None


def _segmentation(labels: LabelMap, path: Path, stack: Stack, labelmap: bool, *, straight: bool) -> Any:
    import highdicom

    slices = [(k, one) for k, one in enumerate(stack.slices) if one is not None]
    datasets = {one.path: completed(one.path, stack) for _, one in slices}
    if any(path.exists() and path.samefile(one) for one in datasets):
        raise ImageError(f"{path} is a slice of the image itself: choose another name for the mask.")
    order = sorted(labels.names)
    kept = list(range(labels.grid.shape[0])) if straight else [k for k, _ in slices]
    masks = np.stack([labels.mask(label)[kept] for label in order], axis=-1)  # (n, y, x, S)
    if labelmap:
        if (masks.sum(axis=-1) > 1).any():
            raise ImageError(f"{path} can't hold masks that overlap: write .dcm or .seg.nrrd instead.")
        masks = (masks * np.arange(1, len(order) + 1)).sum(axis=-1).astype(np.uint8)
    if len(datasets) < len(slices) and not straight:  # an enhanced file holds its frames in its own order
        (dataset,) = datasets.values()
        in_file = np.zeros((int(dataset.NumberOfFrames), *masks.shape[1:]), masks.dtype)
        in_file[[one.frame for _, one in slices]] = masks
        masks = in_file
    return highdicom.seg.Segmentation(
        source_images=list(datasets.values()),
        pixel_array=masks.astype(np.uint8),
        segmentation_type="LABELMAP" if labelmap else "BINARY",
        segment_descriptions=[_segment(n, label, labels.names[label]) for n, label in enumerate(order, 1)],
        series_instance_uid=highdicom.UID(),
        series_number=1000,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="napari-boltzformer",
        manufacturer_model_name="BoltzFormer",
        software_versions=VERSION,
        device_serial_number="0",
        series_description="BoltzFormer segmentation (research use)",
        content_label="SEGMENTATION",
        omit_empty_frames=bool(masks.any()),  # a mask without a voxel is written, too: "looked, and found nothing"
        **(_own_place(labels.grid) if straight else {}),
    )


def _own_place(grid: Grid) -> dict[str, Any]:
    """Where frames lie that are no slices of the image."""
    import highdicom

    x, y, z = grid.spacing_mm
    corners = grid.world([(0, 0, k) for k in range(grid.shape[0])])
    return {
        "pixel_measures": highdicom.PixelMeasuresSequence((y, x), slice_thickness=z, spacing_between_slices=z),
        "plane_orientation": highdicom.PlaneOrientationSequence("PATIENT", grid.direction[:, :2].T.ravel().tolist()),
        "plane_positions": [highdicom.PlanePositionSequence("PATIENT", corner.tolist()) for corner in corners],
    }


def completed(path: Path, stack: Stack) -> Any:
    """A slice's header, with empty fields where anonymising removed or damaged what a DICOM-SEG has to repeat."""
    import pydicom
    from pydicom.valuerep import DA, TM

    header = pydicom.dcmread(path, stop_before_pixels=True)
    if "FrameOfReferenceUID" not in header or "StudyInstanceUID" not in header:
        raise ImageError(
            f"{path} does not say to which study or frame of reference it belongs, so nothing can refer to it: "
            "write .seg.nrrd or .nii.gz instead."
        )
    for name in REPEATED:
        try:
            value = getattr(header, name)
            {"Date": DA, "Time": TM}.get(name[-4:], str)(value)
        except (AttributeError, ValueError):
            setattr(header, name, "")
    if "SliceThickness" not in header and "SharedFunctionalGroupsSequence" not in header:
        header.SliceThickness = f"{stack.grid.spacing_mm[2]:.10g}"
    return header


def read(path: Path, grid: Grid | None) -> LabelMap:
    """One layer per segment, every frame at its own place: also from tilted slices, and where most frames are absent.

    Without the grid of the image, the masks lie on the smallest one that holds all frames.
    """
    import highdicom

    demand_all_frames(path)
    try:
        with discreet():
            seg = highdicom.seg.segread(path)
            pages = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)  # (frames, rows, columns)
            frames = tuple(slices_of(path, seg, None, []))
            numbers = [int(n) for n in seg.segment_numbers]
            names = {n: str(seg.get_segment_description(n).segment_label) for n in numbers}
            one_layer = seg.segmentation_type.value == "LABELMAP"
            layer_of = [0 if one_layer else numbers.index(_segment_number(seg, n)) for n in range(len(pages))]
        if seg.segmentation_type.value == "FRACTIONAL":
            pages = pages >= seg.MaximumFractionalValue / 2
        if len(pages) != len(frames):
            raise ValueError
    except Exception:  # highdicom and pydicom raise many kinds on files that are none, and may quote them
        raise ImageError(f"{path} is no DICOM-SEG that can be read here, or it is damaged: export it again.") from None
    if max(numbers) > 255:
        raise ImageError(f"{path} holds segment numbers up to {max(numbers)}, more than 255: split it.")
    if grid is None:
        grid = _own_grid(path, frames)
    shape = (1 if one_layer else len(numbers), *grid.shape)
    demand_memory(path, math.prod(shape))
    layers = np.zeros(shape, np.uint8)
    for one, page, layer in zip(frames, pages, layer_of, strict=True):
        rows, columns = np.nonzero(page)
        k, j, i = _places(path, one, rows, columns, grid)
        layers[layer, k, j, i] = page[rows, columns] if one_layer else numbers[layer]
    return LabelMap(layers, grid, names)


def _segment_number(seg: Any, frame: int) -> int:
    groups = (seg.PerFrameFunctionalGroupsSequence[frame], seg.SharedFunctionalGroupsSequence[0])
    holder = next(group for group in groups if "SegmentIdentificationSequence" in group)
    return int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _own_grid(path: Path, frames: Sequence[Slice]) -> Grid:
    once = {tuple(np.round(one.position or (), 3)): one for one in frames}
    return stack_slices(path, Series("", 0, "", "SEG", tuple(once.values())), allow_gaps=True).grid


def _places(path: Path, one: Slice, rows: Array, columns: Array, grid: Grid) -> tuple[Array, Array, Array]:
    """k, j, i of a frame's pixels; only whole steps and flips are allowed, nothing is resampled."""
    orientation = np.array(one.orientation or (0,) * 6)
    corner = grid.voxel(one.position or (np.nan,) * 3)
    steps = np.linalg.solve(np.array(grid.axes), np.array([orientation[:3], orientation[3:]]).T * one.spacing[::-1])
    whole, start = np.rint(steps), np.rint(corner)  # (3, 2) steps along columns and rows, (3,)
    off = np.abs(steps - whole) @ one.size[::-1] + np.abs(corner - start)
    ijk = start[:, None] + whole @ np.stack([columns, rows])  # (3, n)
    inside = (ijk >= 0).all() and (grid.shape[::-1] > ijk.T).all()
    if not off.max() <= OFF_GRID or (np.abs(whole).sum(axis=0) != 1).any() or not inside:
        raise GeometryError(f"{path} does not lie on the grid of its image: give the series it was drawn on.")
    ijk = ijk.astype(int)
    return ijk[2], ijk[1], ijk[0]


def stack_on(source: Path, grid: Grid, path: Path) -> Stack:
    """The slices of the source that lie on the masks' grid."""
    stack = next((one for one in _stacks(source, path) if one.grid.same_as(grid)), None)
    if stack is None:
        raise _elsewhere(source, path)
    return stack


def _stack_for(source: Path, grid: Grid, path: Path) -> tuple[Stack, bool]:
    """The slices that the masks belong to, and whether the masks were straightened: then they lie across them."""
    stacks = _stacks(source, path)
    for straight in (False, True):
        for one in stacks:
            if one.grid.same_as(grid) if not straight else one.grid.sheared and straightened(one.grid).same_as(grid):
                return one, straight
    raise _elsewhere(source, path)


def _stacks(source: Path, path: Path) -> list[Stack]:
    if source.is_dir():
        return [stack_slices(source, series, allow_gaps=True) for series in series_in(source)]
    if kind_of(source) == "DICOM":
        return [stack_of(source)]
    raise ImageError(
        f"{path}: {source} is no DICOM series, and a DICOM-SEG can refer to nothing else: write .seg.nrrd."
    )


def _elsewhere(source: Path, path: Path) -> GeometryError:
    return GeometryError(
        f"{path}: the masks do not lie on the slices of {source}: give the DICOM series that they were drawn on."
    )


def _segment(number: int, label: int, name: str) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes

    terms = terms_of(name)
    described = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=" ".join(name.split())[:_LABEL_LENGTH] or f"label {label}",
        segmented_property_category=_coded(terms.category),
        segmented_property_type=_coded(terms.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="BoltzFormer", version=VERSION, family=codes.cid7162.ArtificialIntelligence
        ),
        anatomic_regions=[_coded(terms.region)] if terms.region else None,
        display_color=highdicom.color.CIELabColor.from_rgb(*(round(255 * v) for v in label_colour(label))),
    )
    described.SegmentDescription = name[:1024]
    if terms.side:
        holder = described.AnatomicRegionSequence[0] if terms.region else described.SegmentedPropertyTypeCodeSequence[0]
        modifier = [_coded(terms.side)]
        if terms.region:
            holder.AnatomicRegionModifierSequence = modifier
        else:
            holder.SegmentedPropertyTypeModifierCodeSequence = modifier
    return described


def _coded(code: Code) -> Any:
    import highdicom

    return highdicom.sr.CodedConcept(code.value, "SCT", code.meaning)
