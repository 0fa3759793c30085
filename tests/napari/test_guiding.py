"""Pointing: a click on the canvas and the slice is looked at again; on an edited slice the answer is only proposed."""

from typing import Any

import numpy as np
import pytest
from gui import answered, canvas, click, done, layer_of, press, rows_of, type_lines, until
from qtpy.QtCore import QPoint, Qt

from boltzformer.desk.masks.pointing import stored_voxel
from boltzformer.io.phantom import BRIGHT, Phantom
from napari_boltzformer.canvas.guide import POINTS
from napari_boltzformer.canvas.proposals import NAME, TOPIC, dashes
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.widget import BoltzFormerDock

pytestmark = pytest.mark.slow  # whole stories in the viewer


def opened(viewer: Any, made: Phantom) -> Any:
    data, options, _ = image_layer(made.volume)
    return viewer.add_image(data, **options)


def middle(viewer: Any) -> QPoint:
    return canvas(viewer).rect().center()


def test_a_click_points_and_the_answer_follows(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom) -> None:
    opened(viewer, small)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.unpoint)
    assert dock.message.text() == "No point or box is in sight to remove: set a point, or draw a box first."
    click(qtbot, dock.point)
    points = viewer.layers[POINTS]
    assert str(points.mode) == "add"
    row = dock.row()
    qtbot.mouseMove(canvas(viewer), middle(viewer))
    qtbot.mouseClick(canvas(viewer), Qt.MouseButton.LeftButton, pos=middle(viewer))
    assert len(points.data) == 1
    until(qtbot, lambda: bool(dock.tracks()) and row in dock.tracks()[0].scores)
    done(qtbot, dock)
    (track,) = dock.tracks()
    (made,) = track.runs
    (told,) = made["guidance"]
    place = stored_voxel(small.volume, tuple(points.data[0]))
    assert np.allclose(told["here"], [place])
    assert told["prompt"] == BRIGHT

    beside = middle(viewer) + QPoint(40, 30)
    viewer.layers.selection.active = points
    qtbot.mouseClick(canvas(viewer), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, pos=beside)
    assert len(points.data) == 2
    assert list(points.features["here"]) == [True, False]
    until(qtbot, lambda: len(track.runs) == 2)
    (told,) = track.runs[1]["guidance"]
    assert len(told["here"]) == len(told["not_here"]) == 1
    click(qtbot, dock.unpoint)
    assert len(points.data) == 1
    until(qtbot, lambda: len(track.runs) == 3)


def test_on_an_edited_slice_the_answer_is_dashed_until_it_is_taken(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small)
    type_lines(qtbot, dock, BRIGHT)
    dock.jump(next(one.centre[2] for one in small.lesions if one.kind == BRIGHT))
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    row = dock.row()
    answer = rows_of(track)[row].copy()
    assert answer.any()
    layer_of(track).paint((row, 2, 2), 1)
    edited = rows_of(track)[row].copy()
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    assert np.array_equal(rows_of(track)[row], edited)
    until(qtbot, lambda: NAME in [layer.name for layer in viewer.layers])
    for ask in (dock.next, dock.sure):  # no other sentence takes its place
        click(qtbot, ask)
        done(qtbot, dock)
        assert dock.notice.offers[TOPIC].label.text() == (
            "The answer for 'bright blob' is only dashed here: Enter takes it, Escape drops it."
        )
    viewer.layers.selection.active = layer_of(track)
    canvas(viewer).setFocus()
    press(qtbot, viewer, Qt.Key.Key_Return)
    assert TOPIC not in dock.notice.offers
    assert np.array_equal(rows_of(track)[row], answer)
    assert NAME not in [layer.name for layer in viewer.layers]
    layer_of(track).undo()
    assert np.array_equal(rows_of(track)[row], edited)  # taking was one step
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    until(qtbot, lambda: NAME in [layer.name for layer in viewer.layers])
    viewer.layers.selection.active = layer_of(track)
    viewer.dims.order = (1, 0, 2)  # another plane shows nothing of it: nobody takes what can't be seen
    until(qtbot, lambda: NAME not in [layer.name for layer in viewer.layers])
    press(qtbot, viewer, Qt.Key.Key_Return)
    assert np.array_equal(rows_of(track)[row], edited)
    viewer.dims.order = (0, 1, 2)
    until(qtbot, lambda: NAME in [layer.name for layer in viewer.layers])
    viewer.layers.selection.active = layer_of(track)
    press(qtbot, viewer, Qt.Key.Key_Escape)
    assert NAME not in [layer.name for layer in viewer.layers]
    assert np.array_equal(rows_of(track)[row], edited)
    assert not track.proposals


