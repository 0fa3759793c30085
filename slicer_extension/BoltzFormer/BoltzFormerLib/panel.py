"""`Panel`: Slicer's side of the desk, put together: Find, Correct, Teach, Keep. What the parts do stands in theirs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import qt

from boltzformer.client import Session
from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.lesions import table_name
from boltzformer.desk.masks.track import Track
from boltzformer.desk.models.engine import means_of
from boltzformer.desk.models.window import Windows
from boltzformer.desk.settings import Settings
from boltzformer.errors import BoltzFormerError
from BoltzFormerLib import install
from BoltzFormerLib.bar import BarView
from BoltzFormerLib.beginning import ask_and_use
from BoltzFormerLib.cases import CasePanel
from BoltzFormerLib.closer import Closer
from BoltzFormerLib.dialogs import SlicerDialogs
from BoltzFormerLib.example import open_example
from BoltzFormerLib.exporting import Exports
from BoltzFormerLib.guide import Guide
from BoltzFormerLib.history import EditorHistory
from BoltzFormerLib.keeping import KeepButtons
from BoltzFormerLib.learn import CaseButtons
from BoltzFormerLib.lesions import LesionTable
from BoltzFormerLib.looks import LooksView
from BoltzFormerLib.mask import SegmentMask
from BoltzFormerLib.models import Models, contrast_of
from BoltzFormerLib.notice import NoticeView
from BoltzFormerLib.parameters import Parameters, editor_node
from BoltzFormerLib.prompts import AMBER, Prompts
from BoltzFormerLib.sizes import SizeSliders
from BoltzFormerLib.stage import SlicerStage
from BoltzFormerLib.teaching import Teaching
from BoltzFormerLib.timers import QtTimers
from BoltzFormerLib.translating import tr
from BoltzFormerLib.twins import once
from BoltzFormerLib.watching import SceneWatch
from BoltzFormerLib.words import SLICER

SEED = 0
SOON_MS = 30
"""So long after the last of many events in a row."""


class Panel:
    """Of one scene. It shows and asks; what it knows is the desk's."""

    def __init__(self, ui: Any, scene: Any) -> None:
        self.ui, self.scene = ui, scene
        self.settings, self.timers, self.parameters = Settings.load(), QtTimers(), Parameters(scene)
        self._session = self._new_session()
        self._choosing = False
        self.notice = NoticeView(ui)
        self.stage = SlicerStage(
            scene,
            ui.inputSelector.currentNode,
            history=EditorHistory(ui.segmentEditor),
            target=ui.segmentationSelector.currentNode,
            chosen=self._choose,
        )
        self.windows = Windows(contrast_of)
        self.desk = Desk(
            *(self.stage, self.timers, self.notice, SlicerDialogs(), SLICER, self.settings),
            session=self.session,
            how=self._how,
            maps=lambda: bool(ui.mapsBox.checked),
            pointing=lambda image: self.guide.pointing(image),
        )
        self.notice.act, self.notice.tell = self.desk.notice.act, lambda: self.desk.notice.details
        self.notice.respond = self.desk.notice.answer
        knowledge = partial(getattr, self.desk, "knowledge")
        history, timers = lambda: tuple(self.settings.prompts), self.timers
        self.prompts = Prompts(ui, self.parameters, knowledge, self._modality, history, timers)
        self.guide = Guide(self.desk, self.stage, self.timers, self.prompts.texts)
        self.closer = Closer(ui.closerBox, self.guide, self.stage.chosen)
        self.models = Models(ui, self.desk, self.windows, self._again)
        self.bar = BarView(ui, self.desk.overview, self.timers, self._jump)
        self.looks = LooksView(ui, self.desk, self.stage)
        self.lesions = LesionTable(ui, self.desk, self.stage, self._show_voxel)
        self.cases = CasePanel(ui, self.desk)
        self.exports = Exports(self.desk, lambda: install.engine_python(self.settings.python))
        models = self.models
        self.teaching = Teaching(ui, self.desk, self.windows.of, use=models.want, renamed=models.engine.ask)
        self.learn = CaseButtons(ui, self.desk, self.stage)
        self.keeping, self.sizes = KeepButtons(ui, self.desk), SizeSliders(ui, self.desk)
        self._shown: OpenImage | None = None
        self._rows: list[Track] = []
        self._looked_for: set[OpenImage] = set()
        self._shortcuts: list[Any] = []
        self._scrolled = self.timers.after(SOON_MS, self._on_scroll)
        self._soon = self.timers.after(0, self.show_results)
        self._renamed = self.timers.after(SOON_MS, self._on_renamed)
        self._ended = self.timers.after(0, self._on_ended)
        self._connect()
        self._watch = SceneWatch(
            scene,
            removing=self._on_removing,
            closing=self._on_closing,
            opened=self._on_opened,
            moved=self._scrolled.start,
        )
        self._on_opened()

    # --- the application tells ----------------------------------------------------------------------------------

    def enter(self, window: Any) -> None:
        """Somebody is here: shortcuts work, the Segment Editor hears the views, the engine starts."""
        self.ui.segmentEditor.setupViewObservations()
        self.models.engine.ask()
        for keys, do in (
            ("Ctrl+Return", self.ui.thisSliceButton.click),
            ("Ctrl+Shift+Return", self.ui.allSlicesButton.click),
        ):
            if window is not None:
                shortcut = qt.QShortcut(qt.QKeySequence(keys), window)
                shortcut.connect("activated()", do)
                self._shortcuts.append(shortcut)

    def exit(self) -> None:
        """Another module: keys and mouse are its own."""
        self.learn.before.clear()
        self.ui.segmentEditor.setActiveEffectByName("")
        self.ui.segmentEditor.removeViewObservations()
        for shortcut in self._shortcuts:
            shortcut.enabled = False
            shortcut.deleteLater()
        self._shortcuts.clear()
        self.desk.keeper.leave()

    def leave(self) -> None:
        """The module is unloaded: the engine ends, what was accepted gets onto the disk."""
        self.exit()
        self._watch.leave()
        self.guide.forget()
        for part in (self.models, self.bar, self.looks, self.teaching, self.timers):
            part.leave()
        self.desk.leave()
        self.stage.forget()
        self._session.close()

    # --- what is asked ------------------------------------------------------------------------------------------

    def session(self) -> Session:
        return self._session

    def _new_session(self) -> Session:
        kept = self.settings
        return Session.local(kept.model, install.engine_python(kept.python), **means_of(kept))

    def _again(self) -> Session:
        before, self._session = self._session, self._new_session()
        before.close()
        return self._session

    def _how(self, image: OpenImage) -> dict[str, Any]:
        usual = {"seed": SEED, "window": self.windows.of(image), "model": self._session.model}
        return {**usual, "region": self.closer.region(image)}

    def _run(self, *, only_this: bool) -> None:
        self.desk.running.start(self.prompts.texts(), only_this=only_this)

    def _jump(self, row: int) -> None:
        image = self.stage.chosen()
        if image is not None and row != self.stage.row(image):
            self.stage.go(image, row)

    def _show_voxel(self, track: Track, voxel: tuple[int, int, int]) -> None:
        """(slice, row, column) in the middle of all views."""
        image = track.image
        self.desk.tracks.bring_to_sight(track)
        found = image.plan.view.order, image.plan.view.flips, image.plan.grid.shape
        zyx = [0, 0, 0]
        for place, stored, flip in zip(voxel, *found[:2], strict=True):
            zyx[stored] = found[2][stored] - 1 - place if flip else place
        self.stage.views.go(image.node, image.plan, voxel[0], zyx[::-1], centre=True)  # type: ignore[attr-defined]
        self.stage.activate(track.surface)

    def _example(self) -> None:
        image, row, prompt = open_example(self.stage)
        self.prompts.fill([prompt])
        self.stage.turn(image)
        self.stage.go(image, row)
        self.desk.notice.say(tr("The example is open: 'This slice' looks at this slice."))

    # --- what is shown ------------------------------------------------------------------------------------------

    def show_results(self) -> None:
        """The rows, and which buttons can do something."""
        ui, desk = self.ui, self.desk
        image, tracks = self.stage.chosen(), self.desk.tracks.chosen()
        row = 0 if image is None else self.stage.row(image)
        texts = [desk.row_of(track) for track in tracks]
        self._rows = tracks
        ui.tableButton.text = table_name(image)
        if ui.resultList.count != len(texts):
            ui.resultList.clear()
            for _ in texts:
                ui.resultList.addItem(qt.QListWidgetItem(""))
        for number, (track, text) in enumerate(zip(tracks, texts, strict=True)):
            item = ui.resultList.item(number)
            item.setText(text)
            item.setIcon(_swatch(track.colour))
            item.setForeground(qt.QBrush(qt.QColor(AMBER)) if track.warning else qt.QBrush())
        offered = image is not None and any(row in track.proposals for track in desk.tracks.shown())
        ui.takeButton.enabled = ui.dropButton.enabled = offered
        self.show_state()

    def _changed(self) -> None:
        """Buttons at once, rows once for many changes."""
        self.show_state()
        self._soon.start()

    def show_state(self) -> None:
        ui, running = self.ui, self.desk.running
        ui.allSlicesButton.enabled = not any(run.whole for run in running.runs)
        ui.cancelButton.enabled = self.desk.under_way.busy
        ui.exportButton.enabled = not running.runs
        ui.revertButton.enabled = running.can_revert
        ui.exampleButton.visible = not self.stage.nodes()
        if (far := self.desk.under_way.progress) is not None:
            ui.progressBar.maximum, ui.progressBar.value = max(far[1], 1), far[0]

    # --- the scene tells ----------------------------------------------------------------------------------------

    def _on_scroll(self) -> None:
        self.desk.scrolled()
        self.models.show_picture()
        self._soon.start()

    def _on_chosen(self, *_: Any) -> None:
        """Another volume or segmentation is chosen."""
        if self._choosing:
            return
        ui = self.ui
        volume, segmentation = ui.inputSelector.currentNode(), ui.segmentationSelector.currentNode()
        self.parameters.choose(volume, segmentation)
        if segmentation is not None:
            ui.segmentEditor.setSegmentationNode(segmentation)
        if volume is not None:
            ui.segmentEditor.setSourceVolumeNode(volume)
        image = self.stage.chosen()
        if image is not self._shown:
            self._shown = image
            ui.progressBar.reset()  # of another volume's run
            self.lesions.forget()
            self.closer.show_image()
            self._on_typed()
        if image is not None and image not in self._looked_for:
            self._looked_for.add(image)
            try:
                self.desk.keeper.look_for(image)
            except BoltzFormerError as error:  # it says what to do about the volume
                self.desk.notice.say(str(error))
        self.desk.chosen()
        if image is not None:
            self.windows.arrived(image, self.desk.work, self.desk.notice)
        self.models.show_picture()
        self._soon.start()

    def _on_typed(self) -> None:
        """It is kept with the work on the volume."""
        self.desk.typed(self.prompts.texts())
        if any(track.warning for track in self.desk.tracks.chosen()):
            self._soon.start()  # what stands beside the prompts is not said again in a row

    def _choose(self, volume: Any, segmentation: Any) -> None:
        """By the stage: told once, with both in place."""
        self._choosing = True
        self.ui.inputSelector.setCurrentNode(volume)
        self.ui.segmentationSelector.setCurrentNode(segmentation)
        self._choosing = False
        self._on_chosen()

    def _on_removing(self, node: Any) -> None:
        if node.IsA("vtkMRMLSegmentationNode"):
            self.stage.without(node)
        known = next((one for one in self._looked_for if one.node is node), None)  # type: ignore[attr-defined]
        if known is not None:
            self._looked_for.discard(known)
            self.desk.image_left(known)
        self._soon.start()

    def _on_left(self, mask: SegmentMask) -> None:
        """A segment was removed, by a person or by an undo that leads to before it was made."""
        track = self.desk.tracks.on(mask)
        if track is not None:
            self.desk.keeper.mask_left(track, removed=True)
            removed = tr("'{name}' was removed. Result kept.").format(name=track.name)
            self.desk.notice.say(removed, tr("Restore"), partial(self._bring_back, mask, track))
        self._soon.start()

    def _bring_back(self, mask: SegmentMask, track: Track) -> None:
        mask.bring_back()
        self.desk.keeper.touch(track.image)

    def _on_renamed(self) -> None:
        self.desk.overview.look_again()
        self.show_results()

    def _on_ended(self) -> None:
        """After the last drawing, which would make a surface out of date."""
        if not self.desk.running.runs:
            self.stage.ended()

    def _on_closing(self) -> None:
        """The scene goes: what is open is saved while it is still there."""
        self.desk.keeper.leave()
        for image in list(self._looked_for):
            self.desk.image_left(image)

    def _on_opened(self) -> None:
        """Closed, or read: nothing of what was there is there now; what the scene remembers is chosen."""
        self._looked_for.clear()
        if not self.stage.nodes():
            self.stage.forget()
            self.guide.forget()
            self.lesions.forget()
        self.ui.segmentEditor.setMRMLSegmentEditorNode(editor_node(self.scene))
        if prompts := self.parameters.prompts():
            self.prompts.fill(prompts)
        self._choose(self.parameters.volume(), self.parameters.segmentation())

    def _modality(self) -> str:
        image = self.stage.chosen()
        return "" if image is None else image.kind

    def _on_models(self, _: Any) -> None:
        self.desk.knowledge = self.models.engine.knowledge
        self.prompts.show_doubts()

    def _on_row(self) -> None:
        row = self.ui.resultList.currentRow
        if 0 <= row < len(self._rows) and self._rows[row].surface.alive:
            self._rows[row].surface.shown = True
            self.stage.activate(self._rows[row].surface)
            self.desk.tracks.show_few(self._rows[row])
            self.desk.overview.look()

    def _answer(self, do: Callable[[int], None]) -> None:
        image = self.stage.chosen()
        if image is not None:
            do(self.stage.row(image))

    def _connect(self) -> None:
        ui, desk, keeper = self.ui, self.desk, self.desk.keeper
        for button, do in (
            (ui.exampleButton, self._example),
            (ui.thisSliceButton, lambda: self._run(only_this=True)),
            (ui.allSlicesButton, lambda: self._run(only_this=False)),
            (ui.cancelButton, desk.under_way.stop),
            (ui.reportButton, desk.report),
            (ui.hereButton, lambda: self.guide.point(here=True)),
            (ui.notHereButton, lambda: self.guide.point(here=False)),
            (ui.unpointButton, self.guide.unpoint),
            (ui.boxButton, self.guide.box),
            (ui.takeButton, lambda: self._answer(desk.take)),
            (ui.dropButton, lambda: self._answer(desk.drop)),
            (ui.followButton, desk.follow),
            (ui.useSegmentButton, lambda: ask_and_use(desk, self.stage, self.prompts.texts())),
            (ui.betweenButton, desk.fill_between),
            (ui.revertButton, desk.revert),
            (ui.nextButton, keeper.next_doubtful),
            (ui.sureButton, desk.sure),
            (ui.exportButton, self.exports.ask),
        ):
            button.connect("clicked()", do)
        ui.resultList.connect("itemClicked(QListWidgetItem*)", lambda _: self._on_row())
        for selector in (ui.inputSelector, ui.segmentationSelector):
            selector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_chosen)
        ui.promptEdit.connect("textChanged()", self._on_typed)
        ui.tableButton.connect("contentsCollapsed(bool)", lambda closed: closed or self.lesions.measure())
        desk.changed.append(self._changed)
        for further in (desk.running.advanced, desk.learning.advanced):
            further.append(self.show_state)
        desk.running.ended.append(lambda _: self._ended.start())
        keeper.back.restored.append(lambda _, prompts: prompts and self.prompts.fill(list(prompts)))
        keeper.back.restored.append(lambda image, _: once(desk, self.stage, image))
        keeper.back.wanted.append(self.models.want)
        self.models.engine.models.append(self._on_models)
        self.stage.left.append(self._on_left)
        self.stage.other.append(self._renamed.start)


def _swatch(colour: str) -> Any:
    """A small square; amber is kept for warnings."""
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(colour))
    return qt.QIcon(pixmap)
