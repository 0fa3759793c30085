"""The first five minutes: what a new user sees and does, by clicks and keys."""

import logging
import zipfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import (
    DIST,
    answer_file_dialog,
    answered,
    canvas,
    click,
    click_row,
    done,
    layer_of,
    press,
    ready,
    row_text,
    rows_of,
    track_named,
    type_lines,
    until,
)
from phantom_model import PHANTOM_MODEL
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtWidgets import QApplication, QWidget

from boltzformer import Session
from boltzformer.desk.keeping.bringing_back import removed_from
from boltzformer.desk.keeping.one_patient import PUT_AWAY
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom, sample
from napari_boltzformer.widget import BoltzFormerDock

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
SHOTS = Path(__file__).parents[2] / "screenshots"


def place_in(dock: BoltzFormerDock, one: QWidget) -> QRect:
    return QRect(one.mapTo(dock, QPoint(0, 0)), one.size())


def test_the_dock_fits_a_small_screen_and_says_what_it_is(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    window = dock.window()
    window.resize(1366, 768)
    ready(qtbot, dock)
    assert " · ready · " in dock.engine.text()
    assert "ready (CPU, " in dock.engine.toolTip()
    assert dock.example.isVisible()
    assert not dock.more_area.isVisible()
    visible = [dock.engine, dock.image, dock.prompt, dock.this_slice, dock.results, dock.accept, dock.export, dock.more]
    corner = dock.mapTo(window, dock.rect().bottomRight())
    assert corner.x() <= 1366
    assert corner.y() <= 768
    for one in visible:
        assert one.isVisible()
        assert dock.rect().contains(place_in(dock, one))
    for one, other in combinations(visible, 2):
        assert not place_in(dock, one).intersects(place_in(dock, other))
    SHOTS.mkdir(exist_ok=True)
    viewer.screenshot(path=str(SHOTS / "empty.png"), canvas_only=False, flash=False)
    click(qtbot, dock.more)
    assert dock.more_area.isVisible()
    assert window.height() <= 768


def test_the_example_opens_at_its_finding_and_ctrl_enter_runs_it(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    ready(qtbot, dock)
    click(qtbot, dock.example)
    until(qtbot, lambda: dock.image.count() == 1)
    case = sample()
    assert dock.prompt.texts() == [case.prompt]
    assert dock.current_slice() == case.index
    until(qtbot, lambda: not dock.example.isVisible())
    assert viewer.dims.order == (0, 1, 2)
    qtbot.keyClick(dock.prompt, Qt.Key.Key_Return, CTRL)
    done(qtbot, dock)
    assert dock.prompt.texts() == [case.prompt]
    assert dock.message.text().startswith("Looked in 1 slice")
    (track,) = dock.tracks()
    assert track.name == case.facts["target"]
    assert list(track.scores) == [dock.row()]
    until(qtbot, lambda: "object" in row_text(dock))
    text = row_text(dock)
    assert text.startswith(f"MS lesion · score {track.scores[dock.row()]:.2f} · this slice · ")
    viewer.screenshot(path=str(SHOTS / "example.png"), canvas_only=False, flash=False)


@pytest.mark.slow
def test_all_slices_run_from_the_canvas_with_a_time_left_and_rows_that_lead_to_their_layers(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, made: Phantom, made_file: Path
) -> None:
    viewer.open(str(made_file), plugin=DIST)
    image = viewer.layers.selection.active
    ready(qtbot, dock)
    type_lines(qtbot, dock, BRIGHT, DARK)
    said: list[str] = []
    dock.progress.valueChanged.connect(lambda _: said.append(dock.message.text()))
    canvas(viewer).setFocus()
    press(qtbot, viewer, Qt.Key.Key_Return, CTRL | SHIFT)
    assert not dock.all_slices.isEnabled()
    done(qtbot, dock)
    assert any("s left" in one for one in said)
    assert dock.message.text().startswith("Looked in 64 slices")
    assert viewer.layers.selection.active.unique_id == image.unique_id  # a run steals nothing
    until(qtbot, lambda: all("object" in row_text(dock, n) for n in range(2)))
    bright = next(n for n in range(2) if BRIGHT in row_text(dock, n))
    assert "all 64 slices · 2 objects" in row_text(dock, bright)
    click_row(qtbot, dock, bright)
    assert viewer.layers.selection.active.unique_id == layer_of(track_named(dock, BRIGHT)).unique_id
    click(qtbot, dock.revert)
    assert not any(rows_of(track).any() for track in dock.tracks())
    assert "Took the last run back" in dock.message.text()


def test_a_mask_removed_by_mistake_comes_back(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path) -> None:
    viewer.open(str(small_file), plugin=DIST)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    (track,) = dock.tracks()
    before = rows_of(track).copy()
    viewer.layers.remove(layer_of(track))
    dock.desk.notice.say("Something else is told.")  # which takes no offer's place
    dock.desk.patients.open(phantom(5, (4, 40, 40)).volume)
    assert list(dock.notice.offers) == [PUT_AWAY]
    click(qtbot, dock.notice.offers[PUT_AWAY].answers["Undo"])  # nobody has answered it
    offer = dock.notice.offers[removed_from(track.image)]
    assert offer.label.text() == "'bright blob' was removed. Result kept."
    until(qtbot, lambda: not dock.keeper.work.busy)
    dock.keeper.autosave()  # without it
    click(qtbot, offer.answers["Restore"])
    assert not dock.notice.offers
    assert track.image in dock.keeper._unsaved
    (back,) = dock.tracks()
    assert back is track
    assert np.array_equal(rows_of(back), before)


@pytest.mark.slow
def test_two_masks_removed_by_mistake_come_back_together(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    picture = viewer.add_image(np.zeros((40, 60), np.uint8), name="picture")
    one, two = (answered(dock, picture, name, 0) for name in ("cell", "vessel"))
    layer_of(one).paint((20, 20), 1)
    before = rows_of(one).copy()
    viewer.layers.remove(layer_of(one))
    viewer.layers.remove(layer_of(two))
    offer = dock.notice.offers[removed_from(one.image)]
    assert offer.label.text() == "'cell', 'vessel' were removed. Result kept."
    click(qtbot, offer.answers["Restore"])
    assert not dock.notice.offers
    assert dock.tracks() == [one, two]
    assert np.array_equal(rows_of(one), before)
    viewer.layers.remove(layer_of(two))
    assert dock.notice.offers[removed_from(one.image)].label.text() == "'vessel' was removed. Result kept."


def test_an_error_can_be_copied_with_what_helps_and_nothing_of_the_image(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    viewer.add_image(np.zeros((3, 8, 8), np.uint8), name="SECRET")
    logging.getLogger("boltzformer.client").warning("a line of the log")
    dock.settings.folder, dock.settings.prompts = "/SECRET", ["SECRET"]
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.closer)
    click(qtbot, dock.this_slice)  # there is no box
    assert dock.notice.copy.isVisible()
    click(qtbot, dock.notice.copy)
    told = QApplication.clipboard().text()
    assert told.startswith(dock.message.text())
    assert "napari-boltzformer 0" in told
    assert "SECRET" not in told
    answer_file_dialog(tmp_path / "report.zip")
    click(qtbot, dock.notice.report)
    with zipfile.ZipFile(tmp_path / "report.zip") as report:
        texts = {name: report.read(name).decode() for name in report.namelist()}
    assert texts["what went wrong.txt"] == told
    assert "a line of the log" in texts["log.txt"]
    assert '"rings": true' in texts["settings.json"]
    assert not any("SECRET" in text for text in texts.values())


def test_what_was_asked_is_remembered(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path) -> None:
    viewer.open(str(small_file), plugin=DIST)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    again = BoltzFormerDock(viewer, Session.local(PHANTOM_MODEL))
    qtbot.addWidget(again)
    assert again.settings.prompts == [BRIGHT]
    again.session.close()
