"""Images in: number types, byte orders, colours, frames, and what each format says about its place."""

import gzip
import struct
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
from image_files import corners, demand_same_place, itk_grid, itk_image, phantom, sheared, stored
from PIL import Image

from boltzformer import io
from boltzformer.errors import ImageError
from boltzformer.image.geometry import Grid
from boltzformer.types import LabelMap, Volume

GRID = stored((0, 1, 2), (1, 1, 1), "anisotropic")


def nifti_bytes(grid: Grid = GRID) -> bytearray:
    """A .nii of ours in memory, to be bent by the tests."""
    import io as stdlib_io

    from boltzformer.io import nifti

    buffer = stdlib_io.BytesIO()
    nifti.write(buffer, phantom(grid.shape), grid, packed=False)
    return bytearray(buffer.getvalue())


def bent(path: Path, **fields: tuple) -> Path:
    """A .nii whose header fields are replaced by (offset, struct format, values…)."""
    raw = nifti_bytes()
    for offset, form, *values in fields.values():
        struct.pack_into("<" + form, raw, offset, *values)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha", ".mhd", ".nhdr"])
def test_number_types_stay_as_they_are(tmp_path: Path, dtype: str, extension: str) -> None:
    array = phantom(GRID.shape, dtype)
    path = tmp_path / f"image{extension}"
    sitk.WriteImage(itk_image(array, GRID), str(path))
    back = io.read(path)
    assert back.array.dtype == dtype
    np.testing.assert_array_equal(back.array, array)
    assert (back.name, back.source) == ("image", str(path))


def test_big_endian_files_are_read_in_every_format_that_knows_them(tmp_path: Path) -> None:
    array = phantom(GRID.shape)
    little, raw = nifti_bytes(), bytearray(352)
    raw[:] = little[:352]
    for offset, form in {0: "i", 40: "8h", 70: "2h", 76: "8f", 108: "3f", 252: "2h", 256: "6f", 280: "12f"}.items():
        struct.pack_into(">" + form, raw, offset, *struct.unpack_from("<" + form, little, offset))
    (tmp_path / "a.nii").write_bytes(raw + array.astype(">i2").tobytes())
    sizes = " ".join(map(str, GRID.shape[::-1]))
    (tmp_path / "a.mha").write_bytes(
        f"NDims = 3\nDimSize = {sizes}\nBinaryDataByteOrderMSB = True\nElementType = MET_SHORT\n"
        f"ElementDataFile = LOCAL\n".encode()
        + array.astype(">i2").tobytes()
    )
    (tmp_path / "a.nrrd").write_bytes(
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nendian: big\nencoding: raw\n\n".encode()
        + array.astype(">i2").tobytes()
    )
    for path in sorted(tmp_path.iterdir()):
        back = io.read(path)
        np.testing.assert_array_equal(back.array, array)
        assert back.array.dtype.isnative
    demand_same_place(io.read(tmp_path / "a.nii").grid, GRID)


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
def test_colour_volumes_have_three_channels_last(tmp_path: Path, extension: str) -> None:
    colours = phantom((*GRID.shape, 3), np.uint8)
    theirs, ours = tmp_path / f"theirs{extension}", tmp_path / f"ours{extension}"
    sitk.WriteImage(itk_image(colours, GRID), str(theirs))
    io.write_volume(Volume(colours, GRID), ours)
    for path in (theirs, ours):
        np.testing.assert_array_equal(io.read(path).array, colours)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(ours))), colours)


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
def test_a_two_dimensional_file_has_one_slice(tmp_path: Path, extension: str) -> None:
    image = sitk.GetImageFromArray(phantom((6, 7)))
    image.SetSpacing((0.5, 0.25))
    path = tmp_path / f"flat{extension}"
    sitk.WriteImage(image, str(path))
    back = io.read(path)
    np.testing.assert_array_equal(back.array, phantom((6, 7))[None])
    assert back.grid.spacing_mm[:2] == (0.5, 0.25)


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_of_four_dimensions_the_user_picks_a_frame(tmp_path: Path, extension: str) -> None:
    array = phantom((3, *GRID.shape))
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((*GRID.spacing_mm, 1.0))
    path = tmp_path / f"film{extension}"
    sitk.WriteImage(image, str(path))
    with pytest.raises(ImageError, match=r"holds 3 frames .* --frame 1 to --frame 3"):
        io.read(path)
    with pytest.raises(ImageError, match="has no frame 4: choose one from 1 to 3"):
        io.read(path, frame=4)
    for frame in (1, 3):
        np.testing.assert_array_equal(io.read(path, frame=frame).array, array[frame - 1])


