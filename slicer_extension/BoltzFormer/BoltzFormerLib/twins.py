"""Twins: a scene that is read holds its segments, and the work that was kept brings the same ones back: once is enough.

What is another than the work that was kept stays beside it: nobody knows which of the two is wanted.
"""

from __future__ import annotations

import numpy as np

from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.words import quoted
from BoltzFormerLib.segmentations import prompt_of, voxels_on
from BoltzFormerLib.stage import SlicerStage
from BoltzFormerLib.translating import tr


def once(desk: Desk, stage: SlicerStage, image: OpenImage) -> None:
    """Of segments with the same prompt and the same voxels, the one that is known stays."""
    volume, other = image.node, []  # type: ignore[attr-defined]
    by_prompt = {track.prompt.text: track for track in desk.tracks.of(image)}
    for node, identity in stage.strangers():
        segmentation = node.GetSegmentation()
        segment = segmentation.GetSegment(identity)
        track = by_prompt.get(prompt_of(segment))
        if track is None or node.GetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole()) != volume.GetID():
            continue
        if np.array_equal(image.plan.view.apply(voxels_on(node, identity, volume)), track.surface.copy() > 0):
            segmentation.RemoveSegment(identity)
        else:
            other.append(segment.GetName())
    if other:
        said = tr("The scene holds {names} otherwise than the work that was kept: both are there; remove one of them.")
        desk.notice.say(said.format(names=quoted(other)))
