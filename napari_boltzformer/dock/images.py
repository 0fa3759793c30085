"""`Images`: the box of images: which are listed, and what follows when another one is chosen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QComboBox

from boltzformer import BoltzFormerError
from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.notice import CLICK
from boltzformer.desk.runs.running import ENDED, FAR
from boltzformer.io.phantom import Sample, sample
from napari_boltzformer.dock.opening import BETWEEN_FILES_MS, is_mask_on, opens_several
from napari_boltzformer.host import compared
from napari_boltzformer.host.layers import hang, lay_down, same
from napari_boltzformer.host.stage import FILLS, NapariImage, NapariStage, image_on


class Images:
    """The light of the looks is no image of the user's."""

    def __init__(self, box: QComboBox, desk: Desk, stage: NapariStage) -> None:
        self._box, self._desk, self._stage = box, desk, stage
        self.chosen: list[Callable[[Image | None], None]] = []
        """Another image than before, or the same one among other layers."""
        self.picked: list[Callable[[Image], None]] = []
        """A person chose it, and wants to see it."""
        self._looked_for: set[str] = set()
        self._resting = False
        """Whether the dock is closed: what comes then lies where it comes, as in a napari without us."""
        self._came: Image | None = None
        """Meanwhile, the last one."""
        self._entering = QTimer(box)
        self._entering.setSingleShot(True)
        self._entering.timeout.connect(self._enter)
        self._following = QTimer(box)
        self._following.setSingleShot(True)
        self._following.timeout.connect(self._follow_selection)
        box.currentIndexChanged.connect(lambda _: self._on_picked())
        clicks, heard = stage.viewer.mouse_drag_callbacks, self._on_click
        clicks.append(heard)
        box.destroyed.connect(lambda: clicks.remove(heard) if heard in clicks else None)
        selected = stage.viewer.layers.selection.events.active
        selected.connect(self._on_selected)
        box.destroyed.connect(lambda: selected.disconnect(self._on_selected))
        desk.patients.wanted.append(self._pick)

    def example(self, type_prompt: Callable[[str], None], then: Callable[[], None]) -> None:
        """Opens the sample case at its finding, with its prompt typed; `then`, however that ended."""

        def show(case: Sample) -> None:
            then()
            image = self._desk.patients.open(case.volume)
            self._stage.go(image, image.plan.canonical_index(case.index))
            type_prompt(case.prompt)
            self._desk.notice.say("The example is open: Ctrl+Enter looks at this slice.")

        self._desk.work.do(sample, show, then)

    @property
    def entering(self) -> bool:
        """Whether what is chosen is still to take the screen."""
        return self._entering.isActive()

    def show(self, event: Any = None) -> None:
        """A newly opened image is chosen; otherwise the choice stays, also when its layer is renamed. What only fills a
        place of the grid changes nothing."""
        if FILLS in getattr(getattr(event, "value", None), "metadata", ()):
            return
        came = getattr(event, "type", "") == "inserted" and not self._stage.moves  # what comes back takes no choice
        opened = event.value if came and isinstance(event.value, Image) else None
        if self._resting and opened is not None:
            self._came = opened
        self._show(None if self._resting else opened)

    def rest(self) -> None:
        """The dock is closed."""
        self._resting = True

    def wake(self) -> None:
        """It is open again: the last image that came meanwhile comes now."""
        came, self._resting, self._came = self._came, False, None
        self._show(came)
        chosen = self._stage.chosen()  # perhaps one that was in the box already when it was closed
        if chosen is not None and chosen.ours and chosen is not self._desk.patients.current:
            self._entering.start(0)

    def _show(self, opened: Image | None) -> None:
        box, images = self._box, self._stage.layers()
        last = box.currentData()
        before = opened if opened in images else last
        box.blockSignals(True)  # one change, told once
        box.clear()
        for layer in images:
            box.addItem(layer.name, layer)
            box.setItemData(box.count() - 1, layer.name, Qt.ItemDataRole.ToolTipRole)  # the box may be too narrow
        if images:
            box.setCurrentIndex(images.index(before) if before in images else len(images) - 1)
        box.blockSignals(False)
        if opened in images:
            if any(same(one, opened) is False and is_mask_on(opened, one) for one in images):
                image_on(opened).ours = False  # 'Use layer…' makes it one of ours
            self._cover(image_on(opened))
        self._chosen()
        if (layer := box.currentData()) is not None and not same(layer, last) and not self._resting:
            self._entering.start(0)  # once the viewer itself has heard of it

    def _pick(self, image: OpenImage) -> None:
        """As if a person had chosen it in the box."""
        found = [n for n in range(self._box.count()) if image_on(self._box.itemData(n)) is image]
        self._box.setCurrentIndex(found[0] if found else self._box.currentIndex())

    def _on_click(self, viewer: Any, event: Any) -> None:
        """Of images that are compared, the one that is clicked on is in hand before any tool acts: all lie at one place
        of napari's world, and the tool of another one would act there, out of sight of the hand."""
        if beside := self._desk.patients.beside:
            there = compared.under_mouse(viewer, event)
            image = next((one for one in self._stage.images() if one in beside and one.layer in there), None)
            if image is not None and image is not self._stage.chosen():
                self._take(image)
                if (tools := viewer.layers.selection.active) is not None:
                    lay_down(tools)  # or a brush of its own would paint by this very click

    def _on_selected(self, event: Any) -> None:
        """In the next turn: a layer that comes, or a helper's, is selected for a moment by napari itself."""
        if self._desk.patients.beside and not self._stage.moves:
            self._following.start(0)

    def _follow_selection(self) -> None:
        """Of images that are compared, whoever selects a layer in napari's list wants its image: tools act there."""
        active = self._stage.viewer.layers.selection.active
        for image in self._stage.images() if active is not None else ():
            its = image in self._desk.patients.beside and active in self._stage.group(image)
            if its and image is not self._stage.chosen():
                self._take(image)

    def _take(self, image: NapariImage) -> None:
        self._stage.stays_at(image)
        self._pick(image)
        if self._desk.notice.topic not in (FAR, ENDED):
            self._desk.notice.say(f"'{image.name}' is in hand now: what you do next is done here.", topic=CLICK)

    def _on_picked(self) -> None:
        layer = self._box.currentData()
        if layer is not None:
            self._stage.bring(image_on(layer))
        self._chosen()
        if layer is not None:
            self._desk.patients.look_at(image_on(layer))
            self._take_in_hand(layer)
            for heard in self.picked:
                heard(layer)

    def _take_in_hand(self, layer: Image) -> None:
        """Of images that are compared, the tools must not stay with another one than is chosen."""
        selection, track = self._stage.viewer.layers.selection, self._desk.tracks.active()
        if selection.active is not None and selection.active not in self._stage.group(image_on(layer)):
            selection.active = layer
            if track is not None:
                self._stage.activate(track.surface)

    def _enter(self) -> None:
        if opens_several():
            self._entering.start(BETWEEN_FILES_MS)
            return
        if (image := self._stage.chosen()) is None:
            return
        if image.ours and image not in self._desk.patients.beside:
            self._desk.patients.came(image)
        self._stage.bring(image)

    def _cover(self, image: NapariImage) -> None:
        """Nothing of what it takes the place of is drawn with it, not even until that is gone."""
        if image.ours:
            for one in self._stage.images():
                if one.ours and one is not image:
                    self._stage.hide(one)

    def _chosen(self) -> None:
        layer = self._box.currentData()
        self._box.setToolTip("" if layer is None else layer.name)
        if layer is not None and layer.unique_id not in self._looked_for:
            self._looked_for.add(layer.unique_id)
            with suppress(BoltzFormerError):  # an image that can't be segmented has no work either
                self._desk.keeper.look_for(image_on(layer))
        hang(self._stage.viewer, layer)
        for heard in self.chosen:
            heard(layer)
        self._desk.chosen()
