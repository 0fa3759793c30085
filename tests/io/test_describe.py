"""What `boltzformer info` tells."""

import json
from pathlib import Path

import numpy as np
from image_files import phantom, sheared, write_series

from boltzformer import io
from boltzformer.image.geometry import Grid
from boltzformer.types import LabelMap, Volume


def test_a_volume_is_described_in_words_and_as_plain_data(tmp_path: Path) -> None:
    axes = np.array([[0, -0.7, 0, -101.3], [0, 0, 3.3, 47.25], [0.7, 0, 0, -312.5], [0, 0, 0, 1]])
    grid = Grid.from_lps((5, 6, 7), axes)
    path = io.write_volume(Volume(phantom(grid.shape), grid), tmp_path / "scan.nii.gz")
    facts = io.describe(path)
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["acquisition_axis"], facts["plane"], facts["slices"]) == ("k", "coronal", 5)
    assert facts["runs_to"] == ["superior", "right", "posterior"]
    np.testing.assert_allclose(facts["affine_ras"], grid.ras, atol=1e-5)
    assert io.in_words(facts).splitlines() == [
        str(path),
        "scan: unknown modality, int16",
        "size      7×6×5 voxels of 0.7×0.7×3.3 mm, 4.9×4.2×16.5 mm in all",
        "axes      i runs to superior, j runs to right, k runs to posterior",
        "origin    -101.30, 47.25, -312.50 mm (left, posterior, superior)",
        "slices    coronal, 5 along k",
        f"window    {facts['window']['low']:g} to {facts['window']['high']:g} ({facts['window']['kind']})",
    ]


def test_a_series_says_its_modality_tilt_and_the_axis_it_was_stacked_along(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(sheared().shape), sheared())
    words = io.in_words(io.describe(tmp_path / "ct"))
    assert "phantom: CT, int16" in words
    assert "turned by up to 15.0°; sheared (tilted gantry)" in words
    cube = Grid.from_lps((5, 6, 7), np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]))
    write_series(tmp_path / "mr", phantom(cube.shape), cube)  # isotropic, sagittal slices: only DICOM knows
    assert io.describe(tmp_path / "mr")["plane"] == "sagittal"


def test_masks_are_listed_with_their_size(tmp_path: Path) -> None:
    grid = Grid.pixels((2, 2, 2))
    layers = np.zeros((2, 2, 2, 2), np.uint8)
    layers[0, 0], layers[1] = 1, 2
    (path,) = io.write(LabelMap(layers, grid, {1: "nodule", 2: "lung"}), tmp_path / "a.seg.nrrd")
    words = io.in_words(io.describe(path))
    assert "2 masks on 2 layers\n  1: nodule, 4 voxels\n  2: lung, 8 voxels\n" in words
