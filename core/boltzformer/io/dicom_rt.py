"""RTSTRUCT: masks as contours of a radiotherapy plan, filled by the even-odd rule on the grid of their image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import GeometryError, ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io.dicom import Stack
from boltzformer.io.dicom_headers import discreet
from boltzformer.io.dicom_seg import REPEATED, completed, stack_on
from boltzformer.knowledge.vocabulary import label_colour
from boltzformer.types import LabelMap

STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
OFF_PLANE = 0.2
"""Part of a slice distance by which a contour may lie beside its slice: planning systems round."""


def is_structure_set(path: Path) -> bool:
    """Whether a DICOM file holds contours."""
    import pydicom

    with discreet():
        try:
            return str(pydicom.dcmread(path, specific_tags=["SOPClassUID"], force=True).get("SOPClassUID")) == STORAGE
        except Exception:  # pydicom raises many kinds; the reader of masks says what is wrong
            return False


def read(path: Path, grid: Grid | None) -> LabelMap:
    """One label per structure with closed contours; structures that overlap lie on different layers."""
    if grid is None:
        raise ImageError(
            f"{path} holds contours, which have no voxels of their own: give the image they were drawn on."
        )
    import pydicom

    with discreet():
        try:
            header = pydicom.dcmread(path, force=True)
            names = {int(one.ROINumber): str(one.get("ROIName", "")) for one in header.StructureSetROISequence}
            found = [
                (names.get(int(one.ReferencedROINumber), ""), _closed(one))
                for one in header.get("ROIContourSequence", [])
            ]
        except Exception:  # pydicom raises many kinds on damaged files, and may quote them
            raise ImageError(f"{path} is a damaged set of contours: export it again.") from None
    found = [(name, contours) for name, contours in found if contours]
    if not found:
        raise ImageError(f"{path} holds no closed contours, so there is no mask in it.")
    if len(found) > 255:
        raise ImageError(f"{path} holds {len(found)} structures, more than 255: save fewer of them in one file.")
    voxels = [[grid.voxel(points) for points in contours] for _, contours in found]
    axis = _stacking(path, voxels)
    layers: list[Array] = []
    for label, contours in enumerate(voxels, 1):
        mask = _filled(path, contours, grid, axis)
        layer = next((one for one in layers if not (one[mask] > 0).any()), None)
        if layer is None:
            layers.append(np.zeros(grid.shape, np.uint8))
            layer = layers[-1]
        layer[mask] = label
    return LabelMap(np.stack(layers), grid, {n: name or f"label {n}" for n, (name, _) in enumerate(found, 1)})


def _closed(structure: Any) -> list[NDArray[np.float64]]:
    """(points, 3) in LPS mm of each closed contour; single points and open lines enclose nothing."""
    contours = []
    for one in structure.get("ContourSequence", []):
        points = np.array([float(value) for value in one.ContourData]).reshape(-1, 3)
        if str(one.get("ContourGeometricType", "")).startswith("CLOSED_PLANAR") and len(points) > 2:
            contours.append(points)
    return contours


def _stacking(path: Path, voxels: Sequence[Sequence[NDArray[np.float64]]]) -> int:
    """The index (i, j or k) that stays the same along every contour."""
    spread = np.max([np.ptp(points, axis=0) for contours in voxels for points in contours], axis=0)
    axis = 2 if spread[2] <= OFF_PLANE else int(spread.argmin())
    if not spread[axis] <= OFF_PLANE:
        raise GeometryError(
            f"{path} has contours that cross the slices of the image: give the image they were drawn on."
        )
    return axis


def _filled(path: Path, contours: Sequence[NDArray[np.float64]], grid: Grid, axis: int) -> NDArray[np.bool_]:
    """(z, y, x): inside an odd number of contours of its slice."""
    mask = np.zeros(grid.shape, bool)
    by_axis = np.moveaxis(mask, 2 - axis, 0)  # (slices, rows, columns)
    across, down = [n for n in range(3) if n != axis]
    slices: dict[int, list[NDArray[np.float64]]] = {}
    for points in contours:
        place = float(points[:, axis].mean())
        if abs(place - round(place)) > OFF_PLANE or not 0 <= round(place) < len(by_axis):
            raise GeometryError(
                f"{path} has contours beside the slices of the image: give the image they were drawn on."
            )
        slices.setdefault(round(place), []).append(points[:, [down, across]])
    for index, several in slices.items():
        by_axis[index] = inside(several, by_axis.shape[1:])
    return mask


def inside(contours: Sequence[NDArray[np.float64]], shape: Sequence[int]) -> NDArray[np.bool_]:
    """(rows, columns): which pixel centres lie inside an odd number of contours, given as (row, column) points."""
    rows, columns = shape
    turns = np.zeros((rows, columns + 1), np.int64)
    for points in contours:
        for (y0, x0), (y1, x1) in zip(points, np.roll(points, -1, axis=0), strict=True):
            low, high = min(y0, y1), max(y0, y1)
            crossed = np.arange(max(int(np.ceil(low)), 0), min(int(np.ceil(high)), rows))
            if len(crossed):
                at = x0 + (crossed - y0) * (x1 - x0) / (y1 - y0)
                np.add.at(turns, (crossed, np.clip(np.ceil(at), 0, columns).astype(int)), 1)
    return (np.cumsum(turns, axis=1)[:, :columns] % 2).astype(bool)


def made(labels: LabelMap, path: Path, source: Path | None) -> Any:
    """The structure set (a pydicom data set), to be saved under `path`."""
    if source is None or not labels.names:
        raise ImageError(f"{path}: contours need named masks and the DICOM series they were drawn on as source.")
    with discreet():
        stack = stack_on(source, labels.grid, path)
        try:
            return _structure_set(labels, path, stack)
        except (ImageError, GeometryError):
            raise
        except Exception:  # what the libraries say may quote the header too: not passed on
            raise ImageError(
                f"{path}: the slices of {source} lack something that contours have to repeat: write .seg.nrrd instead."
            ) from None


def _structure_set(labels: LabelMap, path: Path, stack: Stack) -> Any:
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    headers = {one.path: completed(one.path, stack) for one in stack.slices if one is not None}
    first = next(iter(headers.values()))
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, UID(STORAGE)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    whole: Any = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    for name in (*REPEATED, "StudyInstanceUID"):
        setattr(whole, name, getattr(first, name))
    whole.SOPClassUID, whole.SOPInstanceUID = STORAGE, meta.MediaStorageSOPInstanceUID
    whole.Modality, whole.SeriesInstanceUID, whole.SeriesNumber, whole.InstanceNumber = (
        "RTSTRUCT",
        generate_uid(),
        1001,
        1,
    )
    whole.Manufacturer, whole.SeriesDescription = "napari-boltzformer", "BoltzFormer contours (research use)"
    whole.StructureSetLabel, whole.StructureSetDate, whole.StructureSetTime = "BOLTZFORMER", "", ""
    whole.FrameOfReferenceUID = first.FrameOfReferenceUID

    def reference(one: Any) -> Any:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
        return item

    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    series.ContourImageSequence = [reference(one) for one in headers.values()]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = first.FrameOfReferenceUID, [study]
    whole.ReferencedFrameOfReferenceSequence = [frame]
    whole.StructureSetROISequence, whole.ROIContourSequence, whole.RTROIObservationsSequence = [], [], []
    for label, name in sorted(labels.names.items()):
        roi, drawn, seen = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ReferencedFrameOfReferenceUID = label, first.FrameOfReferenceUID
        roi.ROIName, roi.ROIGenerationAlgorithm = " ".join(name.split())[:64], "AUTOMATIC"
        drawn.ReferencedROINumber = label
        drawn.ROIDisplayColor = [round(255 * value) for value in label_colour(label)]
        drawn.ContourSequence = []
        for k, points in contours_of(labels.mask(label), labels.grid):
            one, contour = stack.slices[k], Dataset()
            if one is not None:
                contour.ContourImageSequence = [reference(headers[one.path])]
                contour.ContourImageSequence[0].ReferencedFrameNumber = one.frame + 1
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            contour.ContourData = [f"{value:.6f}"[:16] for value in points.ravel()]
            drawn.ContourSequence.append(contour)
        seen.ObservationNumber = seen.ReferencedROINumber = label
        seen.RTROIInterpretedType, seen.ROIInterpreter = "", ""
        whole.StructureSetROISequence.append(roi)
        whole.ROIContourSequence.append(drawn)
        whole.RTROIObservationsSequence.append(seen)
    return whole


def contours_of(mask: NDArray[np.bool_], grid: Grid) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Slice and LPS points of each outline, half a voxel outside of the marked centres; holes have their own."""
    from skimage.measure import find_contours

    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        for outline in find_contours(np.pad(mask[k], 1).astype(float), 0.5):
            rows, columns = outline[:-1].T - 1  # the last point is the first again
            yield int(k), grid.world(np.stack([columns, rows, np.full(len(rows), k)], axis=1))
