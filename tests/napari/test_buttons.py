"""Every button of ours is clicked by some test; here are those that no other story needs."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import answer_file_dialog, click, done, layer_of, type_lines, until
from phantom_model import PHANTOM_MODEL
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QAbstractButton, QTabBar

from boltzformer.io.phantom import BRIGHT, Phantom
from napari_boltzformer.canvas.guide import BOX
from napari_boltzformer.canvas.objects import NAME
from napari_boltzformer.host.behind import Behind
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.widget import BoltzFormerDock

TESTS = Path(__file__).parents[1]


def test_no_answer_moves_from_under_the_mouse_when_a_longer_sentence_is_said(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    dock.window().resize(1280, 720)
    dock.desk.notice.offer("a test", "Something can be done about it.", ("Undo", lambda: None), ("Leave", lambda: None))
    line = dock.notice.offers["a test"]
    until(qtbot, line.isVisible)
    buttons = [*line.answers.values(), line.aside, dock.cancel, dock.accept, dock.this_slice]

    def places() -> list[QPoint]:
        return [one.mapTo(dock, QPoint(0, 0)) for one in buttons]

    dock.desk.notice.say("Short.")
    until(qtbot, dock.message.isVisible)
    qtbot.waitUntil(lambda: dock.message.height() < 2 * dock.message.fontMetrics().lineSpacing())
    before = places()
    dock.desk.notice.say("This one goes on and on, for " + "lines and " * 12 + "lines.", "Do it", lambda: None)
    qtbot.waitUntil(lambda: dock.message.height() > 2 * dock.message.fontMetrics().lineSpacing())
    qtbot.waitUntil(lambda: places() == before)


@pytest.mark.slow
def test_the_buttons_that_are_pressed_now_and_then(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, tmp_path: Path
) -> None:
    data, options, _ = image_layer(small.volume)
    viewer.add_image(data, **options)
    dock.jump(small.lesions[0].centre[2])
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.unsure)
    assert dock.settings.samples == 4
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    assert list(track.spread) == [dock.row()]
    click(qtbot, dock.next)
    assert re.match(r"Slice \d+: |No slice is left", dock.message.text())

    layer_of(track).brush_size = 1
    layer_of(track).paint((dock.row(), 2, 3), 1)
    dock.show_results()
    assert len(viewer.layers[NAME].data) == 1
    click(qtbot, dock.ring)
    until(qtbot, lambda: len(viewer.layers[NAME].data) == 0)

    folder = tmp_path / "kept"
    folder.mkdir()
    answer_file_dialog(folder)
    click(qtbot, dock.folder)
    assert dock.settings.folder == str(folder)
    click(qtbot, dock.accept_painted)
    until(qtbot, lambda: "Kept as revision 1" in dock.message.text())

    click(qtbot, dock.table)
    until(qtbot, lambda: dock.beside.lesions is not None and bool(dock.beside.lesions.lesions))
    count = len(dock.beside.lesions.lesions)
    layer_of(track).paint((0, 40, 40), 1)
    answer_file_dialog(tmp_path / "lesions.csv")
    click(qtbot, dock.beside.lesions.csv)  # which measures first
    until(qtbot, lambda: (tmp_path / "lesions.csv").exists())
    assert len((tmp_path / "lesions.csv").read_text("utf-8").splitlines()) == count + 2
    until(qtbot, lambda: len(dock.beside.lesions.lesions) == count + 1)
    layer_of(track).paint((0, 40, 40), 0)
    click(qtbot, dock.beside.lesions.again)
    until(qtbot, lambda: len(dock.beside.lesions.lesions) == count)
    layer_of(track).undo()

    click(qtbot, dock.follow)
    assert "could not be followed" in dock.message.text() or dock.cancel.isEnabled()
    done(qtbot, dock)

    click(qtbot, dock.objects)
    assert dock.objects.isChecked()
    assert "A click deletes an object" in dock.message.text()
    click(qtbot, dock.objects)
    assert not dock.objects.isChecked()

    click(qtbot, dock.box)
    layer = viewer.layers[BOX]
    assert layer.mode == "add_rectangle"
    assert np.asarray(layer.data).size == 0

    answer_file_dialog(PHANTOM_MODEL)
    click(qtbot, dock.models.file)
    until(qtbot, lambda: "The model is loaded" in dock.message.text())
    assert dock.session.model == PHANTOM_MODEL.stem
    click(qtbot, dock.means.free)
    until(qtbot, lambda: dock.message.text() == "The engine's memory is free again.")


def test_no_button_goes_unclicked_by_all_tests(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom) -> None:
    data, options, _ = image_layer(small.volume)
    viewer.add_image(data, **options)
    dock.table.click()
    dock.case_list.click()
    parts = {
        "dock": dock,
        "notice": dock.notice,
        "models": dock.models,
        "learn": dock.learn,
        "hub": dock.models.hub,
        "cases": dock.beside.cases,
        "seeing": dock.seeing,
        "means": dock.means,
        "lesions": dock.beside.lesions,
        "review": dock.bottom.review,
        "view": dock.bottom.looks,
        "sizes": dock.bottom.sizes,
    }
    named = {
        value: f"{part}.{name}"
        for part, owner in parts.items()
        for name, value in vars(owner).items()
        if isinstance(value, QAbstractButton)
    }
    named[dock.closer] = "dock.closer"
    named |= dict.fromkeys(dock.planes.values(), "dock.planes[plane]")
    named |= dict.fromkeys((behind.arrow for behind in dock.findChildren(Behind)), "behind.arrow")
    stories = "\n".join(path.read_text("utf-8") for path in (*TESTS.glob("napari/*.py"), TESTS / "test_widget.py"))
    pressed = re.findall(r"click\(qtbot, ([\w.]+(?:\[\w+\])?)\)|([\w.]+)\.click\(\)", stories)
    clicked = {name for pair in pressed for name in pair}
    endings = {".".join(name.split(".")[-2:]) for name in clicked}
    unclicked = []
    for part, owner in parts.items():
        for button in owner.findChildren(QAbstractButton):
            if type(button) is QAbstractButton or isinstance(button.parent(), QTabBar):
                continue  # a part of one of Qt's own widgets, like the corner of a table
            name = named.get(button, f"{part}: '{button.text()}' without a name")
            if name not in endings and name.replace("view.", "looks.") not in endings:
                unclicked.append(name)
    assert not unclicked
