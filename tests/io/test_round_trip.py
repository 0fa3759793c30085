"""What is written comes back: voxels equal, and every corner in its place, for us and for other programs."""

from contextlib import nullcontext
from pathlib import Path

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import (
    ORDERS,
    SPACINGS,
    demand_same_place,
    is_right_handed,
    itk_grid,
    itk_image,
    phantom,
    sheared,
    stored,
    write_series,
)

from boltzformer import io
from boltzformer.image.geometry import Grid
from boltzformer.types import LabelMap, Volume

FORMATS = (".nii", ".nii.gz", ".nrrd", ".mha")
RIGHT_HANDED = [one for one in ORDERS if is_right_handed(*one)]


def labels_on(grid: Grid, overlap: bool = False) -> LabelMap:
    layers = np.zeros((2, *grid.shape), np.uint8)
    layers[0][phantom(grid.shape) % 3 == 0] = 1
    layers[1][phantom(grid.shape) % 5 == 0] = 2
    if not overlap:
        layers[1][layers[0] > 0] = 0
    return LabelMap(layers, grid, {1: "liver", 2: "liver tumor in CT"})


@pytest.mark.parametrize("kind", SPACINGS)
@pytest.mark.parametrize("extension", FORMATS)
def test_an_image_in_any_axis_order_comes_back_and_lies_where_itk_sees_it(tmp_path: Path, kind, extension) -> None:
    for n, (order, signs) in enumerate(ORDERS):
        grid = stored(order, signs, kind)
        volume = Volume(phantom(grid.shape), grid)
        path = io.write_volume(volume, tmp_path / f"ours{n}{extension}")
        back = io.read(path)
        assert back.array.dtype == volume.array.dtype
        np.testing.assert_array_equal(back.array, volume.array)
        demand_same_place(back.grid, grid)
        seen = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(seen), volume.array)
        demand_same_place(itk_grid(seen), grid)


@pytest.mark.parametrize("kind", SPACINGS)
@pytest.mark.parametrize("extension", FORMATS)
def test_an_image_that_itk_wrote_in_any_axis_order_is_read_in_its_place(tmp_path: Path, kind, extension) -> None:
    for n, (order, signs) in enumerate(ORDERS):
        grid = stored(order, signs, kind)
        path = tmp_path / f"theirs{n}{extension}"
        sitk.WriteImage(itk_image(phantom(grid.shape), grid), str(path), n % 2 == 0)
        back = io.read(path)
        np.testing.assert_array_equal(back.array, phantom(grid.shape))
        demand_same_place(back.grid, grid)


@pytest.mark.parametrize("kind", SPACINGS)
@pytest.mark.parametrize("extension", [*FORMATS, ".seg.nrrd"])
def test_masks_in_any_axis_order_come_back_on_the_grid_of_their_image(tmp_path: Path, kind, extension) -> None:
    for n, (order, signs) in enumerate(ORDERS):
        labels = labels_on(stored(order, signs, kind))
        (path,) = io.write(labels, tmp_path / f"mask{n}{extension}")
        back = io.read_labels(path, grid=labels.grid)
        for label in labels.names:
            np.testing.assert_array_equal(back.mask(label), labels.mask(label))
        demand_same_place(back.grid, labels.grid)


@pytest.mark.parametrize("kind", SPACINGS)
def test_dicom_in_any_right_handed_order_is_read_and_its_masks_lie_where_highdicom_sees_them(
    tmp_path: Path, kind: str
) -> None:
    for n, (order, signs) in enumerate(RIGHT_HANDED):
        grid = stored(order, signs, kind)
        write_series(tmp_path / str(n), phantom(grid.shape), grid)
        volume = io.read(tmp_path / str(n))
        np.testing.assert_array_equal(volume.array, phantom(grid.shape))
        demand_same_place(volume.grid, grid)
        labels = labels_on(volume.grid, overlap=True)
        (path,) = io.write(labels, tmp_path / f"{n}.dcm", source=volume)
        demand_same_in_highdicom(path, labels)
        back = io.read_labels(path, grid=volume.grid)
        for label in labels.names:
            np.testing.assert_array_equal(back.mask(label), labels.mask(label))
        assert back.names == labels.names


def demand_same_in_highdicom(path: Path, labels: LabelMap) -> None:
    """World positions of all marked voxels, by highdicom's own affine, against ours."""
    seen = highdicom.seg.segread(path).get_volume(combine_segments=False)
    for n, label in enumerate(sorted(labels.names)):
        theirs = np.argwhere(seen.array[..., n]) @ seen.affine[:3, :3].T + seen.affine[:3, 3]
        ours = labels.grid.world(np.argwhere(labels.mask(label))[:, ::-1])
        assert len(theirs) == len(ours) > 0
        np.testing.assert_allclose(in_order(theirs), in_order(ours), atol=1e-3)


def in_order(points: np.ndarray) -> np.ndarray:
    rounded = np.round(points, 2)
    return points[np.lexsort(rounded.T)]


@pytest.mark.parametrize("extension", [*FORMATS, ".seg.nrrd"])
def test_a_tilted_gantry_keeps_its_shear(tmp_path: Path, extension: str) -> None:
    labels = labels_on(sheared())
    says_so = extension.startswith(".nii")  # ITK would straighten it there
    with pytest.warns(io.ImageWarning, match="programs built on ITK") if says_so else nullcontext():
        (path,) = io.write(labels, tmp_path / f"tilted{extension}")
    demand_same_place(io.read_labels(path).grid, labels.grid)


def test_a_tilted_gantry_is_read_from_dicom_and_goes_back_to_its_slices(tmp_path: Path) -> None:
    grid = sheared()
    write_series(tmp_path / "ct", phantom(grid.shape), grid)
    volume = io.read(tmp_path / "ct")
    demand_same_place(volume.grid, grid)
    labels = labels_on(volume.grid, overlap=True)
    (path,) = io.write(labels, tmp_path / "tilted.dcm", source=volume)
    found = highdicom.seg.segread(path)
    for frame in found.PerFrameFunctionalGroupsSequence:
        place = grid.voxel(frame.PlanePositionSequence[0].ImagePositionPatient)
        assert np.allclose(place, [0, 0, round(place[2])], atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    dtype=st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "?"]),
    big=st.booleans(),
    spacing=st.tuples(*[st.floats(0.01, 50)] * 3),
    turn=st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    mirrored=st.booleans(),
    origin=st.tuples(*[st.floats(-2000, 2000)] * 3),
    extension=st.sampled_from(FORMATS),
    seed=st.integers(0, 99),
)
def test_any_volume_comes_back(
    tmp_path_factory, shape, dtype, big, spacing, turn, mirrored, origin, extension, seed
) -> None:
    a, b, c, d = np.array(turn) / np.linalg.norm(turn)
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    lps = np.eye(4)
    lps[:3, :3] = rotation * spacing * [1, 1, -1 if mirrored else 1]
    lps[:3, 3] = origin
    kind = np.dtype(dtype).newbyteorder(">" if big else "<")
    array = np.random.default_rng(seed).integers(0, 100, shape).astype(kind)
    volume = Volume(array, Grid.from_lps(shape, lps))
    path = io.write_volume(volume, tmp_path_factory.mktemp("any") / f"any{extension}")
    back = io.read(path)
    np.testing.assert_array_equal(back.array, array.astype(np.uint8) if dtype == "?" else array)
    assert back.array.dtype == (np.uint8 if dtype == "?" else np.dtype(dtype))
    demand_same_place(back.grid, volume.grid)
