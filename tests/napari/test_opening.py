"""Opening: off the viewer's thread; of several DICOM series the largest, and a table to choose from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from gui import DIST, answer_choice, answer_file_dialog, click, until
from image_files import write_series
from napari.components import ViewerModel
from napari.layers import Image as Picture
from napari.layers import Labels
from napari.layers._source import Source
from PIL import Image

from boltzformer import BoltzFormerError, Grid, Prompt, Volume, io
from boltzformer.desk.keeping.cases import is_scout, largest, series_below
from boltzformer.io.phantom import Phantom
from napari_boltzformer.files.readers import get_reader
from napari_boltzformer.host.layers import KEY, facts_of
from napari_boltzformer.host.stage import NapariStage, image_on
from napari_boltzformer.widget import BoltzFormerDock


@pytest.fixture
def study(small: Phantom, tmp_path: Path) -> Path:
    """A scout, a head and the same head at fewer slices."""
    grid, array, study = small.volume.grid, small.volume.array, tmp_path / "study"
    study.mkdir()
    for number, (name, slices) in enumerate((("scout", 2), ("thin", 16), ("thick", 8)), 1):
        place = replace(grid, shape=(slices, *grid.shape[1:]))
        paths = write_series(tmp_path / name, array[:slices], place, SeriesDescription=name, SeriesNumber=number)
        for path in paths:
            path.rename(study / f"{name}-{path.name}")
    return study


def test_the_largest_series_is_opened_and_the_others_are_named(
    viewer: Any, dock: BoltzFormerDock, study: Path, small: Phantom
) -> None:
    found = series_below(study)
    assert [one.description for one in found] == ["scout", "thin", "thick"]
    assert largest(found).description == "thin"
    assert [is_scout(one, found) for one in found] == [True, False, False]
    (layer,) = viewer.open(str(study), plugin=DIST)
    assert layer.data.shape[0] == 16
    assert dock.image.count() == 1


def test_open_shows_a_table_of_series_and_reads_the_chosen_one(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, study: Path, small: Phantom, small_file: Path, tmp_path: Path
) -> None:
    lone = write_series(tmp_path / "lone", small.volume.array, small.volume.grid)[0]
    (tmp_path / "notes").mkdir()
    other = tmp_path / "notes" / "scores.json"
    other.write_text("{}")
    for chosen, said in ((other, "scores.json is no image that can be read:"), (other.parent, "notes holds no image:")):
        dock.opening.open(chosen)
        until(qtbot, lambda said=said: dock.message.text().startswith(said))
    answer_file_dialog(lone)
    click(qtbot, dock.open)
    until(qtbot, lambda: dock.image.count() == 1)  # its own folder holds one series: no question
    assert viewer.layers[0].data.shape[0] == 16
    dock.opening.open(study)
    until(qtbot, lambda: dock.opening.dialog is not None and dock.opening.dialog.isVisible())
    table = dock.opening.dialog.table
    assert [table.item(n, 1).text() for n in range(3)] == ["CT scout", "CT thin", "CT thick"]
    assert [table.item(n, 2).text() for n in range(3)] == ["2", "16", "8"]
    assert table.currentRow() == 1
    assert table.item(0, 1).foreground().color().name() == "#808080"
    assert not any(table.item(n, 0).icon().isNull() for n in range(3))
    table.selectRow(2)
    click(qtbot, dock.opening.dialog.buttons.buttons()[0])
    until(qtbot, lambda: [one.data.shape[0] for one in viewer.layers] == [8])  # in the place of the one before

    dock.opening.open(small_file)
    until(qtbot, lambda: [one.data.shape[0] for one in viewer.layers] == [16])
    dock.opening.open(small_file.with_name("missing.nii.gz"))
    until(qtbot, lambda: "does not exist" in dock.message.text())
    assert [one.data.shape[0] for one in viewer.layers] == [16]


def test_of_two_channels_a_person_says_which_and_napari_shows_the_first(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    channels = np.stack([np.full((24, 32), 3, np.uint16), np.full((24, 32), 9, np.uint16)])
    channels[:, 4:9, 4:9] += 1
    tifffile.imwrite(tmp_path / "cells.ome.tif", channels, ome=True, metadata={"axes": "CYX"})
    answer_file_dialog(tmp_path / "cells.ome.tif")
    click(qtbot, dock.open)
    answer_choice("2 of 2")
    until(qtbot, lambda: dock.image.count() == 1)
    (layer,) = viewer.layers
    assert layer.name == "cells.ome 2"
    assert np.array_equal(np.asarray(layer.data)[0], channels[1])

    (layer,) = viewer.open(str(tmp_path / "cells.ome.tif"), plugin=DIST)
    assert layer.name == "cells.ome 1"
    assert np.array_equal(np.asarray(layer.data)[0], channels[0])


@pytest.mark.parametrize(("name", "kind"), [("x_cp_masks.png", np.uint16), ("x_labels.tif", np.float32)])
def test_labels_of_another_program_lie_on_the_picture_which_stays(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path, name: str, kind: type
) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (60, 100)).astype(np.uint8)).save(tmp_path / "x.png")
    numbers = np.kron(np.arange(60).reshape(6, 10), np.pad(np.ones((8, 8)), 1)).astype(kind)
    Image.fromarray(numbers).save(tmp_path / name)
    dock.opening.open(tmp_path / "x.png")
    until(qtbot, lambda: dock.image.currentText() == "x" and dock.desk.patients.current is not None)
    dock.opening.open(tmp_path / name)
    until(qtbot, lambda: len(viewer.layers) == 2 or bool(dock.notice.offers))
    assert [type(layer).__name__ for layer in viewer.layers] == ["Image", "Labels"]
    assert np.array_equal(np.asarray(viewer.layers[name[:-4]].data).reshape(numbers.shape), numbers)
    assert dock.image.count() == 1
    assert dock.image.currentText() == "x"
    assert not dock.notice.offers  # nothing was put away


@pytest.mark.parametrize(("answer", "kind"), [("As an image", "Image"), ("As masks", "Labels")])
def test_what_may_be_labels_and_lies_on_no_open_image_can_be_opened_all_the_same(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path, answer: str, kind: str
) -> None:
    few = np.zeros((4, 20, 30), np.uint8)
    few[1:3, 4:9, 4:9] = 3
    noise = np.random.default_rng(0).integers(-900, 900, few.shape).astype(np.int16)
    for name, array, step in (("one", noise, 3.0), ("few", few, 2.0), ("few_mask", few, 2.0)):
        grid = Grid.from_lps(few.shape, np.diag([1.0, 1.0, step, 1.0]))
        io.write_volume(Volume(array, grid), tmp_path / f"{name}.mha")
    dock.opening.open(tmp_path / "one.mha")
    until(qtbot, lambda: dock.image.currentText() == "one" and dock.desk.patients.current is not None)
    dock.opening.open(tmp_path / "few_mask.mha")  # of which its name leaves no doubt
    until(qtbot, lambda: dock.message.text().startswith("few_mask.mha holds labels of"))
    assert not dock.notice.offers
    dock.opening.open(tmp_path / "few.mha")
    until(qtbot, lambda: dock.message.text().startswith("few.mha holds labels of"))
    (topic,) = dock.notice.offers
    dock.desk.notice.answer(topic, answer)
    until(qtbot, lambda: any(type(one).__name__ == kind and "few" in one.name for one in viewer.layers[-1:]))
    assert ("one" in [one.name for one in viewer.layers]) is (answer == "As masks")  # else it is put away
    if answer == "As masks":
        assert np.array_equal(np.asarray(viewer.layers[-1].data) > 0, few > 0)
        assert dock.image.currentText() == "one"


def test_beside_an_open_image_a_file_is_read_once_and_labels_of_another_size_stay_out(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, labels = Grid.from_lps((4, 20, 30), np.diag([1.0, 1.0, 3.0, 1.0])), np.zeros((4, 20, 30), np.uint8)
    labels[1:3, 4:9, 4:9] = 1
    noise = np.random.default_rng(0).integers(-900, 900, labels.shape).astype(np.int16)
    for name, array in (("one.nrrd", noise), ("other.mha", noise), ("third.mha", noise)):
        io.write_volume(Volume(array, grid), tmp_path / name)
    half = Grid.from_lps((2, 20, 30), np.diag([1.0, 1.0, 6.0, 1.0]))
    io.write_volume(Volume(labels[1:3], half), tmp_path / "half.mha")
    dock.opening.open(tmp_path / "one.nrrd")
    until(qtbot, lambda: dock.image.currentText() == "one")
    read, files = io.read, list[str]()
    monkeypatch.setattr(io, "read", lambda path, **how: files.append(Path(path).name) or read(path, **how))
    dock.opening.open(tmp_path / "half.mha")
    until(qtbot, lambda: dock.message.text().startswith("half.mha holds labels of 2×20×30 voxels"))
    dock.desk.notice.say("")
    assert not viewer.open(str(tmp_path / "half.mha"), plugin=DIST)  # no dialog that ends what is opened with it
    until(qtbot, lambda: dock.message.text().startswith("half.mha holds labels of 2×20×30 voxels"))
    assert [layer.name for layer in viewer.layers] == ["one"]
    dock.desk.notice.withdraw(f"what {tmp_path / 'half.mha'} is")
    viewer.open(str(tmp_path / "third.mha"), plugin=DIST)
    dock.opening.open(tmp_path / "other.mha")
    until(qtbot, lambda: dock.image.currentText() == "other")
    assert files == ["half.mha", "half.mha", "half.mha", "third.mha", "other.mha"]

    io.write_volume(Volume(noise[1:3], half), tmp_path / "its image.mha")
    dropped = [str(tmp_path / name) for name in ("half.mha", "its image.mha")]  # the mask first
    reader = get_reader(dropped)
    assert reader is not None
    assert [kind for _, _, kind in reader(dropped)] == ["image", "labels"]
    viewer.open(dropped, plugin=DIST)  # one after the other
    until(qtbot, lambda: [layer.name for layer in viewer.layers] == ["its image", "half"])
    assert dock.image.currentText() == "its image"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two, and what was exported of one."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("cells-1.png", "cells-2.png", "cells-1_mask.png"):
        Image.fromarray(np.full((40, 50), 9, np.uint8)).save(folder / name)
    return folder


def test_a_folder_of_pictures_becomes_the_case_list(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, pictures: Path
) -> None:
    assert viewer.open(str(pictures), plugin=DIST) == []
    until(qtbot, lambda: len(dock.desk.cases.cases) == 2)
    panel = dock.beside.cases
    assert panel is not None
    until(qtbot, panel.isVisible)
    click(qtbot, panel.next)
    until(qtbot, lambda: [one.name for one in viewer.layers] == ["cells-1"])


def test_without_the_dock_the_first_of_a_folder_is_opened(viewer: Any, pictures: Path) -> None:
    (layer,) = viewer.open(str(pictures), plugin=DIST)
    assert layer.name == "cells-1"
    assert get_reader(str(pictures.parent)) is None  # no image lies in there itself
    for one in pictures.glob("cells-?.png"):
        one.unlink()
    with pytest.raises(BoltzFormerError, match="nothing but masks"):
        viewer.open(str(pictures), plugin=DIST)


def test_labels_that_another_reader_opens_among_several_files_go_with_the_image_they_are_named_after() -> None:
    """Whatever was opened last; and where no name tells, with the only one of their size."""
    viewer = ViewerModel()
    stage = NapariStage(
        viewer, lambda: next((one for one in reversed(viewer.layers) if isinstance(one, Picture)), None)
    )
    told: list[bool] = []
    viewer.layers.events.inserted.connect(lambda event: told.append(stage.adopt(event.value)))

    def came(name: str, size: tuple[int, int]) -> Any:
        mask = "mask" in name
        layer: Any = Labels(np.zeros(size, int), name=name) if mask else Picture(np.zeros((1, *size)), name=name)
        layer._source = Source(path=f"{name}.tif", reader_plugin="napari")
        return viewer.add_layer(layer)

    early = came("cell1-mask", (30, 40))  # as files are sorted
    first, tenth, other = (
        came(name, size) for name, size in (("cell1", (30, 40)), ("cell10", (30, 40)), ("x", (9, 8)))
    )
    late, tenths, sized, unknown = (
        came(name, size)
        for name, size in (("cell1_mask", (30, 40)), ("cell10_mask", (30, 40)), ("mask", (9, 8)), ("a mask", (30, 40)))
    )
    assert stage.group(image_on(first)) == [early, first, late]
    assert stage.group(image_on(tenth)) == [tenth, tenths]
    assert stage.group(image_on(other)) == [other, sized]
    assert told == [True] * 7 + [False]
    assert unknown in viewer.layers


def test_a_mask_that_says_what_it_was_made_on_goes_with_that_image_whatever_it_is_called(small: Phantom) -> None:
    viewer = ViewerModel()
    stage = NapariStage(
        viewer, lambda: next((one for one in reversed(viewer.layers) if isinstance(one, Picture)), None)
    )
    told: list[bool] = []
    viewer.layers.events.inserted.connect(lambda event: told.append(stage.adopt(event.value)))
    short, long = (stage.open(replace(small.volume, name=name, source=f"{name}.nii.gz")) for name in ("pat", "pat_T1"))
    for image in (short, long):
        facts = {KEY: facts_of(image.volume)}
        layer = viewer.add_labels(np.zeros(small.volume.grid.shape, int), name="lesions", metadata=facts)
        assert layer in stage.group(image)
        assert stage.add(image, Prompt("MS lesion"), "red").layer in stage.group(image)
    stage.open(replace(small.volume, name="pat_T1_b", source="pat_T1_b.nii.gz"))
    assert [len(stage.group(image)) for image in (short, long)] == [3, 3]
    assert all(told)
