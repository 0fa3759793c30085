"""Two that are compared: whoever zoomed keeps what they look at; one that is removed takes its masks along."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gui import answered, click, keep_both, layer_of, until
from napari.components import ViewerModel
from test_one_patient import names, two_files

from boltzformer import Grid, Prompt, Volume
from boltzformer.desk.memory import MemoryTimers
from boltzformer.io.phantom import BRIGHT, DARK, phantom
from napari_boltzformer.canvas.guide import BOX, LINE, POINT, POINTS, Guide
from napari_boltzformer.canvas.outlines import Outlines
from napari_boltzformer.host.compared import width_of
from napari_boltzformer.host.layers import camera_of, grid_of
from napari_boltzformer.host.mask import LINE as MASK_LINE
from napari_boltzformer.host.stage import NapariStage
from napari_boltzformer.widget import BoltzFormerDock


def test_a_dock_that_comes_leaves_the_zoom_and_a_removed_image_takes_its_masks_along(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    deep, flat = two_files(tmp_path)
    dock.opening.open(deep)
    until(qtbot, lambda: dock.image.currentText() == "deep")
    answered(dock, dock.chosen_image(), BRIGHT, 2)
    dock.opening.open(flat)
    until(qtbot, lambda: dock.image.currentText() == "flat")
    answered(dock, dock.chosen_image(), DARK, 2)
    keep_both(qtbot, dock)
    first, second = sorted(dock.stage.images(), key=lambda one: one.name)
    until(qtbot, lambda: not dock.bottom.fitting._soon.isActive())

    camera_of(viewer).zoom *= 3
    zoomed = float(camera_of(viewer).zoom)
    click(qtbot, dock.table)
    until(qtbot, lambda: dock.beside.lesions is not None and dock.beside.lesions.isVisible())
    until(qtbot, lambda: not dock.bottom.fitting._soon.isActive())
    assert float(camera_of(viewer).zoom) == zoomed

    there = names(viewer)
    own = viewer.add_labels(np.zeros((5, 40, 48), int), name="the user's own")  # of the one in hand
    assert own in dock.stage.group(second)
    viewer.layers.remove(second.layer)
    until(qtbot, lambda: DARK not in names(viewer))
    assert set(names(viewer)) == {first.name, BRIGHT, own.name}
    assert not grid_of(viewer).enabled
    assert not dock.desk.patients.beside
    (offer,) = [one for one in dock.desk.notice.offers if "was removed, and its masks with it" in one.sentence]
    dock.desk.notice.answer(offer.topic, "Restore")
    until(qtbot, lambda: set(names(viewer)) == {second.name, DARK, own.name})  # it has the screen
    assert dock.stage.chosen() is second
    assert set(names(viewer)) < {*there, own.name}
    assert layer_of(dock.desk.tracks.of(second)[0]).data.any()


def test_three_come_side_by_side_in_one_step() -> None:
    """napari draws all anew for each step that it hears of: the canvas would stay blank that much longer."""
    viewer = ViewerModel()
    stage = NapariStage(viewer, lambda: viewer.layers[0])
    images = [stage.open(phantom(1, (6, 32, 32)).volume) for _ in range(3)]
    masks = [stage.add(image, Prompt(BRIGHT), "#E69F00").layer for image in reversed(images)]
    grid, told = grid_of(viewer), list[str]()
    for event in (viewer.layers.events.reordered, grid.events.stride, grid.events.shape, grid.events.enabled):
        event.connect(lambda event: told.append(event.type))
    stage.side_by_side(images)
    assert told == ["enabled", "reordered"]
    assert list(viewer.layers) == [
        one for pair in zip(images, masks[::-1], strict=True) for one in (pair[0].layer, pair[1])
    ]
    assert (grid.stride, tuple(grid.shape)) == (2, (1, 3))


def test_points_boxes_and_outlines_on_an_enlarged_picture_are_as_wide_as_elsewhere() -> None:
    """napari enlarges lines with their layer, but points it draws by the scale of theirs alone."""
    viewer, desk = ViewerModel(), SimpleNamespace(timers=MemoryTimers(), tracks=SimpleNamespace(made=[]))
    stage = NapariStage(viewer, lambda: viewer.layers[0])
    guide = Guide(desk, stage, list, lambda layer: None)  # type: ignore[arg-type]
    Outlines(desk, stage)  # type: ignore[arg-type]
    volume = stage.open(phantom(1, (6, 64, 64)).volume)
    picture = stage.open(
        Volume(np.zeros((1, 400, 400), np.uint8), Grid.from_lps((1, 400, 400), np.diag([1e-3] * 3 + [1])))
    )
    mask = stage.add(picture, Prompt(BRIGHT), "#E69F00").layer
    stage.side_by_side([volume, picture])
    zoom = float(camera_of(viewer).zoom)
    enlarged = width_of(picture.layer) * zoom
    assert enlarged > 10 * picture.layer.scale[-1] * zoom
    assert mask.contour == max(1, np.ceil(MASK_LINE / enlarged) - 1)  # before it is drawn

    corners = [[0, 5, 5], [0, 5, 95], [0, 95, 95], [0, 95, 5]]
    guide.tell(picture, {"points": [[[0, 50, 50], True, BRIGHT]], "boxes": [corners]})
    stage.side_by_side([volume, picture])  # as soon as they are there
    assert float(camera_of(viewer).zoom) == zoom
    points, box = viewer.layers[POINTS], viewer.layers[BOX]
    assert points.size[0] * points.scale[-1] * zoom == pytest.approx(POINT)
    assert box.edge_width[0] * enlarged == pytest.approx(max(LINE, enlarged))
