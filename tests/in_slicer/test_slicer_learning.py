"""Learning from the case by clicks: painted slices teach the rest, and before is seen as long as a button is down."""

from typing import Any

import numpy as np
import pytest
import slicer
from clicking import Person, somebody
from PySide6 import QtCore, QtTest
from scenes import under_transform
from storage_orders import rotation

from boltzformer.io.phantom import BRIGHT, DARK, phantom
from BoltzFormerLib.geometry import ijk_to_ras

UNKNOWN = "left atrium in cardiac MRI"
"""The phantom model was never taught it, and marks bright blobs."""
PHANTOM = phantom(11, (24, 64, 64), (DARK, DARK, BRIGHT))


def learnt(person: Person) -> tuple[Any, Any, list[int], Any]:
    """(image, track, rows that taught, the model's own mask)."""
    desk, ui = person.panel.desk, person.ui
    desk.settings.learning_seconds = 30.0  # enough steps for another answer also where others compute beside
    image = person.opens(PHANTOM.volume)
    person.types(UNKNOWN)
    person.clicks(ui.allSlicesButton)
    person.until(lambda: desk.running.runs)
    person.idle()
    (track,) = desk.tracks.chosen()
    assert not ui.beforeButton.enabled
    truth = image.plan.view.apply(PHANTOM.labels.mask(2))
    there = np.flatnonzero(truth.sum((1, 2)) >= 8)
    rows = [int(there[0]), int(there[len(there) // 2]), int(there[-1])]
    alone = track.surface.copy() > 0
    for row in rows:
        track.change(row, truth[row])
    person.until(lambda: desk.learning.offered)
    person.clicks(ui.learnCaseButton)
    person.until(lambda: ui.cancelButton.enabled and 0 < ui.progressBar.value < ui.progressBar.maximum)
    person.until(lambda: desk.learning.learnt(track) is not None)
    person.idle()
    assert person.said.startswith("Learnt from 3 slices")
    return image, track, rows, alone


@pytest.mark.slicer("Learning from this case: before, as long as a button is down; forgotten", "imitation")
def test_before_is_what_the_model_alone_had_marked_and_lies_in_its_slice() -> None:
    with somebody() as person:
        image, track, rows, alone = learnt(person)
        ui, stage, before = person.ui, person.panel.stage, person.panel.learn.before
        differ = [row for row in range(track.count) if row not in rows and alone[row].any()]
        person.until(lambda: any(not np.array_equal(alone[row], track.mask(row)) for row in differ))
        row = next(row for row in differ if not np.array_equal(alone[row], track.mask(row)))
        under = np.eye(4)
        under[:3, :3], under[:3, 3] = rotation(0, 0, 20), (3, 4, 5)
        under_transform(person.scene, image.node, under)
        stage.turn(image)
        stage.go(image, row)
        person.idle()
        view = stage.views.composites(image.node)[0]
        mine = slicer.vtkMRMLLabelMapVolumeNode()
        mine = person.scene.AddNode(mine)
        view.SetLabelVolumeID(mine.GetID())
        count = person.scene.GetNumberOfNodes()

        ui.teachButton.collapsed = False
        QtTest.QTest.mousePress(ui.beforeButton.what, QtCore.Qt.LeftButton)
        assert view.GetLabelVolumeID() == before.node.GetID()
        assert not track.surface.shown
        assert before.node not in stage.nodes()
        assert before.node.GetTransformNodeID() == image.node.GetTransformNodeID()
        assert person.ui.inputSelector.currentNode() is image.node
        shown = slicer.util.arrayFromVolume(before.node) > 0
        k, j, i = np.argwhere(shown).T
        there = np.linalg.inv(ijk_to_ras(image.node)) @ ijk_to_ras(before.node) @ np.stack([i, j, k, np.ones_like(i)])
        stored = np.zeros(image.volume.grid.shape, bool)
        stored[tuple(np.rint(there[2::-1]).astype(int))] = True
        seen = image.plan.view.apply(stored)
        assert np.array_equal(seen[row], alone[row])
        assert np.flatnonzero(seen.any((1, 2))).tolist() == [row]

        QtTest.QTest.mouseRelease(ui.beforeButton.what, QtCore.Qt.LeftButton)
        assert track.surface.shown
        assert view.GetLabelVolumeID() == mine.GetID()  # what was there
        assert person.scene.GetNumberOfNodes() == count
        stage.go(image, rows[0])
        person.clicks(ui.beforeButton)
        assert person.said.startswith("There is no before here")
        assert track.surface.shown

        person.clicks(ui.forgetCaseButton)
        person.until(lambda: person.panel.desk.learning.learnt(track) is None and not person.panel.desk.running.runs)
        person.idle()
        assert not ui.beforeButton.enabled
        others = [row for row in range(track.count) if row not in rows]
        assert np.array_equal((track.surface.copy() > 0)[others], alone[others])


@pytest.mark.slicer("Learning from this case: before, as long as a button is down; forgotten", "imitation")
def test_a_panel_that_leaves_with_the_button_down_shows_the_mask_again() -> None:
    with somebody() as person:
        image, track, rows, alone = learnt(person)
        row = next(row for row in range(track.count) if row not in rows and alone[row].any())
        person.panel.stage.go(image, row)
        person.ui.beforeButton.what.pressed.emit()
        assert not track.surface.shown
        person.panel.exit()
        assert track.surface.shown
