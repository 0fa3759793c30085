"""A corpus of broken files: each is refused with one sentence that names the file and the way out, and nothing more."""

import contextlib
import gzip
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
from corpus import DAMAGED, HEADER, Corpus, all_of, collected, cut, demand_refusal
from image_files import itk_image, phantom, stored
from PIL import Image
from test_formats import bent, nifti_bytes

from boltzformer import io
from boltzformer.errors import GeometryError, ImageError, SeveralFrames

GRID = stored((0, 1, 2), (1, 1, 1), "anisotropic")

CORPUS: Corpus = []
broken = collected(CORPUS)


def saved(path: Path, array: np.ndarray | None = None, packed: bool = False) -> Path:
    sitk.WriteImage(itk_image(phantom(GRID.shape) if array is None else array, GRID), str(path), packed)
    return path


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


@broken(ImageError, "does not exist: check the path.")
def missing_file(folder: Path) -> Path:
    return folder / "gone.nii"


@broken(ImageError, "is empty (0 bytes): copy or export it again.")
def zero_bytes(folder: Path) -> Path:
    (folder / "zero.nii.gz").touch()
    return folder / "zero.nii.gz"


@broken(ImageError, "holds no image: choose a folder of DICOM slices, or an image file.")
def empty_folder(folder: Path) -> Path:
    return folder


@broken(ImageError, "holds no image: choose a folder of DICOM slices, or an image file.")
def folder_of_other_things(folder: Path) -> Path:
    (folder / "report.txt").write_text("no image")
    (folder / "table.csv").write_text("1,2\n")
    return folder


@broken(ImageError, DAMAGED)
def truncated_nifti(folder: Path) -> Path:
    (folder / "a.nii").write_bytes(nifti_bytes())
    return cut(folder / "a.nii", 0.9)


@broken(ImageError, "is no readable NIfTI file: it is damaged or something else under this name.")
def nifti_cut_in_its_header(folder: Path) -> Path:
    (folder / "a.nii").write_bytes(nifti_bytes()[:200])
    return folder / "a.nii"


@broken(ImageError, DAMAGED)
def truncated_packed_nifti(folder: Path) -> Path:
    (folder / "a.nii.gz").write_bytes(gzip.compress(bytes(nifti_bytes())))
    return cut(folder / "a.nii.gz")


