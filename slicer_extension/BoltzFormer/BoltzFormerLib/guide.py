"""Here, not here, and a box: markups in the world, which become voxels of the image whatever it lies under."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.pointing import Pointed, Pointing, in_image
from boltzformer.desk.notice import NO_PROMPT
from boltzformer.desk.ports import Timers
from boltzformer.desk.runs.run import Run
from boltzformer.errors import BoltzFormerError
from boltzformer.image.region import Region
from BoltzFormerLib.geometry import matrix_of, voxel_at, world_of
from BoltzFormerLib.stage import HELPER, SlicerStage
from BoltzFormerLib.translating import tr

HERE, NOT_HERE = "here", "not here"
POINTS, BOX = "vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsROINode"
REST_MS = 250
"""So long the markups must rest before the model is asked again."""
SHARE = 0.25
"""Of the image's width, a new box is so wide."""


class Guide:
    """One list of points and one box per image; each point knows what was said, and about which prompt."""

    def __init__(self, desk: Desk, stage: SlicerStage, timers: Timers, typed: Callable[[], list[str]]) -> None:
        self._desk, self._stage, self._typed = desk, stage, typed
        self._rest, self._tidy = timers.after(REST_MS, self.ask), timers.after(0, self._take_strays)
        self._says = HERE
        self._observed: list[tuple[Any, int]] = []
        self._run: Run | None = None
        self._strays: set[str] = set()
        """Points that were placed beside the image, by Slicer's names for them; they go in a moment."""
        stage.guider = self.told, self.take

    def point(self, *, here: bool) -> None:
        """The next click in a slice view is one; without a mouse mode (no window) the list is there all the same."""
        image = self._stage.chosen()
        if image is None or not self._prompt():
            self._desk.notice.say(tr("Choose a volume and type a prompt first, then point."), topic=NO_PROMPT)
            return
        self._says = HERE if here else NOT_HERE
        node = self._node(POINTS, image) or self._made(POINTS, image)
        _show(node)
        self._place(node)
        where = tr("where it is") if here else tr("where it is not")
        self._desk.notice.say(tr("Click in a slice view: {where}. The slice is looked at again.").format(where=where))

    def unpoint(self) -> None:
        """Takes the last one back."""
        node = self._node(POINTS, self._stage.chosen())
        if node is not None and node.GetNumberOfControlPoints():
            node.RemoveNthControlPoint(node.GetNumberOfControlPoints() - 1)

    def box(self) -> None:
        """A box around the middle of the slice on screen, one slice thick: drag its handles."""
        image = self._stage.chosen()
        if image is None:
            self._desk.notice.say(self._desk.words.open_first)
            return
        node = self._node(BOX, image) or self._made(BOX, image)
        _show(node)
        try:
            plan = image.plan
        except BoltzFormerError as error:
            self._desk.notice.fail(str(error))
            return
        zyx = (np.array(plan.grid.shape) - 1) / 2
        zyx[plan.axis] = plan.canonical_index(self._stage.row(image))
        size = np.array(plan.grid.shape) * SHARE
        size[plan.axis] = 1
        volume, spacing = image.node, np.array(plan.grid.spacing_mm)
        steps = [world_of(volume, np.eye(3)[n]) - world_of(volume, np.zeros(3)) for n in range(3)]
        turned = np.eye(4)
        turned[:3, :3] = np.stack([step / np.linalg.norm(step) for step in steps], axis=1)
        turned[:3, 3] = world_of(volume, zyx[::-1])
        node.SetSize(*(size[::-1] * spacing).tolist())
        node.SetAndObserveObjectToNodeMatrix(matrix_of(turned))
        self._desk.notice.say(tr("Drag the box's handles: only there the segment in hand is looked for."))

    def ask(self) -> None:
        """Looks at the slice on screen again, with all that was pointed at."""
        prompt, running = self._prompt(), self._desk.running
        if self._stage.chosen() is None or not prompt:
            return
        if self._run is not None and self._run in running.runs:
            self._run.job.cancel()  # its question is out of date
        self._run = running.start([prompt], only_this=True)

    def pointing(self, image: OpenImage) -> Pointing:
        """What is said about an image and can be seen: neither a hidden list nor a hidden point says anything."""
        node, box = self._node(POINTS, image), self._node(BOX, image)
        points = [] if node is None or not _is_shown(node) else self._points(image, node)
        try:
            ends = None if box is None or not _is_shown(box) else self._ends(image)
        except BoltzFormerError:  # one beside the image leads nobody
            ends = None
        corners = None if ends is None else np.array([self._seen(image, end) for end in ends])
        return Pointing(tuple(points), corners)

    def _points(self, image: OpenImage, node: Any) -> list[Pointed]:
        found = []
        for number in range(node.GetNumberOfControlPoints()):
            what, _, whose = node.GetNthControlPointDescription(number).partition(": ")
            if what in (HERE, NOT_HERE) and node.GetNthControlPointVisibility(number):
                place = self._seen(image, voxel_at(image.node, _world(node, number)))  # type: ignore[attr-defined]
                found.append(Pointed(place, what == HERE, whose))
        return found

    def _seen(self, image: OpenImage, ijk: NDArray[np.float64]) -> tuple[float, ...]:
        """A voxel of the stored array as the desk counts: slice, row, column."""
        view, shape, zyx = image.plan.view, image.plan.grid.shape, ijk[::-1]
        pairs = zip(view.order, view.flips, strict=True)
        return tuple(float(shape[stored] - 1 - zyx[stored] if flip else zyx[stored]) for stored, flip in pairs)

    def told(self, image: OpenImage) -> dict[str, Any]:
        """Points and box in the world, as they are kept with the work; what is hidden stays hidden."""
        node, box = self._node(POINTS, image), self._node(BOX, image)
        points = range(0 if node is None else node.GetNumberOfControlPoints())
        found = {
            "points": [
                [*_world(node, number).tolist(), node.GetNthControlPointDescription(number)] for number in points
            ],
            "hidden points": [number for number in points if not node.GetNthControlPointVisibility(number)],
            "hidden": [kind for kind, one in ((POINTS, node), (BOX, box)) if one is not None and not _is_shown(one)],
        }
        if box is None:
            return found
        turned = box.GetObjectToNodeMatrix()
        place = [[turned.GetElement(row, column) for column in range(4)] for row in range(4)]
        return {**found, "box": [list(box.GetSize()), place]}

    def take(self, image: OpenImage, told: Mapping[str, Any]) -> None:
        """As `told` told them, in the place of those that are there."""
        for kind in (POINTS, BOX):
            if (node := self._node(kind, image)) is not None:
                self._stage.scene.RemoveNode(node)
        points = told.get("points") or []
        node = self._made(POINTS, image) if points else None
        for *place, what in points:
            number = node.AddControlPointWorld(place)
            node.SetNthControlPointDescription(number, what)
            node.SetNthControlPointLabel(number, str(what).partition(": ")[0])
            node.SetNthControlPointVisibility(number, number not in told.get("hidden points", ()))
        if told.get("box"):
            size, place = told["box"]
            node = self._made(BOX, image)
            node.SetSize(*size)
            node.SetAndObserveObjectToNodeMatrix(matrix_of(np.array(place)))
        for kind in told.get("hidden", ()):
            if (node := self._node(kind, image)) is not None:
                _show(node, shown=False)
        self._rest.stop()

    def region(self, image: OpenImage) -> Region:
        """The box that can be seen, to look closer in, through all slices."""
        node = self._node(BOX, image)
        ends = None if node is None or not _is_shown(node) else self._ends(image)
        if ends is None:
            do = self._desk.words.draw_box
            raise BoltzFormerError(tr("There is no box in sight to look closer in: {do}").format(do=do))
        plan, top = image.plan, np.array(image.plan.grid.shape[::-1]) - 1
        first, last = (np.clip(np.rint(end), 0, top).astype(int) for end in ends)
        along = 2 - plan.axis
        first[along], last[along] = 0, top[along]
        (a, b, c), (d, e, f) = first.tolist(), last.tolist()
        return Region.of_voxels(plan.grid, (a, b, c), (d, e, f))

    def forget(self) -> None:
        """The scene is closed."""
        self._rest.stop()
        self._strays.clear()
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed.clear()

    # ------------------------------------------------------------------------------------------------------------

    def _prompt(self) -> str:
        """What a click here asks about."""
        return self._desk.tracks.in_question(self._typed())

    def _node(self, kind: str, image: OpenImage | None) -> Any:
        return self._stage.helper(kind, image)

    def _made(self, kind: str, image: OpenImage) -> Any:
        node = self._stage.scene.AddNewNodeByClass(kind, tr("Here / not here") if kind == POINTS else tr("Box"))
        node.SetAttribute(HELPER, image.node.GetID())  # type: ignore[attr-defined]
        node.CreateDefaultDisplayNodes()
        events = node.PointPositionDefinedEvent, node.PointRemovedEvent, node.PointModifiedEvent
        self._observed += [(node, node.AddObserver(event, self._on_markup)) for event in events]
        return node

    def _place(self, node: Any) -> None:
        """Slicer's place mode, one point at a time."""
        scene = self._stage.scene
        selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
        interaction = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        if selection is not None and interaction is not None:
            selection.SetReferenceActivePlaceNodeClassName(POINTS)
            selection.SetActivePlaceNodeID(node.GetID())
            interaction.SetPlaceModePersistence(0)
            interaction.SetCurrentInteractionMode(interaction.Place)

    def _on_markup(self, node: Any, _: Any) -> None:
        if self._strays:
            return  # that one goes
        if node.IsA(POINTS):
            image = self._stage.chosen()
            for number in range(node.GetNumberOfControlPoints()):
                defined = node.GetNthControlPointPositionStatus(number) == node.PositionDefined
                if defined and not node.GetNthControlPointDescription(number):
                    if image is not None and self._is_beside(image, _world(node, number)):
                        self._strays.add(node.GetNthControlPointID(number))
                        self._desk.notice.say(tr("That is beside the image: no point was placed."))
                        self._tidy.start()
                        return
                    node.SetNthControlPointDescription(number, f"{self._says}: {self._prompt()}")
                    node.SetNthControlPointLabel(number, self._says)
            self._rest.start()

    def _is_beside(self, image: OpenImage, place: NDArray[np.float64]) -> bool:
        ijk = voxel_at(image.node, place)  # type: ignore[attr-defined]
        return not in_image(image.volume, self._seen(image, ijk))

    def _take_strays(self) -> None:
        """Nothing is asked by that."""
        node = self._node(POINTS, self._stage.chosen())
        for stray in self._strays if node is not None else ():
            if (number := node.GetNthControlPointIndexByID(stray)) >= 0:
                node.RemoveNthControlPoint(number)
        self._strays.clear()

    def _ends(self, image: OpenImage) -> NDArray[np.float64] | None:
        """(2, 3): i, j, k of the box's corners, as far as they lie in the image."""
        node = self._node(BOX, image)
        if node is None:
            return None
        size, turned = np.array(node.GetSize()), node.GetObjectToWorldMatrix()
        corners = []
        for signs in product((-0.5, 0.5), repeat=3):
            place = turned.MultiplyPoint([*(size * signs).tolist(), 1.0])[:3]
            corners.append(voxel_at(image.node, place))  # type: ignore[attr-defined]
        low, high = np.min(corners, axis=0) + 0.499, np.max(corners, axis=0) - 0.499
        top = np.array(image.plan.grid.shape[::-1]) - 1
        if (high < 0).any() or (low > top).any():
            raise BoltzFormerError(tr("The box lies outside of the image: draw it on the image."))
        return np.clip(np.stack([low, np.maximum(low, high)]), 0, top)


def _is_shown(node: Any) -> bool:
    display = node.GetDisplayNode()
    return display is None or bool(display.GetVisibility())


def _show(node: Any, *, shown: bool = True) -> None:
    if (display := node.GetDisplayNode()) is not None:
        display.SetVisibility(shown)


def _world(node: Any, number: int) -> NDArray[np.float64]:
    place = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(number, place)
    return np.array(place)
