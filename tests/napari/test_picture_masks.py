"""Pictures and cells in the viewer: one button to run, masks as outlines that contrast, a slider that fills them, one
label per object, and clicks that split and join."""

from typing import Any

import numpy as np
import pytest
from gui import canvas, click, keep_both, layer_of, row_text, rows_of, until
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from boltzformer import Grid, Prompt, SlicePlan, SliceResult, Volume
from boltzformer.desk.masks.track import Track
from boltzformer.masks.objects import pieces
from napari_boltzformer.canvas.cells import CELLS
from napari_boltzformer.dock.form import CORRECT
from napari_boltzformer.dock.opening import is_mask_on, layers_offered
from napari_boltzformer.host.layers import camera_of, volume_of
from napari_boltzformer.host.mask import NapariMask
from napari_boltzformer.host.stage import FOR, image_on
from napari_boltzformer.widget import BoltzFormerDock

SHAPE = 80, 120


def discs(*places: tuple[int, int, int]) -> Any:
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.any([(y - row) ** 2 + (x - column) ** 2 <= radius**2 for row, column, radius in places], axis=0)


def found(dock: BoltzFormerDock, image: Any, mask: Any) -> Track:
    """As a model would have found it."""
    volume = volume_of(image)
    plan = SlicePlan.of(volume.grid, max(SHAPE), volume.slice_axis)
    return answer(dock, dock.desk.tracks.new(image_on(image), Prompt("cell")), plan, mask)


def answer(dock: BoltzFormerDock, track: Track, plan: SlicePlan, mask: Any) -> Track:
    track.begin_run(plan, 0.5)
    logits = (plan.to_answer(np.where(mask, 4.0, -4.0), max(SHAPE), -4.0) * 16).astype(np.int8)
    track.answer(plan, SliceResult(0, logits[None], np.array([0.9], np.float32)), 0, {"seed": 0})
    dock.desk.overview.show_tracks()
    dock.desk.counting.due(track)
    dock.desk.sizes.now()
    dock.desk.counting.now()
    return track


def count(track: Track) -> int:
    return int(pieces(rows_of(track)[0]).max())


def test_an_outline_is_as_wide_as_the_zoom_asks_and_a_width_that_a_person_chose_stays() -> None:
    """A line of one pixel is gone where one of the screen is many; napari draws one more than it is asked for."""
    for side, widest in ((1500, 8), (4000, 6)):  # around all of a larger one napari would draw for seconds
        layer = Labels(np.zeros((12, side), np.uint8))
        mask = NapariMask(ViewerModel(), layer, "image", "#000000")
        mask.fill(0)
        for pixel, wide in ((0.2, 1), (2.0, 3), (30.0, widest), (1.0, 1)):
            mask.outline(pixel)
            assert layer.contour == wide
        mask.fill(0.3)
        mask.outline(2.0)
        assert layer.contour == 0
        mask.fill(0)
        assert layer.contour == 3
    layer.contour = 5
    mask.outline(1.0)
    assert layer.contour == 5


