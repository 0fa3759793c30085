"""DICOM in: places, values, packings, several series, frames, gaps."""

import io as stdlib_io
import warnings
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_files import enhanced
from image_files import corners, demand_same_place, phantom, stored, two_labels, write_series
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, JPEGLSLossless, RLELossless, generate_uid

from boltzformer import io
from boltzformer.errors import GeometryError, ImageError
from boltzformer.types import LabelMap

GRID = stored((0, 1, 2), (1, 1, 1), "oblique")


def test_one_file_finds_its_neighbours_and_only_those_of_its_series(tmp_path: Path) -> None:
    paths = write_series(tmp_path, phantom(GRID.shape), GRID)
    write_series(tmp_path / "other", phantom(GRID.shape), GRID)
    for other in (tmp_path / "other").iterdir():
        other.rename(tmp_path / f"other{other.name}")
    volume = io.read(paths[2])
    np.testing.assert_array_equal(volume.array, phantom(GRID.shape))
    demand_same_place(volume.grid, GRID)
    assert (volume.modality, volume.stacking_axis, volume.name) == ("CT", 0, "phantom")


def test_of_several_series_the_user_picks_one_by_number_or_uid(tmp_path: Path) -> None:
    first = write_series(tmp_path / "a", phantom(GRID.shape), GRID, SeriesNumber=1, SeriesDescription="thin")
    write_series(
        tmp_path / "b", phantom(GRID.shape)[:3], GRID, SeriesNumber=2, SeriesDescription="thick", Modality="MR"
    )
    with pytest.raises(ImageError) as caught:
        io.read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds 2 series: choose one with --series N. "
        "1: CT 'thin', 5 slices of 7×6, 0.9×0.7×3.3 mm; 2: MR 'thick', 3 slices of 7×6, 0.9×0.7×3.3 mm."
    )
    assert io.read(tmp_path, series=2).grid.shape == (3, 6, 7)
    assert io.read(tmp_path, series=pydicom.dcmread(first[0]).SeriesInstanceUID).grid.shape == GRID.shape
    with pytest.raises(ImageError, match=r"has no series 3: choose one of these\. 1: CT"):
        io.read(tmp_path, series=3)
    facts = io.describe(tmp_path)
    assert [one["slices"] for one in facts["series"]] == [5, 3]
    assert "2: MR 'thick'" in io.in_words(facts)


