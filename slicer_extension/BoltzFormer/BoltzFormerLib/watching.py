"""What the scene tells: volumes and segmentations that come and go, views that are moved, the scene itself closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk


class SceneWatch:
    """Observers of one scene; `leave` takes all of them away."""

    def __init__(
        self,
        scene: Any,
        *,
        removing: Callable[[Any], None],
        closing: Callable[[], None],
        opened: Callable[[], None],
        moved: Callable[[], None],
    ) -> None:
        """`removing`: a node, while it is still there. `opened`: the scene was closed, or another one was read into it.
        `moved`: a slice view shows something else."""
        self._scene, self._moved = scene, moved
        self._observed: list[tuple[Any, int]] = []

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def about_to_go(_: Any, __: Any, node: Any) -> None:
            if not scene.IsClosing():
                removing(node)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def came(_: Any, __: Any, node: Any) -> None:
            self._look_at(node)

        for event, do in (
            (scene.NodeAboutToBeRemovedEvent, about_to_go),
            (scene.NodeAddedEvent, came),
            (scene.StartCloseEvent, lambda *_: closing()),
            (scene.EndCloseEvent, lambda *_: opened()),
            (scene.EndImportEvent, lambda *_: opened()),
        ):
            self._observe(scene, event, do)
        for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
            found = scene.GetNodesByClass(kind)
            for number in range(found.GetNumberOfItems()):
                self._look_at(found.GetItemAsObject(number))

    def leave(self) -> None:
        for what, tag in self._observed:
            what.RemoveObserver(tag)
        self._observed.clear()

    def _look_at(self, node: Any) -> None:
        if node.IsA("vtkMRMLSliceNode") or node.IsA("vtkMRMLSliceCompositeNode"):
            self._observe(node, vtk.vtkCommand.ModifiedEvent, lambda *_: self._moved())

    def _observe(self, what: Any, event: Any, do: Callable[..., None]) -> None:
        self._observed.append((what, what.AddObserver(event, do)))
