"""`Keeper`: what a person accepts goes into the annotation folder; everything is autosaved, and comes back."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from boltzformer import BoltzFormerError, Prompt
from boltzformer.dataset import Dataset, Revision
from boltzformer.home import home
from boltzformer.types import Annotation, SliceState
from napari_boltzformer.background import Background
from napari_boltzformer.doubting import after, doubtful
from napari_boltzformer.layers import plan_of, volume_of
from napari_boltzformer.masks import Track, new_track, same, track_of, tracks_of
from napari_boltzformer.remembering import annotation_of, answered_from, last_work
from napari_boltzformer.run import counted
from napari_boltzformer.stored_masks import answer_map

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

AUTOSAVE_MS = 5000
CASE = "boltzformer case"
"""Where an image layer's metadata says that it was opened from the case list: its id in a dataset, or ''."""


class Keeper:
    """Holds no voxels: it reads the masks when something is to be kept."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self.background = Background(dock, "boltzformer-keeper", dock.notice.fail, threads=1)
        self._based_on: dict[str, int] = {}
        self._seen: dict[str, set[int]] = {}
        self._visible: dict[str, tuple[int, int]] = {}
        self._unsaved: set[str] = set()
        """Images of which something changed since they were saved."""
        self._unstored = False
        self._leaving: list[Track] = []
        """Masks that left the viewer just now."""
        self._doubted: int | None = None
        self.kept: Callable[[], None] = lambda: None
        """Called when something has reached the disk."""
        self._timer = QTimer(dock)
        self._timer.setInterval(AUTOSAVE_MS)
        self._timer.timeout.connect(self.autosave)
        self._timer.start()

    # --- what a person says -------------------------------------------------------------------------------------

    def accept(self) -> None:
        """The slice on screen is right, in all masks that are shown."""
        tracks, row = self._shown(), self._dock.row()
        if not tracks:
            self._dock.notice.say("There is no mask on screen to accept: run a prompt first.")
        elif self._demand_folder():
            for track in tracks:
                track.proposals.pop(row, None)
                track.say(row, SliceState.REVIEWED)
            self.store(f"Slice {row} accepted.")

    def nothing(self) -> None:
        """There is nothing in the slice on screen, of all prompts that are shown."""
        tracks, row = self._shown(), self._dock.row()
        if not tracks:
            self._dock.notice.say("There is no mask on screen: run a prompt first.")
        elif self._demand_folder():
            before = [(track, track.rows[row] > 0) for track in tracks]
            for track in tracks:
                track.change(row, np.zeros(track.rows.shape[1:], bool))
                track.say(row, SliceState.EMPTY)
            self._unstored = True  # stored a moment later, so that it can be taken back
            names = "', '".join(track.name for track in tracks)
            self._dock.notice.say(f"Slice {row}: no '{names}' here.", "Undo", partial(self._take_back, before, row))

    def accept_all(self) -> None:
        """Every slice that was on screen; the others are named."""
        image, tracks = self._dock.chosen_image(), self._shown()
        if image is None or not tracks:
            self._dock.notice.say("There is no mask to accept: run a prompt first.")
        elif self._demand_folder():
            seen = self._seen.get(image.unique_id, set()) | {self._dock.row()}
            unseen = [row for row in range(len(tracks[0].rows)) if row not in seen]
            for track in tracks:
                for row in seen:
                    if row in track.scores or track.rows[row].any():
                        track.say(row, SliceState.REVIEWED)
            rest = f" Never on screen, so not accepted: {ranges(unseen)}." if unseen else ""
            self.store(f"{counted(len(seen))} accepted.{rest}")

    def next_doubtful(self) -> None:
        """Jumps to the slice that nobody has accepted and where the model is least sure; again: to the next."""
        doubts = doubtful(self._shown())
        if not doubts:
            self._dock.notice.say("No slice is left to doubt: all that the model looked at is accepted.")
            return
        one = after(doubts, self._dock.row(), self._doubted)
        self._doubted = one.row
        self._dock.jump(one.row)
        self._dock.notice.say(f"Slice {one.row}: {one.why}.")

    # --- keeping ------------------------------------------------------------------------------------------------

    def store(self, sentence: str) -> None:
        """All that was accepted, as a new revision; on the disk when the sentence is said."""
        image, tracks = self._dock.chosen_image(), self._spoken_of()
        self._unstored = False
        if image is None or not tracks:
            return
        annotation, answer = annotation_of(image, tracks), answer_map(image, tracks)
        folder, key, case = Path(self._dock.settings.folder), image.unique_id, image.metadata.get(CASE, "")

        def add() -> Revision:
            return Dataset.at(folder).add(annotation, case=case, answer=answer, based_on=self._based_on.get(key))

        def kept(revision: Revision) -> None:
            self._based_on[key] = revision.number
            self._dock.notice.say(f"{sentence} Kept as revision {revision.number} in {folder}.")
            self._dock.show_results()
            self.kept()

        self.background.do(add, kept)

    def touch(self, image: str) -> None:
        """Something changed in an image's masks (by the id of its layer): they are saved soon."""
        self._unsaved.add(image)

    def on_screen(self) -> None:
        """Another slice, or the same one after a change: napari tells nobody of an undo."""
        image, row = self._dock.chosen_image(), self._dock.row()
        if image is None:
            return
        self._seen.setdefault(image.unique_id, set()).add(row)
        for track in self._dock.tracks():
            before = self._visible.get(track.layer.unique_id)
            if before is not None and before[0] < len(track.rows):
                if before[1] != _checksum(track, before[0]):
                    self.touch(track.image_id)
            self._visible[track.layer.unique_id] = (row, _checksum(track, row))

    def autosave(self) -> None:
        """Everything as it is, accepted or not."""
        self.on_screen()
        if self._unstored:
            self.store("")
        if not self.background.busy:
            self._save_changed()

    def leave(self) -> None:
        """The dock is hidden, and perhaps the window closes: nothing waits any longer."""
        for run in self._dock.running.runs:
            self.touch(run.image.unique_id)
        self.on_screen()
        if self._unstored:
            self.store("")
        self._save_changed()

    def removed(self, layer: Any) -> None:
        """A layer left the viewer; an image's work is kept, with the masks that left in the same breath.

        A viewer that closes, and a person who deletes all, takes the layers out one by one.
        """
        track = track_of(layer)
        if track is not None:
            self._leaving.append(track)
            QTimer.singleShot(0, self._leaving.clear)
        running = [run for run in self._dock.running.runs if same(run.image, layer)]
        if running or layer.unique_id in self._unsaved:
            left = [one for one in reversed(self._leaving) if one.image_id == layer.unique_id]
            written = [one for run in running for one in run.tracks]
            self.save(layer, tracks=list(dict.fromkeys([*tracks_of(self._dock.viewer, layer), *left, *written])))

    def _save_changed(self) -> None:
        for layer in self._dock.viewer.layers:
            if isinstance(layer, Image) and layer.unique_id in self._unsaved:
                self.save(layer)

    def save(
        self, image: Image, then: Callable[[], None] = lambda: None, tracks: Sequence[Track] | None = None
    ) -> None:
        """Everything of an image as it is, accepted or not; `then` once the very last stroke is on the disk.

        `tracks`: its masks, where they may have left the viewer.
        """
        tracks = tracks_of(self._dock.viewer, image) if tracks is None else tracks
        folder, case = self.folder(), image.metadata.get(CASE, "")
        if not tracks:
            then()
            return
        self._unsaved.discard(image.unique_id)
        annotation = annotation_of(image, tracks)

        def write() -> str:
            try:
                Dataset.at(folder).save_draft(annotation, case=case)
            except BoltzFormerError as error:
                return str(error)
            return ""

        def written(error: str) -> None:
            if error:
                self.touch(image.unique_id)
                self._dock.notice.fail(error)
                return
            self.kept()
            self.on_screen()
            if image.unique_id in self._unsaved and image in self._dock.viewer.layers:
                self.save(image, then)  # painted meanwhile
            else:
                then()

        self.background.do(write, written)

    # --- bringing back ------------------------------------------------------------------------------------------

    def look_for(self, image: Image) -> None:
        """Offers what was kept of this image, yesterday or before a crash."""
        volume, folders, listed = volume_of(image), (self.folder(), autosaves()), image.metadata.get(CASE)

        def find() -> tuple[str, Annotation, int | None] | None:
            kept = [found for one in dict.fromkeys(folders) if (found := last_work(one, volume, listed or ""))]
            return kept[0] if kept else None

        def offer(found: tuple[str, Annotation, int | None] | None) -> None:
            if found is not None and image in self._dock.viewer.layers and not self._dock.tracks():
                when, annotation, number = found
                if listed is not None:  # who opens it from the list goes on with it
                    self._restore(image, annotation, number)
                    return
                sentence = f"There is work of {when[:16].replace('T', ' ')} UTC on this image."
                self._dock.notice.say(sentence, "Restore", partial(self._restore, image, annotation, number))

        self.background.do(find, offer)

    def _restore(self, image: Image, annotation: Annotation, number: int | None) -> None:
        if image not in self._dock.viewer.layers:
            return
        view, plan = annotation.volume.grid.canonical(annotation.slice_axis), plan_of(volume_of(image))
        texts = {prompt.name: prompt.text for prompt in reversed(annotation.prompts)}
        for value, name in annotation.labels.names.items():
            track = new_track(self._dock.viewer, image, Prompt(texts.get(name, name), name))
            states = annotation.slices.get(name, ())
            shown = tuple(reversed(states)) if view.flips[0] else tuple(states)
            track.restore(view.apply(annotation.labels.mask(value)), shown)
            track.recall(*answered_from(annotation, name, plan))
            track.layer.refresh()
            self._dock.running.adopt(track)
        if number is not None:
            self._based_on[image.unique_id] = number
        if annotation.prompts:
            self._dock.prompt.setPlainText("\n".join(dict.fromkeys(texts.values())))
        self._dock.bottom.show_tracks()
        self._dock.notice.say("Restored.")
        self._dock.show_results()

    # ------------------------------------------------------------------------------------------------------------

    def _take_back(self, before: list[tuple[Track, Any]], row: int) -> None:
        self._unstored = False
        for track, mask in before:
            track.say(row, SliceState.UNSEEN)
            track.change(row, mask)

    def _shown(self) -> list[Track]:
        return [track for track in self._dock.tracks() if track.layer.visible]

    def _spoken_of(self) -> list[Track]:
        return [
            track
            for track in self._dock.tracks()
            if any(track.state(row) is not SliceState.UNSEEN for row in range(len(track.rows)))
        ]

    def folder(self) -> Path:
        """Where work is kept: what is accepted, once a person has said where, and what is not."""
        return Path(self._dock.settings.folder) if self._dock.settings.folder else autosaves()

    def _demand_folder(self) -> bool:
        """Asked for once."""
        settings = self._dock.settings
        if not settings.folder:
            settings.folder = QFileDialog.getExistingDirectory(
                self._dock,
                "Where to keep what you accept: a new or empty folder",
                "",
                QFileDialog.Option.DontUseNativeDialog,
            )
            settings.save()
        return bool(settings.folder)


def autosaves() -> Path:
    """Where work is kept as long as nobody has said where."""
    return home() / "autosave"


def ranges(numbers: Sequence[int]) -> str:
    """'0-4, 7, 9-12'."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _checksum(track: Track, row: int) -> int:
    return zlib.crc32(np.ascontiguousarray(track.rows[row]))
