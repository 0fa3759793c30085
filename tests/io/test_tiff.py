"""TIFF tells one truth: what its numbers mean, how it lies, how large its pixels are, and which pages make a stack."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_files import phantom
from PIL import Image, ImageOps, TiffImagePlugin

from boltzformer import io
from boltzformer.errors import ImageError

GRAY = phantom((6, 7), np.uint8)
PACKINGS = [None, "lzw", "deflate", "zstd", "packbits"]


def retagged(path: Path, code: int, value: int) -> Path:
    """A short tag of the first page changed in the file, whatever wrote it."""
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags[code]
        order = tiff.byteorder
    raw = bytearray(path.read_bytes())
    struct.pack_into(order + "H", raw, tag.valueoffset, value)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_white_is_zero_is_turned_whatever_the_packing(tmp_path: Path, packing: str | None, kind: str) -> None:
    array = phantom((3, 6, 7), kind)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="miniswhite", compression=packing, metadata=None)
    np.testing.assert_array_equal(io.read(path).array, np.iinfo(kind).max - array)


def test_white_is_zero_has_no_meaning_for_signed_numbers(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY.astype(np.float32), photometric="miniswhite")
    with pytest.raises(ImageError, match="counts from white to black in numbers that have no white"):
        io.read(tmp_path / "a.tif")


@pytest.mark.parametrize("packing", [None, "tiff_lzw"])
def test_a_palette_is_resolved_whatever_the_packing(tmp_path: Path, packing: str | None) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    image = Image.fromarray(GRAY, "L")
    image = image.convert("P")
    image.putpalette(colours.ravel().tolist())
    image.save(tmp_path / "a.tif", compression=packing)
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif").array[0], colours[GRAY])


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
@pytest.mark.parametrize("packing", [None, "tiff_lzw"])
def test_colours_of_print_are_refused_whatever_the_packing(tmp_path: Path, mode: str, packing: str | None) -> None:
    Image.new(mode, (7, 6)).save(tmp_path / "a.tif", compression=packing)
    with pytest.raises(ImageError, match=r"holds (CMYK|CIELAB) colours: save it in gray or RGB\."):
        io.read(tmp_path / "a.tif")


def test_uncompressed_ycbcr_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", phantom((6, 7, 3), np.uint8), photometric="ycbcr", metadata=None)
    with pytest.raises(ImageError, match="holds YCbCr colours in an outdated packing"):
        io.read(tmp_path / "a.tif")


@pytest.mark.parametrize("packing", [None, "tiff_lzw"])
@pytest.mark.parametrize("turn", range(2, 9))
def test_the_orientation_is_applied_whatever_the_packing(tmp_path: Path, turn: int, packing: str | None) -> None:
    path = tmp_path / "a.tif"
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[274] = turn
    Image.fromarray(GRAY).save(path, tiffinfo=info, compression=packing, dpi=(254, 127))
    with pytest.warns(io.ImageWarning, match=f"is stored turned .orientation {turn}.: it is shown upright"):
        volume = io.read(path)
    meant = Image.fromarray(GRAY)
    meant.getexif()[274] = turn
    np.testing.assert_array_equal(volume.array[0], np.asarray(ImageOps.exif_transpose(meant)))
    wide, high = (0.1, 0.2) if turn < 5 else (0.2, 0.1)
    np.testing.assert_allclose(volume.grid.spacing_mm[:2], (wide, high))


def test_a_preview_does_not_win_over_the_stack(tmp_path: Path) -> None:
    stack = phantom((5, 6, 7), np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GRAY[:3, :3], subfiletype=1, metadata=None)
        for page in stack:
            tiff.write(page, metadata=None)
    with pytest.raises(ImageError) as caught:
        io.read(tmp_path / "a.tif")
    assert str(caught.value) == (
        f"{tmp_path}/a.tif holds 2 series of pages that differ in size or kind: choose one with --series N (in Python "
        "series=N). 1: 1 page of 3×3, 8 bit gray, a preview; 2: 5 pages of 7×6, 16 bit gray."
    )
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif", series=2).array, stack)
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif", series=1).array[0], GRAY[:3, :3])
    for wrong in (0, 3, "²"):
        with pytest.raises(ImageError, match=f"has no series {wrong}: choose one of these. 1: 1 page"):
            io.read(tmp_path / "a.tif", series=wrong)


def test_pages_of_one_size_but_another_meaning_are_no_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GRAY, metadata=None)
        tiff.write(GRAY, metadata=None, photometric="miniswhite")
    with pytest.raises(ImageError, match="holds 2 series of pages"):
        io.read(tmp_path / "a.tif")


def test_pages_behind_a_described_stack_are_not_dropped(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        tiff.write(phantom((3, 6, 7), np.uint8), metadata={"axes": "ZYX"})
        tiff.write(phantom((4, 6, 8), np.uint16), metadata={"axes": "ZYX"})
    with pytest.raises(ImageError, match=r"1: 3 pages of 7×6, 8 bit gray; 2: 4 pages of 8×6, 16 bit gray"):
        io.read(tmp_path / "a.ome.tif")
    assert io.read(tmp_path / "a.ome.tif", series=2).array.shape == (4, 6, 8)


def test_a_page_behind_a_stack_of_imagej_is_not_dropped(tmp_path: Path) -> None:
    stack = phantom((5, 6, 7), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "a.tif", GRAY[:4, :4].astype(np.uint16), append="force", metadata=None)
    with pytest.raises(ImageError, match=r"1: 5 pages of 7×6, 8 bit gray; 2: 1 page of 4×4, 16 bit gray"):
        io.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif", series=1).array, stack)


def test_resolution_tags_become_the_spacing(tmp_path: Path) -> None:
    for unit, factor in (("INCH", 25.4), ("CENTIMETER", 10.0)):
        path = tmp_path / f"{unit}.tif"
        tifffile.imwrite(path, GRAY, resolution=(100, 50), resolutionunit=unit)
        np.testing.assert_allclose(io.read(path).grid.spacing_mm[:2], (factor / 100, factor / 50))
    tifffile.imwrite(tmp_path / "n.tif", GRAY, resolution=(2, 1), resolutionunit="NONE")
    assert io.read(tmp_path / "n.tif").grid.spacing_mm[:2] == (1.0, 2.0)


def test_imagej_and_ome_say_how_large_a_voxel_is(tmp_path: Path) -> None:
    stack = phantom((5, 6, 7), np.uint8)
    tifffile.imwrite(
        tmp_path / "j.tif", stack, imagej=True, resolution=(4, 2), metadata={"axes": "ZYX", "spacing": 3, "unit": "mm"}
    )
    np.testing.assert_allclose(io.read(tmp_path / "j.tif").grid.spacing_mm, (0.25, 0.5, 3))
    tifffile.imwrite(
        tmp_path / "u.tif", stack, imagej=True, resolution=(4, 2), metadata={"axes": "ZYX", "spacing": 3, "unit": "um"}
    )
    np.testing.assert_allclose(io.read(tmp_path / "u.tif").grid.spacing_mm, (0.00025, 0.0005, 0.003))
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2, "PhysicalSizeZUnit": "mm"}
    sizes |= {"PhysicalSizeXUnit": "mm", "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(tmp_path / "o.ome.tif", stack, metadata={"axes": "ZYX", **sizes})
    np.testing.assert_allclose(io.read(tmp_path / "o.ome.tif").grid.spacing_mm, (0.5, 0.00025, 2))


def test_a_stack_that_does_not_say_how_far_its_pages_lie_apart_says_so(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", phantom((5, 6, 7), np.uint8), resolution=(100, 100), resolutionunit="INCH")
    with pytest.warns(io.ImageWarning, match=r"does not say how far apart its pages lie: 0\.254 mm are taken"):
        assert io.read(tmp_path / "a.tif").grid.spacing_mm == (0.254, 0.254, 0.254)


def test_channels_are_no_slices(tmp_path: Path) -> None:
    array = phantom((3, 6, 7), np.uint8)
    tifffile.imwrite(tmp_path / "c.ome.tif", array, metadata={"axes": "CYX"}, photometric="minisblack")
    tifffile.imwrite(tmp_path / "j.tif", array, imagej=True, metadata={"axes": "CYX"})
    tifffile.imwrite(
        tmp_path / "s.tif", np.moveaxis(array, 0, -1), photometric="minisblack", planarconfig="contig", metadata=None
    )
    for name in ("c.ome.tif", "j.tif", "s.tif"):
        with pytest.raises(ImageError, match="holds 3 frames"):
            io.read(tmp_path / name)
        np.testing.assert_array_equal(io.read(tmp_path / name, frame=2).array[0], array[1])


@pytest.mark.parametrize("bits", [2, 4, 12])
@pytest.mark.parametrize("white", [False, True])
def test_numbers_of_few_bits_are_read_as_stored(tmp_path: Path, bits: int, white: bool) -> None:
    array = (phantom((6, 8), np.uint16).astype(np.uint16) % 2**bits).astype(np.uint16 if bits > 8 else np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, bitspersample=bits, photometric="miniswhite" if white else "minisblack")
    np.testing.assert_array_equal(io.read(path).array[0], 2**bits - 1 - array if white else array)


def test_a_mask_of_one_bit_is_white_on_black(tmp_path: Path) -> None:
    Image.fromarray(np.eye(8, dtype=bool)).save(tmp_path / "g4.tif", compression="group4")
    Image.fromarray(np.eye(8, dtype=bool)).save(tmp_path / "raw.tif")
    for name in ("g4.tif", "raw.tif"):
        np.testing.assert_array_equal(io.read(tmp_path / name).array[0], np.eye(8) * 255)


def test_webp_and_jpeg_inside_of_tiff_are_unpacked(tmp_path: Path) -> None:
    smooth = np.tile(np.arange(0, 256, 8, np.uint8)[None, :, None], (32, 1, 3))
    tifffile.imwrite(tmp_path / "w.tif", smooth, compression="webp", compressionargs={"lossless": True})
    np.testing.assert_array_equal(io.read(tmp_path / "w.tif").array[0], smooth)
    tifffile.imwrite(tmp_path / "j.tif", smooth, compression="jpeg", compressionargs={"level": 95})
    assert np.abs(io.read(tmp_path / "j.tif").array[0].astype(int) - smooth).max() < 8


def test_samples_multiplied_by_their_transparency_are_divided_again(tmp_path: Path) -> None:
    colours = np.array([[[100, 50, 10, 128], [10, 20, 30, 255], [0, 0, 0, 0]]], np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", extrasamples=["assocalpha"], metadata=None)
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif").array[0, 0], [[199, 99, 19], [10, 20, 30], [0, 0, 0]])


def test_a_broken_second_page_is_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GRAY, metadata=None)
        tiff.write(GRAY, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        second = tiff.pages[1]
        entries = {code: second.tags[code].offset for code in (256, 273, 279)}
    whole = (tmp_path / "a.tif").read_bytes()
    for offset in entries.values():
        raw = bytearray(whole)
        raw[offset + 8 : offset + 12] = b"\xff\xff\xff\x7f"
        (tmp_path / "b.tif").write_bytes(raw)
        with pytest.raises(ImageError):
            io.read(tmp_path / "b.tif")


def test_a_tiff_that_promises_gigabytes_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, compression="deflate", metadata=None)
    for code in (256, 257):
        retagged(tmp_path / "a.tif", code, 65535)
    with pytest.raises(ImageError, match="is damaged or ends too early"):
        io.read(tmp_path / "a.tif")


def test_a_chain_of_pages_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, bigtiff=True, metadata=None)
    raw = bytearray((tmp_path / "a.tif").read_bytes())
    struct.pack_into("<Q", raw, 8, 2**63 + 5)
    (tmp_path / "a.tif").write_bytes(raw)
    with pytest.raises(ImageError, match="is damaged or ends too early"):
        io.read(tmp_path / "a.tif")
