"""Pointing, boxes and larger images from a terminal."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL

from boltzformer import io
from boltzformer.cli.cli import run
from boltzformer.io.phantom import BRIGHT, DARK, Phantom

LOW = ("--threshold", 0.01, "--slices", "6:11")


def call(*arguments: object) -> int:
    return run(["segment", *map(str, arguments), "--model", str(PHANTOM_MODEL)])


def story(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "small" / "small.provenance.json").read_text("utf-8"))
    return facts


def mm(small: Phantom, *voxel: float) -> str:
    return ",".join(f"{at:.6f}" for at in small.volume.grid.world(voxel))


def test_points_in_voxels_and_in_millimetres_are_the_same_points(
    small: Phantom, small_file: Path, tmp_path: Path
) -> None:
    voxels = ("--here", "30,40,8", "--here", "25,35,7", "--not-here", "50,20,8", "--box", "5,6,6:60,66,9")
    world = ("--here", mm(small, 30, 40, 8), "--here", mm(small, 25, 35, 7), "--not-here", mm(small, 50, 20, 8))
    corners = f"{mm(small, 60, 6, 6)}:{mm(small, 5, 66, 9)}"  # any two that face each other
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "a", *LOW, *voxels) == 0
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "b", *LOW, *world, "--box", corners, "--mm") == 0
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "plain", *LOW) == 0
    a, b, plain = (story(tmp_path / name) for name in ("a", "b", "plain"))
    assert np.allclose(a["guidance"][0]["here"], [(30, 40, 8), (25, 35, 7)])
    assert np.allclose(b["guidance"][0]["box"], a["guidance"][0]["box"], atol=1e-4)
    assert a["masks"] == b["masks"] != plain["masks"]
    assert [one["slice"] for one in a["gate lifted"]] == [7, 8]
    assert "here" not in plain["request"]
    assert plain["guidance"] == []


def test_a_pointed_and_enlarged_result_is_finished_and_reproduced(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    led = ("-p", BRIGHT, "-p", DARK, *LOW, "--here", "30,40,8", "--size", 160, "--sampling-maps")
    assert call(small_file, "-o", tmp_path / "a", *led) == 0
    assert story(tmp_path / "a")["plan"]["size"] == 160
    assert call(small_file, "-o", tmp_path / "a", *led) == 0
    assert "finished before" in capsys.readouterr().err
    again = ("--reproduce", tmp_path / "a" / "small" / "small.provenance.json", "-o", tmp_path / "b")
    assert call(small_file, *again) == 0
    assert "the same answers, bit for bit" in capsys.readouterr().err
    assert story(tmp_path / "b")["masks"] == story(tmp_path / "a")["masks"]
    for name in story(tmp_path / "a")["files"]:
        if name.endswith(".png"):
            assert (tmp_path / "a/small" / name).read_bytes() == (tmp_path / "b/small" / name).read_bytes()


def test_two_numbers_are_a_place_in_a_picture(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (70, 50), dtype=np.uint8)).save(tmp_path / "scan.png")
    out = ("-p", BRIGHT, "-o", tmp_path / "mask.nii.gz")
    assert call(tmp_path / "scan.png", *out, "--here", "40,60", "--box", "20,30:49,69") == 0
    facts = json.loads((tmp_path / "mask.provenance.json").read_text("utf-8"))
    assert facts["guidance"][0]["here"] == [[40, 60, 0]]
    assert io.read(tmp_path / "mask.nii.gz").array.shape == (1, 70, 50)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--here", "1,2"), "three numbers, such as 1,2,0"),
        (("--here", "1,two,3"), "--here 1,two,3 can't be understood"),
        (("--not-here", "1"), "--not-here 1 can't be understood"),
        (("--box", "1,2,3"), "--box 1,2,3 can't be understood: give two corners"),
        (("--box", "1,2,3:4,5"), "three numbers, such as 4,5,0"),
        (("--here", "100,2,3"), "lies outside the image (80×72×16 voxels)"),
        (("--size", "100"), "a multiple of 32"),
        (("--size", "1024"), "at most 192, or a region"),
    ],
)
def test_what_points_nowhere_is_one_sentence(
    options: tuple[str, ...], sentence: str, small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "out", "--slices", "3:4", *options) == 2
    *_, said = capsys.readouterr().err.splitlines()
    assert said.startswith("boltzformer: ")
    assert sentence in said
    assert not (tmp_path / "out").exists()
