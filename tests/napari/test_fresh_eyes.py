"""What people stumbled over who used the viewer for the first time: typing several prompts, a press while a list is
open, keys after a click on a row, undo after a click that deleted, pictures that moved under the mouse."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import (
    DIST,
    answered,
    canvas,
    click,
    click_row,
    done,
    keep_both,
    layer_of,
    press,
    ready,
    row_text,
    rows_of,
    until,
)
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget
from test_one_patient import names, painted_on, pressed, turns, two_files
from test_picture_masks import count, discs, found

from boltzformer.desk.keeping.one_patient import PUT_AWAY
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from napari_boltzformer.bottom import lesion_table
from napari_boltzformer.canvas.cells import CELLS
from napari_boltzformer.canvas.guide import POINTS
from napari_boltzformer.host.layers import grid_of, image_layer
from napari_boltzformer.host.stage import FILLS
from napari_boltzformer.widget import BoltzFormerDock

LEFT, CTRL = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier


def opened(viewer: Any, made: Phantom) -> Any:
    data, options, _ = image_layer(made.volume)
    return viewer.add_image(data, **options)


def list_for(qtbot: Any, dock: BoltzFormerDock, letters: str) -> Any:
    """The open list of what the model knows."""
    popup = dock.prompt.completer.popup()
    qtbot.keyClicks(dock.prompt, letters)

    def shown() -> bool:
        if not popup.isVisible():  # a window that comes to the front closes it: then it is asked for
            qtbot.keyClick(dock.prompt, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
        return popup.isVisible()

    until(qtbot, shown)
    return popup


def test_return_begins_another_line_while_the_list_is_open(qtbot: Any, dock: BoltzFormerDock) -> None:
    ready(qtbot, dock)
    popup = list_for(qtbot, dock, "liver")
    QTest.keyClick(popup, Qt.Key.Key_Return)  # what is open gets the keys
    qtbot.keyClicks(dock.prompt, "spleen")
    assert dock.prompt.texts() == ["liver", "spleen"]


def test_the_list_leaves_the_buttons_in_sight_and_one_press_on_them_is_enough(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    ready(qtbot, dock)
    opened(viewer, small)
    popup = list_for(qtbot, dock, "liver")
    button = dock.this_slice
    assert popup.mapToGlobal(QPoint(0, 0)).y() >= button.mapToGlobal(QPoint(0, button.height())).y() - 2
    place = popup.mapFromGlobal(button.mapToGlobal(button.rect().center()))
    before = button.pos()
    QTest.mousePress(popup, LEFT, Qt.KeyboardModifier.NoModifier, place)
    assert not popup.isVisible()
    assert not button.isDown()
    assert button.pos() == before  # no warning came above it
    assert dock.running.runs
    QTest.mouseRelease(popup, LEFT)  # the finger goes up
    done(qtbot, dock)
    assert [track.prompt.text for track in dock.tracks()] == ["liver"]
    qtbot.keyClick(dock.prompt, Qt.Key.Key_Return)
    list_for(qtbot, dock, "sple")
    click(qtbot, button)
    assert not popup.isVisible()
    done(qtbot, dock)


def test_a_letter_pressed_on_a_row_is_the_masks(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom) -> None:
    opened(viewer, small)
    for name in (BRIGHT, DARK):
        answered(dock, dock.chosen_image(), name, 2)
    until(qtbot, lambda: dock.results.count() == 2)
    click_row(qtbot, dock, 0)
    assert viewer.layers.selection.active.name == BRIGHT
    qtbot.keyClick(dock.results, Qt.Key.Key_2)
    assert str(viewer.layers.selection.active.mode) == "paint"
    qtbot.keyClick(dock.results, Qt.Key.Key_Down)
    assert dock.results.currentRow() == 1


def test_a_point_is_for_the_mask_that_was_chosen_for_it(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small)
    chosen, _ = (answered(dock, dock.chosen_image(), name, 2) for name in (BRIGHT, DARK))
    viewer.layers.selection.active = layer_of(chosen)
    click(qtbot, dock.point)
    assert dock.message.text().startswith(f"Click where '{BRIGHT}' is")
    middle = canvas(viewer).rect().center()
    qtbot.mouseMove(canvas(viewer), middle)
    qtbot.mouseClick(canvas(viewer), LEFT, pos=middle)
    assert list(viewer.layers[POINTS].features["prompt"]) == [BRIGHT]
    until(qtbot, lambda: bool(chosen.runs))
    done(qtbot, dock)


@pytest.mark.parametrize(("what", "after"), [("split", 3), ("delete", 1)])
def test_one_undo_takes_back_what_a_click_did_whichever_layer_was_selected(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, what: str, after: int
) -> None:
    picture = viewer.add_image(np.zeros((80, 120), np.uint8), name="picture")
    track = found(dock, picture, discs((30, 30, 12), (30, 51, 12), (20, 95, 9)))
    assert (viewer.layers.selection.active.name, count(track)) == ("picture", 2)
    tool = dock.split if what == "split" else dock.objects_tool
    holding = tool.held(picture)  # the key goes down on the image
    next(holding)
    assert viewer.layers.selection.active.name == tool.armed.name == track.name
    next(holding, None)
    viewer.layers.selection.active = picture
    if what == "split":
        dock.desk.split_object(track, (0, 30, 41))
    else:
        dock.desk.delete_object(track, (0, 30, 41), only=False)
    until(qtbot, lambda: count(track) == after)
    press(qtbot, viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert count(track) == 2


def test_an_undo_is_seen_at_once_in_the_count_and_in_the_colours_of_objects(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    picture = viewer.add_image(np.zeros((80, 120), np.uint8), name="picture")
    track = found(dock, picture, discs((30, 30, 12), (20, 95, 9)))
    dock.bottom.sizes.apart.click()

    def coloured() -> Any:
        return next((layer.data > 0 for layer in viewer.layers if CELLS in layer.metadata), None)

    def says(count: int) -> bool:
        seen = coloured()
        agree = seen is not None and np.array_equal(seen, rows_of(track)[0] > 0)
        return agree and dock.results.count() == 1 and f" {count} object" in row_text(dock)

    until(qtbot, lambda: says(2))
    dock.desk.delete_object(track, (0, 30, 30), only=False)
    until(qtbot, lambda: says(1))
    assert track.edited(0)
    viewer.layers.selection.active = layer_of(track)
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL)
    until(qtbot, lambda: says(2))
    assert not track.edited(0)
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL | Qt.KeyboardModifier.ShiftModifier)
    until(qtbot, lambda: says(1))
    layer_of(track).visible = False  # as 'hide masks' does
    until(qtbot, lambda: coloured() is None)
    layer_of(track).visible = True
    until(qtbot, lambda: says(1))


def test_an_undo_takes_the_pencils_off_the_slices_that_nobody_looks_at(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    track = answered(dock, opened(viewer, small), BRIGHT, 2, 3)
    before = rows_of(track).copy()
    dock.desk.overview.show_tracks()
    viewer.layers.selection.active = layer_of(track)
    dock.jump(9)
    turns(qtbot)
    blank = np.zeros(track.shape[1:], bool)
    track.change_all({2: blank, 3: blank, 5: ~blank})
    until(qtbot, lambda: dock.bottom.review.bar.model.lanes[0].edited == {2, 3, 5})
    turns(qtbot)
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL)
    assert np.array_equal(rows_of(track), before)
    until(qtbot, lambda: not dock.bottom.review.bar.model.lanes[0].edited)
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL)  # there is nothing left
    assert np.array_equal(rows_of(track), before)


def test_the_picture_stays_where_it_is_when_a_table_is_outdated(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lesion_table, "SLOW_S", 0.0)  # measured only when asked
    picture = viewer.add_image(np.zeros((80, 120), np.uint8), name="picture")
    track = found(dock, picture, discs((30, 30, 12), (20, 95, 9)))
    click(qtbot, dock.table)
    lesions = dock.beside.lesions
    assert lesions is not None
    until(qtbot, lambda: len(lesions.lesions) == 2)
    before = lesions.minimumSizeHint().height()
    layer_of(track).data_setitem((np.array([70]), np.array([10])), 1)
    until(qtbot, lesions.old.isVisible)
    assert lesions.minimumSizeHint().height() == before


def listed(viewer: Any, dock: BoltzFormerDock) -> list[str]:
    """What stands in napari's list of layers."""
    (view,) = [one for one in dock.window().findChildren(QWidget) if type(one).__name__ == "QtLayerList"]
    rows = range(view.model().rowCount())
    return [view.model().index(row, 0).data() for row in rows if not view.isRowHidden(row)]