@pytest.mark.parametrize("extension", [".nrrd", ".mha"])
def test_channels_that_are_no_colours_are_frames(tmp_path: Path, extension: str) -> None:
    vectors = phantom((*GRID.shape, 5), np.float32)
    path = tmp_path / f"vectors{extension}"
    sitk.WriteImage(itk_image(vectors, GRID), str(path))
    np.testing.assert_array_equal(io.read(path, frame=2).array, vectors[..., 1])


def test_whole_numbers_stay_whole_when_nifti_scales_them(tmp_path: Path) -> None:
    stored_values = phantom(GRID.shape)
    shifted = io.read(bent(tmp_path / "a.nii", scaling=(112, "2f", 1, -1024)))
    assert shifted.array.dtype == np.int16
    np.testing.assert_array_equal(shifted.array, stored_values - 1024)
    doubled = io.read(bent(tmp_path / "b.nii", scaling=(112, "2f", 1000, 7)))
    assert doubled.array.dtype.kind == "i"
    np.testing.assert_array_equal(doubled.array, stored_values.astype(int) * 1000 + 7)
    halved = io.read(bent(tmp_path / "c.nii", scaling=(112, "2f", 0.5, 0)))
    assert halved.array.dtype == np.float32
    np.testing.assert_array_equal(halved.array, stored_values / 2)


@pytest.mark.parametrize(("slope", "intercept"), [(20, -40000), (-3, 7), (70000, 1), (1, 40000)])
def test_scaling_never_wraps_around(tmp_path: Path, slope: int, intercept: int) -> None:
    scaled = io.read(bent(tmp_path / "a.nii", scaling=(112, "2f", slope, intercept))).array
    assert scaled.dtype.kind == "i"
    np.testing.assert_array_equal(scaled, phantom(GRID.shape).astype(np.int64) * slope + intercept)


def test_a_nifti_that_leaves_its_offset_zero_is_read(tmp_path: Path) -> None:
    np.testing.assert_array_equal(io.read(bent(tmp_path / "a.nii", offset=(108, "f", 0))).array, phantom(GRID.shape))


def test_where_sform_and_qform_disagree_the_sform_counts_and_the_user_is_told(tmp_path: Path) -> None:
    path = bent(tmp_path / "two.nii", shift=(268, "3f", 0, 0, 0))
    with pytest.warns(io.ImageWarning, match=r"two\.nii says in two ways .* the sform is used"):
        demand_same_place(io.read(path).grid, GRID)


def test_without_sform_the_qform_counts_and_without_both_the_spacing_as_itk_does(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="error"):
        demand_same_place(io.read(bent(tmp_path / "q.nii", codes=(252, "2h", 1, 0))).grid, GRID)
    path = bent(tmp_path / "none.nii", codes=(252, "2h", 0, 0))
    with pytest.warns(io.ImageWarning, match=r"none\.nii does not say how it lies in the patient"):
        found = io.read(path).grid
    demand_same_place(found, itk_grid(sitk.ReadImage(str(path))))


def test_a_mask_keeps_the_words_of_its_nifti_source_on_orientation(tmp_path: Path) -> None:
    path = bent(tmp_path / "two.nii", shift=(268, "3f", 0, 0, 0), codes=(252, "2h", 1, 2))
    with pytest.warns(io.ImageWarning):
        volume = io.read(path)
    labels = LabelMap(np.ones((1, *volume.grid.shape), np.uint8), volume.grid, {1: "all"})
    (mask,) = io.write(labels, tmp_path / "mask.nii", source=volume)
    demand_same_place(itk_grid(sitk.ReadImage(str(mask))), itk_grid(sitk.ReadImage(str(path))))


def test_micrometres_become_millimetres(tmp_path: Path) -> None:
    found = io.read(bent(tmp_path / "small.nii", units=(123, "B", 3)))
    np.testing.assert_allclose(corners(found.grid), corners(GRID) / 1000, atol=1e-4)