def test_enter_and_escape_answer_what_is_dashed_while_points_or_a_box_have_the_tools(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    layer = opened(viewer, small)
    track = answered(dock, layer, BRIGHT, 3)
    layer_of(track).paint((3, 2, 2), 0)
    painted = rows_of(track)[3].copy()
    dock.jump(3)
    type_lines(qtbot, dock, BRIGHT)
    for key, tool in ((Qt.Key.Key_Escape, dock.guide.point), (Qt.Key.Key_Return, dock.guide.box)):
        track.put(3, track.kept.mask(3))
        dock.show_results()
        until(qtbot, lambda: TOPIC in dock.notice.offers)
        tool()  # its layer comes after the answer was dashed
        canvas(viewer).setFocus()
        press(qtbot, viewer, key)
        assert TOPIC not in dock.notice.offers
        assert np.array_equal(rows_of(track)[3], painted) == (key == Qt.Key.Key_Escape)
    assert rows_of(track)[3].all()


def test_nobody_takes_what_is_not_dashed_yet_and_setting_the_offer_aside_drops_it(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    layer = opened(viewer, small)
    track = answered(dock, layer, BRIGHT, 3, 4)
    for row in (3, 4):
        layer_of(track).paint((row, 2, 2), 0)
        track.put(row, track.kept.mask(row))
    painted = rows_of(track).copy()
    dock.jump(3)
    until(qtbot, lambda: TOPIC in dock.notice.offers)
    viewer.layers.selection.active = layer_of(track)
    canvas(viewer).setFocus()
    dock.jump(4)
    press(qtbot, viewer, Qt.Key.Key_Return)  # at once: what was dashed is not on screen any more
    assert np.array_equal(rows_of(track), painted)
    assert set(track.proposals) == {3, 4}
    until(qtbot, lambda: NAME in [layer.name for layer in viewer.layers])
    click(qtbot, dock.notice.offers[TOPIC].aside)
    assert set(track.proposals) == {3}
    assert NAME not in [layer.name for layer in viewer.layers]
    assert np.array_equal(rows_of(track), painted)
    press(qtbot, viewer, Qt.Key.Key_Return)
    assert np.array_equal(rows_of(track), painted)
    dock.jump(3)
    until(qtbot, lambda: TOPIC in dock.notice.offers)
    click(qtbot, dock.notice.offers[TOPIC].answers["Take"])
    assert rows_of(track)[3].all()
    layer_of(track).undo()
    assert np.array_equal(rows_of(track), painted)


def test_dashes_lie_on_the_border_of_the_mask() -> None:
    mask = np.zeros((6, 6), bool)
    mask[2:4, 2:5] = True
    lines = dashes(mask, 7, 3)
    assert 0 < len(lines) < 10  # some of the ten sides, so that the line is dashed
    assert (lines[:, 0, 0] == 7).all()
    ends = lines[:, 0, 1:] + lines[:, 1, 1:]
    both = np.concatenate([lines[:, 0, 1:], ends])
    assert both.min(0).tolist() == [1.5, 1.5]
    assert both.max(0).tolist() == [3.5, 4.5]
