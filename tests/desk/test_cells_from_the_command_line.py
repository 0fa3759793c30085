"""One label per object from the command line: the very masks and numbers that a viewer exports."""

import json
from pathlib import Path

import numpy as np
import pytest
from bench import Bench
from phantom_model import PHANTOM_MODEL
from PIL import Image

from boltzformer import io
from boltzformer.cli.cli import run
from boltzformer.io.phantom import BRIGHT, phantom

MODEL = ["--model", str(PHANTOM_MODEL), "-p", BRIGHT]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Two balls that touch, and what the phantom has besides."""
    array = phantom(3, (1, 96, 96), (BRIGHT, BRIGHT)).volume.array[0].astype(float)
    y, x = np.ogrid[:96, :96]
    for row, column in ((60, 44), (60, 53)):
        array[(y - row) ** 2 + (x - column) ** 2 <= 25] = 700
    path = tmp_path / "picture.png"
    Image.fromarray((array / 4).astype(np.uint8)).save(path)
    return path


def numbers(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_masks_and_numbers_are_those_of_the_viewer(bench: Bench, picture: Path, tmp_path: Path) -> None:
    plain, apart = tmp_path / "plain" / "cells.png", tmp_path / "apart" / "cells.png"
    assert run(["segment", str(picture), "-o", str(plain), *MODEL]) == 0
    more = ["--objects", "--smallest", "6", "--threshold", "0.4"]
    assert run(["segment", str(picture), "-o", str(apart), *MODEL, *more]) == 0

    bench.open_volume(io.read(picture))
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    bench.desk.exporting.to(tmp_path / "viewer.png")
    assert np.array_equal(io.read(plain).array, io.read(tmp_path / "viewer.png").array)
    bench.desk.overview.reapplying.choose(outline=0.4)
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=6, apart=True)
    bench.idle()
    bench.desk.exporting.to(tmp_path / "viewer.png")
    assert np.array_equal(io.read(apart).array, io.read(tmp_path / "viewer.png").array)
    assert not np.array_equal(io.read(apart).array, io.read(plain).array)

    name = "cells.bright-blob.objects.png"
    found = numbers(apart.with_name(name))
    assert found.max() >= 3
    assert np.array_equal(found, numbers(tmp_path / "viewer.bright-blob.objects.png"))
    told = json.loads((apart.parent / "cells.provenance.json").read_text("utf-8"))
    viewer = json.loads((tmp_path / "viewer.provenance.json").read_text("utf-8"))
    assert list(told["object numbers"]) == [name]
    assert list(told["object numbers"].values()) == list(viewer["object numbers"].values())
    assert name in told["sha256"]
    assert "objects" not in json.loads((plain.parent / "cells.provenance.json").read_text("utf-8"))["request"]

    again = tmp_path / "again" / "cells.png"
    story = apart.parent / "cells.provenance.json"
    assert run(["segment", str(picture), "-o", str(again), *MODEL[:2], "--reproduce", str(story)]) == 0
    assert np.array_equal(numbers(again.with_name(name)), found)


def test_a_volume_has_no_numbered_objects(small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["segment", str(small_file), "-o", str(tmp_path / "out"), *MODEL, "--objects"]) == 2
    assert "this image has 16 slices: leave it out" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
