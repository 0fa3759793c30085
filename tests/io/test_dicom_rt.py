"""RTSTRUCT: contours become masks by the even-odd rule and masks contours; LABELMAP on request."""

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from image_files import phantom, sheared, stored, two_labels, write_series
from pydicom.data import get_testdata_file

from boltzformer import io
from boltzformer.errors import GeometryError, ImageError
from boltzformer.io.dicom_rt import inside
from boltzformer.types import LabelMap

GRID = stored((0, 1, 2), (1, 1, 1), "oblique", (5, 30, 40))


def ragged(grid) -> LabelMap:
    """A mask with holes, islands, single voxels and pixels that touch at corners, and one that overlaps it."""
    first = np.random.default_rng(0).random(grid.shape) < 0.5
    second = np.zeros(grid.shape, bool)
    second[1:4, 2:5, 3:6] = True
    second[2, 3, 4] = False
    return LabelMap(np.stack([first, second * 2]).astype(np.uint8), grid, {1: "noise", 2: "box with a hole"})


@pytest.mark.parametrize("grid", [GRID, sheared((5, 30, 40))], ids=["oblique", "tilted gantry"])
def test_masks_come_back_from_contours_voxel_for_voxel(tmp_path: Path, grid) -> None:
    write_series(tmp_path / "ct", phantom(grid.shape), grid)
    volume = io.read(tmp_path / "ct")
    labels = ragged(volume.grid)
    (path,) = io.write(labels, tmp_path / "plan.rtstruct.dcm", source=volume)
    back = io.read_labels(path, grid=volume.grid)
    assert dict(back.names) == dict(labels.names)
    for label in labels.names:
        np.testing.assert_array_equal(back.mask(label), labels.mask(label))
    header = pydicom.dcmread(path)
    assert (header.Modality, header.PatientID) == ("RTSTRUCT", "SECRET-42")
    series = header.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert len(series.ContourImageSequence) == 5


def test_contours_inside_of_contours_are_holes_and_inside_of_these_islands() -> None:
    def square(low: float, high: float) -> np.ndarray:
        return np.array([[low, low], [low, high], [high, high], [high, low]])

    mask = inside([square(0.5, 9.5), square(2.5, 7.5), square(4.5, 5.5)], (11, 11))
    expected = np.zeros((11, 11), bool)
    expected[1:10, 1:10] = True
    expected[3:8, 3:8] = False
    expected[5, 5] = True
    np.testing.assert_array_equal(mask, expected)


def test_contours_need_the_image_they_were_drawn_on(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID)
    volume = io.read(tmp_path / "ct")
    (path,) = io.write(ragged(volume.grid), tmp_path / "plan.rtstruct.dcm", source=volume)
    with pytest.raises(ImageError, match="give the image they were drawn on"):
        io.read_labels(path)
    for other in (sheared((5, 30, 40)), stored((0, 1, 2), (1, 1, 1), "oblique", (2, 30, 40))):
        with pytest.raises(GeometryError, match="give the image they were drawn on"):
            io.read_labels(path, grid=other)
    with pytest.raises(GeometryError, match="give the image they were drawn on"):
        io.read_labels(get_testdata_file("rtstruct.dcm"), grid=GRID)


def test_a_label_map_is_written_on_request_and_refuses_overlaps(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID)
    volume = io.read(tmp_path / "ct")
    labels = two_labels(volume)
    with pytest.raises(ImageError, match=r"can't hold masks that overlap: write \.dcm or \.seg\.nrrd instead"):
        io.write(labels, tmp_path / "a.labelmap.dcm", source=volume)
    labels.layers[1][labels.layers[0] > 0] = 0
    (path,) = io.write(labels, tmp_path / "a.labelmap.dcm", source=volume)
    assert highdicom.seg.segread(path).segmentation_type.value == "LABELMAP"
    back = io.read_labels(path, grid=volume.grid)
    for label in labels.names:
        np.testing.assert_array_equal(back.mask(label), labels.mask(label))
