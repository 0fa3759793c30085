"""Small files that promise much: refused before memory is taken, in NRRD, MetaImage and NIfTI alike."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import phantom
from test_formats import nifti_bytes

from boltzformer import io
from boltzformer.errors import ImageError

BIG = "1200 1200 1200"
BOMBS = {
    "raw.nrrd": f"NRRD0004\ntype: int\ndimension: 3\nsizes: {BIG}\nencoding: raw\nendian: little\n\n",
    "packed.nrrd": f"NRRD0004\ntype: int\ndimension: 3\nsizes: {BIG}\nencoding: gzip\nendian: little\n\n",
    "skips.nrrd": "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nencoding: raw\nbyte skip: 4000000000000000\n\n",
    "lines.nrrd": "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nencoding: raw\nline skip: 2000000000\n\n",
    "raw.mha": f"NDims = 3\nDimSize = {BIG}\nElementType = MET_INT\nElementDataFile = LOCAL\n",
    "packed.mha": f"NDims = 3\nDimSize = {BIG}\nCompressedData = True\nElementType = MET_INT\n"
    "ElementDataFile = LOCAL\n",
    "channels.mha": "NDims = 2\nDimSize = 2 2\nElementNumberOfChannels = 2000000000\nElementType = MET_UCHAR\n"
    "ElementDataFile = LOCAL\n",
    "negative.mha": "NDims = 2\nDimSize = 2 2\nElementNumberOfChannels = -3\nElementType = MET_UCHAR\n"
    "ElementDataFile = LOCAL\n",
}
PROGRAM = """
import re, sys
from boltzformer import io
from boltzformer.errors import BoltzFormerError
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
before = peak()
for path in sys.argv[1:]:
    try:
        io.read(path)
        print("read", path)
    except BoltzFormerError as error:
        print(error)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_header_that_promises_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    for name, header in BOMBS.items():
        (tmp_path / name).write_bytes(header.encode() + bytes(16))
    raw = nifti_bytes()
    struct.pack_into("<8h", raw, 40, 3, 1200, 1200, 1200, 1, 1, 1, 1)
    (tmp_path / "big.nii").write_bytes(raw)
    paths = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run([sys.executable, "-c", PROGRAM, *paths], capture_output=True, text=True, check=True)
    *said, peak = done.stdout.splitlines()
    assert len(said) == len(paths)
    for path, sentence in zip(paths, said, strict=True):
        assert sentence.startswith(path)
        assert "is damaged or ends too early" in sentence or "in its header" in sentence or "damaged NRRD" in sentence
    assert int(peak) < 64 << 20


def test_more_than_the_memory_that_is_free_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    raw = nifti_bytes()
    struct.pack_into("<8h", raw, 40, 3, 32000, 32000, 1000, 1, 1, 1, 1)
    with path.open("wb") as file:  # a file with a hole: large, and nothing on the disk
        file.write(raw[:352])
        file.truncate(352 + 32000 * 32000 * 1000 * 2)
    with pytest.raises(ImageError, match=r"needs 2048\.0 GB of memory and [\d.]+ GB are free"):
        io.read(path)


@pytest.mark.parametrize(("unit", "factor"), [("um", 0.001), ("mm", 1), ("cm", 10), ("m", 1000), ("", 1)])
def test_space_units_of_nrrd_become_millimetres(tmp_path: Path, unit: str, factor: float) -> None:
    units = " ".join([f'"{unit}"'] * 3)
    (tmp_path / "a.nrrd").write_bytes(
        f"NRRD0004\ntype: uchar\ndimension: 3\nspace: LPS\nsizes: 7 6 5\nspace units: {units}\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (10,20,30)\nencoding: raw\n\n".encode()
        + bytes(210)
    )
    grid = io.read(tmp_path / "a.nrrd").grid
    np.testing.assert_allclose(grid.spacing_mm, np.array([2, 3, 4]) * factor)
    np.testing.assert_allclose(grid.origin, np.array([10, 20, 30]) * factor)


def test_an_unknown_unit_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(
        b'NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nspacings: 1 1\nunits: "s" "mm"\nencoding: raw\n\n' + bytes(4)
    )
    with pytest.warns(io.ImageWarning, match="measures in 's', which is no length that we know"):
        io.read(tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("encoding: bzip2", "is packed with bzip2: save it raw or packed with gzip."),
        ("encoding: ascii", "holds its values as text: save it in the binary form."),
        ("encoding: raw\ndata file: LIST\na.raw\nb.raw", "keeps its data in a list of several files: save it as one"),
        ("encoding: raw\ndata file: a%03d.raw 1 5 1", "keeps its data in a list of several files: save it as one"),
    ],
)
def test_packings_and_lists_of_nrrd_are_named_for_what_they_are(tmp_path: Path, lines: str, sentence: str) -> None:
    (tmp_path / "a.nrrd").write_text(f"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\n{lines}\n\n0000")
    with pytest.raises(ImageError) as caught:
        io.read(tmp_path / "a.nrrd")
    assert sentence in str(caught.value)


def test_times_of_nrrd_are_frames_and_no_colours(tmp_path: Path) -> None:
    array = phantom((3, 5, 6, 7), np.uint8)
    (tmp_path / "a.nrrd").write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 4\nspace: LPS\nsizes: 7 6 5 3\nkinds: domain domain domain list\n"
        b"space directions: (1,0,0) (0,1,0) (0,0,1) none\nencoding: raw\n\n" + array.tobytes()
    )
    with pytest.raises(ImageError, match="holds 3 frames"):
        io.read(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(io.read(tmp_path / "a.nrrd", frame=2).array, array[1])


def test_a_metaimage_with_a_list_of_files_or_another_unit(tmp_path: Path) -> None:
    head = "NDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\n"
    (tmp_path / "a.mhd").write_text(f"{head}ElementDataFile = LIST\na.raw\n")
    with pytest.raises(ImageError, match=r"keeps its data in a list of several files: save it as one \.mha file"):
        io.read(tmp_path / "a.mhd")
    (tmp_path / "b.mha").write_bytes(f"{head}DistanceUnits = um\nElementDataFile = LOCAL\n".encode() + bytes(4))
    assert io.read(tmp_path / "b.mha").grid.spacing_mm[:2] == (0.001, 0.001)