@pytest.mark.slow
def test_two_that_are_compared_come_back_side_by_side_and_list_nothing_but_layers_of_theirs(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    deep, flat = two_files(tmp_path)
    third = tmp_path / "third.nii.gz"
    third.write_bytes(flat.read_bytes())
    viewer.open(str(deep), plugin=DIST)
    until(qtbot, lambda: dock.desk.patients.current is not None)
    track = painted_on(dock, viewer)
    layer_of(track).mode = "paint"
    viewer.open(str(flat), plugin=DIST)
    keep_both(qtbot, dock)
    until(qtbot, lambda: any(FILLS in layer.metadata for layer in viewer.layers))
    until(qtbot, lambda: sorted(listed(viewer, dock)) == sorted(["deep", "flat", track.name, "the user's own points"]))
    viewer.open(str(third), plugin=DIST)
    until(qtbot, lambda: names(viewer) == ["third"])
    click(qtbot, pressed(dock, "Undo"))
    until(qtbot, lambda: {"deep", "flat"} <= set(names(viewer)))
    grid, layers = grid_of(viewer), list(viewer.layers)
    cells = {
        image.name: {grid.position(layers.index(one), layers) for one in dock.stage.group(image) if one.visible}
        for image in dock.stage.images()
    }
    assert grid.enabled
    assert set(cells) == {"deep", "flat"}
    assert cells["deep"].isdisjoint(cells["flat"])
    assert not any("room" in name for name in listed(viewer, dock))
    assert viewer.layers.selection.active is not None
    assert PUT_AWAY not in dock.notice.offers
    assert rows_of(track).any()
