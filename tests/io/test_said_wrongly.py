"""Headers that say something twice, too little or too much, and pictures that blur: told or refused, never guessed."""

import contextlib
import os
import socket
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import enhanced
from image_files import phantom, stored, write_series
from PIL import Image
from pydicom.uid import EnhancedMRImageStorage

from boltzformer import io
from boltzformer.errors import BoltzFormerError, GeometryError, ImageError
from boltzformer.types import LabelMap

GRID = stored((0, 1, 2), (1, 1, 1), "anisotropic")
NRRD = {"type": "short", "dimension": "3", "sizes": "7 6 5", "encoding": "raw", "endian": "little"}
NRRD |= {"space": "LPS", "space directions": "(1,0,0) (0,1,0) (0,0,1)", "space origin": "(1,2,3)"}
META = {"NDims": "3", "DimSize": "7 6 5", "ElementSpacing": "1 1 1", "ElementType": "MET_SHORT"}


def header(path: Path, fields: dict[str, str], *more: tuple[str, str]) -> Path:
    """A header with attached voxels, in NRRD's or MetaImage's way."""
    said = [*fields.items(), *more]
    data = phantom((5, 6, 7)).tobytes()
    if path.suffix == ".nrrd":
        path.write_bytes(b"NRRD0004\n" + "".join(f"{k}: {v}\n" for k, v in said).encode() + b"\n" + data)
    else:
        text = "".join(f"{k} = {v}\n" for k, v in (*said, ("ElementDataFile", "LOCAL")))
        path.write_bytes(b"ObjectType = Image\n" + text.encode() + data)
    return path


def segments(path: Path, array: np.ndarray, *words: str) -> Path:
    """A .seg.nrrd as other programs write it: (z, y, x), or (z, y, x, layers)."""
    several = array.ndim == 4
    sizes = [*array.shape[3:], *array.shape[2::-1]]
    fields = [
        "type: uchar",
        f"dimension: {array.ndim}",
        f"sizes: {' '.join(map(str, sizes))}",
        "space: LPS",
        f"space directions: {'none ' * several}(1,0,0) (0,1,0) (0,0,1)",
        f"kinds: {'list ' * several}domain domain domain",
        "encoding: raw",
    ]
    path.write_bytes(
        ("\n".join(["NRRD0004", *fields, *words]) + "\n\n").encode() + np.ascontiguousarray(array).tobytes()
    )
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path: Path, size: tuple[int, int], bits: int, colours: int, data: bytes, *more: bytes) -> Path:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colours, 0, 0, 0))
    body = b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    return path


@pytest.mark.parametrize(("name", "fields"), [("a.nrrd", NRRD), ("a.mha", META)])
def test_a_field_that_is_said_twice_in_two_ways_is_refused(tmp_path: Path, name: str, fields: dict[str, str]) -> None:
    what = "sizes" if name == "a.nrrd" else "DimSize"
    with pytest.raises(ImageError, match=f"says '{what}' twice"):
        io.read(header(tmp_path / name, fields, (what, "6 7 5")))
    assert io.read(header(tmp_path / name, fields, (what, "7 6 5"))).grid.shape == (5, 6, 7)  # twice the same


@pytest.mark.parametrize("origin", ["(1,2)", "(1)"])
def test_an_origin_with_too_few_numbers_is_not_filled_up(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ImageError, match="damaged NRRD header"):
        io.read(header(tmp_path / "a.nrrd", {**NRRD, "space origin": origin}))


def test_a_series_whose_files_share_one_uid_loses_no_slice(tmp_path: Path) -> None:
    array = phantom(GRID.shape)
    paths = write_series(tmp_path / "ct", array, GRID, SOPInstanceUID="1.2.3")
    (tmp_path / "ct" / "copy.dcm").write_bytes(paths[2].read_bytes())  # which counts once, as ever
    volume = io.read(tmp_path / "ct")
    np.testing.assert_array_equal(volume.array, array)
    assert volume.grid.same_as(GRID)


def test_a_rescale_at_infinity_is_no_rescale_of_one(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID, RescaleSlope="1e400", RescaleIntercept="0")
    with pytest.raises(ImageError, match="damaged DICOM header"):
        io.read(tmp_path / "ct")


@pytest.mark.parametrize("lie", [{"Rows": 1}, {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}])
def test_more_pixels_than_the_header_speaks_of_are_told_once(tmp_path: Path, lie: dict[str, int]) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID, **lie)
    with warnings.catch_warnings(record=True, action="always") as said:
        io.read(tmp_path / "ct")
    assert len([one for one in said if "more pixels than headers in it speak of" in str(one.message)]) == 1


def test_a_white_page_is_no_bomb_and_a_bomb_is_no_page(tmp_path: Path) -> None:
    Image.new("1", (6000, 6000), 1).save(tmp_path / "white.png")  # shrinks more than a thousand times, a bit a pixel
    assert (io.read(tmp_path / "white.png").array == 255).all()
    noise = np.random.default_rng(0).bytes(60_000)
    bomb = png(tmp_path / "bomb.png", (8000, 8000), 16, 6, noise)  # promises 512 MB
    with pytest.raises(ImageError, match="damaged or ends too early"):
        io.read(bomb)


