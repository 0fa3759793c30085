"""Before: what the model alone had marked in the slice on screen, in the place of the mask, as long as it is asked for.

A label map of one slice, for that layer of the views is free as a rule; what was there comes back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.track import Track
from boltzformer.desk.ports import Mask
from BoltzFormerLib.geometry import ijk_to_ras, matrix_of
from BoltzFormerLib.stage import HELPER, SlicerStage
from BoltzFormerLib.translating import tr

OPACITY = 0.5


class BeforeView:
    """There only while a button is down."""

    def __init__(self, stage: SlicerStage) -> None:
        self._stage = stage
        self._nodes: list[Any] = []
        self._covered: list[tuple[Any, str | None, float]] = []
        """Of each view: its label map before, and how dense that was."""
        self._hidden: Track | None = None
        self.node: Any = None

    def show(self, image: OpenImage, track: Track, row: int, mask: Mask) -> None:
        """`mask` as the viewer sees the slice."""
        self.clear()
        self._hidden = track if track.surface.shown else None
        track.surface.shown = False
        self.node = self._made(image, track, row, mask)
        for composite in self._stage.views.composites(image.node):  # type: ignore[attr-defined]
            self._covered.append((composite, composite.GetLabelVolumeID(), composite.GetLabelOpacity()))
            composite.SetLabelVolumeID(self.node.GetID())
            composite.SetLabelOpacity(OPACITY)

    def clear(self) -> None:
        """The mask again, if it is there still."""
        for composite, identity, opacity in self._covered:
            composite.SetLabelVolumeID(identity)
            composite.SetLabelOpacity(opacity)
        for node in self._nodes:
            if node.GetScene() is not None:
                self._stage.scene.RemoveNode(node)
        track, self._hidden = self._hidden, None
        if track is not None and track.surface.alive:
            track.surface.shown = True
        self._covered, self._nodes, self.node = [], [], None

    def _made(self, image: OpenImage, track: Track, row: int, mask: Mask) -> Any:
        volume, plan, name = image.node, image.plan, tr("{name}: before it learnt").format(name=track.name)  # type: ignore[attr-defined]
        first = np.zeros(4)
        first[2 - plan.axis], first[3] = plan.canonical_index(row), 1
        ras = ijk_to_ras(volume)
        ras[:3, 3] = (ras @ first)[:3]
        voxels = np.ascontiguousarray(plan.view.undo(np.asarray(mask, np.uint8)[None]))
        node = slicer.util.addVolumeFromArray(voxels, matrix_of(ras), name, "vtkMRMLLabelMapVolumeNode")
        node.SetAttribute(HELPER, volume.GetID())
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        node.CreateDefaultDisplayNodes()
        colours = self._stage.scene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
        colours.SetTypeToUser()
        colours.SetNumberOfColors(2)
        colours.SetColor(0, "", 0, 0, 0, 0)
        colours.SetColor(1, name, *(int(track.colour[n : n + 2], 16) / 255 for n in (1, 3, 5)), 1)
        display = node.GetDisplayNode()
        display.SetAndObserveColorNodeID(colours.GetID())
        self._nodes = [node, display, colours]
        return node
