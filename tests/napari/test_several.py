"""Several images and many masks: what is said and shown is of the image and the masks that are meant."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import click, done, keep_both, layer_of, rows_of, type_lines, until

from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.nothing_here import NOTHING
from boltzformer.desk.masks.lanes import State
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.widget import BoltzFormerDock

pytestmark = pytest.mark.slow


def opened(viewer: Any, made: Phantom, name: str) -> Any:
    data, options, _ = image_layer(made.volume)
    return viewer.add_image(data, **{**options, "name": name})


def test_of_six_masks_one_that_found_something_is_shown_accepted_and_told_by_its_name(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, tmp_path: Path
) -> None:
    dock.settings.folder = str(tmp_path / "kept")
    opened(viewer, small, "one")
    type_lines(qtbot, dock, BRIGHT, DARK, "ab", "cd", "ef", "gh")
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    (shown,) = [track for track in dock.tracks() if layer_of(track).visible]
    row = int(np.argmax(np.count_nonzero(rows_of(shown), axis=(1, 2))))
    assert rows_of(shown)[row].any()
    assert shown is dock.active_track()
    assert dock.message.text().endswith(" Showing 1 of 6 masks: click a row for another.")
    dock.jump(row)
    click(qtbot, dock.accept)
    accepted = f"Slice {row} accepted in '{shown.name}', 1 of 6 masks. Kept as revision 1"
    until(qtbot, lambda: dock.message.text().startswith(accepted))

    bar, lane = dock.bottom.review.bar, dock.tracks().index(shown)

    def words() -> str:
        return bar.words(row).splitlines()[1 + lane]

    assert "found, score" in words()
    assert "edited" not in words()
    dock.keeper.nothing()
    until(qtbot, lambda: words() == f"{shown.name}: nothing, by you")
    assert bar.state(lane, row) is State.NOTHING
    assert list(dock.notice.offers[NOTHING].answers) == ["Undo"]
    layer_of(shown).undo()
    dock.keeper.autosave()
    until(qtbot, lambda: not dock.keeper.work.busy)
    assert dock.message.text() == ""  # the word is taken back, and nothing new is kept
    assert NOTHING not in dock.notice.offers
    (case,) = Dataset(tmp_path / "kept").cases()
    assert len(case.revisions) == 1


def test_of_two_images_each_has_its_own_progress_and_its_own_words(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, phantom(1, (300, 72, 80)), "long")
    opened(viewer, small, "short")
    keep_both(qtbot, dock)
    dock.image.setCurrentText("short")
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.all_slices)
    click(qtbot, dock.cancel)
    done(qtbot, dock)
    told, looked = dock.message.text(), any(track.scores for track in dock.tracks())  # it may have been quicker
    assert told.startswith("Cancelled; what was finished") if looked else told == "Cancelled before the first slice."
    assert dock.export.isEnabled()
    assert dock.export.toolTip() == ""

    dock.image.setCurrentText("long")
    assert dock.message.text() != told
    click(qtbot, dock.all_slices)
    until(qtbot, lambda: dock.progress.value() >= 3)
    assert " of 300 slices" in dock.message.text()
    dock.image.setCurrentText("short")
    dock.desk.notice.say("")
    until(qtbot, lambda: dock.message.text().startswith("'long': "))
    assert dock.progress.maximum() == 300
    for button, reason in ((dock.all_slices, "'long' is looked at just now"), (dock.export, "until the run has ended")):
        assert not button.isEnabled()
        assert reason in button.toolTip()
    click(qtbot, dock.this_slice)
    until(qtbot, lambda: bool(dock.tracks()) and bool(dock.tracks()[0].scores))
    assert dock.running.runs
    until(qtbot, lambda: len(dock.running.runs) == 1 and dock.progress.maximum() == 300)
    until(qtbot, lambda: dock.message.text().startswith("Looked in 1 slice; found"))
    assert dock.progress.value() < 300
    click(qtbot, dock.cancel)
    done(qtbot, dock)
    assert dock.message.text().startswith("'long': Cancelled; what was finished is kept. Looked in ")
    until(qtbot, lambda: dock.progress.value() < 0)  # empty: nothing more is to come
    dock.image.setCurrentText("long")
    assert dock.message.text().startswith("Cancelled; what was finished is kept. Looked in ")
    dock.image.setCurrentText("short")
    assert dock.message.text().startswith("Looked in 1 slice; found")