def test_moving_pictures_of_16_bits_are_not_cut_to_8(tmp_path: Path) -> None:
    rgb = np.random.default_rng(1).integers(0, 65536, (5, 4, 3), dtype=np.uint16)
    data = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb))
    one = png(tmp_path / "one.png", (4, 5), 16, 2, data)
    np.testing.assert_array_equal(io.read(one).array[0], rgb)
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 4, 5, 0, 0, 1, 10, 0, 0))
    many = png(tmp_path / "many.png", (4, 5), 16, 2, data, chunk(b"acTL", struct.pack(">II", 2, 0)), frame)
    with pytest.warns(io.ImageWarning, match="the first of 2"):
        np.testing.assert_array_equal(io.read(many).array[0], rgb)
    with pytest.raises(ImageError, match="2 pictures of 16 bits"):
        io.read(many, frame=2)


def test_a_mask_that_a_jpeg_has_blurred_is_one_mask_or_refused(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[13:37, 21:50] = 255
    Image.fromarray(mask).save(tmp_path / "mask.jpg", quality=85)
    assert len(np.unique(io.read(tmp_path / "mask.jpg").array)) > 10  # or this shows nothing
    with pytest.warns(io.ImageWarning, match="blurs the edges of masks"):
        found = io.read_labels(tmp_path / "mask.jpg")
    assert set(found.names) == {1}
    np.testing.assert_array_equal(found.mask(1)[0], mask > 0)
    for name, other in {
        "labels": mask // 64,
        "noise": np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8),
    }.items():
        Image.fromarray(other).save(tmp_path / f"{name}.jpg", quality=85)
        with pytest.raises(ImageError, match="is a JPEG, which blurs the values of a mask"):
            io.read_labels(tmp_path / f"{name}.jpg")
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(tmp_path / "all.jpg")
    assert io.read_labels(tmp_path / "all.jpg").names


def test_segments_of_older_files_of_slicer_lie_in_layers_of_their_own(tmp_path: Path) -> None:
    layers = np.zeros((3, 4, 5, 2), np.uint8)
    layers[0, 1:3, 1:3, 0] = 1
    layers[1:, 2:4, 2:5, 1] = 1
    words = ["Segment0_ID:=a", "Segment0_Name:=liver", "Segment1_ID:=b", "Segment1_Name:=spleen"]
    found = io.read_labels(segments(tmp_path / "old.seg.nrrd", layers, *words))
    for n, name in enumerate(("liver", "spleen")):
        label = next(label for label, said in found.names.items() if said == name)
        np.testing.assert_array_equal(found.mask(label), layers[..., n] > 0)


@pytest.mark.parametrize(
    "words",
    [
        ["Segment0_ID:=a", "Segment0_LabelValue:=1", "Segment1_ID:=b", "Segment1_LabelValue:=1"],
        ["Segment0_ID:=a", "Segment0_Layer:=-1"],
        ["Segment0_ID:=a", "Segment0_Layer:=7"],
        ["Segment0_ID:=a", "Segment0_LabelValue:=0"],
        ["Segment0_ID:=a", "Segment0_LabelValue:=" + "9" * 5000],
    ],
)
def test_segments_that_cant_be_told_apart_are_refused(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(ImageError, match="describes its segments in a damaged header"):
        io.read_labels(segments(tmp_path / "a.seg.nrrd", np.ones((3, 4, 5), np.uint8), *words))


def test_a_segment_of_an_endless_number_is_none(tmp_path: Path) -> None:
    path = segments(tmp_path / "a.seg.nrrd", np.ones((3, 4, 5), np.uint8), "Segment" + "9" * 5000 + "_ID:=a")
    assert io.read_labels(path).names == {1: "label 1"}


@pytest.mark.parametrize("kind", [".dcm", ".labelmap.dcm"])
@pytest.mark.parametrize(
    "lie",
    [
        {"NumberOfFrames": 2**31 - 1},
        {"NumberOfFrames": 99},
        {"Rows": 3},
        {"Columns": 65535},
        {"PixelData": b"\0\0"},
        {"PerFrameFunctionalGroupsSequence": []},
    ],
    ids=lambda lie: " ".join(f"{name} {str(value)[:12]}" for name, value in lie.items()),
)
def test_a_dicom_seg_that_lies_about_its_size_is_refused_at_once(tmp_path: Path, kind: str, lie: dict) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID)
    volume = io.read(tmp_path / "ct")
    layers = np.zeros((1, *GRID.shape), np.uint8)
    layers[0, 1:4, 2:4, 2:6] = 1
    (path,) = io.write(LabelMap(layers, volume.grid, {1: "liver"}), tmp_path / f"a{kind}", source=volume)
    told = pydicom.dcmread(path)
    for name, value in lie.items():
        setattr(told, name, value)
    told.save_as(path)
    with warnings.catch_warnings(action="error", category=RuntimeWarning), pytest.raises(BoltzFormerError):
        io.read_labels(path, grid=volume.grid)


