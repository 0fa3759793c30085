"""Begin from a segment that somebody has already, of another tool or another day: it becomes the prompt's mask."""

from __future__ import annotations

from typing import Any

from boltzformer.desk.desk import Desk
from BoltzFormerLib.segmentations import voxels_on
from BoltzFormerLib.stage import SlicerImage, SlicerStage
from BoltzFormerLib.translating import tr


def ask_and_use(desk: Desk, stage: SlicerStage, typed: list[str]) -> None:
    """Which one? Then it is ours. `typed`: the prompts in the box."""
    image = stage.chosen()
    text = "" if image is None else _prompt(desk, image, typed)
    if image is None or not text:
        desk.notice.say(tr("Choose the volume and type the prompt first that the mask answers, then use a segment."))
        return
    offered = segments_offered(stage)
    if not offered:
        desk.notice.say(tr("There is no segment to begin from: load or draw one on this volume, then use it."))
        return
    names = [name for name, _, _ in offered]
    chosen = desk.dialogs.choose(tr("Which segment is the mask of '{prompt}'?").format(prompt=text), names)
    if chosen is not None:
        use(desk, image, *offered[chosen], text)


def segments_offered(stage: SlicerStage) -> list[tuple[str, Any, str]]:
    """(name, segmentation, segment) of all that are nobody's mask yet."""
    found = []
    for node, identity in stage.strangers():
        name = node.GetSegmentation().GetSegment(identity).GetName()
        found.append((f"{name} ({node.GetName()})", node, identity))
    return found


def use(desk: Desk, image: SlicerImage, name: str, node: Any, segment: str, text: str) -> None:
    """Its voxels on the volume's grid, wherever it lies, in place of what the prompt had; it is hidden, not changed."""
    if desk.begin_from(image, image.plan.view.apply(voxels_on(node, segment, image.node)), name, text):
        display = node.GetDisplayNode()
        if display is not None:
            display.SetSegmentVisibility(segment, False)


def _prompt(desk: Desk, image: SlicerImage, typed: list[str]) -> str:
    """The first that is typed and has no mask yet, else that of the selected mask."""
    known, track = [track.prompt.text for track in desk.tracks.of(image)], desk.tracks.active()
    waiting = [text for text in typed if text not in known]
    return waiting[0] if waiting else "" if track is None else track.prompt.text
