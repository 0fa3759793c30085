"""`SlicerStage`: which volumes and masks are open in a scene, and what of them the slice views show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import slicer

from boltzformer.desk.image import OpenImage
from boltzformer.errors import BoltzFormerError
from boltzformer.image.slicing import SlicePlan
from boltzformer.types import Prompt, Volume
from BoltzFormerLib import segmentations
from BoltzFormerLib.geometry import grid_of, matrix_of, volume_of
from BoltzFormerLib.history import History
from BoltzFormerLib.mask import SegmentMask
from BoltzFormerLib.views import SliceViews

HELPER = "BoltzFormer.helper"
"""An attribute of nodes that we made to show or ask something; its value is the volume that they are for."""


class SlicerImage(OpenImage):
    """Of a volume node. Its voxels are copied when they are first asked for, and again when they are others."""

    def __init__(self, key: str, node: Any) -> None:
        super().__init__(key, lambda: volume_of(node), lambda: str(node.GetName()), self._when)
        self.node = node
        self._token: tuple[object, ...] = ()

    def _when(self) -> object:
        """The same object as long as voxels and place are the same."""
        data = self.node.GetImageData()
        now = (None, 0) if data is None else (data.GetMTime(), tuple(grid_of(self.node).ras.ravel()))
        if now != self._token:
            self._token = now
        return self._token


class SlicerStage:
    """`choose` tells which volume the user works on, `target` which segmentation is to hold new segments."""

    def __init__(
        self,
        scene: Any,
        choose: Callable[[], Any],
        *,
        history: History,
        target: Callable[[], Any] = lambda: None,
        chosen: Callable[[Any, Any], None] = lambda volume, segmentation: None,
    ) -> None:
        """`chosen`: a volume was opened, or a segmentation was made (else None): it is to be the chosen one."""
        self.scene, self.views = scene, SliceViews(scene)
        self._choose, self._target, self._tell, self._history = choose, target, chosen, history
        self._numbers = count()
        self._images: dict[str, SlicerImage] = {}
        self._masks: dict[OpenImage, list[SegmentMask]] = {}
        self.guider: tuple[Callable[[Any], Mapping[str, Any]], Callable[[Any, Mapping[str, Any]], None]] = (
            lambda _: {},
            lambda _, __: None,
        )
        """Who knows of points and boxes: tells them, and makes them."""
        self._surfaced: list[Any] = []
        """Segmentations whose surface comes back when the run ends."""
        self.left: list[Callable[[SegmentMask], None]] = []
        """A mask was removed by somebody else."""
        self.other: list[Callable[[], None]] = []
        """A segment may have another name or colour."""

    # --- images and masks ---------------------------------------------------------------------------------------

    def open(self, volume: Volume, *, case: str | None = None, store: str = "") -> SlicerImage:
        node = slicer.util.addVolumeFromArray(
            np.ascontiguousarray(volume.array), ijkToRAS=volume.grid.ras, name=volume.name or "image"
        )
        image = self.image_of(node)
        image.case, image.store = case, store
        self.views.show(node)
        self._tell(node, None)
        return image

    def close(self, image: OpenImage) -> Callable[[], None]:
        node, masks = _node(image), list(self._masks.get(image, ()))
        helpers = [one for one in self.nodes_of("vtkMRMLNode") if one.GetAttribute(HELPER) == node.GetID()]
        gone = [one for one in [node, *{mask.node for mask in masks}, *helpers] if one.GetScene() is not None]
        for one in reversed(gone):
            self.scene.RemoveNode(one)

        def back() -> None:
            for one in gone:
                self.scene.AddNode(one)
            self._images[node.GetID()] = _slicer_image(image)
            self.views.show(node)
            self._tell(node, masks[-1].node if masks else None)

        return back

    def remove(self, surface: Any) -> None:
        if surface.alive:
            surface.node.GetSegmentation().RemoveSegment(surface.segment)

    def guides(self, image: OpenImage) -> Mapping[str, Any]:
        return self.guider[0](image)

    def guide(self, image: OpenImage, told: Mapping[str, Any]) -> None:
        self.guider[1](image, told)

    def arrive(self, image: OpenImage) -> None:
        """Slicer itself brings a volume that is shown into its views."""
        self.views.show(_node(image))

    def side_by_side(self, images: Sequence[OpenImage]) -> None:
        """A slice view shows one volume at a time, so two never lie over each other; layouts are the user's."""

    def nodes(self) -> list[Any]:
        """The user's volumes: no label map, none of our helpers."""
        volumes = self.nodes_of("vtkMRMLScalarVolumeNode")
        return [one for one in volumes if not one.IsA("vtkMRMLLabelMapVolumeNode") and not one.GetAttribute(HELPER)]

    def images(self) -> list[SlicerImage]:
        return [self.image_of(node) for node in self.nodes()]

    def chosen(self) -> SlicerImage | None:
        node = self._choose()
        return None if node is None or node.GetScene() is None else self.image_of(node)

    def image_of(self, node: Any) -> SlicerImage:
        """What the desk knows of a node, made when it is first asked for. A closed scene's names come again."""
        known = self._images.get(node.GetID())
        if known is None or known.node is not node:
            known = self._images[node.GetID()] = SlicerImage(f"image {next(self._numbers)}", node)
        return known

    def surfaces(self, image: OpenImage) -> Sequence[SegmentMask]:
        return [one for one in self._masks.get(image, ()) if one.alive]

    def add(self, image: OpenImage, prompt: Prompt, colour: str) -> SegmentMask:
        volume = _node(image)
        node = self._target()
        if node is None or not segmentations.fits(node, volume):
            mine = [mask.node for mask in self._masks.get(image, ()) if mask.node.GetScene() is not None]
            node = mine[-1] if mine else segmentations.made_for(volume)
            self._tell(volume, node)
        else:
            segmentations.lay_on(node, volume)
        segment = segmentations.new_segment(node, prompt, colour)
        mask = SegmentMask(
            f"mask {next(self._numbers)}",
            node,
            segment,
            shape=image.plan.grid.shape,
            view=image.plan.view,
            ijk_to_ras=matrix_of(image.plan.grid.ras),
            history=self._history,
        )
        mask.left, mask.other = lambda: self._has_left(mask), self._is_other
        self._masks.setdefault(image, []).append(mask)
        return mask

    def begin(self, image: OpenImage) -> None:
        """The history needs nothing: each mask knows what its states lack. Surfaces would be built for every slice."""
        for node in {one.node for one in self.surfaces(image)}:
            segmentations.follow(node, _node(image))
            if segmentations.without_surface(node):
                self._surfaced.append(node)

    def ended(self) -> None:
        """No run writes any more."""
        surfaced, self._surfaced = self._surfaced, []
        for node in surfaced:
            if node.GetScene() is not None:
                node.CreateClosedSurfaceRepresentation()

    def mask_of(self, node: Any, segment: str) -> SegmentMask | None:
        """Of a segment that is ours, also of one that was removed."""
        every = (one for masks in self._masks.values() for one in masks)
        return next((one for one in every if one.node is node and one.segment == segment), None)

    def strangers(self) -> list[tuple[Any, str]]:
        """(segmentation, segment) of all that are no mask of ours."""
        found = []
        for node in self.nodes_of("vtkMRMLSegmentationNode"):
            for identity in map(str, node.GetSegmentation().GetSegmentIDs()):
                ours = self.mask_of(node, identity)
                if ours is None or not ours.alive:
                    found.append((node, identity))
        return found

    def without(self, node: Any) -> None:
        """A segmentation left the scene."""
        for mask in [one for masks in self._masks.values() for one in masks if one.node is node]:
            self._has_left(mask)

    def _has_left(self, mask: SegmentMask) -> None:
        for heard in self.left:
            heard(mask)

    def _is_other(self) -> None:
        for heard in self.other:
            heard()

    def active(self) -> SegmentMask | None:
        editor = self.editor()
        if editor is None or editor.GetSegmentationNode() is None:
            return None
        found = self.mask_of(editor.GetSegmentationNode(), editor.GetSelectedSegmentID() or "")
        return found if found is not None and found.alive else None

    def activate(self, surface: Any) -> None:
        editor = self.editor()
        if editor is not None and surface.alive:
            editor.SetAndObserveSegmentationNode(surface.node)
            editor.SetSelectedSegmentID(surface.segment)

    def editor(self) -> Any:
        """The settings of our embedded Segment Editor."""
        return self.scene.GetSingletonNode("BoltzFormer", "vtkMRMLSegmentEditorNode")

    def forget(self) -> None:
        """The scene is closed: nothing of it is there any more."""
        for masks in self._masks.values():
            for mask in masks:
                mask.leave()
        self._masks.clear()
        self._images.clear()
        self._surfaced.clear()

    # --- what is on screen --------------------------------------------------------------------------------------

    def row(self, image: OpenImage) -> int:
        plan = _plan(image)
        if plan is None:
            return 0
        place = self.views.row(_node(image), plan)
        return plan.count // 2 if place is None else int(np.clip(np.rint(place), 0, plan.count - 1))

    def shows(self, image: OpenImage) -> bool:
        plan = _plan(image)
        return plan is not None and self.views.shows(_node(image), plan)

    def sees(self, image: OpenImage, row: int) -> bool:
        plan = _plan(image)
        return plan is not None and self.views.sees(_node(image), plan, row)

    def go(self, image: OpenImage, row: int) -> None:
        plan = _plan(image)
        if plan is not None:
            self.views.go(_node(image), plan, row)

    def turn(self, image: OpenImage) -> bool:
        plan = _plan(image)
        return plan is not None and self.views.turn(_node(image), plan)

    def bring(self, image: OpenImage) -> None:
        self.views.show(_node(image))
        if not self.shows(image):
            self.turn(image)
            self.go(image, self.row(image))

    def nodes_of(self, kind: str) -> list[Any]:
        """All of the scene's, also of classes that are made of it."""
        found = self.scene.GetNodesByClass(kind)
        return [found.GetItemAsObject(number) for number in range(found.GetNumberOfItems())]

    def helper(self, kind: str, image: OpenImage | None) -> Any:
        """The one of this class that we made for an image; None where there is none."""
        own = None if image is None else _node(image).GetID()
        return next((one for one in self.nodes_of(kind) if own and one.GetAttribute(HELPER) == own), None)


def _plan(image: OpenImage) -> SlicePlan | None:
    """None where the volume can't be segmented: who asks for that is told why."""
    try:
        return image.plan
    except BoltzFormerError:
        return None


def _slicer_image(image: OpenImage) -> SlicerImage:
    assert isinstance(image, SlicerImage)
    return image


def _node(image: OpenImage) -> Any:
    return _slicer_image(image).node
