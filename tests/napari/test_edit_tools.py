"""Editing whole objects and stacks of slices: look closer in a box, begin from a mask, D + click, fill between."""

from typing import Any

import numpy as np
import pytest
from gui import answer_choice, canvas, click, done, layer_of, press, row_text, rows_of, track_named, type_lines, until
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QWidget
from storage_orders import ORDERS, grid_of, rotation, stored

from boltzformer import BoltzFormerError, Grid, Volume
from boltzformer.desk.keeping.snapshot import frozen
from boltzformer.desk.looks.following import on_screen
from boltzformer.desk.masks.by_hand import interpolated
from boltzformer.desk.masks.pointing import region_of
from boltzformer.desk.masks.track import Track
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from boltzformer.types import SliceState
from napari_boltzformer.canvas.guide import BOX
from napari_boltzformer.canvas.objects import voxel_under
from napari_boltzformer.host.layers import camera_of, image_layer
from napari_boltzformer.widget import BoltzFormerDock

pytestmark = pytest.mark.slow


def opened(viewer: Any, volume: Volume) -> Any:
    data, options, _ = image_layer(volume)
    return viewer.add_image(data, **options)


def lesion(made: Phantom, kind: str = BRIGHT) -> tuple[int, int, int]:
    """Slice, row, column in the viewer: phantoms are stored canonically."""
    i, j, k = next(one.centre for one in made.lesions if one.kind == kind)
    return k, j, i


def draw_box(viewer: Any, dock: BoltzFormerDock, qtbot: Any, low: tuple[int, int], high: tuple[int, int]) -> None:
    """On the slice on screen; what the drawing itself asks for is answered."""
    click(qtbot, dock.box)
    (r, c), (s, d), row = low, high, dock.row()
    layer = viewer.layers[BOX]
    runs = sum(len(track.runs) for track in dock.tracks())
    layer.add_rectangles(np.array([[(row, r, c), (row, r, d), (row, s, d), (row, s, c)]], float))
    until(qtbot, lambda: sum(len(track.runs) for track in dock.tracks()) > runs)
    done(qtbot, dock)


# --- look closer --------------------------------------------------------------------------------------------------


def asked(qtbot: Any, dock: BoltzFormerDock) -> Track:
    """The mask of a prompt that was asked about the slice on screen."""
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    return track


def test_the_line_of_a_box_is_seen_where_the_whole_of_a_large_slice_is_on_screen(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    opened(viewer, phantom(0, (3, 900, 900)).volume)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.box)
    layer = viewer.layers[BOX]
    assert layer.current_edge_width * camera_of(viewer).zoom * layer.scale[-1] >= 1  # pixels of the screen


def test_look_closer_asks_about_the_box_alone_and_says_so(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small.volume)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.closer)
    click(qtbot, dock.this_slice)
    assert dock.message.text().startswith("There is no box in sight to look closer in")
    assert not dock.running.runs
    row, y, x = lesion(small)
    dock.jump(row)
    low, high = (y - 26, x - 26), (y + 26, x + 26)
    draw_box(viewer, dock, qtbot, low, high)

    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    (track,) = dock.tracks()
    assert "only in the box" in dock.message.text()
    until(qtbot, lambda: "only in the box" in row_text(dock))
    assert "only in the box" in dock.bottom.review.totals.text()
    assert len(track.scores) == len(rows_of(track))  # the box goes through all slices
    told = track.runs[-1]["region"]
    assert set(told) >= {"low_lps_mm", "high_lps_mm"}
    assert rows_of(track)[row, y, x]
    outside = rows_of(track).copy()
    outside[:, y - 27 : y + 28, x - 27 : x + 28] = 0
    assert not outside.any()
    job = dock.session.segment(small.volume, BRIGHT, region=track.how[row]["region"], slices=[row])
    prediction = job.result()
    assert np.array_equal(prediction.labels().layers[0, row] > 0, rows_of(track)[row] > 0)

    click(qtbot, dock.looks)  # they are of the box, too
    sheet = dock.bottom.looks.sheet
    until(qtbot, lambda: sheet.looks is not None)
    assert sheet.looks is not None
    assert sheet.looks.plan.box == prediction.plan.box


