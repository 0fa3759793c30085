"""A picture in tiles from a terminal: counted, written down, made again bit for bit, with a filter of sizes, too."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL
from PIL import Image

from boltzformer import io
from boltzformer.cli.cli import run
from boltzformer.io.phantom import BRIGHT, DARK, phantom


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    part = phantom(3, (1, 96, 96), (BRIGHT, BRIGHT, DARK)).volume.array[0]
    gray = np.interp(part, (part.min(), part.max()), (0, 255)).astype(np.uint8)
    path = tmp_path_factory.mktemp("pictures") / "mosaic.png"
    Image.fromarray(np.tile(gray, (3, 3))).save(path)
    return path


def call(*arguments: object) -> int:
    return run(["segment", *map(str, arguments), "--model", str(PHANTOM_MODEL)])


def story(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "mosaic" / "mosaic.provenance.json").read_text("utf-8"))
    return facts


def test_tiles_and_sizes_are_made_again(mosaic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    led = ("-p", BRIGHT, "--tiles", "--smallest", 20, "--largest", 9, "--sampling-maps", "--lesions")
    assert call(mosaic, "-o", tmp_path / "a", *led) == 0
    assert "asked in 16 overlapping tiles" in capsys.readouterr().err
    told = story(tmp_path / "a")
    assert told["tiles"] == {"side": 96, "overlap": 0.25, "shape": [4, 4]}
    assert told["request"]["tiles"] is True
    (looks,) = (tmp_path / "a" / "mosaic").glob("*.looks-*.png")
    assert looks.stat().st_size > 0
    again = ("--reproduce", tmp_path / "a" / "mosaic" / "mosaic.provenance.json", "-o", tmp_path / "b")
    assert call(mosaic, *again, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["done"] for one in lines if one["event"] == "tile"] == list(range(1, 17))
    assert next(one for one in lines if one["event"] == "started")["tiles"] == 16
    assert {"event": "reproduced", "same": True} in lines
    for name in ("bright-blob.png", "mosaic.lesions.csv"):
        files = [next((tmp_path / where / "mosaic").glob(f"*{name}")) for where in "ab"]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_without_tiles_it_is_shrunk_and_says_so(mosaic: Path, tmp_path: Path) -> None:
    assert call(mosaic, "-o", tmp_path / "whole", "-p", BRIGHT, "--no-tiles") == 0
    assert call(mosaic, "-o", tmp_path / "tiles", "-p", BRIGHT, "--tiles") == 0
    whole, tiles = story(tmp_path / "whole"), story(tmp_path / "tiles")
    assert "tiles" not in whole
    assert whole["request"]["tiles"] is False
    assert whole["masks"] != tiles["masks"]
    again = tmp_path / "whole" / "mosaic" / "mosaic.provenance.json"
    assert call(mosaic, "--reproduce", again, "-o", tmp_path / "again") == 0
    assert story(tmp_path / "again")["masks"] == whole["masks"]
    assert io.read(mosaic).array.shape == (1, 288, 288)
