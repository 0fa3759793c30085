"""Masks that do not fit their image are refused: each with one sentence that names the file and the way out."""

from pathlib import Path

import numpy as np
import pytest
from image_files import phantom, stored, write_series

from boltzformer import io
from boltzformer.errors import GeometryError, ImageError
from boltzformer.types import LabelMap, Volume

GRID = stored((0, 1, 2), (1, 1, 1), "anisotropic")


def mask_of_another_size(folder: Path) -> Path:
    grid = stored((0, 1, 2), (1, 1, 1), "anisotropic", (4, 6, 7))
    return io.write_volume(Volume(np.zeros(grid.shape, np.uint8), grid), folder / "m.nii.gz")


def mask_elsewhere(folder: Path) -> Path:
    grid = stored((0, 1, 2), (-1, 1, 1), "anisotropic")
    return io.write_volume(Volume(np.zeros(grid.shape, np.uint8), grid), folder / "m.nii.gz")


def image_as_mask(folder: Path) -> Path:
    return io.write_volume(Volume(phantom(GRID.shape), GRID), folder / "m.mha")


def colours_as_mask(folder: Path) -> Path:
    return io.write_volume(Volume(phantom((*GRID.shape, 3), np.uint8), GRID), folder / "m.mha")


def numbers_as_mask(folder: Path) -> Path:
    return io.write_volume(Volume(phantom(GRID.shape, np.float32) / 7, GRID), folder / "m.nrrd")


def image_as_dicom_seg(folder: Path) -> Path:
    return write_series(folder, phantom((1, 6, 7)), GRID)[0]


@pytest.mark.parametrize(
    ("maker", "error", "sentence"),
    [
        (mask_of_another_size, GeometryError, "does not lie on the grid of its image (mask 7×6×4 voxels of"),
        (mask_elsewhere, GeometryError, "does not lie on the grid of its image"),
        (image_as_mask, ImageError, "is no mask (its values go from -20 to 189): use whole numbers 0 to 255."),
        (colours_as_mask, ImageError, "is a colour image and no mask"),
        (numbers_as_mask, ImageError, "is no mask (it holds values that are not labels): use whole numbers 0 to 255."),
        (image_as_dicom_seg, ImageError, "is no DICOM-SEG that can be read here, or it is damaged: export it again."),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(tmp_path: Path, maker, error, sentence) -> None:
    path = maker(tmp_path)
    with pytest.raises(error) as caught:
        io.read_labels(path, grid=GRID)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


def test_labels_and_grid_that_differ_never_reach_a_file() -> None:
    with pytest.raises(GeometryError, match="a mask must lie on the grid of its image"):
        LabelMap(np.zeros((1, 4, 6, 7), np.uint8), GRID, {})
