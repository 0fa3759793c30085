"""Masks out: one file or several, names and colours, provenance, and files that are whole or not there."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from image_files import demand_same_place, phantom, stored, write_series

from boltzformer import io
from boltzformer.errors import GeometryError, ImageError
from boltzformer.image.geometry import Grid
from boltzformer.io.writing import new_files
from boltzformer.types import LabelMap, Volume

GRID = stored((2, 0, 1), (1, -1, 1), "oblique")


def two_masks(*, overlap: bool, grid: Grid = GRID, names: tuple[str, str] = ("MS lesion", "brain")) -> LabelMap:
    layers = np.zeros((2, *grid.shape), np.uint8)
    layers[0, :, 1:3, 1:4] = 1
    layers[1, :, 2 if overlap else 3 :, 2:] = 2
    return LabelMap(layers, grid, dict(enumerate(names, 1)))


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_masks_that_do_not_overlap_share_one_label_file(tmp_path: Path) -> None:
    labels = two_masks(overlap=False)
    (path,) = io.write(labels, tmp_path / "a.nii.gz")
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, labels.layers.max(axis=0))


@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd", ".mha", ".tif"])
def test_masks_that_overlap_get_a_file_each_and_the_user_is_told(tmp_path: Path, extension: str) -> None:
    labels = two_masks(overlap=True)
    with pytest.warns(io.ImageWarning, match=r"the masks overlap, so each .*\.seg\.nrrd keeps them in one"):
        paths = io.write(labels, tmp_path / f"a{extension}", provenance={"seed": 3})
    assert [path.name for path in paths] == [f"a__MS_lesion{extension}", f"a__brain{extension}", "a.provenance.json"]
    for label, path in enumerate(paths[:2], 1):
        np.testing.assert_array_equal(io.read_labels(path, grid=GRID).mask(1), labels.mask(label))
    assert sorted(everything_in(tmp_path)) == sorted(path.name for path in paths)


def test_names_that_no_file_system_takes_are_made_harmless_and_stay_different(tmp_path: Path) -> None:
    labels = two_masks(overlap=True, names=("../../etc: a/b?", "ETC a b"))
    with pytest.warns(io.ImageWarning):
        paths = io.write(labels, tmp_path / "a.nrrd")
    assert [path.name for path in paths] == ["a__etc_a_b_1.nrrd", "a__ETC_a_b_2.nrrd"]


def test_a_png_mask_is_0_and_255_and_holds_one_structure(tmp_path: Path) -> None:
    flat = Grid.pixels((1, 6, 7))
    labels = LabelMap((phantom(flat.shape) % 3 == 0).astype(np.uint8)[None] * 4, flat, {4: "polyp"})
    (path,) = io.write(labels, tmp_path / "m.png")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), labels.mask(4)[0] * 255)
    np.testing.assert_array_equal(io.read_labels(path, grid=flat).mask(1), labels.mask(4))
    with pytest.warns(io.ImageWarning, match="a PNG holds one mask"):
        paths = io.write(two_masks(overlap=False, grid=flat), tmp_path / "two.png")
    assert [path.name for path in paths] == ["two__MS_lesion.png", "two__brain.png"]
    with pytest.raises(GeometryError, match=r"can't hold a volume of 5 slices: choose \.nii\.gz or \.seg\.nrrd"):
        io.write(two_masks(overlap=False), tmp_path / "volume.png")


def test_a_seg_nrrd_keeps_names_overlaps_and_place_in_one_file(tmp_path: Path) -> None:
    labels = two_masks(overlap=True, names=("left kidney", "lésion|\nnaïve"))
    (path,) = io.write(labels, tmp_path / "a.seg.nrrd")
    back = io.read_labels(path, grid=GRID)
    np.testing.assert_array_equal(back.layers, labels.layers)
    assert back.names == {1: "left kidney", 2: "lésion| naïve"}
    demand_same_place(back.grid, GRID)
    words = sitk.ReadImage(str(path))
    assert words.GetMetaData("Segment0_Color") == "0.901961 0.623529 0.000000"
    assert "SCT^64033007^Kidney~SCT^7771000^Left~" in words.GetMetaData("Segment0_Tags")
    with pytest.raises(ImageError, match="holds overlapping masks and no image"):
        io.read(path)


def test_labels_that_repeat_in_the_layers_of_slicer_become_unique(tmp_path: Path) -> None:
    layers = np.zeros((*GRID.shape, 2), np.uint8)
    layers[:2, ..., 0] = 1
    layers[1:, ..., 1] = 1
    image = sitk.GetImageFromArray(layers, isVector=True)
    for n, name in enumerate(("first", "second")):
        for key, value in {"ID": f"S{n}", "Name": name, "Layer": str(n), "LabelValue": "1"}.items():
            image.SetMetaData(f"Segment{n}_{key}", value)
    sitk.WriteImage(image, str(tmp_path / "slicer.seg.nrrd"))
    back = io.read_labels(tmp_path / "slicer.seg.nrrd")
    assert back.names == {1: "first", 2: "second"}
    np.testing.assert_array_equal(np.stack([back.mask(1), back.mask(2)], -1), layers > 0)


def test_provenance_lies_beside_the_masks(tmp_path: Path) -> None:
    story = {"seed": 7, "prompts": ["lésion"], "where": Path("scan.nii"), "window": (1.5, 2)}
    paths = io.write(two_masks(overlap=False), tmp_path / "a.b.seg.nrrd", provenance=story)
    assert [path.name for path in paths] == ["a.b.seg.nrrd", "a.b.provenance.json"]
    assert json.loads(paths[1].read_text("utf-8")) == {
        "seed": 7,
        "prompts": ["lésion"],
        "where": "scan.nii",
        "window": [1.5, 2],
    }


def test_an_existing_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    for occupied in ("a.nii.gz", "a.provenance.json"):
        (tmp_path / occupied).write_bytes(b"precious")
        with pytest.raises(ImageError, match=f"{occupied} exists already: choose another name, or allow"):
            io.write(two_masks(overlap=False), tmp_path / "a.nii.gz", provenance={})
        assert everything_in(tmp_path) == {occupied: b"precious"}
        paths = io.write(two_masks(overlap=False), tmp_path / "a.nii.gz", provenance={}, overwrite=True)
        assert all(path.read_bytes() != b"precious" for path in paths)
        for path in paths:
            path.unlink()


def test_masks_of_their_own_take_the_place_of_the_file_that_may_be_replaced(tmp_path: Path) -> None:
    old, labels = tmp_path / "a.nii.gz", two_masks(overlap=True)
    names = [path.name for path in io.targets(labels, old)]
    assert names == ["a__MS_lesion.nii.gz", "a__brain.nii.gz"]
    old.write_bytes(b"older masks")
    said: list[str] = []
    io.write(labels, old, overwrite=[old], tell=said.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert "the masks overlap" in said[0]
    assert said[1] == "They take the place of a.nii.gz."
    old.write_bytes(b"older masks")
    before = everything_in(tmp_path)
    with pytest.raises(ImageError, match="exists already"):
        io.write(labels, old, overwrite=[old], tell=said.append)
    assert everything_in(tmp_path) == before


def test_the_image_itself_is_never_overwritten_by_its_mask(tmp_path: Path) -> None:
    path = io.write_volume(Volume(phantom(GRID.shape), GRID), tmp_path / "scan.nii.gz")
    before = everything_in(tmp_path)
    with pytest.raises(ImageError, match=r"scan\.nii\.gz is the image itself: choose another name for the mask"):
        io.write(two_masks(overlap=False), path, source=path, overwrite=True)
    assert everything_in(tmp_path) == before
    slices = write_series(tmp_path / "ct", phantom(GRID.shape), stored((0, 1, 2), (1, 1, 1), "oblique"))
    volume, before = io.read(tmp_path / "ct"), everything_in(tmp_path)
    for one in slices:
        with pytest.raises(ImageError, match=r"is (a slice of )?the image itself: choose another name"):
            io.write(two_masks(overlap=False, grid=volume.grid), one, source=volume, overwrite=True)
    assert everything_in(tmp_path) == before


def test_labels_without_a_name_are_not_lost(tmp_path: Path) -> None:
    labels = LabelMap(two_masks(overlap=False).layers, GRID, {1: "MS lesion"})
    (path,) = io.write(labels, tmp_path / "a.seg.nrrd")
    assert io.read_labels(path).names == {1: "MS lesion", 2: "label 2"}


def test_a_written_file_has_the_rights_that_any_new_file_gets(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    (path,) = io.write(two_masks(overlap=False), tmp_path / "a.mha")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


EVERY_FORMAT = [".nii", ".nii.gz", ".nrrd", ".mha", ".tif", ".seg.nrrd", ".dcm"]


@pytest.mark.parametrize("extension", EVERY_FORMAT)
def test_a_full_disk_leaves_nothing_behind_and_keeps_the_old_file(tmp_path: Path, extension: str) -> None:
    """RLIMIT_FSIZE makes the kernel refuse to let a file grow, in a process of its own."""
    grid = stored((0, 1, 2), (1, 1, 1), "anisotropic", (5, 64, 64))
    write_series(tmp_path / "ct", phantom(grid.shape), grid)
    old = tmp_path / f"old{extension}"
    old.write_bytes(b"precious")
    before = everything_in(tmp_path)
    program = f"""
