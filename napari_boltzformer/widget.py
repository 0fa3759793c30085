"""The dock: type a prompt, watch masks arrive slice by slice, look at the sampler, export."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from boltzformer import (
    Adjusted,
    BackendError,
    BoltzFormerError,
    Cancelled,
    Failed,
    Prediction,
    Session,
    SlicePlan,
    SliceResult,
    Started,
    io,
)
from boltzformer.types import as_prompts
from napari_boltzformer.answers import Thresholds
from napari_boltzformer.layers import MASK, how_made, label_map, masks_of, shown_name, volume_of
from napari_boltzformer.looks_canvas import LIGHT, CanvasLight
from napari_boltzformer.looks_follow import LooksFollower, OnScreen
from napari_boltzformer.run import Run
from napari_boltzformer.sampling import LooksView

if TYPE_CHECKING:
    import napari

POLL_MS = 40
SEED = 0


class BoltzFormerDock(QWidget):
    """Image · Prompt · This slice · All slices · Cancel · progress · How it looked · Export."""

    def __init__(self, napari_viewer: napari.viewer.Viewer, session: Session | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = session or Session.local()
        self._run: Run | None = None
        self._waiting: list[tuple[Future[Any], Callable[[Any], None]]] = []
        self._background = ThreadPoolExecutor(1, "boltzformer-dock")
        self.looks_view: LooksView | None = None

        self.engine = QLabel("Engine: this computer, starting…")
        self.image, self.prompt = QComboBox(), QPlainTextEdit()
        self.prompt.setPlaceholderText("One prompt per line, e.g. bright blob")
        self.prompt.setFixedHeight(64)
        self.this_slice, self.all_slices = QPushButton("This slice"), QPushButton("All slices")
        self.cancel, self.progress = QPushButton("Cancel"), QProgressBar()
        self.message = QLabel()
        self.looks, self.export = QPushButton("How it looked"), QPushButton("Export…")
        self._lay_out()

        self.this_slice.clicked.connect(lambda: self.start(only_this=True))
        self.all_slices.clicked.connect(lambda: self.start(only_this=False))
        self.cancel.clicked.connect(self._on_cancel)
        self.looks.clicked.connect(self._on_looks)
        self.export.clicked.connect(self._on_export)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._on_tick)
        events = self.viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            event.connect(self._list_images)
        self.destroyed.connect(partial(_leave, self.session, self._background, events, self._list_images))
        events.removed.connect(self._on_removed)
        self._list_images()
        self._running(False)
        self._later(partial(_wait_until_ready, self.session), self.engine.setText)

    # --- what the user asks -------------------------------------------------------------------------------------

    def start(self, *, only_this: bool) -> None:
        """Segments the slice on screen, or all of the chosen image from there outwards."""
        layer = self.chosen_image()
        if layer is None:
            self.message.setText("Open an image first: File → Open, or File → Open Sample → BoltzFormer.")
            return
        try:
            prompts = as_prompts([line.strip() for line in self.prompt.toPlainText().splitlines() if line.strip()])
            volume, here = volume_of(layer), self.current_slice()
            job = self.session.segment(volume, prompts, seed=SEED, start=here, slices=[here] if only_this else None)
        except BoltzFormerError as error:
            self.message.setText(str(error))
            return
        self._run = Run(self.viewer, layer, [prompt.text for prompt in prompts], job)
        self.progress.setRange(0, 0)
        self.message.setText("Starting…")
        self._running(True)
        self._timer.start()

    def chosen_image(self) -> Image | None:
        """The image layer in the Image box."""
        return self.image.currentData()

    def current_slice(self) -> int:
        """Index of the slice on screen along the plan's axis of the stored array."""
        layer = self.chosen_image()
        if layer is None or layer.ndim == 2:
            return 0
        volume = volume_of(layer)
        plan = SlicePlan.of(volume.grid, 1, volume.slice_axis)
        position = np.asarray(layer.world_to_data(self.viewer.dims.point))[-3]
        return plan.canonical_index(int(np.clip(np.rint(position), 0, plan.count - 1)))

    def export_to(self, path: Path) -> list[Path]:
        """Writes the masks of the chosen image on its stored grid, what is known of their making beside them."""
        layer = self.chosen_image()
        masks = [] if layer is None else masks_of(self.viewer, layer)
        if layer is None or not masks:
            raise BoltzFormerError("There is no mask of this image yet: run a prompt first.")
        made = {shown_name(mask): how_made(mask) for mask in masks}
        # The file dialog asked about the file itself; nothing else is replaced without a question.
        overwrite = path.exists()
        return io.write(
            label_map(layer, masks), path, source=volume_of(layer), provenance={"masks": made}, overwrite=overwrite
        )

    # --- while it works -----------------------------------------------------------------------------------------

    def _on_tick(self) -> None:
        ready, self._waiting = ([pair for pair in self._waiting if pair[0].done() == done] for done in (True, False))
        for future, then in ready:
            then(future.result())
        if self._run is not None:
            self._follow(self._run)
        if self._run is None and not self._waiting:
            self._timer.stop()

    def _follow(self, run: Run) -> None:
        for event in run.job.poll():
            match event:
                case Started(plan, total, made):
                    run.begin(plan, made)
                    self.progress.setRange(0, total)
                    self.progress.setValue(0)
                case SliceResult():
                    run.write(event)
                    self.progress.setValue(run.done)
                    self.message.setText(run.eta(self.progress.maximum()))
                case Adjusted(what, why):
                    self.message.setText(f"{what}. {why}")
                case Prediction():
                    run.end("finished", event.provenance)
                    self._finish(run.summary())
                case Cancelled():
                    run.end("cancelled")
                    self._finish(f"Cancelled; what was finished is kept. {run.summary()}")
                case Failed(error):
                    run.end("failed")
                    self._finish(error)
        run.refresh()  # once per tick, however many slices came

    def _finish(self, sentence: str) -> None:
        self._run = None
        self.progress.setRange(0, max(self.progress.maximum(), 1))
        self.message.setText(sentence)
        self._running(False)

    def _running(self, running: bool) -> None:
        for button in (self.this_slice, self.all_slices, self.looks, self.export):
            button.setEnabled(not running)
        self.cancel.setEnabled(running)

    def _on_cancel(self) -> None:
        if self._run is not None:
            self._run.job.cancel()
            self.message.setText("Stopping after the slice in hand…")

    # --- the rest -----------------------------------------------------------------------------------------------

    def _on_looks(self) -> None:
        shown = self._on_screen()
        if isinstance(shown, str):
            self.message.setText(shown)
            return
        if self.looks_view is None:
            self.looks_view = LooksView()
            light = CanvasLight(self.viewer)
            follower = LooksFollower(self.looks_view, light, self._on_screen, lambda: self.session, self._later)
            self.viewer.dims.events.current_step.connect(follower.moved)
            self.looks_view.destroyed.connect(partial(_stop_following, self.viewer, follower.moved))
            self.viewer.window.add_dock_widget(self.looks_view, name="How it looked", area="bottom")
        self.looks_view.parentWidget().show()

    def _on_screen(self) -> OnScreen | str:
        layer = self.chosen_image()
        masks = [] if layer is None else masks_of(self.viewer, layer)
        if layer is None or not masks:
            return "Run a prompt first, then see how the model looked."
        active = self.viewer.layers.selection.active
        mask = active if active in masks else masks[-1]
        volume, index, facts = volume_of(layer), self.current_slice(), mask.metadata[MASK]
        plan = SlicePlan.of(volume.grid, 1, volume.slice_axis)
        row = plan.canonical_index(index)
        if row not in facts["written"]:
            return f"The model has not looked at slice {row} yet: run this slice first."
        shown = np.asarray(mask.data).reshape(plan.count, *plan.slice_shape)[row] > 0
        gate = facts["runs"][-1]["thresholds"]["existence"]
        return OnScreen(layer, volume, facts["prompt"], index, SEED, shown, Thresholds(gate))

    def _on_export(self) -> None:
        layer = self.chosen_image()
        suggested = f"{layer.name if layer is not None else 'image'}-mask.nii.gz"
        kinds = "Masks (*.nii.gz *.nii *.seg.nrrd *.nrrd *.mha *.dcm *.png)"
        path, _ = QFileDialog.getSaveFileName(
            self, "Export masks", suggested, kinds, options=QFileDialog.Option.DontUseNativeDialog
        )
        if path:
            try:
                self.message.setText("Wrote " + ", ".join(str(written) for written in self.export_to(Path(path))))
            except BoltzFormerError as error:
                self.message.setText(str(error))

    def _on_removed(self, event: Any) -> None:
        if self._run is not None and event.value is self._run.image:
            self._on_cancel()

    def _list_images(self, event: Any = None) -> None:
        """A newly opened image is chosen; otherwise the choice stays, also when its layer is renamed."""
        images = [one for one in self.viewer.layers if isinstance(one, Image) and LIGHT not in one.metadata]
        opened = getattr(event, "value", None) if getattr(event, "type", "") == "inserted" else None
        before = opened if opened in images else self.image.currentData()
        self.image.clear()
        for layer in images:
            self.image.addItem(layer.name, layer)
        if images:
            self.image.setCurrentIndex(images.index(before) if before in images else len(images) - 1)

    def event(self, event: QEvent) -> bool:
        """napari takes a dock that is closed out of its window: then its engine ends, too."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            if self._run is not None:
                self._on_cancel()
            self.session.close()
            self.session = Session.local(self.session.model)  # starts only if somebody brings the dock back and runs
        return super().event(event)

    def _later(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Does something slow beside the viewer; `then` gets its result on the viewer's thread, if we still live."""
        self._waiting.append((self._background.submit(work), then))
        self._timer.start()

    def _lay_out(self) -> None:
        notice = QLabel("Research only, not for clinical use.")
        for label in (self.engine, self.message):
            label.setWordWrap(True)
        form = QFormLayout()
        form.addRow("Image", self.image)
        form.addRow("Prompt", self.prompt)
        layout = QVBoxLayout(self)
        layout.addWidget(notice)
        layout.addWidget(self.engine)
        layout.addLayout(form)
        for row in ((self.this_slice, self.all_slices, self.cancel), (self.progress,), (self.looks, self.export)):
            line = QHBoxLayout()
            for widget in row:
                line.addWidget(widget)
            layout.addLayout(line)
        layout.addWidget(self.message)
        layout.addStretch()


def _wait_until_ready(session: Session) -> str:
    """Starts the engine; the line that the dock shows then."""
    try:
        while (health := session.health())["state"] == "starting":
            time.sleep(0.1)
    except BackendError as error:
        return f"Engine: {error}"
    if health["state"] == "failed":
        return f"Engine: {health['error']}"
    return f"Engine: this computer, ready (CPU). Model: {health['model']}, {health['note']}."


def _stop_following(viewer: napari.viewer.Viewer, follow: object, *_: object) -> None:
    """The looks are gone: stop listening to the viewer."""
    with suppress(ValueError, RuntimeError):
        viewer.dims.events.current_step.disconnect(follow)


def _leave(session: Session, background: ThreadPoolExecutor, events: object, listener: object, *_: object) -> None:
    """The dock is gone: end its engine and its thread, stop listening to the viewer."""
    session.close()
    background.shutdown(wait=False, cancel_futures=True)
    for event in ("inserted", "removed", "renamed"):
        with suppress(ValueError, RuntimeError):
            getattr(events, event).disconnect(listener)
