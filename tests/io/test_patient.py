"""Who an image is of is asked of its DICOM header, and only to keep a patient's images together."""

from pathlib import Path

import pytest
from image_files import phantom, stored, write_series

from boltzformer.io import patient_of


def asked(folder: Path, **tags: str) -> str:
    grid = stored((0, 1, 2), (1, 1, 1), "isotropic")
    return patient_of(write_series(folder, phantom(grid.shape), grid, **tags)[0])


def test_the_number_counts_whatever_the_name(tmp_path: Path) -> None:
    same = [asked(tmp_path / name, PatientID="P1", PatientName=name) for name in ("Roe^Jane", "Doe^Jane")]
    assert same[0] == same[1] != asked(tmp_path / "other", PatientID="P2")


def test_without_a_number_name_and_birthday_count_and_then_the_study(tmp_path: Path) -> None:
    first = asked(tmp_path / "a", PatientID="", PatientName="Roe^Jane", PatientBirthDate="19700101")
    assert first != asked(tmp_path / "b", PatientID="", PatientName="Roe^Jane", PatientBirthDate="19800101")
    nameless = [asked(tmp_path / n, PatientID="", PatientName="", StudyInstanceUID="1.2.3") for n in ("c", "d")]
    assert nameless[0] == nameless[1] != first


@pytest.mark.parametrize("content", [b"", b"nothing", b"\0" * 128 + b"DICM broken"])
def test_other_files_say_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.dcm").write_bytes(content)
    assert patient_of(tmp_path / "x.dcm") == ""
    assert patient_of(tmp_path / "missing.dcm") == ""