import resource, sys
import numpy as np
from boltzformer import io
from boltzformer.errors import ImageError
from boltzformer.types import LabelMap
volume = io.read({str(tmp_path / "ct")!r})
noise = (np.random.default_rng(0).random((1, *volume.grid.shape)) > 0.5).astype(np.uint8)
labels = LabelMap(noise, volume.grid, {{1: "noise"}})
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
for name, overwrite in (("new{extension}", False), ("old{extension}", True)):
    try:
        io.write(labels, {str(tmp_path)!r} + "/" + name, source=volume, provenance={{"a": 1}}, overwrite=overwrite)
    except ImageError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    said = done.stdout.splitlines()
    assert (done.returncode, done.stderr, len(said)) == (0, "", 2)
    for name, sentence in zip(("new", "old"), said, strict=True):
        assert sentence == (
            f"{tmp_path / name}{extension} could not be written (File too large): "
            "choose a folder that you may write to and that has space left."
        )
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("extension", [*EVERY_FORMAT, ".png"])
def test_a_place_that_can_not_be_written_to_is_named(tmp_path: Path, extension: str) -> None:
    shape = (1, 6, 7) if extension == ".png" else GRID.shape
    grid = stored((0, 1, 2), (1, 1, 1), "anisotropic", shape)
    source = write_series(tmp_path / "ct", phantom(grid.shape), grid)[0]
    (tmp_path / "file").write_bytes(b"no folder")
    (tmp_path / f"folder{extension}").mkdir()
    before = everything_in(tmp_path)
    labels = LabelMap(np.ones((1, *grid.shape), np.uint8), grid, {1: "all"})
    for place, expected in {
        f"file/below{extension}": "could not be written (Not a directory)",
        f"nowhere/mask{extension}": "could not be written (No such file or directory)",
        f"folder{extension}": "is a folder",
    }.items():
        with pytest.raises(ImageError) as caught:
            io.write(labels, tmp_path / place, source=source, overwrite=True)
        assert str(tmp_path / place) in str(caught.value)
        assert expected in str(caught.value)
        assert everything_in(tmp_path) == before


