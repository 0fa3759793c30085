"""What napari asks of a plugin: writing, the layer action, upright planes; and what the model is shown."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from gui import DIST, click, done, ready, rows_of, type_lines, until
from napari.components import ViewerModel
from napari.layers import Image, Labels
from phantom_model import PHANTOM_MODEL
from storage_orders import ORDERS, grid_of, rotation, stored

from boltzformer import Grid, LabelMap, Prompt, Session, Volume, Window, io
from boltzformer.desk.keeping.snapshot import Snapshot
from boltzformer.desk.masks.pointing import stored_voxel
from boltzformer.desk.masks.track import Track
from boltzformer.io.phantom import BRIGHT, Phantom
from napari_boltzformer.files.actions import segment, segmented
from napari_boltzformer.files.writers import write_labels
from napari_boltzformer.host.centring import look_at
from napari_boltzformer.host.compared import bring_together, put_back
from napari_boltzformer.host.layers import (
    camera_of,
    empty_labels,
    facts_of,
    has_sides,
    image_layer,
    lies_on_screen,
    sides,
    volume_of,
)
from napari_boltzformer.host.mask import NapariMask
from napari_boltzformer.host.stage import NapariStage, image_on
from napari_boltzformer.widget import BoltzFormerDock


def test_masks_of_all_48_storage_orders_are_written_voxel_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    array, grid = rng.random((5, 6, 7)).astype(np.float32), grid_of((5, 6, 7), (3.0, 1.0, 0.8), rotation(9, -4, 12))
    truth = rng.random(array.shape) < 0.3
    for number, (order, flips) in enumerate(ORDERS):
        moved, place = stored(array, grid, order, flips)
        mask, _ = stored(truth, grid, order, flips)
        volume = Volume(moved, place, name="x")
        data, options, _ = image_layer(volume)
        image = image_on(Image(data, **options))
        assert np.array_equal(image.volume.array, moved)
        seen, about = empty_labels(image.layer, "lesion")
        layer = Labels(seen, **about, metadata={"boltzformer": facts_of(volume)})
        track = Track(NapariMask(ViewerModel(), layer, image.key, "#000000"), image, Prompt("lesion"))
        view = place.canonical(volume.slice_axis)
        rows_of(track)[...] = view.apply(mask)
        labels = Snapshot.of(image, [track]).labels()
        assert np.array_equal(labels.layers[0] > 0, mask)
        (path, *_) = write_labels(str(tmp_path / f"{number}.nii.gz"), [layer.as_layer_data_tuple()])
        back = io.read(path)
        assert back.grid.same_as(place)
        assert np.array_equal(back.array > 0, mask)
        k, j, i = np.argwhere(mask)[0].tolist()
        canonical = np.argwhere(view.apply(_only(mask.shape, (k, j, i))))[0]
        assert stored_voxel(volume, canonical) == (i, j, k)


def _only(shape: tuple[int, ...], place: tuple[int, ...]) -> Any:
    one = np.zeros(shape, bool)
    one[place] = True
    return one


def test_several_layers_are_saved_in_one_file_by_napari_itself(viewer: Any, tmp_path: Path) -> None:
    one = viewer.add_labels(np.array([[0, 1], [2, 0]]), name="one", scale=(2, 3))
    two = viewer.add_labels(np.array([[1, 1], [0, 0]]), name="two", scale=(2, 3))
    viewer.layers.selection = {one, two}
    written = viewer.layers.save(str(tmp_path / "both.seg.nrrd"), selected=True, plugin=DIST)
    labels = io.read_labels(written[0])
    assert sorted(labels.names.values()) == ["one 1", "one 2", "two"]
    assert labels.grid.spacing_mm == (3.0, 2.0, 1.0)


def test_planes_hang_upright_and_the_letters_say_which_side_is_which(
    viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    for order, flips in (ORDERS[0], ORDERS[-1], ORDERS[17]):
        array, grid = stored(small.volume.array, small.volume.grid, order, flips)
        data, options, _ = image_layer(Volume(array, grid, name="head"))
        image = viewer.add_image(data, **options)
        for axes in ((0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)):
            viewer.dims.order = axes
            vertical, horizontal = (str(one).lower() for one in camera_of(viewer).orientation2d)
            begin, end = sides(image, axes[1])
            top = end if "up" in vertical else begin
            assert top in ("H", "A", "L", "R")
            left = sides(image, axes[2])[1 if "left" in horizontal else 0]
            assert left in ("R", "A", "H", "F")
            assert f"top {top}" in viewer.canvas.overlays.text.text
            assert f"left {left}" in viewer.canvas.overlays.text.text
            assert viewer.canvas.overlays.text.visible
        viewer.dims.order = (0, 1, 2)
        viewer.layers.remove(image)


def test_a_place_that_a_table_leads_to_moves_no_picture_that_is_wholly_in_view() -> None:
    viewer = ViewerModel()
    viewer.canvas.size = 200, 400
    layer = viewer.add_image(np.zeros((3, 100, 100)), scale=(5, 1, 1))
    camera = camera_of(viewer)
    camera.zoom, camera.center = 1.5, (0, 49.5, 49.5)
    look_at(viewer, layer, (5, 10, 90))
    assert np.allclose(camera.center, (0, 49.5, 49.5))  # all of it is on the screen
    camera.center = 0, -80, 49.5
    look_at(viewer, layer, (5, 10, 90))
    assert np.allclose(camera.center, (0, 49.5, 49.5))  # half of it was out of sight

    camera.zoom = 3  # of 200 pixels: 33 rows to each side; all columns
    look_at(viewer, layer, (5, 10, 90))
    assert np.allclose(camera.center, (0, -0.5 + 100 / 3, 49.5))  # no further than its edge
    camera.zoom = 10
    look_at(viewer, layer, (5, 50, 60))
    assert np.allclose(camera.center, (0, 50, 60))
    camera.center = 0, 50, 60
    look_at(viewer, layer, (5, 99, 60))
    assert np.allclose(camera.center, (0, 99.5 - 10, 60))


def test_a_picture_shows_no_sides_that_nobody_knows(viewer: Any, dock: BoltzFormerDock, tmp_path: Path) -> None:
    labels = np.zeros((1, 1, 24, 32), np.uint8)
    labels[..., 4:9] = 1
    (picture,) = io.write(LabelMap(labels, Grid.pixels(labels.shape[1:]), {1: "a"}), tmp_path / "plain.png")
    viewer.open(str(picture), plugin=DIST)
    assert dock.image.count() == 1
    assert not viewer.canvas.overlays.text.visible
    flat = Grid.from_lps((1, 24, 32), np.diag([0.5, 0.5, 3, 1]))
    io.write_volume(Volume(labels[0], flat), tmp_path / "flat.nii.gz")
    viewer.open(str(tmp_path / "flat.nii.gz"), plugin=DIST)
    assert viewer.canvas.overlays.text.visible


@pytest.mark.parametrize("placed", [False, True])
def test_the_sides_of_an_image_of_1_mm_at_the_origin_are_known_where_its_file_says_them(placed: bool) -> None:
    grid = Grid.pixels((4, 24, 32))
    data, options, _ = image_layer(Volume(np.zeros(grid.shape, np.uint8), grid, source="scan.nii.gz", placed=placed))
    layer = Image(data, **options)
    assert has_sides(layer) == placed
    assert volume_of(layer).placed == placed


@pytest.mark.parametrize("shape", [(24, 32), (5, 24, 32)])
def test_micrometres_make_no_patient_of_a_picture(
    viewer: Any, dock: BoltzFormerDock, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    told = {"unit": "um", "axes": "ZYX"[-len(shape) :]}
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(tmp_path / "well.tif", values, imagej=True, resolution=(1 / 0.325, 1 / 0.325), metadata=told)
    viewer.open(str(tmp_path / "well.tif"), plugin=DIST)
    image = dock.desk.stage.chosen()
    assert image is not None
    assert image.scale.length_unit == "µm"
    io.write_volume(image.volume, tmp_path / "kept.nii.gz")  # as an accepted one is
    for path in (None, tmp_path / "kept.nii.gz"):
        if path is not None:
            viewer.open(str(path), plugin=DIST)
        assert not viewer.canvas.overlays.text.visible
        assert not any(button.isVisibleTo(dock) for button in dock.planes.values())


def test_three_planes_can_be_looked_at(viewer: Any, dock: BoltzFormerDock, qtbot: Any) -> None:
    click(qtbot, dock.example)
    until(qtbot, lambda: dock.image.count() == 1)
    shots = Path(__file__).parents[2] / "screenshots"
    shots.mkdir(exist_ok=True)
    for name, order in (("axial", (0, 1, 2)), ("coronal", (1, 0, 2)), ("sagittal", (2, 0, 1))):
        viewer.dims.order = order
        viewer.reset_view()
        picture = viewer.screenshot(path=str(shots / f"plane-{name}.png"), canvas_only=True, flash=False)
        assert picture.std() > 20
        assert "top H" in viewer.canvas.overlays.text.text or name == "axial"


def test_the_window_is_the_models_own_and_recorded(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    image = viewer.add_image(data, **options)
    image.contrast_limits = (10, 60)  # changes nothing
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    assert track.runs[0]["window"]["kind"] == small.volume.window().kind
    click(qtbot, dock.seeing.mine)
    until(qtbot, lambda: not dock.seeing.picture.pixmap().isNull())
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    assert track.runs[1]["window"] == {"low": 10.0, "high": 60.0, "kind": "the viewer's contrast", "zero": False}
    dock.seeing.choice.setCurrentText("lung")  # whoever chooses a window wants to see it
    wanted = Window.choose("lung", small.volume.array, small.volume.modality)
    until(qtbot, lambda: tuple(image.contrast_limits) == (wanted.low, wanted.high))


@pytest.mark.slow
def test_the_layer_action_returns_layer_data(
    qtbot: Any, viewer: Any, small: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, options, _ = image_layer(small.volume)
    image = viewer.add_image(data, **options)
    with Session.local(PHANTOM_MODEL) as session:
        mask, about, kind = segmented(image, BRIGHT, session)
    assert kind == "labels"
    assert mask.shape == image.data.shape
    assert mask.any()
    assert tuple(about["scale"]) == tuple(image.scale)
    form = segment()
    viewer.window.add_dock_widget(form)
    form.reset_choices()
    form.prompt.value, form.model.value = BRIGHT, str(PHANTOM_MODEL)
    assert form.image.value is not None
    form()
    until(qtbot, lambda: any(layer.name == BRIGHT for layer in viewer.layers))
    assert np.array_equal(np.asarray(viewer.layers[BRIGHT].data) > 0, mask > 0)


def test_another_model_is_loaded_and_remembered(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom) -> None:
    ready(qtbot, dock)
    until(qtbot, lambda: dock.models.choice.findData("default") >= 0)
    dock.models.choice.setCurrentIndex(dock.models.choice.findData("default"))
    dock.models.choice.activated.emit(dock.models.choice.currentIndex())
    until(qtbot, lambda: dock.session.model == "default")
    assert dock.message.text().startswith("The model is loaded")
    again = BoltzFormerDock(viewer)
    qtbot.addWidget(again)
    assert again.session.model == "default"
    again.session.close()


def test_two_volumes_at_no_common_height_lie_beside_each_other_when_they_are_compared() -> None:
    """Else one place of the grid would be empty wherever one scrolls."""
    chest = Image(np.zeros((20, 30, 40)), scale=(5, 1, 1), translate=(-800, 0, 0))
    head = Image(np.zeros((10, 30, 40)), scale=(4, 1, 1), translate=(100, 0, 0))
    bring_together([chest, head], [[chest], [head]])
    assert all(lies_on_screen(head, chest.data_to_world((row, 5, 5))) for row in range(6, 13))
    near = Image(np.zeros((10, 30, 40)), scale=(4, 1, 1), translate=(-790, 0, 0))
    own = near.extent.world
    bring_together([chest, near], [[chest], [near]])
    assert np.allclose(near.extent.world, own)  # at its own height in the scanner


def test_a_picture_beside_a_volume_is_there_at_all_its_slices_and_goes_back() -> None:
    deep = Image(np.zeros((20, 30, 40)), scale=(5, 1, 1), translate=(-40, 0, 0))
    picture = Image(np.zeros((1, 30, 40)))
    own = picture.extent.world
    bring_together([deep, picture], [[deep], [picture]])
    assert all(lies_on_screen(one, (at, 5.0, 5.0)) for one in (deep, picture) for at in range(-42, 57))
    assert not any(lies_on_screen(one, (at, 5.0, 5.0)) for one in (deep, picture) for at in (-45.0, 60.0))
    put_back([deep, picture])
    assert np.allclose(picture.extent.world, own)
    large = Image(np.zeros((1, 300, 400)))
    bring_together([large, deep], [[large], [deep]])
    assert all(lies_on_screen(large, deep.data_to_world((row, 5, 5))) for row in range(20))  # which is enlarged


def test_an_image_in_place_of_another_begins_at_its_middle_in_every_plane() -> None:
    """Where the other one was looked at in coronal, this one may have nothing but its edge."""
    viewer = ViewerModel()
    stage = NapariStage(viewer, lambda: next((one for one in viewer.layers if isinstance(one, Image)), None))
    first = stage.open(Volume(np.zeros((10, 60, 60), np.uint8), Grid.from_lps((10, 60, 60), np.eye(4))))
    stage.arrive(first)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_point(1, 50.0)
    stage.close(first)
    second = stage.open(Volume(np.zeros((8, 20, 30), np.uint8), Grid.from_lps((8, 20, 30), np.eye(4))))
    stage.arrive(second)
    assert viewer.layers[0].world_to_data(viewer.dims.point).round().tolist() == [4, 10, 15]
    viewer.dims.set_point(1, 3.0)
    back = stage.close(second)
    back()
    stage.arrive(second)
    assert viewer.layers[0].world_to_data(viewer.dims.point).round().tolist() == [4, 3, 15]  # as it was left
