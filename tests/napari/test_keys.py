"""Our keys lie on our layers alone, and none of them means something to napari there."""

from typing import Any

import pytest
from app_model.types import KeyBinding
from gui import answered, canvas, click, click_row, done, layer_of, press, type_lines, until
from napari.layers import Image, Labels
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from boltzformer.io.phantom import BRIGHT, Phantom
from napari_boltzformer.dock.form import FIND
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.host.unlisted import LIST
from napari_boltzformer.widget import BoltzFormerDock

CTRL_RETURN = Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier
NEVER = {*"1234567efplzmxbv", "left", "right", "up", "down", "space"}


@pytest.mark.parametrize("kind", [Image, Labels])
def test_no_key_of_ours_means_something_to_napari(dock: BoltzFormerDock, viewer: Any, kind: type) -> None:
    ours = {str(KeyBinding.from_str(key.replace("Control", "Ctrl"))).lower() for key in dock.keys.used}
    assert ours
    assert not ours & NEVER
    elsewhere = (
        "points",
        "shapes",
        "vectors",
        "tracks",
        "surface",
        "select_all_in_slice",
        "activate_select_mode",
        "direct_mode",
    )
    other = "labels" if kind is Image else "image"
    theirs: dict[str, str] = {}
    for action, keys in get_settings().shortcuts.shortcuts.items():
        if not any(word in action for word in (*elsewhere, f"_{other}_")):
            theirs |= {str(key).lower(): action for key in keys}
    assert len(theirs) > 10
    layer_class_keys = {str(key).lower() for key in kind.class_keymap}
    assert not {key: theirs[key] for key in ours & set(theirs)}
    assert not ours & layer_class_keys


def test_keys_are_on_our_masks_and_their_image_only(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    foreign = viewer.add_labels(small.volume.array.astype(int) * 0)
    data, options, _ = image_layer(small.volume)
    image = viewer.add_image(data, **options)
    dock.window().activateWindow()
    dock.prompt.setFocus()
    until(qtbot, dock.prompt.hasFocus)
    ctrl = Qt.KeyboardModifier.ControlModifier
    qtbot.keyClick(dock.prompt, Qt.Key.Key_Return, ctrl)
    assert dock.prompt.hasFocus()  # nothing was asked: a person goes on typing
    type_lines(qtbot, dock, BRIGHT)
    qtbot.keyClick(dock.prompt, Qt.Key.Key_Return, ctrl)
    assert canvas(viewer).hasFocus()  # a letter is a key now, and no part of the prompt
    done(qtbot, dock)
    (track,) = dock.tracks()
    assert not foreign.keymap
    assert len(image.keymap) == len(track.surface.layer.keymap) == len(dock.keys.used)


def test_a_letter_in_the_list_of_layers_goes_to_no_row_but_to_the_mask(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    image = viewer.add_image(data, **options)
    image.name = "abdomen"
    layer = layer_of(answered(dock, image, BRIGHT, 3))
    dock.jump(3)
    viewer.layers.selection.active = layer
    (rows,) = (one for one in QApplication.allWidgets() if type(one).__name__ == LIST and one.isVisible())
    rows.setFocus()
    qtbot.keyClick(rows, Qt.Key.Key_A)
    until(qtbot, lambda: dock.message.text().startswith("Slice 3 accepted"))
    assert viewer.layers.selection.active.name == layer.name


def test_holding_h_shows_the_image_alone(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom) -> None:
    data, options, _ = image_layer(small.volume)
    viewer.add_image(data, **options)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    canvas(viewer).setFocus()
    qtbot.keyPress(canvas(viewer), Qt.Key.Key_H)
    assert not track.surface.layer.visible
    qtbot.keyRelease(canvas(viewer), Qt.Key.Key_H)
    assert track.surface.layer.visible
    press(qtbot, viewer, Qt.Key.Key_N)
    assert "Slice" in dock.message.text() or "No slice" in dock.message.text()


def test_above_four_prompts_only_the_chosen_one_is_shown(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    viewer.add_image(data, **options)
    type_lines(qtbot, dock, *(f"thing {n}" for n in range(5)))
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    tracks = dock.tracks()
    assert [track.surface.layer.visible for track in tracks] == [False] * 4 + [True]
    assert len({track.colour for track in tracks}) == 5
    assert all(track.surface.layer.opacity == 0.35 for track in tracks)
    click_row(qtbot, dock, 1)
    assert [track.surface.layer.visible for track in tracks] == [False, True, False, False, False]


@pytest.mark.slow
def test_a_letter_is_the_masks_also_where_a_box_a_list_or_a_table_was_used_last(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    answered(dock, viewer.add_image(data, **options), BRIGHT, 3)
    dock.show_results()
    dock.beside.open_table()
    for used in (dock.image, dock.seeing.choice, dock.results, dock.beside.lesions.table):
        qtbot.keyPress(used, Qt.Key.Key_S)
        assert dock.split.armed is not None, used
        qtbot.keyRelease(used, Qt.Key.Key_S)
        until(qtbot, lambda: dock.split.armed is None)


def test_escape_puts_down_whatever_a_click_would_do_and_so_does_another_tool(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    track = answered(dock, viewer.add_image(data, **options), BRIGHT, 3)
    layer = track.surface.layer
    layer.mode = "paint"
    for where in (canvas(viewer), dock.objects):
        click(qtbot, dock.objects)
        assert dock.objects_tool.armed is layer
        assert dock.message.text().startswith("A click deletes an object")
        qtbot.keyClick(where, Qt.Key.Key_Escape)
        assert dock.objects_tool.armed is None, where
        assert (dock.objects.isChecked(), str(layer.mode), dock.message.text()) == (False, "paint", "")
    for past in (lambda: dock.show_act(FIND), lambda: dock.more.click(), lambda: press(qtbot, viewer, *CTRL_RETURN)):
        click(qtbot, dock.objects)
        assert dock.objects_tool.armed is layer
        past()  # the button is out of sight, or something else is begun
        assert (dock.objects_tool.armed, dock.objects.isChecked()) == (None, False)
    done(qtbot, dock)
    layer.mode = "pan_zoom"
    click(qtbot, dock.objects)
    layer.mode = "erase"
    assert dock.objects_tool.armed is None
    assert (dock.objects.isChecked(), str(layer.mode)) == (False, "erase")
    press(qtbot, viewer, Qt.Key.Key_D)
    said = "Hold D and click an object to delete it."  # a tap does nothing
    until(qtbot, lambda: dock.message.text() == said)
    qtbot.keyPress(canvas(viewer), Qt.Key.Key_S)
    press(qtbot, viewer, Qt.Key.Key_Escape)
    assert dock.split.armed is None
    qtbot.keyRelease(canvas(viewer), Qt.Key.Key_S)
    type_lines(qtbot, dock, BRIGHT)
    for button, mode in ((dock.point, "add"), (dock.box, "add_rectangle")):
        click(qtbot, button)
        pointing = viewer.layers.selection.active
        assert str(pointing.mode) == mode
        press(qtbot, viewer, Qt.Key.Key_Escape)
        assert str(pointing.mode) == "pan_zoom"
        assert not dock.message.text()