def test_a_folder_without_rights_is_named(tmp_path: Path) -> None:
    """In a process of its own, because root may write everywhere and has to become nobody first."""
    (tmp_path / "mine").mkdir(mode=0o500)
    program = f"""
import os
import numpy as np
from boltzformer import io
from boltzformer.errors import ImageError
from boltzformer.image.geometry import Grid
from boltzformer.types import LabelMap
labels = LabelMap(np.ones((1, 2, 2, 2), np.uint8), Grid.pixels((2, 2, 2)), {{1: "all"}})
if os.geteuid() == 0:
    os.setuid(65534)
try:
    io.write(labels, {str(tmp_path / "mine" / "a.nii")!r})
except ImageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith(f"{tmp_path / 'mine' / 'a.nii'} could not be written (Permission denied): choose")
    assert everything_in(tmp_path) == {}


def test_a_crash_between_two_files_leaves_neither(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with new_files([tmp_path / "a", tmp_path / "b"]) as files:
            files[0].write(b"whole")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mask.xyz", r"mask\.xyz can't be written \(its extension is unknown\): choose \.nii\.gz, \.nii, \.nrrd"),
        ("mask", r"mask can't be written \(its extension is unknown\)"),
        ("mask.jpg", r"mask\.jpg can't be written \(masks can't be written as JPEG\)"),
        ("mask.dcm", r"mask\.dcm: a DICOM-SEG refers to the slices it was drawn on: give the DICOM series as source"),
    ],
)
def test_formats_that_can_not_hold_masks_say_what_to_choose(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        io.write(two_masks(overlap=False), tmp_path / name)
    assert everything_in(tmp_path) == {}


def test_a_dicom_seg_is_refused_on_other_slices_than_its_own(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), stored((0, 1, 2), (1, 1, 1), "anisotropic"))
    with pytest.raises(GeometryError, match="the masks do not lie on the slices of"):
        io.write(two_masks(overlap=False), tmp_path / "seg.dcm", source=tmp_path / "ct")
    assert not (tmp_path / "seg.dcm").exists()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY  # no test left it lowered
