"""A picture of a microscope from the command line: masks and numbers as label TIFFs that lie on it."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from phantom_model import PHANTOM_MODEL

from boltzformer import io
from boltzformer.cli.cli import run
from boltzformer.desk.keeping.cases import cases_in
from boltzformer.desk.keeping.stories import is_export, masks_in
from boltzformer.io.cases import find_cases
from boltzformer.io.phantom import BRIGHT, DARK, phantom


def call(*arguments: object) -> int:
    return run(["segment", *map(str, arguments), "--model", str(PHANTOM_MODEL)])


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """One slice, with pixels of 0.5 µm by 0.25 µm."""
    array = (phantom(3, (1, 96, 80), (BRIGHT, DARK)).volume.array / 4).astype(np.uint8)
    told = {"unit": "um", "axes": "ZYX"}
    tifffile.imwrite(tmp_path / "cells.tif", array, imagej=True, resolution=(2, 4), metadata=told)
    return tmp_path / "cells.tif"


def test_a_mask_in_tiff_lies_on_its_picture_and_is_none_itself(picture: Path, tmp_path: Path) -> None:
    volume = io.read(picture)
    out = tmp_path / "found.tif"
    assert call(picture, "-p", BRIGHT, "-p", DARK, "-o", out, "--objects") == 0
    labels = io.read_labels(out)
    assert labels.grid == volume.grid
    assert volume.grid.spacing_mm[:2] == (0.0005, 0.00025)
    told = json.loads((tmp_path / "found.provenance.json").read_text("utf-8"))
    assert told["files"] == ["found.bright-blob.objects.tif", "found.dark-blob.objects.tif", "found.tif"]
    numbers = [io.read(tmp_path / name) for name in told["files"][:2]]
    for label, one in enumerate(numbers, 1):
        assert one.grid == volume.grid
        np.testing.assert_array_equal(one.array > 0, labels.mask(label))
    assert labels.mask(1).any()
    assert all(is_export(tmp_path / name) for name in told["files"])
    assert [one.path for one in cases_in(tmp_path)] == [picture]
    assert masks_in(picture, [volume]) is None
    found = masks_in(out, [volume]) or []
    assert [(one.name, one.image) for one in found] == [(BRIGHT, volume), (DARK, volume)]
    for label, one in enumerate(found, 1):
        np.testing.assert_array_equal(one.array > 0, labels.mask(label))


def test_masks_of_a_tiff_are_tiffs_but_what_was_finished_as_png_stays(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert call(picture, "-p", BRIGHT, "-o", out) == 0
    folder = out / "cells"
    assert sorted(path.name for path in folder.iterdir()) == ["bright-blob.tif", "cells.provenance.json"]
    (folder / "bright-blob.tif").rename(folder / "bright-blob.png")  # as earlier versions named it
    story = folder / "cells.provenance.json"
    story.write_text(story.read_text("utf-8").replace("blob.tif", "blob.png"), "utf-8")
    assert call(picture, "-p", BRIGHT, "-o", out) == 0
    assert "finished before, skipped" in capsys.readouterr().err
    assert call(picture, "-p", BRIGHT, "-o", out, "--format", "tif") == 2  # another format than nobody's
    assert call(picture, "-p", BRIGHT, "-o", out, "--format", "tif", "--overwrite") == 0
    assert sorted(path.name for path in folder.iterdir()) == ["bright-blob.tif", "cells.provenance.json"]


@pytest.mark.parametrize("name", ["found.tif", "cells-mask.tif"])
def test_images_beside_a_mask_are_still_cases_and_the_mask_is_none(picture: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "more.tif"
    other.write_bytes(picture.read_bytes())
    assert call(picture, "-p", BRIGHT, "-o", tmp_path / name, "--objects") == 0
    assert [case.path for case in find_cases([tmp_path], tmp_path / "out")] == [picture, other]
