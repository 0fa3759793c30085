"""DICOM-SEG: what it says, where it lies, whom it belongs to, and what nobody may quote."""

import logging
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from image_files import phantom, sheared, stored, two_labels, write_series
from pydicom.uid import generate_uid

from boltzformer import io
from boltzformer.errors import GeometryError, ImageError
from boltzformer.types import LabelMap

GRID = stored((0, 1, 2), (1, 1, 1), "oblique")


def test_masks_on_tilted_slices_come_back_from_dicom_seg(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(sheared().shape), sheared())
    volume = io.read(tmp_path / "ct")
    labels = two_labels(volume)
    (seg,) = io.write(labels, tmp_path / "seg.dcm", source=volume)
    back = io.read_labels(seg, grid=volume.grid)
    np.testing.assert_array_equal(back.layers, labels.layers)
    alone = io.read_labels(seg)
    assert alone.grid.shape == (3, 6, 7)  # only the slices where something is marked
    np.testing.assert_allclose(alone.grid.axes, volume.grid.axes, atol=1e-6)
    np.testing.assert_array_equal(alone.layers, labels.layers[:, 1:4])


@pytest.mark.parametrize("kind", ["FRACTIONAL", "LABELMAP"])
def test_other_kinds_of_dicom_seg_are_read(tmp_path: Path, kind: str) -> None:
    paths = write_series(tmp_path / "ct", phantom(GRID.shape), GRID)
    volume = io.read(tmp_path / "ct")
    labels = two_labels(volume)
    labels.layers[1][labels.layers[0] > 0] = 0
    (seg,) = io.write(labels, tmp_path / "seg.dcm", source=volume)
    described = [highdicom.seg.segread(seg).get_segment_description(n) for n in (1, 2)]
    flat = labels.layers.max(axis=0)
    chances = np.stack([flat == 1, flat == 2], -1) * 0.75
    other = highdicom.seg.Segmentation(
        [pydicom.dcmread(path) for path in paths],
        flat if kind == "LABELMAP" else chances,
        kind,
        described,
        generate_uid(),
        9,
        generate_uid(),
        1,
        "m",
        "n",
        "1",
        "0",
    )
    other.save_as(tmp_path / "other.dcm")
    back = io.read_labels(tmp_path / "other.dcm", grid=volume.grid)
    for label in labels.names:
        np.testing.assert_array_equal(back.mask(label), labels.mask(label))


def test_a_dicom_seg_on_another_image_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID)
    volume = io.read(tmp_path / "ct")
    (seg,) = io.write(two_labels(volume), tmp_path / "seg.dcm", source=volume)
    for other in (stored((0, 1, 2), (1, 1, 1), "anisotropic"), stored((0, 1, 2), (1, 1, 1), "oblique", (3, 6, 7))):
        with pytest.raises(GeometryError, match="does not lie on the grid of its image"):
            io.read_labels(seg, grid=other)


def test_a_dicom_seg_says_what_it_shows_and_where_it_comes_from(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "ct", phantom(GRID.shape), GRID)
    volume = io.read(tmp_path / "ct")
    (seg,) = io.write(two_labels(volume), tmp_path / "seg.dcm", source=tmp_path / "ct")
    found = highdicom.seg.segread(seg)
    assert found.segmentation_type.value == "BINARY"
    kidney, nodule = (found.get_segment_description(n) for n in (1, 2))
    assert (kidney.segment_label, kidney.segmented_property_type.value) == ("left kidney", "64033007")
    assert (
        kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    )
    assert (nodule.segmented_property_type.value, nodule.anatomic_regions[0].value) == ("27925004", "39607008")
    series = found.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == pydicom.dcmread(paths[0]).SeriesInstanceUID
    assert found.PatientID == "SECRET-42"  # in the file it belongs; see below for where it doesn't
    with pytest.raises(ImageError, match="kind SEG and holds no image"):
        io.read(seg)


def test_a_dicom_seg_without_marks_and_with_a_long_prompt_is_written(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID)
    volume = io.read(tmp_path / "ct")
    prompt = "the small bright round thing near the upper end of the left adrenal gland, if there is one"
    empty = LabelMap(np.zeros((1, *volume.grid.shape), np.uint8), volume.grid, {1: prompt})
    (seg,) = io.write(empty, tmp_path / "seg.dcm", source=volume)
    found = highdicom.seg.segread(seg).get_segment_description(1)
    assert (found.segment_label, found.SegmentDescription) == (prompt[:64], prompt)
    assert not io.read_labels(seg, grid=volume.grid).layers.any()