def test_nifti_2_is_read(tmp_path: Path) -> None:
    raw, array = bytearray(544), phantom(GRID.shape)
    struct.pack_into("<i8s2h8q", raw, 0, 540, b"n+2\0\r\n\x1a\n", 4, 16, 3, *GRID.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<8d", raw, 104, 1, *GRID.spacing_mm, 0, 0, 0, 0)
    struct.pack_into("<q", raw, 168, 544)
    struct.pack_into("<2i", raw, 344, 0, 1)
    struct.pack_into("<12d", raw, 400, *GRID.ras[:3].ravel())
    (tmp_path / "two.nii.gz").write_bytes(gzip.compress(bytes(raw) + array.tobytes()))
    back = io.read(tmp_path / "two.nii.gz")
    np.testing.assert_array_equal(back.array, array)
    demand_same_place(back.grid, GRID)


def test_a_sheared_nifti_is_not_straightened(tmp_path: Path) -> None:
    (tmp_path / "tilted.nii").write_bytes(nifti_bytes(sheared()))
    with warnings.catch_warnings(action="error"):
        demand_same_place(io.read(tmp_path / "tilted.nii").grid, sheared())


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_header_that_places_an_image_is_believed_at_1_mm_and_no_turn_too(tmp_path: Path, extension: str) -> None:
    grid, path = Grid.pixels((4, 6, 7)), tmp_path / f"image{extension}"
    sitk.WriteImage(itk_image(phantom(grid.shape), grid), str(path))
    with warnings.catch_warnings(action="error"):
        back = io.read(path)
    assert back.grid == grid
    assert back.placed
    assert back.has_place
    flat = tmp_path / f"flat{extension}"  # a picture that was saved anew says the same of itself
    sitk.WriteImage(itk_image(phantom((1, 6, 7)), Grid.pixels((1, 6, 7))), str(flat))
    assert not io.read(flat).has_place


def test_what_nobody_has_measured_gets_no_place_by_being_saved(tmp_path: Path) -> None:
    shape = (4, 6, 7)
    raw = nifti_bytes(Grid.pixels(shape))
    struct.pack_into("<2h", raw, 252, 0, 0)
    (tmp_path / "bare.nii").write_bytes(raw)
    with pytest.warns(io.ImageWarning, match="does not say how it lies"):
        bare = io.read(tmp_path / "bare.nii")
    tifffile.imwrite(tmp_path / "stack.tif", phantom(shape, np.uint16), photometric="minisblack")
    for number, volume in enumerate((bare, io.read(tmp_path / "stack.tif"))):
        assert volume.grid == Grid.pixels(shape)
        assert not volume.has_place
        kept = replace(volume, source="")  # as into a dataset
        assert not io.read(io.write_volume(kept, tmp_path / f"{number}.nii.gz")).has_place
    placed = Volume(phantom(shape), Grid.pixels(shape), placed=True)
    assert io.read(io.write_volume(placed, tmp_path / "placed.nii.gz")).placed


def test_gray_pictures_and_colour_pictures_in_8_and_16_bit(tmp_path: Path) -> None:
    for name, array in {
        "gray.png": phantom((6, 7), np.uint8),
        "gray16.png": phantom((6, 7), np.uint16),
        "colour.png": phantom((6, 7, 3), np.uint8),
        "colour16.png": phantom((6, 7, 3), np.uint16),
        "gray.tif": phantom((6, 7), np.uint16),
        "colour.tif": phantom((6, 7, 3), np.uint8),
    }.items():
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=array.ndim == 3), str(tmp_path / name))
        back = io.read(tmp_path / name)
        np.testing.assert_array_equal(back.array, array[None], err_msg=name)
        assert back.array.dtype == array.dtype
        assert back.grid == Grid.pixels((1, 6, 7))


def test_transparency_is_dropped_and_palettes_are_resolved(tmp_path: Path) -> None:
    colours = phantom((6, 7, 4), np.uint8)
    Image.fromarray(colours).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(io.read(tmp_path / "rgba.png").array[0], colours[..., :3])
    Image.fromarray(colours[..., :2]).save(tmp_path / "la.png")
    np.testing.assert_array_equal(io.read(tmp_path / "la.png").array[0], colours[..., 0])
    pure = Image.fromarray(np.repeat(np.repeat(np.eye(3, dtype=np.uint8) * 255, 2, 0), 2, 1))
    pure.convert("P").save(tmp_path / "p.png")
    np.testing.assert_array_equal(io.read(tmp_path / "p.png").array[0], np.asarray(pure))
    Image.fromarray(np.eye(8, dtype=bool)).save(tmp_path / "bit.png")
    np.testing.assert_array_equal(io.read(tmp_path / "bit.png").array[0], np.eye(8) * 255)


