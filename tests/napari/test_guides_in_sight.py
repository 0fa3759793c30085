"""Points and boxes lead as long as they can be seen: hidden ones say nothing and stay hidden another day, what is shown
can be told from masks and rings at every zoom, and a mere click is no box."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import answered, canvas, click, done, type_lines, until
from qtpy.QtCore import QPoint, Qt

from boltzformer import io
from boltzformer.desk.masks.contrast import COLOURS
from boltzformer.desk.masks.pointing import Pointing
from boltzformer.io.phantom import BRIGHT, Phantom, phantom
from napari_boltzformer.canvas.guide import BOX, HERE, LINE, NOT_HERE, POINT, POINTS
from napari_boltzformer.canvas.objects import NAME as RINGS
from napari_boltzformer.host.layers import camera_of, image_layer
from napari_boltzformer.host.stage import NapariImage, image_on
from napari_boltzformer.widget import BoltzFormerDock


def opened(viewer: Any, small: Phantom) -> NapariImage:
    data, options, _ = image_layer(small.volume)
    return image_on(viewer.add_image(data, **options))


def draw(dock: BoltzFormerDock, row: int, low: int = 10, high: int = 50) -> Any:
    """A box, as if it had been dragged."""
    dock.guide.box()
    box = dock.viewer.layers[BOX]
    corners = [(row, low, low), (row, low, high), (row, high, high), (row, high, low)]
    box.add([np.array(corners, float)], shape_type="rectangle")
    return box


def test_a_hidden_box_is_not_looked_closer_into(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom) -> None:
    opened(viewer, small)
    type_lines(qtbot, dock, BRIGHT)
    box = draw(dock, dock.row())
    until(qtbot, lambda: "led by a box" in dock.message.text())
    done(qtbot, dock)
    click(qtbot, dock.closer)
    box.visible = False
    click(qtbot, dock.this_slice)
    assert dock.message.text().startswith("There is no box in sight to look closer in")
    assert not dock.running.runs
    click(qtbot, dock.box)  # who draws one sees it
    assert box.visible
    click(qtbot, dock.this_slice)
    until(qtbot, lambda: "only in the box" in dock.message.text())
    done(qtbot, dock)
    viewer.add_image(np.zeros((40, 60), np.uint8), name="next")
    until(qtbot, lambda: dock.image.currentText() == "next")
    assert not dock.closer.isChecked()  # it has no box yet
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    assert "no box in sight" not in dock.message.text()


def test_a_mere_click_is_no_box_and_the_last_of_both_is_removed_first(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    image = opened(viewer, small)
    type_lines(qtbot, dock, BRIGHT)
    middle = canvas(viewer).rect().center()
    click(qtbot, dock.box)
    qtbot.mouseMove(canvas(viewer), middle)
    qtbot.mouseClick(canvas(viewer), Qt.MouseButton.LeftButton, pos=middle)
    assert dock.message.text() == "That was a click, not a box: press, drag and let go. Nothing was drawn."
    box = viewer.layers[BOX]
    until(qtbot, lambda: not len(box.data))
    draw(dock, dock.row())
    until(qtbot, lambda: "led by a box" in dock.message.text())
    done(qtbot, dock)
    qtbot.mouseClick(canvas(viewer), Qt.MouseButton.LeftButton, pos=middle)
    until(qtbot, lambda: len(box.data) == 1)
    assert np.ptp(box.data[0], axis=0).tolist() == [0, 40, 40]  # nor does it take a box's place
    assert not dock.running.runs

    click(qtbot, dock.point)
    qtbot.mouseClick(canvas(viewer), Qt.MouseButton.LeftButton, pos=middle)
    points = viewer.layers[POINTS]
    assert len(points.data) == 1
    draw(dock, dock.row(), high=60)
    until(qtbot, lambda: len(box.data) == 1)
    viewer.layers.selection.active = points
    qtbot.mouseClick(canvas(viewer), Qt.MouseButton.LeftButton, pos=middle + QPoint(20, 20))
    assert len(points.data) == 2
    left = []
    for _ in range(3):
        click(qtbot, dock.unpoint)
        left.append((len(points.data), len(box.data)))
    assert left == [(1, 1), (1, 0), (0, 0)]
    assert dock.guide.pointing(image).box is None
    click(qtbot, dock.unpoint)
    assert dock.message.text() == "No point or box is in sight to remove: set a point, or draw a box first."


@pytest.mark.slow
def test_a_click_or_a_box_beside_the_image_places_nothing_and_says_so(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    image = opened(viewer, small)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.point)
    points, margin = viewer.layers[POINTS], QPoint(4, canvas(viewer).height() // 2)
    qtbot.mouseMove(canvas(viewer), margin)
    qtbot.mouseClick(canvas(viewer), Qt.MouseButton.LeftButton, pos=margin)
    assert dock.message.text() == "That is beside the image: no point was placed."
    until(qtbot, lambda: not len(points.data))
    box = draw(dock, dock.row(), -50, -10)
    assert dock.message.text() == "That is beside the image: no box was drawn."
    until(qtbot, lambda: not len(box.data))
    assert dock.guide.pointing(image) == Pointing()


@pytest.mark.slow
def test_what_was_hidden_is_hidden_when_it_comes_back(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, tmp_path: Path
) -> None:
    for number, name in enumerate(("one.nii.gz", "two.nii.gz")):
        io.write_volume(phantom(number, (5, 48, 48)).volume, tmp_path / name)
    dock.opening.open(tmp_path / "one.nii.gz")
    until(qtbot, lambda: dock.image.currentText() == "one")
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    row = dock.row()
    box = [[row, 5, 5], [row, 5, 9], [row, 9, 9], [row, 9, 5]]
    image = dock.stage.chosen()
    assert image is not None
    dock.guide.tell(image, {"boxes": [box], "points": [[[row, 8, 8], True, BRIGHT], [[row, 9, 9], True, BRIGHT]]})
    viewer.layers[BOX].visible = False
    viewer.layers[POINTS].shown = [True, False]

    dock.opening.open(tmp_path / "two.nii.gz")
    until(qtbot, lambda: dock.image.currentText() == "two")
    dock.opening.open(tmp_path / "one.nii.gz")
    until(qtbot, lambda: dock.image.currentText() == "one" and POINTS in [layer.name for layer in viewer.layers])
    assert not viewer.layers[BOX].visible
    assert viewer.layers[POINTS].visible
    assert viewer.layers[POINTS].shown.tolist() == [True, False]
    back = dock.stage.chosen()
    assert back is not None
    assert back is not image
    assert dock.guide.pointing(back).box is None
    assert len(dock.guide.pointing(back).points) == 1
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    assert dock.message.text().startswith("Looked in 1 slice, led by 1 point; found ")


def test_points_and_boxes_are_seen_at_every_zoom_above_rings_and_masks_in_colours_of_their_own(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    assert not {HERE, NOT_HERE} & set(COLOURS)
    image = opened(viewer, small)
    row = dock.row()
    box = [[row, 5, 5], [row, 5, 9], [row, 9, 9], [row, 9, 5]]
    dock.guide.tell(image, {"boxes": [box], "points": [[[row, 8, 8], True, BRIGHT], [[row, 9, 9], False, BRIGHT]]})
    points, drawn = viewer.layers[POINTS], viewer.layers[BOX]
    for zoom in (0.2, 3.0):
        camera_of(viewer).zoom = zoom
        pixel = dock.stage.pixel(image.layer)
        assert (points.size >= POINT * pixel * 0.999).all()
        assert np.min(drawn.edge_width) >= LINE * pixel * 0.999
    track = answered(dock, image.layer, BRIGHT, row)
    mask = np.zeros(track.shape[1:], bool)
    mask[8, 8] = True
    track.change(row, mask)
    dock.show_results()
    names = [layer.name for layer in viewer.layers]
    assert max(names.index(BRIGHT), names.index(RINGS)) < min(names.index(POINTS), names.index(BOX))
