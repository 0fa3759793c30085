"""Masks of a microscope's picture are exported as label TIFFs: in its format unless told otherwise, each object with
its number, found again as masks of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bench import Bench

from boltzformer import io
from boltzformer.desk.keeping.cases import cases_in
from boltzformer.desk.keeping.stories import masks_in
from boltzformer.io.cases import find_cases
from boltzformer.masks.cells import numbered

pytestmark = pytest.mark.without_engine


def cells(shape: tuple[int, int, int]) -> np.ndarray:
    """Three, of which two touch; in every slice."""
    y, x = np.ogrid[: shape[1], : shape[2]]
    places = ((30, 30, 12), (30, 51, 12), (20, 95, 9))
    disks = np.any([(y - row) ** 2 + (x - column) ** 2 <= radius**2 for row, column, radius in places], axis=0)
    return np.repeat(disks[None], shape[0], 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of pictures: the program's own lies beside it."""
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures"


def picture(path: Path, shape: tuple[int, int, int]) -> Path:
    gray = np.where(cells(shape), 200, 20).astype(np.uint8)
    told = {"unit": "um", "spacing": 2.0, "axes": "ZYX"}
    tifffile.imwrite(path, gray, imagej=True, resolution=(2, 4), metadata=told)
    return path


def test_a_picture_of_cells(bench: Bench, folder: Path) -> None:
    image = bench.open_volume(io.read(picture(folder / "x.tif", (1, 80, 120))))
    track = bench.answered(image, "cell", cells((1, 80, 120)))
    bench.desk.overview.reapplying.choose_objects(apart=True)
    bench.idle()
    bench.desk.exporting.ask()
    assert Path(bench.dialogs.suggested).name == "x-mask.tif"
    written = bench.desk.exporting.to(folder / "x-mask.tif")
    assert [path.name for path in written] == ["x-mask.tif", "x-mask.provenance.json", "x-mask.cell.objects.tif"]
    np.testing.assert_array_equal(io.read_labels(written[0]).mask(1), track.surface.copy() > 0)
    found = io.read(folder / "x-mask.cell.objects.tif")
    np.testing.assert_array_equal(found.array[0], numbered(track.mask(0)))
    assert found.array.max() == 3
    assert found.grid == image.volume.grid
    (mask,) = masks_in(folder / "x-mask.cell.objects.tif", [image.volume]) or ()
    assert (mask.name, mask.image) == ("cell by number", image.volume)
    assert [one.name for one in cases_in(folder)] == ["x"]
    assert [one.path.name for one in find_cases([folder], folder / "out")] == ["x.tif"]


@pytest.mark.parametrize("name", ["found.tif", "x.tiff", "FOUND.TIF"])
def test_two_masks_of_a_stack_share_a_file_and_come_back_with_their_names(
    bench: Bench, folder: Path, name: str
) -> None:
    shape = (3, 80, 120)
    image = bench.open_volume(io.read(picture(folder / "x.tif", shape)))
    stripes = ~cells(shape) & (np.arange(80) % 9 > 4)[:, None]
    for prompt, mask in (("cell", cells(shape)), ("fibre", stripes)):
        bench.answered(image, prompt, mask)
    (file, story) = bench.desk.exporting.to(folder / name)
    assert json.loads(story.read_text("utf-8"))["mask files"] == {name: {"1": "cell", "2": "fibre"}}
    back = io.read_labels(file)
    assert back.grid == image.volume.grid
    np.testing.assert_array_equal(back.layers[0], cells(shape) + 2 * stripes)
    found = masks_in(file, [image.volume]) or []
    assert [(one.name, one.image) for one in found] == [("cell", image.volume), ("fibre", image.volume)]
    assert masks_in(folder / "x.tif", [image.volume]) is None
    assert [one.name for one in cases_in(folder)] == ["x"]
    assert [one.path.name for one in find_cases([folder], folder / "out")] == ["x.tif"]


def test_masks_that_overlap_get_a_file_each(bench: Bench, folder: Path) -> None:
    shape = (1, 80, 120)
    image = bench.open_volume(io.read(picture(folder / "x.tif", shape)))
    for prompt in ("cell", "nucleus"):
        bench.answered(image, prompt, cells(shape))
    written = bench.desk.exporting.of(folder / "found.tif").write(set())
    names = ["found__cell.tif", "found__nucleus.tif", "found.provenance.json"]
    assert [path.name for path in written.files] == names  # type: ignore[union-attr]
    assert "the masks overlap, so each is written into a file of its own" in written.remarks[0]  # type: ignore[union-attr]
    for file, prompt in zip(names[:2], ("cell", "nucleus"), strict=True):
        (mask,) = masks_in(folder / file, [image.volume]) or ()
        assert mask.name == prompt
        np.testing.assert_array_equal(mask.array > 0, cells(shape))
    assert [one.name for one in cases_in(folder)] == ["x"]
    assert [one.path.name for one in find_cases([folder], folder / "out")] == ["x.tif"]