def test_values_are_rescaled_and_stay_whole_where_they_can(tmp_path: Path) -> None:
    array = phantom(GRID.shape)
    write_series(tmp_path / "ct", array, GRID, RescaleSlope="1", RescaleIntercept="-1024")
    ct = io.read(tmp_path / "ct").array
    assert ct.dtype == np.int16
    np.testing.assert_array_equal(ct, array - 1024)
    write_series(tmp_path / "pet", array, GRID, RescaleSlope=lambda k: f"{0.5 + k}", RescaleIntercept="0")
    pet = io.read(tmp_path / "pet").array
    assert pet.dtype == np.float32
    np.testing.assert_array_equal(pet, array * (0.5 + np.arange(5))[:, None, None].astype(np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_stored_types_are_kept(tmp_path: Path, dtype: str) -> None:
    write_series(tmp_path, phantom(GRID.shape, dtype), GRID)
    np.testing.assert_array_equal(io.read(tmp_path).array, phantom(GRID.shape, dtype))


def test_a_slice_with_larger_numbers_than_the_first_is_not_cut(tmp_path: Path) -> None:
    array = phantom(GRID.shape, np.uint16)
    array[3] = 65535
    write_series(tmp_path, array, GRID, RescaleSlope="1", RescaleIntercept="10")
    np.testing.assert_array_equal(io.read(tmp_path).array, array.astype(int) + 10)


def test_monochrome1_is_turned_so_that_more_is_brighter(tmp_path: Path) -> None:
    array = phantom(GRID.shape, np.uint8)
    write_series(tmp_path, array, GRID, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(io.read(tmp_path).array, 255 - array)


def test_colour_slices_make_a_colour_volume(tmp_path: Path) -> None:
    colours = phantom((*GRID.shape, 3), np.uint8)
    write_series(tmp_path, colours, GRID)
    np.testing.assert_array_equal(io.read(tmp_path).array, colours)


@pytest.mark.parametrize("packing", ["RLE", "JPEG-LS", "JPEG lossless", "JPEG 2000", "JPEG baseline"])
def test_packed_slices_are_unpacked(tmp_path: Path, packing: str) -> None:
    smooth = (np.add.outer(np.add.outer(np.arange(5), np.arange(32) * 2), np.arange(32) * 4)).astype(np.uint8)
    grid = stored((0, 1, 2), (1, 1, 1), "anisotropic", smooth.shape)
    for k, path in enumerate(write_series(tmp_path, smooth, grid)):
        header = pydicom.dcmread(path)
        if packing in ("RLE", "JPEG-LS"):
            header.compress(RLELossless if packing == "RLE" else JPEGLSLossless, generate_instance_uid=False)
            header.save_as(path)
        elif packing == "JPEG baseline":
            buffer = stdlib_io.BytesIO()
            Image.fromarray(smooth[k]).save(buffer, "JPEG", quality=98)
            header.PixelData = encapsulate([buffer.getvalue()])
            header["PixelData"].is_undefined_length = True
            header.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
            header.save_as(path)
        else:  # ITK packs, and keeps the tags
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()
            writer.SetFileName(str(path))
            writer.SetCompressor("JPEG2000" if packing == "JPEG 2000" else "JPEG")
            writer.UseCompressionOn()
            writer.Execute(sitk.ReadImage(str(path)))
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID.is_compressed
    volume = io.read(tmp_path)
    assert np.abs(volume.array.astype(int) - smooth).max() <= (2 if packing == "JPEG baseline" else 0)
    demand_same_place(volume.grid, grid)


def test_colours_of_16_bits_in_run_lengths_are_unpacked(tmp_path: Path) -> None:
    colours = phantom((1, 6, 7, 3), np.uint16)
    (path,) = write_series(tmp_path, colours, GRID)
    header = pydicom.dcmread(path)
    header.compress(RLELossless)
    header.save_as(path)
    np.testing.assert_array_equal(io.read(path).array, colours)


def test_codecs_that_talk_are_not_heard(tmp_path: Path, capfd) -> None:
    (path,) = write_series(tmp_path, phantom((1, 32, 32), np.uint8), GRID)
    header = pydicom.dcmread(path)
    header.compress(JPEGLSLossless)
    header.PixelData = encapsulate([b"\xff\xd8\xff\xc1\x00\x0b\x0c" + bytes(40)])  # JPEG with 12 bits, and no more
    header.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    header.save_as(path)
    with pytest.raises(ImageError, match="can't be decoded"):
        io.read(path)
    assert capfd.readouterr() == ("", "")


def test_missing_slices_are_named_and_may_be_allowed(tmp_path: Path) -> None:
    grid = stored((0, 1, 2), (1, 1, 1), "oblique", (8, 6, 7))
    paths = write_series(tmp_path, phantom(grid.shape), grid)
    paths[4].unlink()
    with pytest.raises(GeometryError) as caught:
        io.read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: slice 5 between {paths[3].name} and {paths[5].name} is missing: "
        "copy the series again, or read it with --allow-gaps."
    )
    volume = io.read(tmp_path, allow_gaps=True)
    expected = phantom(grid.shape)
    expected[4] = np.delete(expected, 4, axis=0).min()
    np.testing.assert_array_equal(volume.array, expected)
    demand_same_place(volume.grid, grid)
    layers = np.ones((1, *grid.shape), np.uint8)
    (seg,) = io.write(LabelMap(layers, volume.grid, {1: "liver"}), tmp_path / "out.dcm", source=volume)
    assert highdicom.seg.segread(seg).NumberOfFrames == 7
    paths[5].unlink()
    paths[1].unlink()
    with pytest.raises(GeometryError, match=f"3 slices are missing in 2 places, first slice 2 between {paths[0].name}"):
        io.read(tmp_path)


def test_frames_at_one_place_are_picked_and_masks_go_back_to_the_picked_ones(tmp_path: Path) -> None:
    early, late = phantom(GRID.shape), phantom(GRID.shape) + 1000
    uid = generate_uid()
    for name, array, start in (("a", early, 1), ("b", late, 101)):
        series = write_series(
            tmp_path / name, array, GRID, SeriesInstanceUID=uid, InstanceNumber=lambda k, s=start: s + k
        )
        for path in series:
            path.rename(tmp_path / f"{name}{path.name}")
    with pytest.raises(ImageError, match="holds 2 frames"):
        io.read(tmp_path)
    volume = io.read(tmp_path, frame=2)
    np.testing.assert_array_equal(volume.array, late)
    (seg,) = io.write(two_labels(volume), tmp_path / "out.dcm", source=volume)
    referenced = {
        one.ReferencedSOPInstanceUID
        for one in highdicom.seg.segread(seg).ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    numbers = {
        int(pydicom.dcmread(path).InstanceNumber)
        for path in tmp_path.glob("bIM*")
        if pydicom.dcmread(path).SOPInstanceUID in referenced
    }
    assert numbers == {101, 102, 103, 104, 105}


def test_an_enhanced_file_holds_a_whole_volume_in_any_frame_order(tmp_path: Path) -> None:
    enhanced(tmp_path / "all.dcm", phantom(GRID.shape), GRID, [3, 0, 4, 1, 2])
    volume = io.read(tmp_path / "all.dcm")
    np.testing.assert_array_equal(volume.array, phantom(GRID.shape))
    demand_same_place(volume.grid, GRID)
    labels = two_labels(volume)
    (seg,) = io.write(labels, tmp_path / "seg.dcm", source=volume)
    back = io.read_labels(seg, grid=volume.grid)
    for label in labels.names:
        np.testing.assert_array_equal(back.mask(label), labels.mask(label))


def test_every_frame_is_scaled_in_its_own_way(tmp_path: Path) -> None:
    path = tmp_path / "all.dcm"
    enhanced(path, phantom(GRID.shape), GRID, [3, 0, 4, 1, 2])
    for slopes in ([1] * 5, [1, 1, 2, 0.5, 3]):
        header = pydicom.dcmread(path)
        for frame, slope in zip(header.PerFrameFunctionalGroupsSequence, slopes, strict=True):
            values = Dataset()
            values.RescaleSlope, values.RescaleIntercept, values.RescaleType = str(slope), "-1024", "HU"
            frame.PixelValueTransformationSequence = [values]
        header.save_as(path)
        by_slice = np.array(slopes)[np.argsort([3, 0, 4, 1, 2])][:, None, None]
        found = io.read(path).array
        np.testing.assert_array_equal(found, (phantom(GRID.shape) * by_slice - 1024).astype(found.dtype))
        assert found.dtype == (np.int16 if slopes[3] == 1 else np.float32)


def test_a_film_without_places_needs_a_frame_and_is_two_dimensional(tmp_path: Path) -> None:
    film = phantom(GRID.shape, np.uint8)
    (path,) = write_series(
        tmp_path,
        film[:1],
        GRID,
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        NumberOfFrames=5,
        PixelData=film.tobytes(),
        Modality="US",
    )
    with pytest.raises(ImageError, match="holds 5 frames"):
        io.read(path)
    np.testing.assert_array_equal(io.read(path, frame=4).array, film[3:4])


def test_a_single_radiograph_has_its_pixel_spacing(tmp_path: Path) -> None:
    (path,) = write_series(
        tmp_path,
        phantom((1, 6, 7), np.uint16),
        GRID,
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelSpacing=None,
        ImagerPixelSpacing=["0.2", "0.1"],
        Modality="DX",
    )
    volume = io.read(path)
    assert (volume.grid.shape, volume.grid.spacing_mm[:2], volume.modality) == ((1, 6, 7), (0.1, 0.2), "DX")


def test_positions_that_a_scanner_rounded_are_no_tilted_gantry(tmp_path: Path) -> None:
    rounded = lambda k: [f"{v:.2f}" for v in GRID.world((0, 0, k))]  # noqa: E731
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID, ImagePositionPatient=rounded)
    volume = io.read(tmp_path / "ct")
    assert not io.describe(volume)["sheared"]
    with warnings.catch_warnings(action="error"):
        io.write(LabelMap(two_labels(volume).layers[:1], volume.grid, {1: "a"}), tmp_path / "m.nii")
    assert np.abs(corners(volume.grid) - corners(GRID)).max() < 0.011
