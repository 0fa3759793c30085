"""Slice views: which one shows the plane of an image's slices, which slice it shows, how to bring another one there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.slicing import SlicePlan
from BoltzFormerLib.geometry import array_of, world_of

FLAT = float(np.cos(np.radians(2)))
"""A view that is turned by less shows slices as the model sees them."""


class SliceViews:
    """Of one scene. Parent transforms count: views look at the world."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene

    def row(self, volume: Any, plan: SlicePlan) -> float | None:
        """Where the nearest view cuts the image, as the viewer counts its slices; None: there is no view."""
        view = self._nearest(volume, plan)
        return None if view is None else self._cuts(view, volume, plan)

    def shows(self, volume: Any, plan: SlicePlan) -> bool:
        """Whether a view shows one of the slices, flat."""
        return any(
            self.is_flat(view, volume, plan) and -0.5 <= self._cuts(view, volume, plan) < plan.count - 0.5
            for view in self._showing(volume)
        )

    def sees(self, volume: Any, plan: SlicePlan, row: int) -> bool:
        """Whether a view shows some of a slice, in any plane."""
        return any(
            not self.is_flat(view, volume, plan) or abs(self._cuts(view, volume, plan) - row) <= 1
            for view in self._showing(volume)
        )

    def go(self, volume: Any, plan: SlicePlan, row: int, ijk: Any = None, *, centre: bool = False) -> None:
        """To a slice in every view that shows the plane; `centre`: the voxel in the middle of all views."""
        place = world_of(volume, _middle(volume, plan, row) if ijk is None else ijk)
        nearest = self._nearest(volume, plan)
        for view in self.views():
            if centre:
                view.JumpSliceByCentering(*place)
            elif view is nearest or self.is_flat(view, volume, plan):
                view.JumpSliceByOffsetting(*place)

    def turn(self, volume: Any, plan: SlicePlan) -> bool:
        """The nearest view to the plane of the slices; False where one shows it already."""
        view = self._nearest(volume, plan)
        if view is None or self.is_flat(view, volume, plan):
            return False
        view.RotateToVolumePlane(volume)
        return self.is_flat(view, volume, plan)

    def show(self, volume: Any) -> None:
        """In the background of every view."""
        for composite in self._nodes("vtkMRMLSliceCompositeNode"):
            composite.SetBackgroundVolumeID(volume.GetID())

    def composites(self, volume: Any) -> list[Any]:
        """What lies in the views that show it, behind it and over it."""
        every = self._nodes("vtkMRMLSliceCompositeNode")
        identity = volume.GetID()
        return [one for one in every if identity in (one.GetBackgroundVolumeID(), one.GetForegroundVolumeID())]

    def views(self) -> list[Any]:
        return list(self._nodes("vtkMRMLSliceNode"))

    def is_flat(self, view: Any, volume: Any, plan: SlicePlan) -> bool:
        return self._along(view, volume, plan) >= FLAT

    # ------------------------------------------------------------------------------------------------------------

    def _nearest(self, volume: Any, plan: SlicePlan) -> Any:
        """One that shows the image before one that does not, where they lie alike."""
        views, showing = self.views(), self._showing(volume)
        return max(views, key=lambda one: (round(self._along(one, volume, plan), 3), one in showing), default=None)

    def _showing(self, volume: Any) -> list[Any]:
        shown = {composite.GetLayoutName() for composite in self.composites(volume)}
        return [view for view in self.views() if view.GetLayoutName() in shown]

    def _along(self, view: Any, volume: Any, plan: SlicePlan) -> float:
        """1 where the view's normal is the direction of the slices."""
        step = _step(volume, plan)
        return abs(float(_normal(view) @ step / np.linalg.norm(step)))

    def _cuts(self, view: Any, volume: Any, plan: SlicePlan) -> float:
        """Along the line through the middle of all slices."""
        first, step, normal = world_of(volume, _middle(volume, plan, 0)), _step(volume, plan), _normal(view)
        place = array_of(view.GetSliceToRAS())[:3, 3]
        return float(normal @ (place - first) / (normal @ step)) if abs(normal @ step) > 1e-9 else 0.0

    def _nodes(self, kind: str) -> Iterator[Any]:
        found = self._scene.GetNodesByClass(kind)
        for number in range(found.GetNumberOfItems()):
            yield found.GetItemAsObject(number)


def _middle(volume: Any, plan: SlicePlan, row: int) -> NDArray[np.float64]:
    """i, j, k of the middle of a slice, as the viewer counts them."""
    zyx = (np.array(plan.grid.shape) - 1) / 2
    zyx[plan.axis] = plan.canonical_index(row)
    return zyx[::-1]


def _step(volume: Any, plan: SlicePlan) -> NDArray[np.float64]:
    """From one slice to the next, in the world."""
    return world_of(volume, _middle(volume, plan, 1)) - world_of(volume, _middle(volume, plan, 0))


def _normal(view: Any) -> NDArray[np.float64]:
    normal: NDArray[np.float64] = array_of(view.GetSliceToRAS())[:3, 2]
    return normal / np.linalg.norm(normal)
