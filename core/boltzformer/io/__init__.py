"""Image files ↔ `Volume` and `LabelMap`. Nobody else in the project opens an image."""

from boltzformer.io.checks import ImageWarning
from boltzformer.io.describe import describe, in_words
from boltzformer.io.kinds import EXTENSIONS, READABLE, can_read, split_name
from boltzformer.io.patient import patient_of
from boltzformer.io.reading import read, read_labels
from boltzformer.io.straight import resample, straightened
from boltzformer.io.writing import (
    WRITABLE,
    can_be_dicom,
    check_targets,
    targets,
    tilt_said,
    write,
    write_json,
    write_volume,
)

__all__ = [
    "EXTENSIONS",
    "READABLE",
    "WRITABLE",
    "ImageWarning",
    "can_be_dicom",
    "can_read",
    "check_targets",
    "describe",
    "in_words",
    "patient_of",
    "read",
    "read_labels",
    "resample",
    "split_name",
    "straightened",
    "targets",
    "tilt_said",
    "write",
    "write_json",
    "write_volume",
]
