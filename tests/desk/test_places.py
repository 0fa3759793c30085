"""Open… and Export… begin where the image lies, or where somebody was last; tomorrow, too."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bench import Bench
from image_files import write_series
from PIL import Image

from boltzformer import Grid, Volume, io
from boltzformer.desk.keeping.export import extension_for
from boltzformer.desk.keeping.lesions import Lesion
from boltzformer.desk.keeping.table_file import ask_and_save
from boltzformer.desk.settings import Settings
from boltzformer.io.phantom import phantom, sample


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    one = Bench()
    yield one
    one.leave()


def test_dialogs_begin_where_the_image_lies_or_where_one_was_last(bench: Bench, tmp_path: Path) -> None:
    places = bench.desk.places
    assert (places.to_open, places.to_write("mask.nii.gz")) == ("", "mask.nii.gz")
    with_image, elsewhere = tmp_path / "patient", tmp_path / "masks"
    for folder in (with_image, elsewhere):
        folder.mkdir()
    io.write_volume(phantom(1, (4, 32, 32)).volume, with_image / "ct.nii.gz")
    image = bench.open_volume(io.read(with_image / "ct.nii.gz"))
    bench.answered(image, "x", np.ones((4, 32, 32), bool))
    assert places.to_open == str(with_image)
    bench.desk.exporting.ask()
    assert bench.dialogs.suggested == str(with_image / "ct-mask.nii.gz")
    assert Settings.load().exported_in == ""  # nobody chose anything

    bench.dialogs.chosen_file = elsewhere / "mine.nii.gz"
    bench.desk.exporting.ask()
    bench.idle()
    assert bench.dialogs.chosen_file.is_file()
    places.opened(elsewhere / "another.nii.gz")
    told = Settings.load()
    assert (told.opened_in, told.exported_in) == (str(elsewhere), str(elsewhere))
    bench.desk.exporting.ask()
    bench.idle()  # it is written once more
    assert bench.dialogs.suggested == str(elsewhere / "ct-mask.nii.gz")
    assert places.to_open == str(elsewhere)

    bench.dialogs.chosen_file.unlink()
    for file in elsewhere.iterdir():
        file.unlink()
    elsewhere.rmdir()  # a stick that was pulled out
    assert places.to_open == str(with_image)


def test_masks_of_another_image_are_suggested_beside_that_and_not_where_those_of_the_one_before_went(
    bench: Bench, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        io.write_volume(phantom(1, (4, 32, 32)).volume, tmp_path / name / "ct.nii.gz")
    first, second = (bench.open_volume(io.read(tmp_path / name / "ct.nii.gz")) for name in ("first", "second"))
    places, chosen = bench.desk.places, tmp_path / "masks"
    chosen.mkdir()
    bench.stage.choose(first)
    places.wrote(chosen / "mine.nii.gz")
    bench.stage.choose(second)
    assert places.to_write("x") == str(tmp_path / "second" / "x")
    bench.stage.choose(first)
    assert places.to_write("x") == str(chosen / "x")
    bench.open(Grid.pixels((1, 20, 30)))  # which lies nowhere
    assert places.to_write("x") == str(chosen / "x")


def test_masks_of_a_series_are_suggested_beside_its_folder(bench: Bench, tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(1, (4, 32, 32)).volume.array, Grid.from_lps((4, 32, 32), np.eye(4)))
    bench.answered(bench.open_volume(io.read(tmp_path / "ct")), "x", np.ones((4, 32, 32), bool))
    bench.desk.exporting.ask()
    assert Path(bench.dialogs.suggested).parent == tmp_path
    assert bench.desk.places.to_open == str(tmp_path / "ct")


def test_what_is_made_of_the_example_does_not_go_into_the_installed_package(bench: Bench) -> None:
    bench.open_volume(sample().volume)
    places = bench.desk.places
    assert (places.to_open, places.to_write("mask.nii.gz")) == (str(Path.home()), str(Path.home() / "mask.nii.gz"))


def test_a_table_is_called_after_its_image(bench: Bench, tmp_path: Path) -> None:
    io.write_volume(phantom(1, (4, 32, 32)).volume, tmp_path / "scan.nii.gz")
    image, desk = bench.open_volume(io.read(tmp_path / "scan.nii.gz")), bench.desk
    bench.answered(image, "x", np.ones((4, 32, 32), bool))
    shown: list[Lesion] = []

    def save() -> None:
        parts = desk.stage, desk.tracks, desk.work, desk.dialogs, desk.places, desk.notice
        ask_and_save(*parts, lambda lesions, stood: shown.extend(lesions))
        bench.idle()

    save()
    assert bench.dialogs.suggested == str(tmp_path / "scan-objects.csv")
    assert bench.speaker.sentence == ""  # nobody chose a file
    bench.dialogs.chosen_file = tmp_path / "mine.csv"
    save()
    assert bench.speaker.sentence == f"Wrote {tmp_path / 'mine.csv'}"
    assert len((tmp_path / "mine.csv").read_text("utf-8").splitlines()) == 2
    bench.dialogs.chosen_file = tmp_path / "nowhere" / "mine.csv"
    save()
    assert "could not be written" in bench.speaker.sentence
    assert len(shown) == 2


def test_masks_of_a_picture_are_suggested_as_a_picture(bench: Bench, tmp_path: Path) -> None:
    gray = np.zeros((20, 30), np.uint8)
    tifffile.imwrite(tmp_path / "field.tif", gray, photometric="minisblack")
    Image.fromarray(gray).save(tmp_path / "photo.jpg")
    io.write_volume(Volume(gray[None], Grid.from_lps((1, 20, 30), np.eye(4)), name="x"), tmp_path / "slice.nii.gz")
    for file, wanted in (("field.tif", "field-mask.tif"), ("photo.jpg", "photo-mask.png")):
        bench.answered(bench.open_volume(io.read(tmp_path / file)), "x", gray[None] == 0)
        bench.desk.exporting.ask()
        assert bench.dialogs.suggested == str(tmp_path / wanted)
    assert extension_for(bench.open_volume(io.read(tmp_path / "slice.nii.gz"))) == ".nii.gz"
    assert extension_for(bench.open(Grid.pixels((1, 20, 30)))) == ".png"
