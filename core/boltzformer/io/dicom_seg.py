"""DICOM-SEG: masks as a DICOM object that refers to the slices it was drawn on (BINARY, the widely understood kind)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import boltzformer
from boltzformer.errors import GeometryError, ImageError
from boltzformer.geometry import Grid
from boltzformer.io.dicom import Stack, stack_of, stack_slices
from boltzformer.io.dicom_headers import series_in
from boltzformer.types import LabelMap
from boltzformer.vocabulary import Code, label_colour, terms_of

_LABEL_LENGTH = 64  # what DICOM allows for a segment's label


def made(labels: LabelMap, path: Path, source: Path | None) -> Any:
    """The DICOM-SEG object (highdicom's `Segmentation`), to be saved under `path`."""
    import highdicom
    import pydicom

    if source is None:
        raise ImageError(
            f"{path}: a DICOM-SEG refers to the slices it was drawn on: give the DICOM series as source, "
            "or write .seg.nrrd or .nii.gz instead."
        )
    if not labels.names:
        raise ImageError(f"{path}: a DICOM-SEG needs at least one named mask, and there is none.")
    stack = _stack(source, labels.grid, path)
    slices = [(k, one) for k, one in enumerate(stack.slices) if one is not None]
    datasets = {one.path: pydicom.dcmread(one.path, stop_before_pixels=True) for _, one in slices}
    order = sorted(labels.names)
    masks = np.stack([labels.mask(label)[[k for k, _ in slices]] for label in order], axis=-1)  # (n, y, x, S)
    if len(datasets) < len(slices):  # an enhanced file holds its frames in its own order
        (_,) = datasets
        frames = next(iter(datasets.values())).NumberOfFrames
        in_file = np.zeros((int(frames), *masks.shape[1:]), masks.dtype)
        in_file[[one.frame for _, one in slices]] = masks
        masks = in_file
    return highdicom.seg.Segmentation(
        source_images=list(datasets.values()),
        pixel_array=masks.view(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[_segment(n, label, labels.names[label]) for n, label in enumerate(order, 1)],
        series_instance_uid=highdicom.UID(),
        series_number=1000,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="napari-boltzformer",
        manufacturer_model_name="BoltzFormer",
        software_versions=boltzformer.__version__,
        device_serial_number="0",
        series_description="BoltzFormer segmentation (research use)",
        content_label="SEGMENTATION",
    )


def read(path: Path, grid: Grid | None) -> LabelMap:
    """One layer per segment. With the grid of the image, every slice is back in its place, marked or not."""
    import highdicom

    try:
        seg = highdicom.seg.segread(path)
        volume = seg.get_volume(combine_segments=False)
    except Exception as error:  # highdicom and pydicom raise many kinds on files that are none
        raise ImageError(f"{path} is no DICOM-SEG that can be read here, or it is damaged: export it again.") from error
    numbers = [int(n) for n in seg.segment_numbers]
    if max(numbers) > 255:
        raise ImageError(f"{path} holds segment numbers up to {max(numbers)}, more than 255: split it.")
    names = {n: str(seg.get_segment_description(n).segment_label) for n in numbers}
    layers = np.moveaxis(np.asarray(volume.array), -1, 0).astype(np.uint8)  # (S, z, y, x)
    layers *= np.array(numbers, np.uint8)[:, None, None, None]
    to_lps = np.asarray(volume.affine) @ np.eye(4)[[2, 1, 0, 3]]  # highdicom counts (slice, row, column)
    found = LabelMap(layers, Grid.from_lps(layers.shape[1:], to_lps), names)
    return found if grid is None else _placed(path, found, grid)


def _placed(path: Path, labels: LabelMap, grid: Grid) -> LabelMap:
    """The same voxels on the whole grid; only whole steps and flips are allowed, nothing is resampled."""
    corner = grid.voxel(labels.grid.origin)
    steps = np.linalg.solve(np.array(grid.axes), np.array(labels.grid.axes))  # found steps in the grid's steps
    whole = np.rint(steps)
    far = labels.grid.shape[::-1]
    off = np.abs(steps - whole) @ far + np.abs(corner - np.rint(corner))
    if off.max() > 0.05 or sorted(np.abs(whole).ravel()) != [0, 0, 0, 0, 0, 0, 1, 1, 1]:
        raise GeometryError(f"{path} does not lie on the grid of its image: give the series it was drawn on.")
    placed = np.zeros((len(labels.layers), *grid.shape), np.uint8)
    _, k, j, i = np.nonzero(labels.layers)
    values = labels.layers[np.nonzero(labels.layers)]
    to = np.rint(np.stack([i, j, k], axis=-1) @ whole.T + np.rint(corner)).astype(int)  # (n, 3) as i, j, k
    if len(to) and (to.min() < 0 or (to.max(axis=0) >= grid.shape[::-1]).any()):
        raise GeometryError(f"{path} reaches beyond the grid of its image: give the series it was drawn on.")
    placed[np.nonzero(labels.layers)[0], to[:, 2], to[:, 1], to[:, 0]] = values
    return LabelMap(placed, grid, labels.names)


def _stack(source: Path, grid: Grid, path: Path) -> Stack:
    """The slices of the source that lie on the masks' grid."""
    if source.is_dir():
        stacks = [stack_slices(source, series, allow_gaps=True) for series in series_in(source)]
    else:
        stacks = [stack_of(source)]
    stack = next((one for one in stacks if one.grid.same_as(grid)), None)
    if stack is None:
        raise GeometryError(
            f"{path}: the masks do not lie on the slices of {source}: give the DICOM series that they were drawn on."
        )
    return stack


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
            name="BoltzFormer", version=boltzformer.__version__, family=codes.cid7162.ArtificialIntelligence
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
