"""What Accept says of a slice, and of which masks: only of what can be seen to be right."""

from pathlib import Path
from typing import Any

import numpy as np
from gui import DIST, answered, click, layer_of, new_track, until

from boltzformer.dataset import Dataset
from boltzformer.desk.masks.track import Track
from boltzformer.desk.models.knowledge import named_apart
from boltzformer.io.phantom import BRIGHT, DARK
from boltzformer.types import SliceState
from napari_boltzformer.dock.opening import use
from napari_boltzformer.host.stage import image_on
from napari_boltzformer.widget import BoltzFormerDock


def by_hand(dock: BoltzFormerDock, *names: str) -> list[Track]:
    """Empty masks of the chosen image, that no run was asked for."""
    image = dock.chosen_image()
    assert image is not None
    tracks = [new_track(dock, image, name) for name in names]
    return tracks


def test_accept_says_nothing_of_a_mask_that_nobody_asked_for_in_this_slice(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path, tmp_path: Path
) -> None:
    store = Dataset.at(tmp_path / "kept")
    dock.settings.folder = str(store.path)
    viewer.open(str(small_file), plugin=DIST)
    painted, never_asked = by_hand(dock, BRIGHT, DARK)
    dock.jump(4)
    dock.keeper.accept()
    assert dock.message.text().startswith(f"Nobody asked for '{BRIGHT}', '{DARK}' in slice 4, so ")
    layer_of(painted).paint((3, 40, 40), 1)
    dock.jump(3)
    dock.keeper.accept()
    until(qtbot, lambda: "Kept as revision 1" in dock.message.text())
    (case,) = store.cases()
    assert set(case.states) == {BRIGHT}
    assert (painted.state(3), painted.state(4)) == (SliceState.REVIEWED, SliceState.UNSEEN)
    assert never_asked.state(3) is SliceState.UNSEEN
    assert f"Nothing is said of '{DARK}', which nobody asked for here." in dock.message.text()

    dock.jump(4)
    dock.keeper.accept_all()
    accepted = f"1 slice accepted in '{BRIGHT}', 1 of 2 masks. Never on screen, so not accepted: "
    until(qtbot, lambda: dock.message.text().startswith(accepted))


def test_a_mask_that_a_person_began_from_has_the_name_that_a_run_would_give_it(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    image = viewer.add_image(np.zeros((3, 24, 32), np.uint8))
    theirs = viewer.add_labels(np.ones((3, 24, 32), np.uint8))
    use(dock.desk, image_on(image), theirs, None, "MS lesion in brain MRI")
    (track,) = dock.tracks()
    assert track.prompt == named_apart(["MS lesion in brain MRI"])[0]
    assert track.name == "MS lesion"
    assert viewer.layers.selection.active.name == "MS lesion"  # so that an undo is this mask's


def test_there_is_a_usual_folder_of_which_is_told_once(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path, own_home: Path
) -> None:
    (image,) = viewer.open(str(small_file), plugin=DIST)
    answered(dock, image, BRIGHT, 3, 4)
    dock.jump(3)
    click(qtbot, dock.accept)  # no dialog comes
    until(qtbot, lambda: "Kept as revision 1" in dock.message.text())
    told = "This is the usual folder; 'Folder…' under Keep takes another one."
    assert dock.settings.folder == str(own_home / "accepted")
    assert dock.message.text().endswith(told)
    assert dock.kept_in.text() == "Kept in accepted"
    dock.jump(4)
    click(qtbot, dock.accept)
    until(qtbot, lambda: "Kept as revision 2" in dock.message.text())
    assert told not in dock.message.text()


def test_a_new_prompt_takes_no_tick_away(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path, tmp_path: Path
) -> None:
    dock.settings.folder = str(tmp_path / "kept")
    (image,) = viewer.open(str(small_file), plugin=DIST)
    answered(dock, image, BRIGHT, 3, 4)
    dock.jump(3)
    click(qtbot, dock.accept)
    until(qtbot, lambda: "Kept as revision 1" in dock.message.text())
    bar = dock.bottom.review.bar.model
    dock.desk.overview.show_tracks()
    assert [lane.accepted for lane in bar.lanes] == [{3}]
    assert bar.words(3).startswith("Slice 3, accepted")
    answered(dock, image, DARK, 3, 4)
    dock.desk.overview.show_tracks()
    assert [lane.accepted for lane in bar.lanes] == [{3}, set()]
    assert bar.words(3).splitlines()[0] == "Slice 3"
    assert bar.words(3).splitlines()[1].endswith(", accepted")
    assert not bar.words(3).splitlines()[2].endswith(", accepted")


def test_all_that_was_seen_is_what_was_seen_with_the_mask_as_it_is(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path, tmp_path: Path
) -> None:
    dock.settings.folder = str(tmp_path / "kept")
    (image,) = viewer.open(str(small_file), plugin=DIST)
    for row in range(8):
        dock.jump(row)  # nothing to see there yet
    bright, hidden = answered(dock, image, BRIGHT, 3, 4, 5), answered(dock, image, DARK, 4)
    hidden.surface.shown = False
    dock.jump(4)
    until(qtbot, lambda: dock.accept.text() == "Accept 1 of 2")
    assert dock.accepts.text() == f"accepts '{BRIGHT}' · not '{DARK}' (hidden)"
    dock.jump(7)
    click(qtbot, dock.accept_all)
    until(qtbot, lambda: "Kept as revision 1" in dock.message.text())
    assert dock.message.text().startswith(f"1 slice accepted in '{BRIGHT}', 1 of 2 masks.")
    assert "Not looked at since the mask changed, so not accepted: 3, 5." in dock.message.text()
    assert [row for row in range(8) if bright.state(row) is SliceState.REVIEWED] == [4]
    assert hidden.state(4) is SliceState.UNSEEN


def test_what_i_painted_is_accepted_and_nothing_else(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path, tmp_path: Path
) -> None:
    dock.settings.folder = str(tmp_path / "kept")
    (image,) = viewer.open(str(small_file), plugin=DIST)
    track = answered(dock, image, BRIGHT, 3, 4, 5)
    click(qtbot, dock.accept_painted)
    assert dock.message.text() == "There is no slice that you painted and have not accepted."
    for row in (3, 9):
        dock.jump(row)
        layer_of(track).paint((row, 40, 40), 0 if row == 3 else 1)
    dock.jump(4)
    gone = {10: np.ones(track.shape[1:], bool)}
    track.change_all(gone)  # by a tool, in a slice that nobody looked at
    click(qtbot, dock.accept_painted)
    until(qtbot, lambda: "Kept as revision 1" in dock.message.text())
    assert [row for row in range(16) if track.state(row) is SliceState.REVIEWED] == [3, 9]
