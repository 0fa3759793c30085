"""A segment keeps the contract of a mask surface, on real MRML, with Slicer's own undo."""

from typing import Any

import numpy as np
import pytest
from scenes import Editor, opened_scene, volume_node, voxels_of
from surfaces import SHAPE, contract

from boltzformer.image.geometry import CanonicalView
from BoltzFormerLib.geometry import matrix_of
from BoltzFormerLib.history import LogicHistory
from BoltzFormerLib.mask import SegmentMask

pytestmark = pytest.mark.slicer("The desk's contract of a mask, with Slicer's undo and redo", "real MRML")
PLAIN = CanonicalView((0, 1, 2), (False, False, False))
MANY = 200
"""States of undo, more than a test makes."""


class Counted(LogicHistory):
    """Says how often a state was kept."""

    saved = 0

    def save(self) -> None:
        self.saved += 1
        super().save()


class SlicerRig:
    """Two segments, so that one labelmap could be shared; the second is the one that is tested."""

    def __init__(self) -> None:
        self._open = opened_scene()
        self.scene = self._open.__enter__()
        self.volume = volume_node(np.zeros(SHAPE, np.int16))
        node = self.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        for name in ("other", "x"):
            node.GetSegmentation().AddEmptySegment(name, name)
        self.editor = Editor(self.scene, MANY)
        self.editor.edits(node, self.volume)
        self.history = Counted(self.editor.logic)
        self.surface = SegmentMask(
            "mask", node, "x", shape=SHAPE, view=PLAIN, ijk_to_ras=matrix_of(np.eye(4)), history=self.history
        )

    def stroke(self, row: int, y: int, x: int, label: int, size: int) -> None:
        """Whoever paints what is painted already has done nothing."""
        where = np.zeros(SHAPE, bool)
        where[row, max(0, y - size + 1) : y + size, max(0, x - size + 1) : x + size] = True
        if (self.surface.copy() > 0)[where].all() if label else not (self.surface.copy() > 0)[where].any():
            return
        self.history.saved += 1
        self.editor.stroke("x", where, erase=not label)

    def undo(self) -> None:
        self._press(self.editor.logic.Undo, self.editor.logic.CanUndo)

    def redo(self) -> None:
        self._press(self.editor.logic.Redo, self.editor.logic.CanRedo)

    def _press(self, button: Any, enabled: Any) -> None:
        """Slicer keeps a state twice when somebody paints after an undo: a person presses again."""
        before = self.surface.copy()
        while enabled():
            button()
            if not np.array_equal(before, self.surface.copy()):
                return
        raise AssertionError("there is nothing left that this could bring back")

    def noted(self) -> int:
        saved, self.history.saved = self.history.saved, 0
        return saved


TestSegmentMask = contract(SlicerRig)


def test_new_segments_share_one_labelmap_and_ours_does_not() -> None:
    rig = SlicerRig()
    mask = np.zeros(SHAPE[1:], bool)
    mask[2:5, 3] = True
    rig.surface.write({1: mask})
    node = rig.surface.node
    labels = [node.GetSegmentation().GetSegment(one).GetRepresentation("Binary labelmap") for one in ("x", "other")]
    assert labels[0] is not labels[1]
    assert voxels_of(node, "x", rig.volume).sum() == 3
    assert voxels_of(node, "other", rig.volume).sum() == 0