def test_what_was_found_outside_the_box_stays(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom) -> None:
    opened(viewer, small.volume)
    type_lines(qtbot, dock, BRIGHT)
    row, y, x = lesion(small)
    dock.jump(row)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    (track,) = dock.tracks()
    before, score = rows_of(track).copy(), track.scores[row]
    assert before[row, y, x]
    far = (2, 2), (14, 14)
    assert not before[row, 2:15, 2:15].any()
    click(qtbot, dock.closer)
    draw_box(viewer, dock, qtbot, *far)
    assert np.array_equal(rows_of(track)[row, 20:, 20:], before[row, 20:, 20:])
    assert track.scores[row] >= score
    until(qtbot, lambda: "1 closer in the box" in row_text(dock))
    assert "only in the box" not in dock.bottom.review.totals.text()
    dock.bottom.review.outline.setValue(99)  # holds for both answers
    until(qtbot, lambda: rows_of(track)[row].sum() < before[row].sum())
    dock.bottom.review.reset.click()
    until(qtbot, lambda: np.array_equal(rows_of(track)[row, 20:, 20:], before[row, 20:, 20:]))
    prediction = track.kept.prediction(track.prompt, on_screen(dock.stage, dock.desk.tracks).plan)
    assert len(prediction.slices) == len(rows_of(track))  # one plan for whole slices and boxes
    mask = prediction.plan.mask(next(one for one in prediction.slices if one.index == row).plane(0))
    assert np.array_equal(mask, rows_of(track)[row] > 0)
    click(qtbot, dock.revert)
    assert np.array_equal(rows_of(track), before)


# --- use layer ----------------------------------------------------------------------------------------------------


def test_a_mask_from_elsewhere_becomes_a_persons_own_work(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, tmp_path: Any
) -> None:
    image = opened(viewer, small.volume)
    click(qtbot, dock.use_layer)
    assert "type the prompt first" in dock.message.text()
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.use_layer)
    assert "There is no layer to begin from" in dock.message.text()
    theirs = np.zeros(image.data.shape, int)
    theirs[3:6, 10:20, 10:20], theirs[4, 30:33, 30:33] = 2, 7
    layer = viewer.add_labels(theirs, name="from a colleague", scale=image.scale, translate=image.translate)
    layer.selected_label = 2
    shifted = viewer.add_labels(theirs, name="elsewhere", scale=image.scale, translate=image.translate + 5)
    answer_choice("elsewhere")
    click(qtbot, dock.use_layer)
    assert "does not lie on the voxels of" in dock.message.text()
    assert not dock.tracks()
    viewer.layers.remove(shifted)

    answer_choice("from a colleague, only label 2")
    click(qtbot, dock.use_layer)
    assert "as your own work in 3 slices" in dock.message.text()
    (track,) = dock.tracks()
    assert track.name == BRIGHT
    assert np.array_equal(rows_of(track) > 0, theirs == 2)
    assert track.edited_rows() == [3, 4, 5]
    assert not layer.visible
    assert np.array_equal(layer.data, theirs)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    assert "3 slices you edited stayed as painted" in dock.message.text()
    found = sum(bool(track.kept.mark(row).voxels) for row in range(len(rows_of(track))))
    assert f"found '{BRIGHT}' in {found}. " in dock.message.text()  # the dashed ones count
    assert found > sum(bool(track.kept.mark(row).voxels) for row in range(len(rows_of(track))) if row not in (3, 4, 5))
    assert np.array_equal(rows_of(track)[3:6] > 0, theirs[3:6] == 2)
    assert frozen(track).how_made()["began from"] == "from a colleague"
    assert dock.desk.exporting.to(tmp_path / "mask.nii.gz")

    before = rows_of(track).copy()
    answer_choice("from a colleague")
    click(qtbot, dock.use_layer)
    assert np.array_equal(rows_of(track) > 0, theirs > 0)
    layer_of(track).undo()
    assert np.array_equal(rows_of(track), before)  # one step