def test_a_page_that_names_thousands_below_it_is_refused_at_once(tmp_path: Path) -> None:
    tags = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 4, 279: 16}
    entries = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in tags.items())
    entries += struct.pack("<HHII", 330, 4, 50_000, 8)  # all of them the bytes behind the header
    data = b"\x08\0\0\0" * 50_000
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    (tmp_path / "a.tif").write_bytes(head + data + struct.pack("<H", len(tags) + 1) + entries + b"\0" * 4)
    with pytest.raises(ImageError, match="pages below others"):
        io.read(tmp_path / "a.tif")


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
@pytest.mark.parametrize("what", ["pipe", "socket", "lost link", "circle", "device"])
def test_what_is_no_file_never_hides_the_series_beside_it(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "ct"
    write_series(folder, phantom(GRID.shape), GRID)
    odd = folder / "odd.dcm"
    if what == "pipe":
        os.mkfifo(odd)  # nobody ever writes to it: who opens it waits for ever
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(folder):
            one.bind(odd.name)
    else:
        odd.symlink_to({"lost link": folder / "gone", "circle": odd, "device": Path("/dev/zero")}[what])
    with warnings.catch_warnings(record=True, action="always") as said:
        np.testing.assert_array_equal(io.read(folder).array, phantom(GRID.shape))
    linked = what in ("lost link", "circle")
    assert ["odd.dcm" in str(one.message) for one in said] == [True] * linked


@pytest.mark.parametrize("number", ["nan", "inf", "1e400"])
@pytest.mark.parametrize("name", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_places_at_infinity_are_damage(tmp_path: Path, name: str, number: str) -> None:
    paths = write_series(tmp_path / "ct", phantom(GRID.shape), GRID)
    for path in paths:
        told = pydicom.dcmread(path)
        setattr(told, name, [number, *list(getattr(told, name))[1:]])
        told.save_as(path)
    with pytest.raises(ImageError, match="damaged DICOM header"):
        io.read(tmp_path / "ct")


def test_a_frame_at_infinity_is_damage(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "a.dcm", phantom(GRID.shape, np.uint16), GRID, [3, 0, 4, 1, 2], EnhancedMRImageStorage)
    told = pydicom.dcmread(path)
    told.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient = ["1e400", "1", "2"]
    told.save_as(path)
    with pytest.raises(ImageError, match="damaged DICOM header"):
        io.read(path)


def test_a_slice_a_kilometre_away_fills_no_memory_with_the_gap(tmp_path: Path) -> None:
    where = [0, 3.3, 6.6, 9.9, 3.3e9]
    place = {"ImagePositionPatient": lambda k: ["0", "0", f"{where[k]:.10g}"]}
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID, **place)
    with pytest.raises(GeometryError, match=r"lies 3\.3e\+09 mm from the slice before it"):
        io.read(tmp_path / "ct", allow_gaps=True)
    near = {"ImagePositionPatient": lambda k: ["0", "0", f"{[0, 3.3, 6.6, 9.9, 33][k]:.10g}"]}
    write_series(tmp_path / "gap", phantom(GRID.shape), GRID, **near)
    assert io.read(tmp_path / "gap", allow_gaps=True).grid.shape[0] == 11


RED = {"SamplesPerPixel": 3, "PlanarConfiguration": 0}


@pytest.mark.parametrize(
    ("size", "count", "told"),
    [
        ((5, 7), 70, {"PhotometricInterpretation": "YBR_FULL_422", **RED}),
        ((6, 7), 84, {"PhotometricInterpretation": "YBR_FULL_422", **RED}),
        ((6, 8), 144, {"PhotometricInterpretation": "YBR_FULL_422", **RED}),  # not halved at all
        ((6, 8), 144, {"PhotometricInterpretation": "RGB", **RED, "PlanarConfiguration": 7}),
        ((6, 8), 48, {"PixelRepresentation": 5}),
        ((6, 8), 48, {"PhotometricInterpretation": "FOO"}),
    ],
)
def test_numbers_whose_meaning_is_told_wrongly_are_refused(
    tmp_path: Path, size: tuple[int, int], count: int, told: dict
) -> None:
    grid = stored((0, 1, 2), (1, 1, 1), "anisotropic", (1, *size))
    (path,) = write_series(tmp_path, phantom(grid.shape, np.uint8), grid, PixelData=bytes(range(count)), **told)
    with pytest.raises(ImageError, match=r"of an unusual kind|does not say clearly"):
        io.read(path)


def test_inverted_gray_is_known_in_small_letters_too(tmp_path: Path) -> None:
    array = phantom((1, 6, 7), np.uint8)
    (path,) = write_series(tmp_path, array, GRID, PhotometricInterpretation="monochrome1")
    np.testing.assert_array_equal(io.read(path).array, 255 - array)
