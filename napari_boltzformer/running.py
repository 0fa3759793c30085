"""`Running`: what is under way: asks the engine, follows the jobs by a timer, counts what was found."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QGuiApplication

from boltzformer import (
    Adjusted,
    BoltzFormerError,
    Cancelled,
    Failed,
    Guidance,
    Prediction,
    Queued,
    SliceResult,
    Started,
    Volume,
)
from napari_boltzformer.background import POLL_MS
from napari_boltzformer.knowledge import named_apart
from napari_boltzformer.layers import volume_of
from napari_boltzformer.masks import Track, revert_last, same
from napari_boltzformer.run import Run

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

SEED = 0
ALL_TIP = "Ctrl+Shift+Enter: from here outwards"
RECOUNT_MS = 500


class Running:
    """Several runs at once: a slice or a pointed question overtakes a volume."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self.runs: list[Run] = []
        self.objects: dict[str, int] = {}
        """Counted so far, by the mask's layer."""
        self._said: dict[str, str] = {}
        """How the last run of an image went."""
        self._told, self._chosen = "", ""
        """The last that was told of a run, and the image that was chosen then."""
        self._recount: set[str] = set()
        self._timer, self._recounting = QTimer(dock), QTimer(dock)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._on_tick)
        self._recounting.setSingleShot(True)
        self._recounting.setInterval(RECOUNT_MS)
        self._recounting.timeout.connect(self._count)

    def start(
        self,
        *,
        only_this: bool,
        guidance: Guidance | None = None,
        at: tuple[Image, int] | None = None,
    ) -> Run | None:
        """Segments the slice on screen, or all of the chosen image from there outwards; None where it can't.

        `at`: the image and the slice of a question that had to wait. None is also said of one that waits.
        """
        layer = self._dock.chosen_image() if at is None else at[0]
        if at is not None and layer not in self._dock.viewer.layers:
            return None
        if layer is None:
            self._dock.notice.say("Open an image first: Open…, drop a file here, or try the example.")
            return None
        try:
            texts = [guidance.prompt] if guidance is not None and guidance.prompt else self._dock.prompt.texts()
            prompts = named_apart(texts)
            if not prompts:
                raise BoltzFormerError("There is no prompt: type what to look for, e.g. 'MS lesion in brain MRI'.")
            volume, here = volume_of(layer), self._dock.current_slice() if at is None else at[1]
            if only_this and at is None and not self._dock.screen.ready():
                return None
            later = partial(self.start, only_this=only_this, guidance=guidance, at=(layer, here))
            if not self._dock.seeing.ready(layer, volume, later):
                return None
            how = self.how(layer, volume, guidance)
            job = self._dock.session.segment(
                volume,
                prompts,
                start=here,
                slices=[here] if only_this else None,
                samples=self._dock.settings.samples,
                **how,
            )
        except BoltzFormerError as error:
            self._dock.notice.fail(str(error))
            return None
        warnings = {text: self._dock.prompt.knowledge.warning(text) for text in texts}
        self._dock.settings.asked(texts)
        self.follow(Run(self._dock.viewer, layer, prompts, job, how, warnings=warnings, whole=not only_this))
        return self.runs[-1]

    def how(self, layer: Image, volume: Volume, guidance: Guidance | None = None) -> dict[str, Any]:
        """What a question says beside its prompts, as it would be asked now."""
        window, model = self._dock.seeing.window_of(layer, volume), self._dock.session.model
        region = self._dock.closer.region(layer, volume)
        return {"seed": SEED, "window": window, "guidance": guidance, "model": model, "region": region}

    def follow(self, run: Run) -> None:
        """Shows how far it is, and takes its answers."""
        self.runs.append(run)
        self.show_progress()
        self._tell(run, "Starting…")
        self._dock.show_state()
        self._timer.start()

    def _on_tick(self) -> None:
        if QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton:
            return  # nothing is written under a stroke; the job keeps its events
        for run in list(self.runs):
            self._follow(run)
        if not self.runs:
            self._timer.stop()

    def _follow(self, run: Run) -> None:
        events = run.job.poll()
        for event in events:
            match event:
                case Queued(position):
                    self._tell(run, f"Waiting, place {position + 1} in the queue.")
                case Started(plan, total, made):
                    run.begin(plan, total, made)
                    for track in run.tracks:
                        self.adopt(track)
                    self._dock.bottom.show_tracks()
                    self.show_progress()
                case SliceResult():
                    run.write(event)
                    if run.writes:
                        self._dock.keeper.touch(run.image.unique_id)  # what is found is saved, also before the end
                    self._dock.bottom.slice_finished(run.image, run.row_of(event.index))
                    self.show_progress()
                    self._tell_progress(run)
                case Adjusted(what, why):
                    self._dock.notice.say(f"{what}. {why}")
                case Prediction():
                    run.end("finished", event.provenance)
                    self._finish(run, run.summary())
                case Cancelled():
                    run.end("cancelled")
                    kept = f"Cancelled; what was finished is kept. {run.summary()}"
                    self._finish(run, kept if run.done else "Cancelled before the first slice.")
                case Failed(error, index):
                    run.end("failed")
                    if index is not None:
                        self._dock.bottom.slice_failed(run.image, run.row_of(index), error)
                    self._finish(run, "")
                    self._dock.notice.fail(error, f"Run: {run.done} of {run.total} slices")
        run.refresh()  # once per tick, however many slices came
        if events:
            self._dock.show_results()

    def _finish(self, run: Run, sentence: str) -> None:
        self.runs.remove(run)
        if run.writes:
            self._dock.keeper.touch(run.image.unique_id)
        self._dock.progress.setRange(0, max(self._dock.progress.maximum(), 1))
        self.show_progress()
        self._said[run.image.unique_id] = sentence
        self._tell(run, sentence)
        self._recount |= {track.layer.unique_id for track in run.tracks}
        self._count()
        self._dock.show_state()

    def _of_interest(self) -> list[Run]:
        """Those of the chosen image; where it has none, all."""
        return [run for run in self.runs if same(run.image, self._dock.chosen_image())] or self.runs

    def _of(self, run: Run, text: str) -> str:
        """Names the image, where another one is chosen."""
        chosen = self._dock.chosen_image()
        return text if not text or chosen is None or same(run.image, chosen) else f"'{run.image.name}': {text}"

    def _tell(self, run: Run, text: str) -> None:
        self._told = self._of(run, text)
        self._dock.notice.say(self._told)

    def _tell_progress(self, run: Run) -> None:
        """Of another image than the chosen one only where that takes no other sentence's place."""
        image, message = self._dock.chosen_image(), self._dock.message
        said = "" if image is None else self._said.get(image.unique_id, "")
        free = not message.text() or (message.text() == self._told and message.text() != said)
        if same(run.image, image) or (free and run in self._of_interest()):
            self._told = self._of(run, run.progress())
            message.setText(self._told)

    def show_progress(self) -> None:
        """Of the chosen image's runs; where there is none, of all."""
        if runs := self._of_interest():
            self._dock.progress.setRange(0, sum(run.total for run in runs))
            self._dock.progress.setValue(sum(run.done for run in runs))

    def switched(self) -> None:
        """Another image may be chosen: what was told of a run is told of its own."""
        image, before = self._dock.chosen_image(), self._chosen
        self._chosen = "" if image is None else image.unique_id
        if self._chosen == before:
            return
        self.show_progress()
        if not self.runs:
            self._dock.progress.setRange(0, 1)
            self._dock.progress.setValue(0)
        if self._told and self._dock.message.text() == self._told:
            runs = self._of_interest()
            self._told = self._of(runs[-1], runs[-1].progress()) if runs else self._said.get(self._chosen, "")
            self._dock.notice.say(self._told)

    def show_buttons(self) -> None:
        """Which can do something now, and why the others can't."""
        dock, whole = self._dock, next((run.image.name for run in self.runs if run.whole), "")
        busy = "Wait until the run has ended, or press Cancel"
        reverts = not self.runs and any(track.can_revert for track in dock.tracks())
        for button, on, usual, reason in (
            (dock.all_slices, not whole, ALL_TIP, f"'{whole}' is looked at just now: wait, or press Cancel"),
            (dock.cancel, bool(self.runs), "Stops every run; what is finished is kept", "Nothing is under way"),
            (dock.export, not self.runs, "", busy),
            (dock.revert, reverts, "", busy if self.runs else "There is no run to take back on this image"),
        ):
            button.setEnabled(on)
            button.setToolTip(usual if on else reason)

    def cancel(self) -> None:
        for run in self.runs:
            run.job.cancel()
        self._dock.notice.say("Stopping after the slice in hand…")

    def adopt(self, track: Track) -> None:
        """Listens to a mask of ours."""
        track.changed = partial(self._on_change, track)
        self._dock.keys.bind(track.layer)

    def _on_change(self, track: Track) -> None:
        """A person painted, or said something of a slice."""
        self._dock.bottom.changed(track)
        self.recount(track)

    def recount(self, track: Track) -> None:
        """The mask is another one now: it is to be saved, and its objects counted once it rests."""
        self._dock.keeper.touch(track.image_id)
        self.count(track)

    def count(self, track: Track) -> None:
        """Its objects, once it rests."""
        layer = track.layer.unique_id
        self.objects.pop(layer, None)
        self._dock.background.drop(f"objects of {layer}")
        self._recount.add(layer)
        self._recounting.start()

    def _count(self) -> None:
        """Objects of what changed, beside the viewer: a large mask takes a second."""
        due = [track for track in self._dock.tracks() if track.layer.unique_id in self._recount]
        self._recount.clear()
        for track in due:
            layer = track.layer.unique_id
            rows = track.rows[list(track.scores)] if len(track.scores) == 1 else track.rows
            # No copy: if it changes meanwhile it is counted again.
            self._dock.background.do(
                partial(_objects_in, rows), partial(self._counted, layer), topic=f"objects of {layer}"
            )

    def _counted(self, layer: str, objects: int) -> None:
        self.objects[layer] = objects
        self._dock.show_results()

    def revert(self) -> None:
        count = revert_last(self._dock.tracks())
        for track in self._dock.tracks():
            track.layer.refresh()
            self._dock.keeper.touch(track.image_id)
        self._dock.bottom.show_tracks()
        self._dock.notice.say(f"Took the last run back in {count} {'mask slice' if count == 1 else 'mask slices'}.")
        self._recount |= {track.layer.unique_id for track in self._dock.tracks()}
        self._count()
        self._dock.show_results()
        self._dock.show_state()


def _objects_in(rows: np.ndarray) -> int:
    """Connected objects; of one slice, within it."""
    from boltzformer.objects import pieces

    return int(pieces(rows).max(initial=0))