def test_a_jpeg_is_gray_or_colour(tmp_path: Path) -> None:
    smooth = np.tile(np.arange(0, 256, 8, np.uint8), (32, 1))
    Image.fromarray(smooth).save(tmp_path / "gray.jpg", quality=95)
    Image.fromarray(np.stack([smooth, smooth.T, smooth], -1)).save(tmp_path / "colour.jpeg", quality=95)
    assert np.abs(io.read(tmp_path / "gray.jpg").array[0].astype(int) - smooth).max() < 8
    assert io.read(tmp_path / "colour.jpeg").array.shape == (1, 32, 32, 3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_a_tiff_stack_is_a_volume(tmp_path: Path, dtype: str) -> None:
    array = phantom((5, 6, 7), dtype)
    tifffile.imwrite(tmp_path / "stack.tif", array)
    np.testing.assert_array_equal(io.read(tmp_path / "stack.tif").array, array)
    tifffile.imwrite(tmp_path / "imagej.tif", array if dtype != "int16" else array.astype("u2"), imagej=True)
    assert io.read(tmp_path / "imagej.tif").array.shape == (5, 6, 7)


def test_a_tiff_film_needs_a_frame_and_a_packed_tiff_is_unpacked(tmp_path: Path) -> None:
    film = phantom((2, 4, 6, 7), np.uint8)
    tifffile.imwrite(tmp_path / "film.tif", film, imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(ImageError, match="holds 2 frames"):
        io.read(tmp_path / "film.tif")
    np.testing.assert_array_equal(io.read(tmp_path / "film.tif", frame=2).array, film[1])
    pages = [Image.fromarray(page) for page in film[0]]
    pages[0].save(tmp_path / "lzw.tif", compression="tiff_lzw", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(io.read(tmp_path / "lzw.tif").array, film[0])


@pytest.mark.parametrize(("space", "signs"), [("right-anterior-superior", (-1, -1, 1)), ("LAS", (1, -1, 1))])
def test_nrrd_worlds_other_than_ours_are_turned(tmp_path: Path, space: str, signs: tuple[int, int, int]) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(
        f"NRRD0004\ntype: uchar\ndimension: 3\nspace: {space}\nsizes: 7 6 5\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nencoding: raw\nspace origin: (10,20,30)\n\n".encode()
        + bytes(210)
    )
    lps = np.diag([*signs, 1]) @ np.array([[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1.0]])
    demand_same_place(io.read(path).grid, Grid.from_lps((5, 6, 7), lps))


def test_joined_gzip_streams_are_read_to_their_end(tmp_path: Path) -> None:
    raw = bytes(nifti_bytes())
    pieces = (raw[:400], raw[400:500], raw[500:])  # as bgzip writes them
    (tmp_path / "a.nii.gz").write_bytes(b"".join(map(gzip.compress, pieces)))
    np.testing.assert_array_equal(io.read(tmp_path / "a.nii.gz").array, phantom(GRID.shape))


def test_a_detached_header_finds_its_data(tmp_path: Path) -> None:
    sitk.WriteImage(itk_image(phantom(GRID.shape), GRID), str(tmp_path / "a.mhd"))
    sitk.WriteImage(itk_image(phantom(GRID.shape), GRID), str(tmp_path / "b.nhdr"))
    for name in ("a.mhd", "b.nhdr"):
        back = io.read(tmp_path / name)
        np.testing.assert_array_equal(back.array, phantom(GRID.shape))
        demand_same_place(back.grid, GRID)


SHARED = Path(__file__).parents[2] / "../shared/data/volumes"
REAL = sorted(path for path in SHARED.glob("*.nii.gz") if not path.name.endswith("__label.nii.gz"))
ABSENT = [pytest.param(SHARED, marks=pytest.mark.skip(reason="the real volumes are not beside the repository"))]


@pytest.mark.parametrize("path", REAL or ABSENT, ids=lambda path: path.name)
def test_real_volumes_and_their_masks_lie_where_itk_sees_them(tmp_path: Path, path: Path) -> None:
    seen, volume = sitk.ReadImage(str(path)), io.read(path)
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(seen))
    demand_same_place(volume.grid, itk_grid(seen))
    labels = io.read_labels(path.with_name(path.name.replace(".nii.gz", "__label.nii.gz")), grid=volume.grid)
    assert labels.layers.any()
    for extension in (".nii.gz", ".seg.nrrd"):
        (written,) = io.write(labels, tmp_path / f"mask{extension}", source=volume)
        back = sitk.ReadImage(str(written))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back), labels.layers[0])
        demand_same_place(itk_grid(back), itk_grid(seen))