@broken(ImageError, DAMAGED)
def packed_nifti_with_flipped_bits(folder: Path) -> Path:
    raw = bytearray(gzip.compress(bytes(nifti_bytes())))
    raw[len(raw) // 2] ^= 0xFF
    raw[-6] ^= 0xFF
    (folder / "a.nii.gz").write_bytes(raw)
    return folder / "a.nii.gz"


@broken(ImageError, DAMAGED)
def nifti_that_promises_terabytes(folder: Path) -> Path:
    return bent(folder / "a.nii", dim=(40, "8h", 3, 30000, 30000, 30000, 1, 1, 1, 1))


@broken(ImageError, DAMAGED)
def nifti_whose_data_begin_nowhere(folder: Path) -> Path:
    return bent(folder / "a.nii", offset=(108, "f", np.nan))


@broken(ImageError, "has the impossible size [7, -6, 5] in its header")
def nifti_of_negative_size(folder: Path) -> Path:
    return bent(folder / "a.nii", dim=(40, "8h", 3, 7, -6, 5, 1, 1, 1, 1))


@broken(
    SeveralFrames, "holds 2 frames (time points or channels) and only one can be used at a time: choose it with --frame"
)
def nifti_film(folder: Path) -> Path:
    return bent(folder / "a.nii", dim=(40, "8h", 4, 7, 6, 5, 2, 1, 1, 1))


@broken(ImageError, "has 5 dimensions: save one 3-D volume of it as a file of its own.")
def nifti_of_five_dimensions(folder: Path) -> Path:
    return bent(folder / "a.nii", dim=(40, "8h", 5, 7, 6, 5, 2, 2, 1, 1))


@broken(ImageError, "has values of an unusual kind (NIfTI type 32): save it as integers or 32-bit float.")
def nifti_of_complex_numbers(folder: Path) -> Path:
    return bent(folder / "a.nii", kind=(70, "h", 32))


@broken(GeometryError, HEADER)
def nifti_of_zero_spacing(folder: Path) -> Path:
    return bent(folder / "a.nii", pixdim=(76, "4f", 1, 0.7, 0, 3.3), codes=(252, "2h", 1, 0))


@broken(GeometryError, HEADER)
def nifti_with_a_flat_direction(folder: Path) -> Path:
    return bent(folder / "a.nii", codes=(252, "2h", 0, 1), rows=(280, "12f", 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0))


@broken(GeometryError, HEADER)
def nifti_that_lies_nowhere(folder: Path) -> Path:
    return bent(folder / "a.nii", codes=(252, "2h", 0, 1), rows=(280, "4f", 1, 0, 0, np.nan))


@broken(GeometryError, "has an impossible direction in its header (qform)")
def nifti_with_an_impossible_quaternion(folder: Path) -> Path:
    return bent(folder / "a.nii", codes=(252, "2h", 1, 0), quaternion=(256, "3f", 1, 1, 1))


@broken(ImageError, "has 3 voxels without a number (NaN or infinite): replace them")
def nifti_with_nan(folder: Path) -> Path:
    array = phantom(GRID.shape, np.float32)
    array[0, 0, :2], array[4, 5, 6] = np.nan, np.inf
    return saved(folder / "a.nii.gz", array)


@broken(ImageError, "has 1 voxel without a number (NaN or infinite): replace them")
def nrrd_with_infinity(folder: Path) -> Path:
    array = phantom(GRID.shape, np.float64)
    array[2, 2, 2] = -np.inf
    return saved(folder / "a.nrrd", array)


@broken(ImageError, "is named like a NIfTI file but holds PNG: give it the right extension.")
def picture_named_nifti(folder: Path) -> Path:
    Image.fromarray(phantom((6, 7), np.uint8)).save(folder / "a.png")
    return (folder / "a.png").rename(folder / "a.nii.gz")


@broken(ImageError, "is named like a MetaImage file but holds NIfTI: give it the right extension.")
def nifti_named_metaimage(folder: Path) -> Path:
    (folder / "a.mha").write_bytes(nifti_bytes())
    return folder / "a.mha"


@broken(ImageError, "is no readable NRRD file: it is damaged or something else under this name.")
def text_named_nrrd(folder: Path) -> Path:
    (folder / "a.nrrd").write_text("<html>404 not found</html>")
    return folder / "a.nrrd"


@broken(ImageError, "is no image that can be read here: give a .nii, .nii.gz, .nrrd")
def text(folder: Path) -> Path:
    (folder / "notes.txt").write_text("hello")
    return folder / "notes.txt"


@broken(ImageError, DAMAGED)
def truncated_nrrd(folder: Path) -> Path:
    return cut(saved(folder / "a.nrrd"), 0.9)


@broken(ImageError, DAMAGED)
def truncated_packed_nrrd(folder: Path) -> Path:
    return cut(saved(folder / "a.nrrd", packed=True), 0.8)


@broken(ImageError, "has a damaged NRRD header or no data file beside it: export it again.")
def nrrd_with_a_bad_header(folder: Path) -> Path:
    return replaced(saved(folder / "a.nrrd"), b"dimension: 3", b"dimension: x")


@broken(ImageError, "has a damaged NRRD header or no data file beside it: export it again.")
def nrrd_without_its_data(folder: Path) -> Path:
    path = saved(folder / "a.nhdr")
    for other in folder.iterdir():
        if other != path:
            other.unlink()
    return path


@broken(GeometryError, HEADER)
def nrrd_of_zero_spacing(folder: Path) -> Path:
    path = folder / "a.nrrd"
    path.write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\n"
        b"space directions: (0,0,0) (0,1,0) (0,0,1)\nencoding: raw\nspace origin: (0,0,0)\n\n" + bytes(8)
    )
    return path


@broken(ImageError, DAMAGED)
def truncated_metaimage(folder: Path) -> Path:
    return cut(saved(folder / "a.mha"), 0.9)


@broken(ImageError, DAMAGED)
def truncated_packed_metaimage(folder: Path) -> Path:
    return cut(saved(folder / "a.mha", packed=True), 0.9)


@broken(ImageError, DAMAGED)
def metaimage_cut_in_its_header(folder: Path) -> Path:
    return cut(saved(folder / "a.mha"), 0.1)


@broken(ImageError, "has a damaged or unusual MetaImage header")
def metaimage_of_an_unknown_type(folder: Path) -> Path:
    return replaced(saved(folder / "a.mha"), b"MET_SHORT", b"MET_STRING")


@broken(ImageError, "names the data file 'a.raw', which is not beside it: put both in one folder.")
def metaimage_without_its_data(folder: Path) -> Path:
    path = saved(folder / "a.mhd")
    (folder / "a.raw").unlink()
    return path


@broken(GeometryError, HEADER)
def metaimage_of_zero_spacing(folder: Path) -> Path:
    path = saved(folder / "a.mha")
    spacing = next(line for line in path.read_bytes().splitlines() if line.startswith(b"ElementSpacing"))
    return replaced(path, spacing, b"ElementSpacing = 1 0 1")