def test_a_mask_stored_in_another_order_is_recognised_by_its_place(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    volume = small.volume
    image = opened(viewer, volume)
    array = np.zeros(volume.array.shape, np.uint8)
    array[2, 5:9, 6:8] = 1
    lps = volume.grid.lps.copy()
    lps[:3, 3] += lps[:3, 2] * (array.shape[0] - 1)
    lps[:3, 2] *= -1
    flipped = Volume(array[::-1], type(volume.grid).from_lps(array.shape, lps), name="mask")
    assert not flipped.grid.same_as(volume.grid)
    opened(viewer, flipped)
    dock.image.setCurrentIndex(dock.image.findText(image.name))
    type_lines(qtbot, dock, DARK)
    answer_choice("mask")
    click(qtbot, dock.use_layer)
    track = track_named(dock, DARK)
    assert np.array_equal(np.argwhere(rows_of(track)), np.argwhere(array))

    values = viewer.add_image(volume.array.astype(np.int16) + 300, name="no mask", scale=image.scale)
    dock.image.setCurrentIndex(dock.image.findText(image.name))
    values.visible = True  # it lay over the chosen one
    answer_choice("no mask")
    click(qtbot, dock.use_layer)
    assert "is an image and no mask" in dock.message.text()
    assert values.visible


@pytest.mark.parametrize("shift", [0, 7])
def test_flat_labels_of_another_tool_lie_on_a_picture_that_has_one_slice(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, shift: int
) -> None:
    array = small.volume.array[8:9]
    opened(viewer, Volume(array, Grid.from_lps(array.shape, np.diag([0.5, 0.5, 0.5, 1.0])), name="picture"))
    theirs = np.zeros(array.shape[1:], np.int32)
    theirs[5:9, 6:11], theirs[5:9, 11:15], theirs[20:24, 3:5], theirs[9, 13] = 1, 300, 2, 3
    viewer.add_labels(theirs, name="theirs", scale=(0.5, 0.5), translate=(shift, shift))
    type_lines(qtbot, dock, BRIGHT)
    answer_choice("theirs")
    click(qtbot, dock.use_layer)
    if shift:
        assert "does not lie on the voxels of" in dock.message.text()
        assert not dock.tracks()
    else:
        (track,) = dock.tracks()
        parted = np.where(
            np.arange(array.shape[2]) == 10, False, (theirs > 0) & (theirs != 3)
        )  # between the two that touch
        assert np.array_equal(rows_of(track)[0] > 0, parted)
        lines = "5 of its 45 pixels are lines between labels that touch now. 1 label is gone with them: all its pixels"
        assert lines in dock.message.text()


# --- D + click ----------------------------------------------------------------------------------------------------


def place_on_canvas(viewer: Any, layer: Any, voxel: tuple[int, int, int]) -> QPoint:
    """Where the canvas shows a voxel of the slice on screen, by the camera's own numbers."""
    world, camera, middle = layer.data_to_world(voxel), camera_of(viewer), canvas(viewer).rect().center()
    down, right = ((world[axis] - camera.center[axis]) * camera.zoom for axis in (1, 2))
    return QPoint(round(middle.x() + right), round(middle.y() + down))


def test_d_and_a_click_delete_one_object_and_shift_keeps_only_that_one(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    image = opened(viewer, small.volume)
    track = asked(qtbot, dock)
    layer = layer_of(track)
    two = np.zeros(rows_of(track).shape, bool)
    two[2:7, 30:40, 30:40], two[5:9, 50:60, 20:30], two[12, 5:8, 5:8] = True, True, True
    track.restore(two, ())
    layer.refresh()
    viewer.reset_view()
    dock.jump(5)
    viewer.layers.selection.active = layer
    layer.mode = "paint"
    view = canvas(viewer)
    view.setFocus()

    def click_holding_d(voxel: tuple[int, int, int], modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        dock.desk.notice.say("")
        qtbot.keyPress(view, Qt.Key.Key_D)
        assert str(layer.mode) == "pan_zoom"
        where = None
        while where != (now := place_on_canvas(viewer, image, voxel)):  # a move of the mouse lets a dock settle
            where = now
            qtbot.mouseMove(view, where)
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, modifier, pos=where)
        until(qtbot, lambda: bool(dock.message.text()))
        qtbot.keyRelease(view, Qt.Key.Key_D)
        until(qtbot, lambda: str(layer.mode) == "paint")

    click_holding_d((5, 20, 60))
    assert dock.message.text().startswith("There is no object of 'bright blob' under the mouse")
    assert np.array_equal(rows_of(track) > 0, two)

    click_holding_d((5, 35, 35))
    assert dock.message.text().startswith("Deleted 1 object of 'bright blob' in 5 slices.")
    less = two.copy()
    less[2:7, 30:40, 30:40] = False
    assert np.array_equal(rows_of(track) > 0, less)
    press(qtbot, viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(rows_of(track) > 0, two)  # one step

    click_holding_d((5, 35, 35), Qt.KeyboardModifier.ShiftModifier)
    assert dock.message.text().startswith("Deleted 2 objects of 'bright blob' in 5 slices.")
    assert np.array_equal(rows_of(track) > 0, two & ~less)
    click_holding_d((5, 35, 35), Qt.KeyboardModifier.ShiftModifier)
    assert dock.message.text() == "'bright blob' has no other object."
    assert set(range(5, 9)) | {12} <= track.touched
    layer.undo()
    assert np.array_equal(rows_of(track) > 0, two)


def test_d_whose_release_another_window_got_deletes_nothing_later(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    image = opened(viewer, small.volume)
    track = asked(qtbot, dock)
    layer, one = layer_of(track), np.zeros(rows_of(track).shape, bool)
    one[5, 30:40, 30:40] = True
    track.restore(one, ())
    viewer.reset_view()
    dock.jump(5)
    viewer.layers.selection.active = layer
    layer.mode = "pick"
    spot, view = place_on_canvas(viewer, image, (5, 35, 35)), canvas(viewer)
    view.setFocus()
    callbacks = list(layer.mouse_drag_callbacks)
    qtbot.keyPress(view, Qt.Key.Key_D)
    assert str(layer.mode) == "pan_zoom"
    other = QWidget()
    qtbot.addWidget(other)
    other.show()
    other.activateWindow()
    until(qtbot, lambda: QGuiApplication.focusWindow() is other.windowHandle())
    assert str(layer.mode) == "pick"
    assert layer.mouse_drag_callbacks == callbacks
    other.close()
    view.setFocus()
    for _ in range(2):  # the second press comes where the first was never released
        qtbot.keyPress(view, Qt.Key.Key_D)
    qtbot.keyRelease(view, Qt.Key.Key_D)
    until(qtbot, lambda: str(layer.mode) == "pick")
    assert layer.mouse_drag_callbacks == callbacks

    viewer.layers.selection.active = image
    layer.visible = False
    dock.desk.notice.say("")
    qtbot.keyPress(view, Qt.Key.Key_D)
    qtbot.mouseMove(view, spot)
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=spot)
    until(qtbot, lambda: bool(dock.message.text()))
    qtbot.keyRelease(view, Qt.Key.Key_D)
    assert dock.message.text() == "'bright blob' is hidden, so nothing of it is deleted: show it first."
    assert np.array_equal(rows_of(track) > 0, one)


def test_in_three_dimensions_the_line_of_sight_finds_the_first_object(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small.volume)
    track = asked(qtbot, dock)
    two = np.zeros(rows_of(track).shape, bool)
    two[3, 30:40, 30:40], two[9, 30:50, 30:50] = True, True
    track.restore(two, ())

    class Event:
        dims_displayed = (0, 1, 2)
        view_direction = np.array([1.0, 0.0, 0.0])

        def __init__(self, *voxel: float) -> None:
            self.position = np.array(layer_of(track).data_to_world(voxel))

    viewer.dims.ndisplay = 3
    assert voxel_under(track, Event(-5, 35, 35)) == (3, 35, 35)
    assert voxel_under(track, Event(-5, 45, 45)) == (9, 45, 45)
    viewer.dims.ndisplay = 2


# --- fill between -------------------------------------------------------------------------------------------------


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> Any:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def test_fill_between_adds_what_lies_between_two_painted_slices(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small.volume)
    click(qtbot, dock.between)
    assert dock.message.text().startswith("There is no mask to fill")
    type_lines(qtbot, dock, BRIGHT)
    dock.jump(lesion(small)[0])
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    track.change(dock.row(), np.zeros(rows_of(track).shape[1:], bool))
    first, last = (2, 6) if dock.row() not in range(2, 7) else (9, 13)
    layer = layer_of(track)
    layer.brush_size = 9
    layer.paint((first, 30, 30), 1)
    dock.jump(first)
    click(qtbot, dock.between)
    assert dock.message.text().startswith("There is nothing to fill between: paint 'bright blob' on two slices")
    layer.brush_size = 15
    layer.paint((last, 34, 30), 1)
    before = rows_of(track).copy()
    dock.jump(last)
    click(qtbot, dock.between)
    middle = (first + last) // 2
    assert dock.message.text() == (
        f"Filled 'bright blob' in slices {first + 1} to {last - 1}, between {first} and {last}; nothing was taken away "
        "there. One Ctrl+Z on its layer brings back what was there."
    )
    assert rows_of(track)[first].sum() < rows_of(track)[middle].sum() < rows_of(track)[last].sum()
    assert set(range(first, last + 1)) <= set(track.edited_rows())
    assert np.array_equal(rows_of(track)[[first, last]], before[[first, last]])
    assert np.argwhere(rows_of(track)[middle]).mean(0).tolist() == [32, 30]
    click(qtbot, dock.between)
    assert dock.message.text().startswith("There is nothing to fill between")
    layer.undo()
    assert np.array_equal(rows_of(track), before)


def test_what_a_person_said_of_a_slice_between_stays(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small.volume)
    track = asked(qtbot, dock)
    first, last = 4, 8
    track.put(6, disc(rows_of(track).shape[1:], 60, 60, 2))  # the model's: it stays beside what is filled
    for row in (first, last):
        track.change(row, disc(rows_of(track).shape[1:], 30, 30, 5))
    track.put(7, np.zeros(rows_of(track).shape[1:], bool))
    track.say(7, SliceState.EMPTY)
    dock.jump(6)
    click(qtbot, dock.between)
    assert "1 slice between stayed untouched." in dock.message.text()
    assert not rows_of(track)[7].any()
    assert rows_of(track)[6, 60, 60]
    assert rows_of(track)[6, 30, 30]
    assert rows_of(track)[5, 30, 30]


def test_shapes_on_the_way_have_the_size_and_place_of_the_way() -> None:
    shape = 60, 70
    small_one, large_one = disc(shape, 15, 15, 4), disc(shape, 45, 50, 12)
    quarter, half = interpolated(small_one, large_one, [0.25, 0.5], (1.0, 1.0))
    for mask, share in ((quarter, 0.25), (half, 0.5)):
        wanted = disc(shape, 15 + 30 * share, 15 + 35 * share, 4 + 8 * share)
        assert 2 * (mask & wanted).sum() / (mask.sum() + wanted.sum()) > 0.85
    same = interpolated(large_one, large_one, [0.5], (0.7, 2.0))[0]
    assert np.array_equal(same, large_one)
    both = small_one | large_one
    (kept,) = interpolated(both, both, [0.3], (1.0, 1.0))
    assert np.array_equal(kept, both)


@pytest.mark.parametrize(("order", "flips"), ORDERS)
def test_the_box_is_one_place_of_the_patient_however_the_image_is_stored(
    order: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    grid = grid_of((6, 20, 30), (3.0, 0.7, 0.9))
    array = np.arange(grid.shape[0] * 600, dtype=np.int16).reshape(grid.shape)
    drawn = np.array([(2, 4.2, 9.9), (2, 12.4, 21.0)])
    wanted = region_of(Volume(array, grid), drawn)
    found = region_of(Volume(*stored(array, grid, order, flips)), drawn)
    assert np.allclose(found.low_lps_mm, wanted.low_lps_mm)
    assert np.allclose(found.high_lps_mm, wanted.high_lps_mm)
    z, y, x = wanted.box(grid, 0)
    assert z == (0, 6)  # through all slices
    assert (y[1] - y[0], x) == (12, (10, 22))  # square, around rows 4 to 12


@pytest.mark.parametrize(("order", "flips"), ORDERS)
def test_in_tilted_images_the_box_is_no_larger_than_it_was_drawn(
    order: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    grid = grid_of((60, 90, 100), (3.0, 0.8, 0.8), rotation(10, 0, 25))
    volume = Volume(np.zeros(grid.shape, np.int16), grid)
    drawn = np.array([(30, 20.0, 40.0), (30, 39.0, 59.0)])
    wanted = ((0, 60), (20, 40), (40, 60))
    assert region_of(volume, drawn).box(grid, 0) == wanted
    array, other = stored(volume.array, grid, order, flips)
    again = region_of(Volume(array, other), drawn)
    assert again.box(grid, 0) == wanted  # the same place, asked of the image as it was stored first
    assert sorted(b - a for a, b in again.box(other, order.index(0))) == [20, 20, 60]


def test_a_box_too_thin_or_beside_the_image_is_refused() -> None:
    volume = Volume(np.zeros((6, 20, 30), np.int16), grid_of((6, 20, 30), (3.0, 0.7, 0.9)))
    with pytest.raises(BoltzFormerError, match="thinner than a voxel"):
        region_of(volume, np.array([(2, 4, 9.9), (2, 4.5, 21.0)]))
    with pytest.raises(BoltzFormerError, match="outside of the image"):
        region_of(volume, np.array([(2, 40.0, 9.9), (2, 50.0, 21.0)]))
