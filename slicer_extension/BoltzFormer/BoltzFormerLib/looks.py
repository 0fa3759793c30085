"""How it looked: the same contact sheet as everywhere, and one look as a volume on its token grid over the slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.looks.following import LooksFollower, on_screen
from boltzformer.desk.looks.looks import Looks, headline, light_of_visits
from boltzformer.desk.masks.pointing import stored_voxel
from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.pictures import FULL, looks_picture
from boltzformer.types import LookTrace, Volume
from BoltzFormerLib.geometry import matrix_of
from BoltzFormerLib.pictures import PictureFile
from BoltzFormerLib.stage import HELPER, SlicerStage
from BoltzFormerLib.translating import tr

WIDTH = 150
"""Pixels of a tile."""
OPACITY = 0.45
COLOURS = ("vtkMRMLColorTableNodeFilePlasma.txt", "vtkMRMLColorTableNodeFileInferno.txt", "vtkMRMLColorTableNodeYellow")


class LooksView:
    """Nothing is asked while the part is closed."""

    def __init__(self, ui: Any, desk: Desk, stage: SlicerStage) -> None:
        self.roll = 0
        self.query: int | None = None
        self._ui, self._desk, self._stage = ui, desk, stage
        self._looks: Looks | None = None
        self._waiting = False
        self.picture = PictureFile(ui.looksPicture)
        self.overlay = Overlay(stage)
        self.follower = LooksFollower(
            *(self, self.overlay, lambda: on_screen(stage, desk.tracks), desk.session),
            *(desk.work.do, desk.timers),
        )
        desk.overview.moved.append(self.follower.moved)
        ui.looksButton.connect("contentsCollapsed(bool)", lambda _: self._on_open())
        ui.rollButton.connect("clicked()", self._on_roll)
        ui.lookSlider.connect("valueChanged(int)", lambda _: self._show_overlay())
        ui.overlayBox.connect("toggled(bool)", lambda _: self._show_overlay())

    # --- for the follower ---------------------------------------------------------------------------------------

    @property
    def visible(self) -> bool:
        return not self._ui.looksButton.collapsed

    @property
    def looks(self) -> Looks | None:
        return None if self._waiting else self._looks

    def light(self, look: LookTrace) -> NDArray[np.float32]:
        return light_of_visits(look)

    def show_looks(self, looks: Looks) -> None:
        self._looks, self._waiting = looks, False
        count = len(looks.trace.layers)
        title = tr("'{prompt}', slice {row}, seed {seed}").format(prompt=looks.prompt, row=looks.row, seed=looks.seed)
        self._ui.looksHeadline.text = headline(looks)
        self.picture.show(looks_picture(looks.picture, looks.plan, looks.trace, looks.mask, width=WIDTH, title=title))
        self._ui.lookSlider.maximum = count - 1
        self._ui.lookSlider.value = count - 1
        self._show_overlay()

    def say(self, sentence: str) -> None:
        self._looks = None
        self._ui.looksHeadline.text = sentence
        self.picture.show(None)
        self.overlay.hide()

    def wait(self) -> None:
        self._waiting = True

    # ------------------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        self.picture.leave()
        self.overlay.clear()

    def _on_open(self) -> None:
        if self.visible:
            self.follower.ask()
        else:
            self.overlay.clear()

    def _on_roll(self) -> None:
        self.roll += 1
        self.wait()
        self.follower.ask()

    def _show_overlay(self) -> None:
        looks, image = self.looks, self._stage.chosen()
        if looks is None or image is None or not self._ui.overlayBox.checked:
            self.overlay.hide()
            return
        look = looks.trace.layers[self._ui.lookSlider.value]
        self.overlay.lay(image, looks.plan, looks.row, look)


class Overlay:
    """One volume node, there only while it is asked for; no image of the user's, so no list shows it."""

    def __init__(self, stage: SlicerStage) -> None:
        self._stage = stage
        self.node: Any = None

    def lay(self, image: OpenImage, plan: SlicePlan, row: int, look: LookTrace) -> None:
        """In the foreground of the views that show the image."""
        values = np.ascontiguousarray(look.visited[None], np.float32)
        if self.node is None or self.node.GetScene() is None:
            self.node = self._stage.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", tr("How it looked"))
        self.node.SetAttribute(HELPER, image.node.GetID())  # type: ignore[attr-defined]
        slicer.util.updateVolumeFromArray(self.node, values)
        slicer.util.arrayFromVolumeModified(self.node)
        self._place(token_grid(image.volume, plan, row, look.visited.shape[0]))
        self.node.SetAndObserveTransformNodeID(image.node.GetTransformNodeID())  # type: ignore[attr-defined]
        self._colour()
        self._show(self.node.GetID(), OPACITY)

    def show(self, image: OpenImage, picture: NDArray[np.uint8], name: str) -> None:
        """Not used here: views blend volumes, and `lay` gives them one."""

    def hide(self) -> None:
        if self.node is not None and self.node.GetScene() is not None:
            self._show(None, 0)

    def clear(self) -> None:
        self.hide()
        if self.node is not None and self.node.GetScene() is not None:
            self._stage.scene.RemoveNode(self.node)
        self.node = None

    def _place(self, ras: NDArray[np.float64]) -> None:
        self.node.SetIJKToRASMatrix(matrix_of(ras))

    def _colour(self) -> None:
        self.node.CreateDefaultDisplayNodes()
        display = self.node.GetDisplayNode()
        display.SetInterpolate(0)  # squares are squares
        display.SetAutoWindowLevel(0)
        display.SetWindowLevelMinMax(0.0, FULL)
        known = next((one for one in COLOURS if self._stage.scene.GetNodeByID(one) is not None), None)
        if known is not None:
            display.SetAndObserveColorNodeID(known)

    def _show(self, identity: str | None, opacity: float) -> None:
        found = self._stage.scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
        for number in range(found.GetNumberOfItems()):
            composite = found.GetItemAsObject(number)
            if identity is not None or composite.GetForegroundVolumeID() == self.node.GetID():
                composite.SetForegroundVolumeID(identity)
                composite.SetForegroundOpacity(opacity)


def token_grid(volume: Volume, plan: SlicePlan, row: int, tokens: int) -> NDArray[np.float64]:
    """4×4: column, row and slice of the token grid → RAS. Tokens share the square that a slice is padded to."""
    side = max(plan.crop_shape)

    def place(down: float, across: float, slices: float) -> NDArray[np.float64]:
        canonical = [row + slices]
        for at, crop, length in zip((down, across), plan.crop, plan.crop_shape, strict=True):
            canonical.append(crop.start + (at + 0.5) * side / tokens - 0.5 - (side - length) // 2)
        return (volume.grid.ras @ np.array([*stored_voxel(volume, canonical), 1.0]))[:3]

    ras = np.eye(4)
    ras[:3, 3] = place(0, 0, 0)
    for column, step in enumerate(((0, 1, 0), (1, 0, 0), (0, 0, 1))):
        ras[:3, column] = place(*step) - ras[:3, 3]
    return ras