def test_the_outlines_of_a_picture_follow_the_zoom(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    track = found(dock, viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture"), discs((40, 60, 20)))

    def drawn(zoom: float) -> int:
        camera_of(viewer).zoom = zoom  # a dock that comes to light brings all of the picture into view once more
        return int(layer_of(track).contour)

    until(qtbot, lambda: drawn(0.25) == 7)
    until(qtbot, lambda: drawn(4.0) == 1)


def test_a_picture_has_one_button_to_run_and_its_masks_are_outlines(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    volume = viewer.add_image(np.zeros((3, *SHAPE), np.uint8), name="volume")
    assert (dock.this_slice.text(), dock.all_slices.isVisibleTo(dock)) == ("This slice", True)
    fill = dock.bottom.fill
    assert fill.words.text() == "fill 35 %"  # as the first mask will be
    picture = viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture")
    assert (dock.this_slice.text(), dock.all_slices.isVisibleTo(dock)) == ("Run", False)
    assert fill.words.text() == "outline"
    assert dock.table.text() == "Object table"
    assert not [one.toolTip() for one in (dock.objects, dock.closer) if "slice" in one.toolTip()]
    dock.prompt.setPlainText("cell")
    dock.guide.box()
    assert "only there in this picture" in dock.message.text()
    dock.guide.escape()
    track, other = found(dock, picture, discs((40, 60, 20))), dock.desk.tracks.new(image_on(volume), Prompt("x"))
    assert (layer_of(track).contour, layer_of(track).opacity) == (1, 1.0)
    assert (layer_of(other).contour, layer_of(other).opacity) == (0, 0.35)
    assert (fill.slider.value(), fill.words.text()) == (0, "outline")
    fill.slider.setFocus()
    qtbot.keyClick(fill.slider, Qt.Key.Key_PageUp)
    assert (layer_of(track).contour, layer_of(track).opacity, fill.words.text()) == (0, 0.1, "fill 10 %")
    later = dock.desk.tracks.new(image_on(picture), Prompt("asked later"))  # looks as the others were made to look
    assert (layer_of(later).contour, layer_of(later).opacity, fill.words.text()) == (0, 0.1, "fill 10 %")
    assert layer_of(other).opacity == 0.35
    dock.image.setCurrentIndex(dock.image.findText("volume"))
    assert (fill.slider.value(), dock.table.text()) == (35, "Lesion table")
    assert all("slices" in one.toolTip() for one in (dock.objects, dock.closer))
    assert dock.all_slices.isVisibleTo(dock)


def test_the_tab_of_the_table_is_called_as_its_button(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    viewer.add_image(np.zeros((3, *SHAPE), np.uint8), name="volume")
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture")
    click(qtbot, dock.table)
    outer = dock.beside.lesions.parent()
    for image, name in (("picture", "Object table"), ("volume", "Lesion table"), ("picture", "Object table")):
        dock.image.setCurrentIndex(dock.image.findText(image))
        assert {dock.table.text(), outer.windowTitle(), outer.titleBarWidget().title.text()} == {name}


def test_thresholds_and_sizes_of_a_picture_are_in_sight_without_a_bar_of_slices(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    viewer.add_image(np.zeros((3, *SHAPE), np.uint8), name="volume")
    picture, review = viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture"), dock.bottom.review
    assert not review.isVisible()
    found(dock, picture, discs((40, 60, 20)))
    until(qtbot, lambda: review.gate.isVisible())
    assert dock.bottom.sizes.smallest.isVisible()
    assert dock.bottom.sizes.apart.isVisible()
    assert (review.bar.isVisible(), review.parent().windowTitle()) == (False, "Thresholds")
    dock.image.setCurrentIndex(dock.image.findText("volume"))
    until(qtbot, lambda: (review.bar.isVisible(), review.parent().windowTitle()) == (True, "Slices"))


def test_one_label_per_object_by_a_tick_and_two_keys(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    picture = viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture")
    track = found(dock, picture, discs((30, 30, 12), (30, 51, 12), (20, 95, 9)))
    assert count(track) == 2
    sizes = dock.bottom.sizes
    assert sizes.apart.isVisibleTo(sizes)
    click(qtbot, dock.bottom.sizes.apart)
    until(qtbot, lambda: count(track) == 3)
    until(qtbot, lambda: "3 objects" in row_text(dock))
    dock.show_act(CORRECT)
    until(qtbot, dock.by_click.isVisible)
    assert len(dock.by_click.text()) <= 70
    assert not dock.between.isVisible()
    click(qtbot, dock.bottom.sizes.apart)
    until(qtbot, lambda: count(track) == 2 and not dock.by_click.isVisible())

    viewer.layers.selection.active = layer_of(track)
    held(qtbot, viewer, Qt.Key.Key_S, layer_of(track), (30, 41))
    until(qtbot, lambda: count(track) == 3)
    assert dock.message.text().startswith("One object is two now: 3 objects of 'cell'.")
    held(qtbot, viewer, Qt.Key.Key_J, layer_of(track), (30, 41))
    until(qtbot, lambda: count(track) == 2)
    layer_of(track).undo()
    assert count(track) == 3
    layer_of(track).undo()
    assert np.array_equal(rows_of(track)[0] > 0, discs((30, 30, 12), (30, 51, 12), (20, 95, 9)))


def at(viewer: Any, layer: Any, pixel: tuple[int, int]) -> Any:
    """Where on the canvas a pixel lies."""
    from napari_boltzformer.host.layers import camera_of

    camera, middle = camera_of(viewer), canvas(viewer).rect().center()
    world = np.array(layer.data_to_world(pixel)) - np.array(camera.center[-2:])
    middle.setX(round(middle.x() + world[1] * camera.zoom))
    middle.setY(round(middle.y() + world[0] * camera.zoom))
    return middle


def held(qtbot: Any, viewer: Any, key: Any, layer: Any, pixel: tuple[int, int]) -> None:
    """A click with a key down."""
    native, place = canvas(viewer), None
    native.setFocus()
    while place != (now := at(viewer, layer, pixel)):  # a move of the mouse lets a dock settle
        place = now
        qtbot.mouseMove(native, place)
    qtbot.keyPress(native, key)
    qtbot.mouseClick(native, Qt.MouseButton.LeftButton, pos=place)
    qtbot.keyRelease(native, key)


def test_sliders_act_on_a_picture_beneath_strokes_and_undo_takes_the_stroke_alone(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    picture = viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture")
    large, speck = discs((40, 40, 15)), discs((10, 100, 2))
    track = found(dock, picture, large | speck)
    layer = layer_of(track)
    stroke = np.zeros(SHAPE, bool)
    stroke[60:64, 60:64] = True
    high = dock.bottom.review.totals.sizeHint().height()
    layer.data_setitem(np.nonzero(stroke), 1)
    assert dock.bottom.review.totals.sizeHint().height() == high  # the picture stays where it is under the brush
    dock.bottom.sizes.smallest.setValue(8)
    until(qtbot, lambda: not rows_of(track)[0][speck].any())
    assert np.array_equal(rows_of(track)[0] > 0, large | stroke)
    assert "what you painted or erased stays" in dock.bottom.review.totals.text()
    dock.bottom.review.gate.setValue(95)
    until(qtbot, lambda: np.array_equal(rows_of(track)[0] > 0, stroke))
    dock.bottom.review.gate.setValue(50)
    until(qtbot, lambda: np.array_equal(rows_of(track)[0] > 0, large | stroke))
    layer.undo()
    assert np.array_equal(rows_of(track)[0] > 0, large)
    dock.bottom.sizes.smallest.setValue(0)
    until(qtbot, lambda: np.array_equal(rows_of(track)[0] > 0, large | speck))
    assert not track.edited(0)


def test_one_undo_takes_a_run_back_where_a_stroke_was_and_redo_brings_its_objects_apart(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    track = found(dock, viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture"), discs((40, 40, 15)))
    layer, before, plan = layer_of(track), rows_of(track).copy(), track.plan
    assert plan is not None
    dock.desk.overview.reapplying.choose_objects(apart=True)
    layer.paint((5, 5), 1)
    layer.undo()
    assert np.array_equal(rows_of(track), before)
    answer(dock, track, plan, discs((40, 40, 15), (40, 66, 15)))
    until(qtbot, lambda: count(track) == 2 and not dock.desk.sizes.busy)
    layer.undo()
    assert np.array_equal(rows_of(track), before)
    layer.redo()
    assert count(track) == 2


def test_a_picture_is_not_moved_from_under_its_masks(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    picture = viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture")
    picture.mode = "transform"
    assert picture.mode == "transform"  # nothing lies on it yet: whoever places it may
    picture.mode = "pan_zoom"
    track = found(dock, picture, discs((40, 40, 15)))
    for layer in (picture, layer_of(track)):
        layer.mode = "transform"
        assert layer.mode == "pan_zoom"
        assert dock.message.text().startswith(f"'{layer.name}' stays where it lies: moved, it would not fit.")


@pytest.mark.slow
def test_of_two_pictures_that_are_compared_both_keep_the_colours_of_their_objects(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    rng, tracks = np.random.default_rng(0), []
    for name in ("one", "two"):
        voxels = rng.integers(0, 255, (1, *SHAPE)).astype(np.uint8)
        image = dock.desk.patients.open(Volume(voxels, Grid.pixels((1, *SHAPE)), name=name))
        track = found(dock, image.layer, discs((40, 40, 15), (40, 66, 15), (40, 92, 15)))
        if not dock.bottom.sizes.apart.isChecked():  # remembered from one to the next
            dock.bottom.sizes.apart.click()
        until(qtbot, lambda track=track: count(track) == 3)
        tracks.append(track)
    keep_both(qtbot, dock)

    def coloured() -> set[str]:
        return {layer.metadata[FOR] for layer in viewer.layers if CELLS in layer.metadata and layer.visible}

    for name in ("one", "two"):
        dock.image.setCurrentText(name)
        until(qtbot, lambda: not dock.desk.work.busy and coloured() == {track.image.key for track in tracks})


def test_a_dim_picture_beside_another_one_is_no_mask() -> None:
    rng, cells = np.random.default_rng(0), discs((40, 40, 15), (40, 80, 15)).astype(np.uint8)
    picture = Image(rng.integers(0, 255, SHAPE).astype(np.uint8))
    assert is_mask_on(Image(cells), picture)
    assert not is_mask_on(Image(rng.poisson(0.7, SHAPE).astype(np.uint8)), picture)


def test_of_two_pictures_that_are_compared_none_is_offered_as_the_mask_of_the_other(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    for name in ("one", "two"):
        image = dock.desk.patients.open(Volume(np.ones((1, *SHAPE), np.uint8), Grid.pixels((1, *SHAPE)), name=name))
        viewer.add_labels(np.ones(SHAPE, np.uint8), name=f"mask of {name}")
    keep_both(qtbot, dock)
    assert {"one", "two", "mask of one"} <= {layer.name for layer in viewer.layers}
    beside = dock.desk.patients.beside
    assert list(layers_offered(dock.stage, image.layer, beside)) == ["mask of two", "mask of one"]
    viewer.layers["mask of one"].translate = (3, 0)  # it does not lie on this one any more
    assert list(layers_offered(dock.stage, image.layer, beside)) == ["mask of two"]


@pytest.mark.slow
def test_neighbours_have_other_colours_where_each_object_is_labelled(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    picture = viewer.add_image(np.zeros(SHAPE, np.uint8), name="picture")
    track = found(dock, picture, discs((40, 40, 15), (40, 66, 15), (40, 92, 15)))
    apart, active = dock.bottom.sizes.apart, viewer.layers.selection.active

    def colours() -> list[Any]:
        return [layer for layer in viewer.layers if CELLS in layer.metadata]

    assert not colours()
    apart.click()
    until(qtbot, lambda: len(colours()) == 1 and count(track) == 3)
    until(qtbot, lambda: np.array_equal(colours()[0].data > 0, rows_of(track)[0] > 0))
    (shown,) = colours()
    one, two, three = (int(shown.data[40, column]) for column in (40, 66, 92))
    assert one != two != three
    assert (shown.contour, shown.opacity) == (layer_of(track).contour, layer_of(track).opacity)
    assert viewer.layers.selection.active == active
    dock.bottom.fill.slider.setValue(30)
    until(qtbot, lambda: (shown.contour, shown.opacity) == (0, 0.3))
    assert "(cells)" not in layers_offered(dock.stage, dock.stage.chosen().layer, dock.desk.patients.beside)

    layer_of(track).paint((40, 40), 0)
    until(qtbot, lambda: not shown.data[40, 40])
    apart.click()
    until(qtbot, lambda: not colours())
    apart.click()
    until(qtbot, lambda: len(colours()) == 1)
    layer_of(track).visible = False
    until(qtbot, lambda: not colours())
