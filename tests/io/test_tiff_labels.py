"""Masks as label TIFFs: the very voxels, as large as in the picture, for us and for other programs."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import phantom, stored
from PIL import Image

from boltzformer import io
from boltzformer.errors import ImageError
from boltzformer.image.geometry import Grid
from boltzformer.io import object_numbers, tiff_labels
from boltzformer.io.writing import new_files
from boltzformer.types import LabelMap

SHAPES = st.tuples(*[st.integers(1, 5)] * 3)
SIZES = st.floats(1e-7, 9999).map(lambda mm: float(f"{mm:.7g}"))
"""Millimetres, in as many digits as a TIFF is taken at its word for."""


def of_size(shape: tuple[int, int, int], *mm: float) -> Grid:
    return Grid.from_lps(shape, np.diag([*mm, 1.0]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("labels")


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.one_of(st.none(), st.tuples(SIZES, SIZES, SIZES)), st.integers(1, 254), st.integers(0, 99))
def test_labels_come_back_on_the_same_voxels_of_the_same_size(folder: Path, shape, sizes, most: int, seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, most + 1, shape, np.uint8)
    grid = Grid.pixels(shape) if sizes is None else of_size(shape, *sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (path,) = io.write(LabelMap(array[None], grid, {}), folder / "mask.tif", overwrite=True)
        back = io.read_labels(path)
        assert io.read_labels(path, grid=grid).grid == back.grid == grid
    np.testing.assert_array_equal(back.layers[0], array)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).reshape(shape), array)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_imagej
        assert [page.compression.name for page in tiff.pages] == ["ADOBE_DEFLATE"] * shape[0]
        np.testing.assert_array_equal(tiff.asarray().reshape(shape), array)


@pytest.mark.parametrize(("most", "kind"), [(255, np.uint8), (256, np.uint16), (65536, np.uint32)])
def test_numbers_take_as_many_bits_as_they_need(tmp_path: Path, most: int, kind: type) -> None:
    numbers = np.arange(300 * 300, dtype=np.int32).reshape(1, 300, 300).clip(0, most)
    grid = of_size(numbers.shape, 0.00025, 0.0005, 0.00025)
    path = tmp_path / "x.cell.objects.tif"
    with new_files([path]) as (file,):
        object_numbers.write(file, path, numbers, grid)
    back = io.read(path)
    assert back.array.dtype == kind
    np.testing.assert_array_equal(back.array, numbers)
    assert back.grid == grid
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), numbers[0])


def test_more_objects_than_a_png_holds_are_sent_to_tiff(tmp_path: Path) -> None:
    path = tmp_path / "x.objects.png"
    numbers = np.full((1, 2, 2), 65536, np.int32)
    with pytest.raises(ImageError, match=r"can't hold 65536 objects: export masks as \.tif"), path.open("wb") as file:
        object_numbers.write(file, path, numbers, Grid.pixels(numbers.shape))


def test_imagej_is_told_how_large_a_voxel_is(tmp_path: Path) -> None:
    """In µm also where mm were nearer: Bio-Formats takes the distance of slices for µm whatever the unit."""
    labels = phantom((3, 4, 5), np.uint8) % 3
    for mm, size in (((0.000325, 0.000325, 0.002), (0.325, 2)), ((0.5, 0.5, 1.25), (500, 1250))):
        (path,) = io.write(LabelMap(labels[None], of_size(labels.shape, *mm), {}), tmp_path / f"{mm[0]}.tif")
        with tifffile.TiffFile(path) as tiff:
            told, page = tiff.imagej_metadata, tiff.pages[0]
            (up, down), *_ = (page.tags[code].value for code in (282, 283))
            assert (told["unit"], told["spacing"], told["slices"], told["max"]) == ("um", size[1], 3, 2.0)
            assert down / up == pytest.approx(size[0], rel=1e-9)
            assert max(up, down) < 2**31
            assert tiff.series[0].axes == "ZYX"


def test_a_file_of_either_ending_is_the_same_bytes_whenever_it_is_written(tmp_path: Path) -> None:
    labels = LabelMap(phantom((2, 40, 50), np.uint8)[None] % 4, of_size((2, 40, 50), 0.1, 0.2, 0.3), {})
    written = [io.write(labels, tmp_path / name)[0].read_bytes() for name in ("a.tif", "b.tiff")]
    assert written[0] == written[1]


def test_a_volume_lies_voxel_for_voxel_on_its_image_and_the_lost_place_is_told(tmp_path: Path) -> None:
    grid = stored((2, 0, 1), (1, -1, 1), "oblique")
    labels = LabelMap((phantom(grid.shape) % 3 == 0).astype(np.uint8)[None], grid, {1: "liver"})
    said: list[str] = []
    (path,) = io.write(labels, tmp_path / "mask.tif", tell=said.append)
    assert said == [
        "mask.tif keeps the voxels of the image and their size, but not where in the patient they lie: .nii.gz and "
        ".seg.nrrd keep that too."
    ]
    np.testing.assert_array_equal(io.read_labels(path, grid=grid).mask(1), labels.mask(1))
    assert io.read_labels(path, grid=grid).grid == grid
    assert io.read(path).grid.spacing_mm == pytest.approx(grid.spacing_mm)


def test_a_picture_as_wide_as_colours_are_many_stays_one_of_labels(tmp_path: Path) -> None:
    for shape in ((3, 4, 5), (1, 4, 3), (4, 4, 4), (2, 1, 1)):
        array = (np.arange(np.prod(shape)) % 5).astype(np.uint8).reshape(shape)
        (path,) = io.write(LabelMap(array[None], Grid.pixels(shape), {}), tmp_path / "m.tif", overwrite=True)
        np.testing.assert_array_equal(io.read_labels(path).layers[0], array)


def test_a_large_file_gets_addresses_of_64_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_labels, "_CLASSIC", 100)
    array = phantom((3, 6, 7), np.uint8) % 2
    (path,) = io.write(LabelMap(array[None], Grid.pixels(array.shape), {}), tmp_path / "m.tif")
    assert path.read_bytes()[:4] == b"II+\0"
    np.testing.assert_array_equal(io.read_labels(path).layers[0], array)


def test_without_tifffile_it_is_said_what_to_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ImageError, match=r"tifffile, which is missing here: choose \.nii\.gz or \.seg\.nrrd"):
        io.write(LabelMap(np.ones((1, 1, 2, 2), np.uint8), Grid.pixels((1, 2, 2)), {}), tmp_path / "m.tif")
    assert not list(tmp_path.iterdir())
