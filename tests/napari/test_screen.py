"""What is asked of 'this slice' is asked of one that can be seen; chosen images come into view."""

from pathlib import Path
from typing import Any

import numpy as np
from gui import canvas, click, done, press, type_lines, until
from qtpy.QtCore import Qt

from boltzformer.io.phantom import BRIGHT
from boltzformer.types import SliceState
from napari_boltzformer.host.layers import camera_of
from napari_boltzformer.host.stage import image_on
from napari_boltzformer.widget import BoltzFormerDock

DEPTH = 6


def two_apart(viewer: Any) -> tuple[Any, Any]:
    """One begins where the other has ended, above it and beside it."""
    shape = DEPTH, 40, 48
    near = viewer.add_image(np.zeros(shape, np.int16), name="near", scale=(2, 1, 1))
    far = viewer.add_image(np.zeros(shape, np.int16), name="far", scale=(2, 1, 1), translate=(100, 200, 0))
    return near, far


def choose(dock: BoltzFormerDock, name: str) -> None:
    dock.image.setCurrentText(name)


def test_a_chosen_image_comes_on_screen_and_out_of_it_nothing_is_asked_or_accepted(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    dock.settings.folder = str(tmp_path / "kept")
    near, far = two_apart(viewer)
    until(qtbot, lambda: dock.stage.shows(image_on(far)))
    assert dock.row() == DEPTH // 2
    low, high = far.extent.world[:, -2:]
    center = np.asarray(camera_of(viewer).center[-2:])
    assert np.all((low <= center) & (center <= high))
    dock.jump(1)
    choose(dock, "near")
    assert dock.stage.shows(image_on(near))
    choose(dock, "far")
    assert dock.row() == 1  # where it was last
    assert dock.image.toolTip() == "far"

    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    assert set(track.scores) == {1}
    viewer.dims.set_point(0, 60.0)  # between the two
    sentence = "'far' is not on screen here: scroll into it, or choose another image."
    for button in (dock.this_slice, dock.accept):
        dock.desk.notice.say("")
        click(qtbot, button)
        assert dock.message.text() == sentence
    dock.desk.notice.say("")
    viewer.layers.selection.active = far
    canvas(viewer).setFocus()
    press(qtbot, viewer, Qt.Key.Key_0)
    assert dock.message.text() == sentence
    assert set(track.scores) == {1}
    assert not dock.running.runs
    assert not any(track.state(row) is not SliceState.UNSEEN for row in range(DEPTH))

    track.surface.layer.data[0, 5, 5] = 1  # the nearest slice to where the screen is: never seen
    click(qtbot, dock.accept_all)
    until(qtbot, lambda: "Kept as revision 1" in dock.message.text())
    assert "Never on screen, so not accepted: 0, 2, 4-5." in dock.message.text()
    assert track.state(0) is SliceState.UNSEEN
    assert track.state(1) is SliceState.REVIEWED
    click(qtbot, dock.this_slice)
    click(qtbot, dock.notice.action)
    assert dock.row() == 1
    assert dock.stage.shows(image_on(far))


def test_in_another_plane_or_in_3d_the_slice_is_shown_before_it_is_asked_or_accepted(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    dock.settings.folder = str(tmp_path / "kept")
    viewer.add_image(np.zeros((DEPTH, 40, 48), np.int16), name="one", scale=(2, 1, 1))
    type_lines(qtbot, dock, BRIGHT)
    dock.jump(4)
    for leave in ({"order": (2, 0, 1)}, {"ndisplay": 3}):
        viewer.dims.update(leave)
        click(qtbot, dock.this_slice)
        assert dock.message.text() == "The model looks at axial slices: this is slice 4. Press again if you mean it."
        assert not dock.running.runs
        assert (viewer.dims.ndisplay, viewer.dims.order) == (2, (0, 1, 2))
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    viewer.dims.order = (1, 0, 2)
    click(qtbot, dock.accept)
    assert "axial slices: this is slice 4" in dock.message.text()
    assert track.state(4) is SliceState.UNSEEN
    click(qtbot, dock.accept)
    until(qtbot, lambda: "Slice 4 accepted. Kept as revision 1" in dock.message.text())
    viewer.dims.order = (2, 0, 1)
    dock.bottom.review.bar.jumped.emit(2)
    assert viewer.dims.order == (0, 1, 2)
    assert dock.row() == 2


def test_choosing_an_image_uncovers_it_and_hides_nothing_for_good(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    one = viewer.add_image(np.zeros((DEPTH, 40, 48), np.int16), name="below", visible=False)
    over = viewer.add_image(np.zeros((DEPTH, 40, 48), np.int16), name="above")
    thin = viewer.add_image(np.zeros((DEPTH, 40, 48), np.int16), name="seen through", opacity=0.5)
    choose(dock, "below")
    assert (one.visible, over.visible, thin.visible) == (True, False, True)
    assert dock.message.text() == "Hidden, as it lay over 'below': 'above'."
    click(qtbot, dock.notice.action)
    assert over.visible
    over.visible = False
    choose(dock, "above")
    assert over.visible
