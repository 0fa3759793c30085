"""Image files ↔ `Volume` and `LabelMap`. Nobody else in the project opens an image."""

from boltzformer.io.checks import ImageWarning
from boltzformer.io.describe import describe, in_words
from boltzformer.io.reading import read, read_labels
from boltzformer.io.resample import resample, straightened
from boltzformer.io.writing import write, write_volume

__all__ = [
    "ImageWarning",
    "describe",
    "in_words",
    "read",
    "read_labels",
    "resample",
    "straightened",
    "write",
    "write_volume",
]
