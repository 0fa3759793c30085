"""What is accepted gets onto the disk; everything is autosaved, and comes back after a crash."""

import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import (
    DIST,
    answer_file_dialog,
    canvas,
    click,
    done,
    keep_both,
    layer_of,
    new_track,
    press,
    rows_of,
    track_named,
    type_lines,
    until,
)
from phantom_model import PHANTOM_MODEL
from qtpy.QtCore import Qt

from boltzformer import Session, Volume
from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.kept_in import autosaves
from boltzformer.desk.keeping.nothing_here import NOTHING
from boltzformer.desk.keeping.scene import Scene
from boltzformer.desk.words import ranges
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.types import SliceState
from napari_boltzformer.host.stage import image_on
from napari_boltzformer.widget import BoltzFormerDock

pytestmark = pytest.mark.slow  # whole stories in the viewer


def on_the_canvas(viewer: Any, dock: BoltzFormerDock) -> None:
    viewer.layers.selection.active = layer_of(dock.tracks()[0])
    canvas(viewer).setFocus()


def test_accepted_slices_are_kept_in_the_folder_that_was_chosen(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, small_file: Path, tmp_path: Path
) -> None:
    viewer.open(str(small_file), plugin=DIST)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    (track,) = dock.tracks()
    folder = tmp_path / "kept"
    folder.mkdir()
    on_the_canvas(viewer, dock)
    found = next(row for row in range(16) if rows_of(track)[row].any())
    dock.jump(found)
    layer_of(track).paint((found, 0, 0), 1)
    assert track.edited(found)
    answer_file_dialog(folder)
    click(qtbot, dock.folder)
    canvas(viewer).setFocus()
    press(qtbot, viewer, Qt.Key.Key_A)
    until(qtbot, lambda: "Kept as revision 1" in dock.message.text())
    assert dock.settings.folder == str(folder)

    empty = next(row for row in range(16) if row != found)
    dock.jump(empty)
    before = rows_of(track)[empty].copy()
    press(qtbot, viewer, Qt.Key.Key_0)
    assert not rows_of(track)[empty].any()
    assert track.state(empty) is SliceState.EMPTY
    click(qtbot, dock.notice.offers[NOTHING].answers["Undo"])
    assert np.array_equal(rows_of(track)[empty], before)
    assert track.state(empty) is SliceState.UNSEEN
    press(qtbot, viewer, Qt.Key.Key_0)
    dock.keeper.autosave()
    until(qtbot, lambda: "Kept as revision 2" in dock.message.text())

    (case,) = Dataset(folder).cases()
    assert case.id.startswith("case-")
    stored = [rows_of(track).shape[0] - 1 - row if _flipped(dock) else row for row in (found, empty)]
    assert case.states[BRIGHT][stored[0]] is SliceState.REVIEWED
    assert case.states[BRIGHT][stored[1]] is SliceState.EMPTY
    assert sum(state is not SliceState.UNSEEN for state in case.states[BRIGHT]) == 2
    view = small.volume.grid.canonical(small.volume.slice_axis)
    assert np.array_equal(view.apply(case.mask(BRIGHT))[found], rows_of(track)[found] > 0)
    assert case.revisions[0].changes[BRIGHT]["added"] >= 1
    assert case.revisions[0].model_sha256
    text = "".join(path.read_text("utf-8") for path in folder.rglob("*.json") if "private" not in path.parts)
    assert "small" not in text  # the image's name

    layer_of(track).paint((found, 0, 1), 1)
    assert track.state(found) is SliceState.UNSEEN  # a change takes the word back

    dock.jump(found)
    click(qtbot, dock.accept_all)
    until(qtbot, lambda: "Kept as revision 3" in dock.message.text())
    assert "Never on screen, so not accepted: " in dock.message.text()
    on_the_canvas(viewer, dock)
    dock.jump(found)
    press(qtbot, viewer, Qt.Key.Key_N)
    assert dock.row() != found
    assert dock.message.text().startswith(f"Slice {dock.row()}: ")


def test_work_comes_back_after_a_crash(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path) -> None:
    viewer.open(str(small_file), plugin=DIST)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    (track,) = dock.tracks()
    layer_of(track).paint((3, 40, 40), 1)
    before = rows_of(track).copy()
    until(qtbot, lambda: (Path(dock.settings.folder) if dock.settings.folder else _autosaves()).is_dir())
    until(qtbot, lambda: not dock.keeper.work.busy)
    viewer.layers.clear()  # as if all were gone
    again = BoltzFormerDock(viewer, Session.local(PHANTOM_MODEL))
    qtbot.addWidget(again)
    viewer.open(str(small_file), plugin=DIST)
    until(qtbot, lambda: any("Restored from " in one.label.text() for one in again.notice.offers.values()))
    (back,) = again.tracks()
    assert back.name == BRIGHT
    assert np.array_equal(rows_of(back) > 0, before > 0)
    assert again.prompt.texts() == [BRIGHT]
    assert back.belongs_to_a_person(3)
    until(qtbot, lambda: back.key in again.desk.counting.objects)
    again.jump(5)
    again.looks.click()
    headline = again.bottom.looks.headline
    until(qtbot, lambda: "How it looked at slice 5 before it was put away is not kept" in headline.text())
    again.bottom.review.outline.setValue(99)
    assert "16 restored slices stay as they were" in again.bottom.review.totals.text()
    assert np.array_equal(rows_of(back) > 0, before > 0)
    again.session.close()


