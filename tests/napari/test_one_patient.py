"""One patient on screen: what was open is saved and put away, comes back by one press, and never lies under another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from gui import (
    DIST,
    answered,
    canvas,
    click,
    done,
    keep_both,
    layer_of,
    middle_of_handle,
    new_track,
    ready,
    rows_of,
    type_lines,
    until,
)
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QPushButton

from boltzformer import Grid, Prompt, Volume, io
from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.kept_in import autosaves
from boltzformer.desk.keeping.one_patient import PUT_AWAY
from boltzformer.desk.masks.track import Track
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from napari_boltzformer.canvas.guide import POINTS
from napari_boltzformer.canvas.objects import NAME
from napari_boltzformer.host.layers import camera_of, grid_of
from napari_boltzformer.host.mask import mask_on
from napari_boltzformer.host.stage import LIGHT, NapariStage, image_on
from napari_boltzformer.widget import BoltzFormerDock


def two_files(folder: Path) -> tuple[Path, Path]:
    """Two patients: of other sizes, one a picture."""
    files = folder / "deep.nii.gz", folder / "flat.nii.gz"
    for number, (file, shape) in enumerate(zip(files, ((12, 64, 64), (5, 40, 48)), strict=True), 1):
        io.write_volume(phantom(number, shape).volume, file)
    return files


def pressed(dock: BoltzFormerDock, label: str) -> QPushButton:
    return dock.notice.offers[PUT_AWAY].answers[label]


def names(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers]


def visible_images(dock: BoltzFormerDock) -> list[str]:
    return [layer.name for layer in dock.stage.layers() if layer.visible]


def painted_on(dock: BoltzFormerDock, viewer: Any) -> Any:
    """A mask with a stroke, a scribble of the user's own beside it."""
    track = answered(dock, dock.chosen_image(), BRIGHT, 2)
    layer_of(track).brush_size = 2
    layer_of(track).paint((3, 20, 20), 1)
    viewer.add_points(np.array([[3.0, 5.0, 5.0]]), name="the user's own points")
    return track