@broken(ImageError, DAMAGED)
def truncated_png(folder: Path) -> Path:
    Image.fromarray(phantom((60, 70), np.uint8)).save(folder / "a.png")
    return cut(folder / "a.png")


@broken(ImageError, DAMAGED)
def truncated_deep_colour_png(folder: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(phantom((60, 70, 3), np.uint16), isVector=True), str(folder / "a.png"))
    return cut(folder / "a.png")


@broken(ImageError, DAMAGED)
def truncated_jpeg(folder: Path) -> Path:
    Image.fromarray(phantom((60, 70), np.uint8)).save(folder / "a.jpg")
    return cut(folder / "a.jpg")


@broken(ImageError, DAMAGED)
def truncated_tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", phantom((9, 60, 70), np.uint8))
    return cut(folder / "a.tif")


@broken(ImageError, DAMAGED)
def tiff_stack_that_lost_its_last_pages(folder: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(phantom((9, 60, 70), np.uint8)), str(folder / "a.tif"))
    return cut(folder / "a.tif")


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 25


@all_of(CORPUS)
def test_a_broken_file_is_refused_with_one_sentence(tmp_path: Path, capfd, maker, error, sentence) -> None:
    demand_refusal(tmp_path, capfd, maker, error, sentence)


def test_a_series_is_only_asked_of_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(nifti_bytes())
    with pytest.raises(ImageError, match="holds no series to choose from"):
        io.read(tmp_path / "a.nii", series=1)


def test_a_file_without_rights_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(nifti_bytes())
    path.chmod(0)
    program = f"""
import os
from boltzformer import io
from boltzformer.errors import ImageError
if os.geteuid() == 0:
    os.setuid(65534)
try:
    io.read({str(path)!r})
except ImageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == f"{path} could not be read (Permission denied): check the file and your rights.\n"


@pytest.mark.filterwarnings("ignore::boltzformer.io.ImageWarning")
def test_a_header_full_of_noise_is_refused_or_read_but_never_crashes(tmp_path: Path) -> None:
    noise, refused = np.random.default_rng(0), 0
    for n in range(150):
        raw = nifti_bytes()
        for offset in noise.integers(40, 344, 4):
            raw[offset] = noise.integers(0, 256)
        path = tmp_path / f"{n}.nii"
        path.write_bytes(raw)
        try:
            io.read(path)
        except (GeometryError, ImageError):
            refused += 1
    assert 0 < refused < 150


@pytest.mark.parametrize("name", ["a.nii", "a.tif", "a.dcm", "a.unknown", "a.seg.nrrd"])
def test_pipes_sockets_devices_and_links_in_a_circle_are_named_and_never_waited_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    for read in (io.read, io.read_labels):
        with pytest.raises(ImageError, match=rf"{name} is no file but a pipe: save the image as a file\."):
            read(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(ImageError, match=r"is no file but a device"):
        io.read(path)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(ImageError, match=r"could not be read \(its links lead in a circle\)"):
        io.read(path)
    path.unlink()
    with contextlib.chdir(tmp_path), socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        with pytest.raises(ImageError, match=r"is no file but a socket"):
            io.read(path)
    with pytest.raises(ImageError, match=r"could not be read \(File name too long\)"):
        io.read(tmp_path / ("x" * 300 + name))


@pytest.mark.parametrize(
    ("name", "start", "words"),
    [
        ("a.gif", b"GIF89a", "is a GIF picture, which can't be read here: save it as PNG."),
        ("a.raw", b"\x07\x08" * 90, "is a block of numbers without a header: give the .mhd or .nhdr file"),
        ("a.nii.bz2", b"BZh91AY&SY", "is packed with bzip2: unpack it and give what is in it."),
        ("a.zip", b"PK\x03\x04", "is a zip archive: unpack it and give what is in it."),
        ("a.mnc", b"\x89HDF\r\n\x1a\n", "is an HDF5 file (such as MINC 2), which can't be read here: convert it"),
        ("a.hdr", b"\x5c\x01\0\0" + bytes(344), "is half of a pair (.hdr and .img, NIfTI or Analyze): save it as one"),
        ("a.nii", bytes(344) + b"ni1\0", "is half of a pair (.hdr and .img, NIfTI or Analyze): save it as one .nii"),
        ("a.PAR", b"# === DATA DESCRIPTION FILE", "is a PAR/REC header of Philips, which can't be read here"),
        ("a.mgz", b"\x1f\x8b\x08", "is an MGH volume of FreeSurfer, which can't be read here: convert it to NIfTI"),
    ],
)
def test_files_of_other_kinds_are_named_for_what_they_are(tmp_path: Path, name: str, start: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(start)
    with pytest.raises(ImageError) as caught:
        io.read(tmp_path / name)
    assert f"{tmp_path / name} {words}" in str(caught.value)
