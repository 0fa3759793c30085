"""What Accept says of a slice, and of which masks: only of what can be seen to be right."""

from pathlib import Path
from typing import Any

import numpy as np
from gui import DIST, layer_of, new_track, until

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
    until(qtbot, lambda: dock.message.text().startswith("1 slice accepted. Never on screen, so not accepted: "))


def test_a_mask_that_a_person_began_from_has_the_name_that_a_run_would_give_it(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    image = viewer.add_image(np.zeros((3, 24, 32), np.uint8))
    theirs = viewer.add_labels(np.ones((3, 24, 32), np.uint8))
    use(dock.desk, image_on(image), theirs, None, "MS lesion in brain MRI")
    (track,) = dock.tracks()
    assert track.prompt == named_apart(["MS lesion in brain MRI"])[0]
    assert track.name == "MS lesion"
