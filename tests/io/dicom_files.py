"""DICOM files of kinds that SimpleITK does not write: enhanced multi-frame, ultrasound, dose, palette colour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from image_files import write_series
from pydicom.dataset import Dataset
from pydicom.uid import UID

from boltzformer.image.geometry import Array, Grid


def item(**values: Any) -> Dataset:
    """One item of a sequence."""
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def changed(path: Path, kind: UID | None = None, **values: Any) -> Path:
    """A file with other values in its header; None removes one."""
    header = pydicom.dcmread(path)
    if kind:
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = kind
    for name, value in values.items():
        if value is None:
            del header[name]
        else:
            setattr(header, name, value)
    header.save_as(path)
    return path


def enhanced(
    path: Path,
    array: Array,
    grid: Grid,
    order: Sequence[int],
    kind: UID = pydicom.uid.EnhancedCTImageStorage,
    **tags: Any,
) -> Path:
    """All slices in one file, its frames in this order, every frame with its own place."""
    (one,) = write_series(path.parent / "one", array[:1], grid, **tags)
    frames = []
    for k in order:
        place = item(ImagePositionPatient=[f"{v:.12g}" for v in grid.world((0, 0, k % grid.shape[0]))])
        frames.append(item(PlanePositionSequence=[place]))
    measures = item(
        PixelSpacing=[f"{grid.spacing_mm[1]:.12g}", f"{grid.spacing_mm[0]:.12g}"],
        SliceThickness=f"{grid.spacing_mm[2]:.12g}",
    )
    turn = item(ImageOrientationPatient=[f"{v:.12g}" for v in grid.direction[:, :2].T.ravel()])
    header = pydicom.dcmread(one)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(header, name)
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = kind
    header.NumberOfFrames = len(order)
    header.SharedFunctionalGroupsSequence = [item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[turn])]
    header.PerFrameFunctionalGroupsSequence = frames
    header.PixelData = np.ascontiguousarray(array[list(order)]).tobytes()
    header.save_as(path, enforce_file_format=True)
    one.unlink()
    return path
