"""Who an image is of, as its DICOM header says: asked only to keep a patient's images together, never shown or kept."""

from __future__ import annotations

from pathlib import Path

from boltzformer.errors import ImageError
from boltzformer.io.dicom_headers import discreet
from boltzformer.io.kinds import kind_of

_TAGS = ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID")


def patient_of(path: str | Path) -> str:
    """A text that is the same for all images of a patient: number, else name and birthday, else the study; or ''.

    Hash it at once: it is what must not be passed on.
    """
    path = Path(path)
    try:
        if not path.is_file() or kind_of(path) != "DICOM":
            return ""
    except ImageError:  # whoever reads the image says what is wrong with it
        return ""
    import pydicom

    with discreet():
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS), force=True)
            number, name, birthday, study = (str(header.get(tag, "") or "").strip() for tag in _TAGS)
        except Exception:  # pydicom raises many kinds on damaged files, some with what stands in them
            return ""
    if number:
        return f"number {number}"  # without its issuer, which not every file of a patient names
    return f"name {name} {birthday}" if name else (f"study {study}" if study else "")
