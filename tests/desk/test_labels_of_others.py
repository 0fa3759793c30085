"""Labels of another program beside their picture open as a mask on it, each object with its number; pictures stay
pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from bench import Bench
from PIL import Image

from boltzformer import Grid, io
from boltzformer.desk.keeping.cases import cases_in
from boltzformer.desk.keeping.lesions import lesions_of, to_measure
from boltzformer.desk.keeping.stories import masks_in
from boltzformer.desk.settings import Settings
from boltzformer.errors import GeometryError
from boltzformer.masks.cells import apart
from boltzformer.types import Volume

pytestmark = pytest.mark.without_engine


def numbers() -> np.ndarray:
    """Hundred cells of 6×6 pixels that touch each other in pairs."""
    found = np.zeros((80, 130), np.uint16)
    for number in range(100):
        row, column = divmod(number, 10)
        found[row * 8 : row * 8 + 6, column * 13 + 6 * (number % 2) : column * 13 + 6 * (number % 2) + 6] = number + 1
    return found


@pytest.fixture
def picture(tmp_path: Path) -> Volume:
    """A gray one, with noise."""
    gray = np.where(numbers() > 0, 160, 20) + np.random.default_rng(1).integers(0, 40, (80, 130))
    Image.fromarray(gray.astype(np.uint8)).save(tmp_path / "x.png")
    return io.read(tmp_path / "x.png")


@pytest.mark.parametrize(
    "name",
    ["x_cp_masks.png", "x_masks.tif", "x-labels.tif", "x_label.png", "x stardist.tif", "sub/x.tif", "y-labelled.png"],
)
def test_labels_beside_a_picture_are_a_mask_on_it(picture: Volume, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    tifffile.imwrite(file, numbers()) if name.endswith("tif") else Image.fromarray(numbers()).save(file)
    (mask,) = masks_in(file, [picture]) or ()
    assert mask.image is picture
    assert mask.name == io.split_name(file)[0]
    assert np.array_equal(mask.array[0], numbers())


def test_a_mask_in_which_nothing_is_marked_is_one_all_the_same(picture: Volume, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((80, 130), np.uint8)).save(tmp_path / "x_cells.png")
    assert masks_in(tmp_path / "x_cells.png", [picture]) is not None
    assert "x_cells" not in [one.name for one in cases_in(tmp_path)]


def test_pictures_stay_pictures(picture: Volume, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    Image.fromarray(rng.integers(0, 200, (80, 130)).astype(np.uint8)).save(tmp_path / "x_2.png")  # the next of a row
    Image.fromarray(rng.poisson(0.7, (80, 130)).astype(np.uint8)).save(tmp_path / "x_dapi.png")  # few photons
    Image.fromarray(np.dstack([numbers().astype(np.uint8)] * 3)).save(tmp_path / "x_masks_overlay.png")
    Image.fromarray(rng.integers(0, 200, (80, 130)).astype(np.uint8)).save(tmp_path / "gray_seg.png")
    Image.fromarray(numbers()).save(tmp_path / "other.png")  # neither its name nor its size say whose it is
    for name in ("x.png", "x_2.png", "x_dapi.png", "x_masks_overlay.png", "gray_seg.png", "other.png"):
        assert masks_in(tmp_path / name, [picture]) is None, name
    (tmp_path / "x_masks.png").write_bytes(b"no picture")
    assert masks_in(tmp_path / "x_masks.png", [picture]) is None  # reading it as a picture says why


def test_labels_of_another_picture_are_refused_and_open_alone(picture: Volume, tmp_path: Path) -> None:
    for name in ("x_small_masks.png", "y_mask.tif"):
        Image.fromarray(numbers()[:70]).save(tmp_path / name)
        with pytest.raises(GeometryError, match=r"70×130 pixels, .* open image \('x' has 80×130 pixels\)"):
            masks_in(tmp_path / name, [picture])
        assert masks_in(tmp_path / name, []) is None
        (mask,) = masks_in(tmp_path / name, [picture, Volume(np.zeros((1, 70, 130)), Grid.pixels((1, 70, 130)))]) or ()
        assert np.array_equal(mask.array[0], numbers()[:70])


def test_a_volume_of_labels_is_masks_on_the_open_image_of_its_voxels_and_another_scan_is_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    grid = Grid.from_lps((6, 20, 30), np.diag([0.8, 0.8, 3.0, 1.0]))
    organs = np.zeros(grid.shape, np.uint8)
    organs[1:4, 3:9, 4:12], organs[2:5, 12:17, 20:28] = 1, 2
    scans = {name: rng.integers(-900, 900, grid.shape).astype(np.int16) for name in ("ct.nii.gz", "late.nii.gz")}
    elsewhere = Grid.from_lps(grid.shape, np.diag([0.9, 0.8, 3.0, 1.0]))
    files = {**scans, "total.nii.gz": organs, "liver.nrrd": (organs == 1).astype(np.float32), "ct-seg.mha": organs}
    for name, array in files.items():
        io.write_volume(Volume(array, grid), tmp_path / name)
    io.write_volume(Volume(organs, elsewhere), tmp_path / "moved.nii.gz")
    io.write_volume(Volume(organs[:4], Grid.from_lps((4, 20, 30), grid.lps)), tmp_path / "half-seg.nrrd")
    ct = io.read(tmp_path / "ct.nii.gz")
    for name, masks in (("total.nii.gz", ["label 1", "label 2"]), ("liver.nrrd", ["liver"])):
        found = masks_in(tmp_path / name, [ct]) or []
        assert [one.name for one in found] == masks
        assert all(one.image is ct for one in found)
        assert np.array_equal(found[0].array > 0, organs == 1)
    assert len(masks_in(tmp_path / "ct-seg.mha", [ct]) or ()) == 2
    for name in ("ct.nii.gz", "late.nii.gz"):
        assert masks_in(tmp_path / name, [ct]) is None, name
    for name, why in (("moved.nii.gz", "has as many, at another place"), ("half-seg.nrrd", "has 6×20×30 voxels")):
        with pytest.raises(GeometryError, match=f"{name} holds labels of .* voxels, which .*'ct' {why}"):
            masks_in(tmp_path / name, [ct])
        assert masks_in(tmp_path / name, [Volume(np.zeros((1, 9, 9)), Grid.pixels((1, 9, 9)))]) is None
    assert masks_in(tmp_path / "total.nii.gz", []) is None
    counts, patch = rng.poisson(2, grid.shape).astype(np.uint16), np.zeros(grid.shape, np.uint8)  # few photons
    patch[2, 3:9, 4:12] = np.arange(1, 49).reshape(6, 8)
    for number, array in enumerate((counts, patch)):
        io.write_volume(Volume(array, grid), tmp_path / f"scan{number}.nii.gz")
        assert masks_in(tmp_path / f"scan{number}.nii.gz", [ct]) is None


def test_they_are_no_case_of_their_own(bench: Bench, picture: Volume, tmp_path: Path) -> None:
    for name in ("x_cp_masks.png", "x_stardist.png"):
        Image.fromarray(numbers()).save(tmp_path / name)
    listed: Any = cases_in(tmp_path)
    assert [one.name for one in listed] == ["x"]


def test_of_what_the_model_never_looked_at_it_is_said_how_much_there_is(bench: Bench, picture: Volume) -> None:
    image = bench.open_volume(picture)
    bench.desk.begin_from(image, apart(numbers())[None], "theirs", "cell")
    bench.idle()
    assert bench.desk.overview.reapplying.totals == ["cell: 3,600 px; the model has not looked"]


def test_no_slider_hides_any_of_them_in_the_place_of_a_models_mask_nor_another_day(
    bench: Bench, picture: Volume, tmp_path: Path
) -> None:
    Settings(folder=str(tmp_path / "kept")).save()
    bench.desk.settings.folder = str(tmp_path / "kept")
    labels = numbers()
    labels[:6, 6:12] = 101  # touches the first
    image, mask = bench.open_volume(picture), apart(labels)[None]
    track = bench.answered(image, "cell", numbers()[None] > 50)
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=34, largest=16)
    bench.idle()
    bench.desk.leave_out(track, (0, 40, 0), out=True)
    assert bench.desk.begin_from(image, mask, "theirs", "cell", lost=(6, 2))
    assert bench.speaker.sentence.endswith(
        " 2 labels are gone with them: all their pixels lie beside others. One undo brings back what was there."
    )
    assert " 6 of its 3,636 pixels are lines between labels that touch now." in bench.speaker.sentence
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=37)
    bench.idle()
    assert np.array_equal(track.surface.copy() > 0, mask)
    assert bench.desk.row_of(track) == "cell · 101 objects, 3,630 px"  # and no score of the model's
    assert bench.desk.sizes.count == 0
    bench.desk.exporting.to(tmp_path / "theirs.png")
    assert np.array_equal(io.read(tmp_path / "theirs.png").array > 0, mask)
    bench.desk.keeper.autosave()
    bench.idle()
    again = Bench(folder=tmp_path / "kept")
    again.desk.keeper.look_for(again.open_volume(picture))
    again.until(lambda: bool(again.speaker.offers))
    again.desk.overview.reapplying.choose_objects(largest=3)
    again.idle()
    (back,) = again.desk.tracks.chosen()
    assert np.array_equal(back.surface.copy() > 0, mask)
    again.leave()
    track.surface.undo()  # type: ignore[attr-defined]
    bench.idle()
    assert not track.surface.copy().any()  # it is the model's again, and the sliders act on it


@pytest.mark.parametrize("depth", [1, 3])
def test_they_carry_no_score_of_a_mask_that_they_are_not(bench: Bench, tmp_path: Path, depth: int) -> None:
    grid = Grid.pixels((depth, 40, 40))
    values = np.random.default_rng(3).integers(0, 255, grid.shape).astype(np.uint8)
    volume, models, theirs = Volume(values, grid), np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    models[:, 5:10, 5:10], theirs[:, 20:30, 20:30] = True, True
    Settings(folder=str(tmp_path / "kept")).save()
    bench.desk.settings.folder = str(tmp_path / "kept")

    def scores(of: Bench) -> list[str]:
        image, tracks = of.desk.stage.chosen(), of.desk.tracks.chosen()
        assert image is not None
        return [one.texts[-1] for one in lesions_of(*to_measure(image, tracks))]

    image = bench.open_volume(volume)
    bench.desk.begin_from(image, theirs, "theirs", "cell")
    assert scores(bench) == [""]
    (track,) = bench.desk.tracks.chosen()
    bench.answer(track, dict(enumerate(models)), 1.0)  # which is only offered
    bench.desk.keeper.autosave()
    bench.idle()
    again = Bench(folder=tmp_path / "kept")
    again.desk.keeper.look_for(again.open_volume(volume))
    again.until(lambda: bool(again.speaker.offers))
    for one in (bench, again):
        (track,) = one.desk.tracks.chosen()
        assert scores(one) == [""]
        row = one.desk.row_of(track)
        assert "1.00" not in row + one.desk.overview.bar.words(0)
        assert ("not the model's here" in row, "no score" in row) == (depth > 1, False)  # which was asked
    again.leave()

    track = bench.answered(image, "nucleus", models, 1.0)
    assert scores(bench) == ["", "1.00"]
    bench.desk.begin_from(image, theirs, "theirs", "nucleus")  # in the place of the model's
    assert scores(bench) == ["", ""]
    track.surface.undo()  # type: ignore[attr-defined]
    bench.idle()
    assert scores(bench) == ["", "1.00"]
    assert "score 1.00" in bench.desk.row_of(track)

    track.surface.paint(0, np.roll(models[0], 1, axis=0))  # type: ignore[attr-defined]
    bench.idle()
    before = scores(bench), bench.desk.row_of(track), bench.desk.overview.bar.words(0)
    bench.desk.begin_from(image, theirs, "theirs", "nucleus")
    bench.idle()
    after = scores(bench), bench.desk.row_of(track), bench.desk.overview.bar.words(0)
    assert before != after
    for step, stood in ((track.surface.undo, before), (track.surface.redo, after)):  # type: ignore[attr-defined]
        step()
        bench.idle()
        assert (scores(bench), bench.desk.row_of(track), bench.desk.overview.bar.words(0)) == stood


@pytest.mark.parametrize(
    ("masks", "listed"),
    [
        (["s01/segmentations/liver", "s01/segmentations/spleen"], ["s01/ct"]),  # as TotalSegmentator writes them
        (["s01/organs/liver", "s01/liver"], ["s01/ct"]),
        (["labelsTr/p1"], ["s01/ct"]),  # a folder that is named for masks, beside one of images
        (["s02/liver"], ["s01/ct", "s02/liver"]),  # of nothing that lies above or beside it
    ],
)
@pytest.mark.parametrize(
    ("side", "kind"), [(20, ".nii.gz"), (64, ".nii.gz"), (20, ".nrrd"), (64, ".nii"), (64, ".mha"), (64, ".nrrd")]
)
def test_masks_in_a_folder_below_their_image_are_no_cases(
    tmp_path: Path, masks: list[str], listed: list[str], side: int, kind: str
) -> None:
    """Packed or not."""
    grid = Grid.pixels((side, 64, 64))
    noise = np.random.default_rng(1).integers(-1000, 1000, grid.shape, np.int16)
    ball = np.zeros(grid.shape, np.uint8)
    ball[5:15, 20:40, 20:40] = 1
    for name, array in (("s01/ct", noise), *((name, ball) for name in masks)):
        file = tmp_path / f"{name}{kind}"
        file.parent.mkdir(parents=True, exist_ok=True)
        io.write_volume(Volume(array, grid), file)
    assert sorted(one.name for one in cases_in(tmp_path)) == listed


def test_no_image_vanishes_from_a_list_of_cases(tmp_path: Path) -> None:
    """However dim it is, whatever it is called, and if it is black."""
    few = np.random.default_rng(2).poisson(3, (256, 256)).astype(np.uint8)
    deep = np.random.default_rng(3).integers(0, 60_000, (256, 256)).astype(np.uint16)
    pictures = {"bright": deep, "dim": few, "1": few * 3, "10": few, "12": deep, "black": few * 0}
    for name, picture in pictures.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        tifffile.imwrite(tmp_path / f"z{name}.tif", np.tile(picture, (2, 2)))
    Image.fromarray(np.zeros((14_000, 14_000), bool)).save(tmp_path / "huge.png")
    assert {one.name for one in cases_in(tmp_path)} == {*pictures, *(f"z{name}" for name in pictures), "huge"}


def test_flat_labels_in_a_file_that_packs_nothing_are_no_case(picture: Volume, tmp_path: Path) -> None:
    big = np.kron(numbers() % 60, np.ones((8, 8), np.uint16))
    noise = np.random.default_rng(4).integers(0, 4000, big.shape, np.uint16)
    for name, array in (("field", noise), ("nuclei", big), ("halves", big.astype(np.float32) / 2)):
        tifffile.imwrite(tmp_path / f"{name}.tif", array)
    assert {one.name for one in cases_in(tmp_path)} == {"x", "field", "halves"}