@pytest.mark.parametrize("alone", [True, False], ids=["the image", "all layers"])
def test_an_image_removed_during_a_run_keeps_the_masks_that_the_run_did_not_ask_for(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, made: Phantom, made_file: Path, alone: bool
) -> None:
    viewer.open(str(made_file), plugin=DIST)
    image = dock.chosen_image()
    by_hand = new_track(dock, image, BRIGHT)
    layer_of(by_hand).paint((3, 40, 40), 1)
    type_lines(qtbot, dock, DARK)
    click(qtbot, dock.all_slices)
    until(qtbot, lambda: len(dock.tracks()) == 2 and len(track_named(dock, DARK).scores) > 0)
    assert dock.running.runs
    if alone:
        viewer.layers.remove(image)
    else:
        viewer.layers.clear()
    idle(qtbot, dock)
    assert {name: bool(mask.any()) for name, mask in drafted(made.volume).items()}.keys() == {BRIGHT, DARK}
    assert drafted(made.volume)[BRIGHT].any()
    done(qtbot, dock)


def test_the_last_strokes_and_the_slice_are_kept_when_the_window_closes(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, small_file: Path
) -> None:
    viewer.open(str(small_file), plugin=DIST)
    track = new_track(dock, dock.chosen_image(), BRIGHT)
    idle(qtbot, dock)
    dock.keeper.work.do(partial(time.sleep, 0.2))  # whatever it is busy with: the strokes are next
    layer_of(track).paint((3, 40, 40), 1)
    work, image = dock.keeper.work, dock.stage.chosen()
    dock.jump(11)
    dock.keeper.leave()  # the window is hidden
    dock.keeper.touch(image)  # and a run that is under way finds something
    viewer.close()
    work.close(wait=True)
    assert drafted(small.volume)[BRIGHT].sum() == np.count_nonzero(rows_of(track))
    drafts = Dataset(autosaves())
    scene = Scene.of(drafts.draft(drafts.case_of(small.volume)).provenance)
    assert (scene.row, dict(scene.colours)) == (11, {BRIGHT: track.colour})


def test_saving_one_image_does_not_make_another_saved(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, small_file: Path, made_file: Path
) -> None:
    tracks = []
    for path in (made_file, small_file):
        viewer.open(str(path), plugin=DIST)
        tracks.append(new_track(dock, dock.chosen_image(), BRIGHT))
    keep_both(qtbot, dock)
    idle(qtbot, dock)
    for track in tracks:
        layer_of(track).paint((3, 40, 40), 1)
    dock.image.setCurrentIndex(0)
    dock.keeper.save(image_on(dock.chosen_image()))
    idle(qtbot, dock)
    dock.image.setCurrentIndex(1)
    dock.keeper.autosave()
    idle(qtbot, dock)
    assert drafted(small.volume)[BRIGHT].any()


def test_work_found_beside_masks_of_today_comes_back_into_them(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, small_file: Path
) -> None:
    viewer.open(str(small_file), plugin=DIST)
    before = new_track(dock, dock.chosen_image(), BRIGHT)
    layer_of(before).paint((3, 40, 40), 1)
    idle(qtbot, dock)
    dock.keeper.save(image_on(dock.chosen_image()))
    idle(qtbot, dock)
    viewer.layers.clear()

    go_on = threading.Event()
    dock.keeper.work.do(partial(go_on.wait, 60))  # a slow disk
    viewer.open(str(small_file), plugin=DIST)
    today = new_track(dock, dock.chosen_image(), BRIGHT)
    layer_of(today).paint((9, 40, 40), 1)
    go_on.set()
    until(qtbot, lambda: any("Restored from " in one.label.text() for one in dock.notice.offers.values()))
    assert [layer_of(track) for track in dock.tracks()] == [layer_of(today)]
    assert np.array_equal(rows_of(today)[3], rows_of(before)[3])
    assert rows_of(today)[9].any()


def test_slices_are_named_in_ranges() -> None:
    assert ranges([0, 1, 2, 4, 7, 8]) == "0-2, 4, 7-8"
    assert ranges([]) == ""


def _autosaves() -> Path:
    return autosaves() / "drafts"


def drafted(volume: Volume) -> dict[str, Any]:
    """The masks of the last autosave, by name."""
    dataset = Dataset(autosaves())
    draft = dataset.draft(dataset.case_of(volume))
    assert draft is not None
    labels = draft.annotation(volume).labels
    return {name: labels.mask(value) for value, name in labels.names.items()}


def idle(qtbot: Any, dock: BoltzFormerDock) -> None:
    until(qtbot, lambda: not dock.keeper.work.busy)


def _flipped(dock: BoltzFormerDock) -> bool:
    dock.jump(0)
    return dock.current_slice() != 0