def test_another_image_takes_the_whole_group_away_and_one_press_brings_it_back(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    deep, flat = two_files(tmp_path)
    ready(qtbot, dock)
    dock.opening.open(deep)
    until(qtbot, lambda: dock.image.currentText() == "deep")
    assert dock.message.text() == ""  # it is read
    track = painted_on(dock, viewer)
    viewer.layers.selection.active = layer_of(track)
    before, there = rows_of(track).copy(), names(viewer)
    click(qtbot, dock.table)
    until(qtbot, lambda: dock.beside.lesions is not None and bool(dock.beside.lesions.lesions))
    dock.jump(9)
    viewer.dims.set_point((1, 2), (7.0, 11.0))  # the slices that the other planes show
    stood = viewer.dims.point
    camera_of(viewer).zoom = 50.0

    dock.opening.open(flat)
    until(qtbot, lambda: dock.image.currentText() == "flat")
    assert names(viewer) == ["flat"]
    assert viewer.dims.nsteps[0] == 5  # as many steps as slices
    assert dock.row() == 5 // 2
    assert dock.beside.lesions is not None
    assert not dock.beside.lesions.lesions
    assert dock.beside.lesions.total.text() == "Not measured yet: Measure again."  # and not: 0 objects
    until(qtbot, lambda: dock.results.count() == 0)
    assert float(camera_of(viewer).zoom) < 50  # all of it is in view
    assert dock.notice.offers[PUT_AWAY].label.text() == "Saved and put away: 'deep'."
    assert not dock.beside.lesions.old.isVisible()
    until(qtbot, lambda: not dock.keeper.work.busy)
    store = Dataset(autosaves())
    draft = store.draft(store.case_of(io.read(deep)))
    assert draft is not None
    assert draft.annotation(io.read(deep)).labels.mask(1).sum() == np.count_nonzero(before)

    click(qtbot, pressed(dock, "Undo"))
    assert names(viewer) == there
    assert rows_of(track) is layer_of(track).data
    assert np.array_equal(rows_of(track), before)
    assert dock.tracks() == [track]
    assert dock.image.currentText() == "deep"
    assert viewer.layers.selection.active.name == track.name  # what was in hand, and not what came last
    until(qtbot, lambda: dock.row() == 9)  # where one was
    assert np.allclose(viewer.dims.point[1:], stood[1:])
    assert PUT_AWAY not in dock.notice.offers
    assert dock.beside.lesions.total.text() == "Measuring…"  # nobody needs to ask for it
    until(qtbot, lambda: dock.beside.lesions is not None and bool(dock.beside.lesions.lesions))


@pytest.mark.slow
def test_what_is_dropped_into_the_viewer_takes_the_place_too(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    deep, flat = two_files(tmp_path)
    viewer.open(str(deep), plugin=DIST)
    until(qtbot, lambda: dock.desk.patients.current is not None)
    track = painted_on(dock, viewer)
    viewer.open(str(flat), plugin=DIST)
    assert visible_images(dock) == ["flat"]  # from the first moment on
    assert not layer_of(track).visible
    until(qtbot, lambda: names(viewer) == ["flat"])
    assert dock.keeper.back.scenes[track.image].hidden == ()  # nobody closed its eye: it is kept as one that is seen
    assert dock.row() == 5 // 2
    click(qtbot, pressed(dock, "Undo"))
    assert visible_images(dock) == ["deep"]
    assert layer_of(track).visible


@pytest.mark.slow
def test_of_files_that_are_opened_in_one_go_all_are_named_and_undo_goes_back_before_them(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    """napari lets events pass between them: each would take the place of the one before, and only that be named."""
    files = [tmp_path / f"{name}.nii.gz" for name in ("first", "second", "third", "fourth")]
    for number, file in enumerate(files):
        io.write_volume(phantom(number, (5, 40, 48)).volume, file)
    viewer.open(str(files[0]), plugin=DIST)
    until(qtbot, lambda: dock.desk.patients.current is not None)
    viewer.layers.events.inserted.connect(lambda event: QApplication.processEvents())  # as its progress bar does
    viewer.open([str(file) for file in files[1:]], plugin=DIST)
    until(qtbot, lambda: PUT_AWAY in dock.notice.offers)
    assert visible_images(dock) == ["fourth"]
    offer = dock.notice.offers[PUT_AWAY]
    assert offer.label.text() == "Saved and put away: 'first', 'second', 'third'."
    assert list(offer.answers) == ["Undo", "Keep all"]
    click(qtbot, pressed(dock, "Undo"))
    assert visible_images(dock) == ["first"]
    assert names(viewer) == ["first"]


def test_no_tool_is_left_in_a_mask_that_is_put_away() -> None:
    """Back again, it would paint at the first click, while napari shows the hand that moves."""
    viewer = ViewerModel()
    stage = NapariStage(viewer, lambda: viewer.layers[0])
    image = stage.open(phantom(1, (6, 32, 32)).volume)
    mask = stage.add(image, Prompt(BRIGHT), "#E69F00")
    viewer.layers.selection.active = mask.layer
    mask.layer.mode = "paint"
    back = stage.close(image)
    back()
    assert viewer.layers.selection.active is mask.layer
    assert (mask.layer.mode, mask.layer.cursor) == ("pan_zoom", "standard")


@pytest.mark.slow
def test_two_that_are_kept_lie_side_by_side_with_their_own_masks(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    deep, flat = two_files(tmp_path)
    viewer.open(str(deep), plugin=DIST)
    until(qtbot, lambda: dock.desk.patients.current is not None)
    painted_on(dock, viewer)
    viewer.open(str(flat), plugin=DIST)
    until(qtbot, lambda: PUT_AWAY in dock.notice.offers)
    active = viewer.layers.selection.active
    click(qtbot, pressed(dock, "Keep both"))
    assert viewer.layers.selection.active.name == active.name
    assert {"deep", "flat"} <= set(names(viewer))
    grid = grid_of(viewer)

    def apart() -> bool:
        cells: dict[str, set[tuple[int, int]]] = {"deep": set(), "flat": set()}
        for image in dock.stage.images():
            for layer in dock.stage.group(image):
                if layer.visible:
                    cells[image.name].add(grid.position(viewer.layers.index(layer), list(viewer.layers)))
        return grid.enabled and [len(one) for one in cells.values()] == [1, 1] and cells["deep"] != cells["flat"]

    until(qtbot, apart)
    dock.image.setCurrentText("flat")
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    assert dock.tracks()
    until(qtbot, apart)  # also with a mask more

    dock.opening.open(deep)
    until(qtbot, lambda: len(dock.stage.layers()) == 1)
    assert not grid.enabled


def test_each_of_two_that_are_compared_keeps_its_own_slice(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    deep, flat = two_files(tmp_path)
    dock.opening.open(deep)
    until(qtbot, lambda: dock.image.currentText() == "deep")
    dock.jump(9)
    dock.opening.open(flat)
    until(qtbot, lambda: dock.image.currentText() == "flat")
    dock.jump(1)
    keep_both(qtbot, dock)
    until(qtbot, lambda: not dock.images.entering)
    assert (dock.image.currentText(), dock.row()) == ("flat", 1)  # what one looks at stays
    for _ in range(2):
        dock.image.setCurrentText("deep")
        assert dock.row() == 9
        assert viewer.dims.nsteps[0] == 12  # as many as it has slices, and not as both together
        dock.image.setCurrentText("flat")
        assert dock.row() == 1
        assert viewer.dims.nsteps[0] == 5
    dock.jump(3)
    dock.image.setCurrentText("deep")
    assert dock.row() == 9
    assert sorted(visible_images(dock)) == ["deep", "flat"]  # neither lies over the other
    assert "Hidden" not in dock.message.text()
    dock.image.setCurrentText("flat")
    assert dock.row() == 3


def test_a_picture_beside_a_volume_leaves_it_at_its_slice_and_stays_in_sight(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    deep, picture = two_files(tmp_path)[0], tmp_path / "picture.png"
    PIL.Image.fromarray(np.zeros((500, 600), np.uint8)).save(picture)  # so large that the volume is enlarged
    dock.opening.open(deep)
    until(qtbot, lambda: dock.image.currentText() == "deep")
    dock.jump(2)
    dock.opening.open(picture)
    until(qtbot, lambda: dock.image.currentText() == "picture")
    keep_both(qtbot, dock)
    until(qtbot, lambda: not dock.images.entering)
    shown = {image.name: image for image in dock.stage.images()}
    at = 2
    for name in ("picture", "deep", "picture", "deep"):
        dock.image.setCurrentText(name)
        assert dock.stage.row(shown["deep"]) == at
        assert dock.stage.shows(shown["picture"])
        assert dock.stage.shows(shown["deep"])
        assert viewer.dims.nsteps[0] == 12
        at += 3
        viewer.dims.set_current_step(0, at)


def test_beside_a_picture_a_volume_is_shown_in_the_plane_of_its_slices_alone(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    """In another plane the picture would be a line, drawn as wide as the volume is deep, and the volume a strip."""
    deep, picture = two_files(tmp_path)[0], tmp_path / "picture.png"
    PIL.Image.fromarray(np.zeros((50, 60), np.uint8)).save(picture)
    for file in (picture, deep):
        dock.opening.open(file)
        until(qtbot, lambda name=file.name: dock.image.currentText() == name.split(".")[0])
    click(qtbot, dock.planes["coronal"])
    assert viewer.dims.order == (1, 0, 2)
    keep_both(qtbot, dock)
    assert viewer.dims.order == (0, 1, 2)
    until(qtbot, lambda: not dock.planes["coronal"].isEnabled())
    assert dock.planes["coronal"].isVisible()
    assert dock.planes["coronal"].toolTip().startswith("'picture' beside it has one plane only: remove it")
    viewer.layers.remove("picture")
    until(qtbot, dock.planes["coronal"].isEnabled)


def test_a_picture_that_takes_the_place_of_a_turned_volume_is_shown_whole() -> None:
    viewer = ViewerModel()
    stage = NapariStage(viewer, lambda: None)
    stage.open(phantom(1, (12, 64, 64)).volume)
    viewer.dims.order = 1, 0, 2
    picture = stage.open(phantom(2, (1, 40, 48)).volume)
    stage.arrive(picture)
    assert viewer.dims.order == (0, 1, 2)


def test_a_volume_that_only_passed_while_others_were_opened_is_at_its_middle_beside_them() -> None:
    viewer = ViewerModel()
    stage = NapariStage(viewer, lambda: viewer.layers[-1])
    first, deep, last = (stage.open(phantom(1, shape).volume) for shape in ((1, 40, 48), (12, 64, 64), (1, 40, 48)))
    viewer.dims.set_current_step(0, 0)  # where the first picture was
    backs = [stage.close(one) for one in (first, deep)]
    stage.arrive(last)
    for back in backs:
        back()
    stage.side_by_side([first, deep, last])
    stage.arrive(last)
    assert stage.row(deep) == 6


@pytest.mark.slow
def test_two_that_were_compared_come_back_at_their_own_slices(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    deep, flat = two_files(tmp_path)
    for file, row in ((deep, 9), (flat, 1)):
        dock.opening.open(file)
        until(qtbot, lambda name=file.name: dock.image.currentText() == name.split(".")[0])
        answered(dock, dock.chosen_image(), BRIGHT, row)
        dock.jump(row)
    keep_both(qtbot, dock)
    until(qtbot, lambda: not dock.images.entering)
    io.write_volume(phantom(3, (30, 20, 20)).volume, tmp_path / "third.nii.gz")
    dock.opening.open(tmp_path / "third.nii.gz")
    until(qtbot, lambda: dock.image.currentText() == "third")
    for file, row in ((deep, 9), (flat, 1)):
        until(qtbot, lambda: not dock.keeper.work.busy)
        dock.opening.open(file)
        until(qtbot, lambda name=file.name: dock.image.currentText() == name.split(".")[0] and bool(dock.tracks()))
        until(qtbot, lambda at=row: dock.row() == at)


@pytest.mark.slow
def test_of_two_that_are_compared_each_fills_its_place_and_has_its_own_prompts(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    """Another patient, of another size, who lay elsewhere in the scanner."""
    deep, flat = two_files(tmp_path)
    lps = np.diag([0.25, 0.25, 1.0, 1.0])
    lps[:3, 3] = 300, -200, 3
    small = phantom(2, (6, 40, 48)).volume
    io.write_volume(replace(small, grid=Grid.from_lps(small.array.shape, lps)), tmp_path / "other.nii.gz")
    dock.opening.open(deep)
    until(qtbot, lambda: dock.image.currentText() == "deep")
    type_lines(qtbot, dock, BRIGHT)
    dock.opening.open(tmp_path / "other.nii.gz")
    until(qtbot, lambda: dock.image.currentText() == "other")
    dock.prompt.setPlainText(DARK)
    own = {layer.name: layer.extent.world for layer in dock.stage.layers()}
    keep_both(qtbot, dock)
    dock.desk.notice.say("other is open.")
    until(qtbot, lambda: not dock.images.entering)
    ends = [layer.extent.world[:, -2:] for layer in dock.stage.layers()]
    assert np.allclose(ends[0].mean(axis=0), ends[1].mean(axis=0))
    assert np.allclose((ends[0][1] - ends[0][0]).max(), (ends[1][1] - ends[1][0]).max(), rtol=0.05)

    dock.image.setCurrentText("deep")
    assert dock.prompt.texts() == [BRIGHT]
    assert "other" not in dock.message.text()
    track = new_track(dock, dock.chosen_image(), BRIGHT)
    until(qtbot, lambda: np.allclose(layer_of(track).extent.world, dock.chosen_image().extent.world))
    dock.image.setCurrentText("other")
    assert dock.prompt.texts() == [DARK]

    dock.image.setCurrentText("deep")
    for file in (flat, deep):
        dock.opening.open(file)
        until(qtbot, lambda: len(dock.stage.layers()) == 1)
        dock.desk.notice.say("Written.")
        click(qtbot, pressed(dock, "Undo"))
        until(qtbot, lambda: len(dock.stage.layers()) > 1)
        assert dock.image.currentText() == "deep"  # which was in hand
        assert not dock.message.text()  # it was about the other one
    dock.desk.patients.make_room(next(image for image in dock.stage.images() if image.name == "other"))
    (left,) = dock.stage.layers()
    assert np.allclose(left.extent.world, own[left.name])  # as it lies in the scanner


def test_a_picture_and_a_volume_take_turns(qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path) -> None:
    deep, _ = two_files(tmp_path)
    picture = tmp_path / "picture.png"
    rng = np.random.default_rng(0)
    PIL.Image.fromarray(rng.integers(0, 255, (50, 60, 3), np.uint8)).save(picture)
    seen: list[tuple[Path, str]] = []
    for file, name in ((picture, "picture"), (deep, "deep"), (picture, "picture")):
        viewer.open(str(file), plugin=DIST)
        until(qtbot, lambda name=name: dock.image.currentText() == name)
        assert {one for one in names(viewer) if one != BRIGHT} == {name}
        track = mask_of_shown(qtbot, dock, again=(file, name) in seen)
        seen.append((file, name))
        assert rows_of(track)[0].any()
        until(qtbot, lambda: dock.results.count() == 1)


def mask_of_shown(qtbot: Any, dock: BoltzFormerDock, *, again: bool) -> Track:
    """Of the image on screen, found in its first slice; `again`: the one that comes back by itself."""
    if not again:
        return answered(dock, dock.chosen_image(), BRIGHT, 0)
    until(qtbot, lambda: len(dock.tracks()) == 1)
    return dock.tracks()[0]


def test_work_that_cannot_be_written_is_not_lost_with_its_image(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    deep, flat = two_files(tmp_path)
    viewer.open(str(deep), plugin=DIST)
    until(qtbot, lambda: not dock.keeper.work.busy)
    painted_on(dock, viewer)
    autosaves().parent.mkdir(parents=True, exist_ok=True)
    autosaves().write_text("a file where a folder should be", "utf-8")
    viewer.open(str(flat), plugin=DIST)
    until(qtbot, lambda: dock.notice.copy.isVisible())
    autosaves().unlink()
    until(qtbot, lambda: not dock.keeper.work.busy)
    dock.keeper.autosave()
    until(qtbot, lambda: not dock.keeper.work.busy)
    store = Dataset(autosaves())
    assert store.draft(store.case_of(io.read(deep))) is not None


def test_prompts_of_another_modality_wait_in_the_history(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, tmp_path: Path
) -> None:
    deep, _ = two_files(tmp_path)
    dock.opening.open(deep)
    until(qtbot, lambda: dock.image.currentText() == "deep")
    type_lines(qtbot, dock, "MS lesion in brain MRI", BRIGHT)
    image = dock.desk.patients.open(replace(phantom(5, (4, 32, 32)).volume, modality="CT", name="ct"))
    assert image_on(dock.chosen_image()) is image
    assert dock.prompt.texts() == [BRIGHT]
    assert "MS lesion in brain MRI" in dock.settings.prompts


@pytest.mark.slow
def test_a_file_that_tells_no_modality_takes_no_prompt_over_that_names_one(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    deep, flat = two_files(tmp_path)
    dock.desk.patients.open(replace(io.read(deep), modality="CT", name="ct"))
    type_lines(qtbot, dock, "right kidney in CT", BRIGHT)
    dock.opening.open(flat)
    until(qtbot, lambda: dock.image.currentText() == "flat")
    assert dock.prompt.texts() == [BRIGHT]
    assert "right kidney in CT" in dock.settings.prompts
    click(qtbot, pressed(dock, "Undo"))
    assert dock.prompt.texts() == ["right kidney in CT", BRIGHT]


def cells_of(dock: BoltzFormerDock, viewer: Any) -> dict[str, set[tuple[int, int]]]:
    """By image, the places of napari's grid where something of it is shown."""
    grid, layers = grid_of(viewer), list(viewer.layers)
    return {
        image.name: {grid.position(layers.index(one), layers) for one in dock.stage.group(image) if one.visible}
        for image in dock.stage.images()
    }


def turns(qtbot: Any, count: int = 20) -> None:
    """So many turns of the event loop."""
    left = iter(range(count))
    until(qtbot, lambda: next(left, None) is None)


@pytest.mark.slow
def test_two_that_are_compared_lie_still_and_stay_apart_when_a_mask_comes_or_goes(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    deep, flat = two_files(tmp_path)
    viewer.open(str(deep), plugin=DIST)
    until(qtbot, lambda: dock.desk.patients.current is not None)
    track = painted_on(dock, viewer)
    viewer.open(str(flat), plugin=DIST)
    keep_both(qtbot, dock)

    def apart() -> bool:
        cells = cells_of(dock, viewer)
        return set(cells) == {"deep", "flat"} and [len(one) for one in cells.values()] == [1, 1]

    until(qtbot, apart)
    turns(qtbot)
    came: list[Any] = []
    viewer.layers.events.inserted.connect(came.append)
    camera_of(viewer).zoom = 50.0
    turns(qtbot)
    assert not came  # arranging them has an end
    assert float(camera_of(viewer).zoom) == 50

    dock.stage.remove(track.surface)
    until(qtbot, apart)
    turns(qtbot)
    assert apart()
    assert cells_of(dock, viewer)["deep"] != cells_of(dock, viewer)["flat"]
    assert float(camera_of(viewer).zoom) == 50  # whoever zoomed in goes on there


@pytest.mark.slow
@pytest.mark.parametrize("order", [(None, 0.000325), (0.000325, None)])
def test_two_of_far_apart_scales_are_in_view_whatever_is_ringed_on_them(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, order: tuple[float | None, ...]
) -> None:
    """To napari a ring is part of the picture as far as it reaches, and it was drawn for another zoom."""
    for mm in order:
        shape = (1, 300, 400) if mm is None else (1, 900, 1200)
        grid = Grid.pixels(shape) if mm is None else Grid.from_lps(shape, np.diag([mm, mm, mm, 1.0]))
        dock.desk.patients.open(Volume(np.zeros(shape, np.uint8), grid, name=str(mm)))
        track = new_track(dock, dock.chosen_image(), BRIGHT)
        mask = np.zeros(shape, bool)
        mask[0, 20, 30] = True
        track.change_all({0: mask[0]})
        dock.show_results()
        assert NAME in names(viewer)
    keep_both(qtbot, dock)
    until(qtbot, lambda: not dock.images.entering)
    turns(qtbot)
    camera = camera_of(viewer)
    centre, zoom = np.array(camera.center), float(camera.zoom)
    pictures = [image.layer for image in dock.stage.images()]
    viewer.fit_to_view(layers=pictures)
    assert np.allclose(centre, camera.center)
    assert np.isclose(zoom, float(camera.zoom))

    def rings_are_round() -> bool:
        """napari draws a point by its layer's scale alone, and leaves out how its place is enlarged."""
        rings = [one for one in viewer.layers if one.name == NAME]
        widths = [one.size * one.scale[-1] * camera.zoom for one in rings]
        return bool(rings) and np.allclose(np.concatenate(widths), 24)

    assert rings_are_round()
    dock.desk.patients.open(Volume(np.zeros((1, 30, 50), np.uint8), Grid.pixels((1, 30, 50)), name="third"))
    click(qtbot, pressed(dock, "Undo"))
    until(qtbot, rings_are_round)


def test_a_click_on_the_one_that_is_not_in_hand_takes_it_in_hand_and_does_nothing_in_the_other(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    """napari looks at both with one camera: a place of one is a place of the other, too."""
    dock.window().show()
    masks = {}
    for name in ("one", "two"):
        dock.desk.patients.open(Volume(np.zeros((4, 60, 60), np.uint8), Grid.pixels((4, 60, 60)), name=name))
        track = masks[name] = new_track(dock, dock.chosen_image(), BRIGHT)
        track.change_all({3: np.pad(np.ones((40, 40), bool), 10)})
    keep_both(qtbot, dock)
    until(qtbot, lambda: not dock.images.entering)
    turns(qtbot)
    dock.jump(3)
    layer_of(masks["one"]).mode = layer_of(masks["two"]).mode = "paint"
    view = canvas(viewer)
    spots = [QPoint(view.width() * part // 4, view.height() // 2) for part in (1, 3)]
    chosen = []
    for spot, key in zip((*spots, spots[0]), (None, Qt.Key.Key_D, Qt.Key.Key_D), strict=True):
        view.setFocus()
        qtbot.mouseMove(view, spot)
        if key:
            qtbot.keyPress(view, key)
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=spot)
        if key:
            qtbot.keyRelease(view, key)
        until(qtbot, lambda: not (dock.desk.work.busy or dock.desk.sizes.busy))
        chosen.append(dock.image.currentText())
        assert [int(rows_of(track).sum()) for track in masks.values()] == [1600, 1600]
        assert dock.row() == 3  # where one saw it, not where it was in hand last
    assert chosen in (["one", "two", "one"], ["two", "one", "two"])
    assert dock.message.text() == f"'{chosen[-1]}' is in hand now: what you do next is done here."
    assert mask_on(viewer.layers.selection.active) is masks[chosen[-1]].surface

    for name in (chosen[-2], chosen[-1]):
        viewer.layers.selection.active = layer_of(masks[name])  # as in napari's list
        until(qtbot, lambda name=name: dock.image.currentText() == name)
        assert dock.row() == 3
        assert dock.message.text() == f"'{name}' is in hand now: what you do next is done here."
        assert viewer.layers.selection.active.name == layer_of(masks[name]).name


@pytest.mark.slow
def test_masks_of_one_name_keep_it_when_their_images_take_turns(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    """napari numbers a layer whose name another has: nobody chose to call a mask "bright blob [1]"."""
    deep, flat = two_files(tmp_path)
    ready(qtbot, dock)
    dock.opening.open(deep)
    until(qtbot, lambda: dock.image.currentText() == "deep")
    first = answered(dock, dock.chosen_image(), BRIGHT, 2)
    there = names(viewer)
    for again in (False, True):
        dock.opening.open(flat)
        until(qtbot, lambda: dock.image.currentText() == "flat")
        mask_of_shown(qtbot, dock, again=again)
        click(qtbot, pressed(dock, "Undo"))
        until(qtbot, lambda: dock.image.currentText() == "deep")
        assert names(viewer) == there
        assert first.name == BRIGHT

    dock.opening.open(flat)
    until(qtbot, lambda: dock.image.currentText() == "flat")
    second = mask_of_shown(qtbot, dock, again=True)
    keep_both(qtbot, dock)
    assert sum(BRIGHT in name for name in names(viewer)) == 2  # side by side one of them has a number in napari's list
    assert (first.name, second.name) == (BRIGHT, BRIGHT)


@pytest.mark.slow
def test_rings_that_come_back_with_their_image_are_not_doubled(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    ready(qtbot, dock)

    def rings() -> list[Any]:
        return [layer for layer in viewer.layers if layer.name.startswith(NAME)]

    tracks, places = [], []
    for file in two_files(tmp_path):
        dock.opening.open(file)
        until(qtbot, lambda file=file: dock.image.currentText() == file.name.split(".")[0])
        tracks.append(answered(dock, dock.chosen_image(), BRIGHT))
        layer_of(tracks[-1]).brush_size = 1
        places.append([dock.row(), 20, 20])
        layer_of(tracks[-1]).paint(tuple(places[-1]), 1)
        dock.show_results()
        assert [one.data.tolist() for one in rings()] == [[places[-1]]]
    click(qtbot, pressed(dock, "Undo"))
    until(qtbot, lambda: dock.image.currentText() == "deep")
    dock.show_results()
    assert [one.data.tolist() for one in rings()] == [[places[0]]]
    layer_of(tracks[0]).visible = False
    until(qtbot, lambda: not any(len(one.data) for one in rings()))


def test_a_look_lies_over_the_image_that_came_after_it(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    """Pictures lie at the same place: the layer of the last one's look would fit, beneath this one."""
    ready(qtbot, dock)
    for number, name in enumerate(("first", "second")):
        picture = phantom(number, (1, 64, 64)).volume.array[0]
        PIL.Image.fromarray((picture / 4).astype(np.uint8)).save(tmp_path / f"{name}.png")
        dock.opening.open(tmp_path / f"{name}.png")
        until(qtbot, lambda name=name: dock.image.currentText() == name)
        if name == "first":
            type_lines(qtbot, dock, BRIGHT)
        click(qtbot, dock.this_slice)
        done(qtbot, dock)
        if name == "first":
            click(qtbot, dock.looks)
        until(qtbot, lambda: dock.bottom.looks.looks is not None)
        dock.bottom.looks.step(1)
        (light,) = (layer for layer in viewer.layers if LIGHT in layer.metadata)
        assert light.visible
        assert names(viewer).index(light.name) > names(viewer).index(name)


@pytest.mark.slow
def test_points_of_two_that_are_compared_are_set_in_sight(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    """What only fills a place of the grid is a layer of points, too."""
    ready(qtbot, dock)
    for file in two_files(tmp_path):
        dock.opening.open(file)
        until(qtbot, lambda file=file: dock.image.currentText() == file.name.split(".")[0])
        if file.name.startswith("deep"):
            answered(dock, dock.chosen_image(), BRIGHT, 2)
    keep_both(qtbot, dock)
    assert "(room)" in names(viewer)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.point)
    active = viewer.layers.selection.active
    assert (active.name, active.visible) == (POINTS, True)
    for name, tools in (("deep", BRIGHT), ("flat", "flat"), ("deep", BRIGHT)):  # or a stroke lands in the other one
        dock.image.setCurrentText(name)
        assert viewer.layers.selection.active.name == tools


@pytest.mark.slow
def test_of_two_that_are_compared_each_stays_at_its_slice_with_the_bar_below_the_handle(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    """One goes through more of the slider than the other, and is enlarged beside it."""
    dock.window().resize(1366, 768)
    small, large = phantom(1, (24, 20, 20)).volume, phantom(2, (30, 64, 64)).volume
    thick = Grid.from_lps(large.array.shape, np.diag([1.0, 1.0, 5.0, 1.0]))
    images = [replace(large, grid=thick, name="large"), replace(small, grid=Grid.pixels((24, 20, 20)), name="small")]
    for volume, row in zip(images, (22, 4), strict=True):
        dock.desk.patients.open(volume)
        dock.jump(row)
        answered(dock, dock.chosen_image(), BRIGHT, row)
    keep_both(qtbot, dock)
    until(qtbot, lambda: not dock.images.entering)
    dock.desk.overview.show_tracks()
    bar = dock.bottom.review.bar

    def below(row: int) -> bool:
        """Within the slice: the slider has steps of its own."""
        return abs(middle_of_handle(bar) - bar.place(0, row).x()) <= (bar.place(0, 1) - bar.place(0, 0)).x() / 2

    for name, row in (("large", 22), ("small", 4)):
        dock.image.setCurrentText(name)
        until(qtbot, lambda row=row: dock.row() == row and bar.model.row == row)
        until(qtbot, lambda row=row: below(row))
        for _ in range(2):  # masks of it: all are arranged anew
            new_track(dock, dock.chosen_image(), DARK)
            until(qtbot, lambda: not dock.comings._arrange.isActive())
        assert dock.row() == row
        until(qtbot, lambda row=row: below(row))