ANONYMISED = dict.fromkeys(
    ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "StudyDate",
     "StudyTime", "ReferringPhysicianName", "PositionReferenceIndicator", "Manufacturer", "SliceThickness"]
)  # fmt: skip


def test_a_dicom_seg_is_written_for_an_anonymised_series_too(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID, **ANONYMISED)
    volume = io.read(tmp_path / "ct")
    labels = two_labels(volume)
    (seg,) = io.write(labels, tmp_path / "seg.dcm", source=volume)
    np.testing.assert_array_equal(io.read_labels(seg, grid=volume.grid).layers, labels.layers)
    assert pydicom.dcmread(seg).PatientID == ""


def test_a_series_that_nothing_can_refer_to_is_refused_with_a_way_out(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID, FrameOfReferenceUID=None)
    volume = io.read(tmp_path / "ct")
    with pytest.raises(ImageError, match=r"nothing can refer to it: write \.seg\.nrrd or \.nii\.gz instead"):
        io.write(two_labels(volume), tmp_path / "seg.dcm", source=volume)
    assert not (tmp_path / "seg.dcm").exists()


def test_odd_patient_data_is_not_quoted_by_anybody(tmp_path: Path, recwarn, caplog) -> None:
    with pytest.warns(UserWarning, match="Invalid value for VR DA"):  # pydicom on what the test itself writes
        write_series(
            tmp_path / "ct", phantom(GRID.shape), GRID, PatientName="Doe" * 40, PatientID="SECRET" * 20,
            PatientBirthDate="1970-13-77",
        )  # fmt: skip
    recwarn.clear()
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        volume = io.read(tmp_path / "ct")
        io.write(two_labels(volume), tmp_path / "seg.dcm", source=volume)
    assert [str(warning.message) for warning in recwarn] == []
    assert not any(secret in caplog.text for secret in ("Doe", "SECRET", "1970-13"))


def test_no_patient_data_in_messages_logs_or_facts(tmp_path: Path, caplog) -> None:
    paths = write_series(tmp_path, phantom(GRID.shape), GRID)
    said = [repr(io.describe(tmp_path)), io.in_words(io.describe(tmp_path)), repr(io.read(tmp_path).name)]
    paths[2].unlink()
    with caplog.at_level(logging.DEBUG):
        for damage in (lambda: None, lambda: paths[1].write_bytes(paths[1].read_bytes()[:-40])):
            damage()
            try:
                io.read(tmp_path, allow_gaps=damage is not None)
            except (ImageError, GeometryError) as error:
                said.append(str(error))
    assert not any(secret in text for text in [*said, caplog.text] for secret in ("Doe", "SECRET", "19700101"))


def test_only_to_dicom_a_dicom_seg_can_refer(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID)
    volume = io.read(tmp_path / "ct")
    nifti = io.write_volume(volume, tmp_path / "scan.nii.gz")
    with pytest.raises(ImageError, match=r"scan\.nii\.gz is no DICOM series, .* write \.seg\.nrrd"):
        io.write(two_labels(volume), tmp_path / "seg.dcm", source=nifti)
    with pytest.raises(ImageError, match=r"gone\.dcm does not exist"):
        io.write(two_labels(volume), tmp_path / "seg.dcm", source=tmp_path / "gone.dcm")


def test_every_segment_has_category_type_and_side(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID)
    volume = io.read(tmp_path / "ct")
    asked = ["left kidney in CT", "nodule in the right lung", "biopsy needle", "both lungs", "something unheard of"]
    names = dict(enumerate(asked, 1))
    layers = np.zeros((len(asked), *volume.grid.shape), np.uint8)
    for number in names:
        layers[number - 1, 1] = number
    (seg,) = io.write(LabelMap(layers, volume.grid, names), tmp_path / "seg.dcm", source=volume)
    said = []
    for one in pydicom.dcmread(seg).SegmentSequence:
        kind, where = one.SegmentedPropertyTypeCodeSequence[0], one.get("AnatomicRegionSequence")
        side = kind.get("SegmentedPropertyTypeModifierCodeSequence") or (
            where and where[0].get("AnatomicRegionModifierSequence")
        )
        codes = (one.SegmentedPropertyCategoryCodeSequence[0], kind, where and where[0], side and side[0])
        assert {code.CodingSchemeDesignator for code in codes if code} == {"SCT"}
        said.append(tuple(code and code.CodeMeaning for code in codes))
    assert said == [
        ("Anatomical Structure", "Kidney", None, "Left"),
        ("Morphologically Abnormal Structure", "Nodule", "Lung", "Right"),
        ("Physical object", "Needle", None, None),
        ("Anatomical Structure", "Lung", None, "Bilateral"),
        ("Tissue", "Tissue", None, None),
    ]
