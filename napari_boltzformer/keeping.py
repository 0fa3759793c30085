"""`Keeper`: what a person accepts goes into the annotation folder; everything is autosaved, and comes back."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from boltzformer import BoltzFormerError
from boltzformer.dataset import Dataset, Revision
from boltzformer.home import home
from boltzformer.types import SliceState
from napari_boltzformer.background import Background
from napari_boltzformer.bringing_back import BringingBack
from napari_boltzformer.doubting import after, doubtful
from napari_boltzformer.masks import Track, same, track_of, tracks_of
from napari_boltzformer.remembering import CASE, STORE, annotation_of
from napari_boltzformer.run import counted, named, ranges
from napari_boltzformer.stored_masks import answer_map

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

AUTOSAVE_MS = 5000


class Keeper:
    """Holds no voxels: it reads the masks when something is to be kept."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock
        self.background = Background(dock, "boltzformer-keeper", dock.notice.fail, threads=1)
        self._seen: dict[str, set[int]] = {}
        self._visible: dict[str, tuple[int, int]] = {}
        self._unsaved: set[str] = set()
        """Images of which something changed since they were saved."""
        self._unstored: dict[str, _Nothing] = {}
        """By image: what a person said that is stored a moment later, so that it can be taken back."""
        self.back = BringingBack(dock, self.background)
        self._leaving: list[Track] = []
        """Masks that left the viewer just now."""
        self._doubted: int | None = None
        self.heard: list[Callable[[], None]] = []
        """Called when masks are other ones than before, whatever changed them."""
        self.kept: Callable[[], None] = lambda: None
        """Called when something has reached the disk."""
        self._timer = QTimer(dock)
        self._timer.setInterval(AUTOSAVE_MS)
        self._timer.timeout.connect(self.autosave)
        self._timer.start()

    # --- what a person says -------------------------------------------------------------------------------------

    def accept(self) -> None:
        """The slice on screen is right, in all masks that are shown and have an answer there."""
        shown, row = self._shown(), self._dock.row()
        if not shown:
            self._dock.notice.say("There is no mask on screen to accept: run a prompt first.")
        elif self._dock.screen.ready():
            tracks = [track for track in shown if track.can_be_accepted(row)]
            unasked = ", ".join(f"'{track.name}'" for track in shown if track not in tracks)
            where = named(row, len(shown[0].rows))
            if not tracks:
                self._dock.notice.say(
                    f"Nobody asked for {unasked} in {where}, so there is no answer to accept: run it here first, or "
                    "say that nothing is there."
                )
            elif self._demand_folder():
                for track in tracks:
                    track.proposals.pop(row, None)
                    track.say(row, SliceState.REVIEWED)
                rest = f" Nothing is said of {unasked}, which nobody asked for here." if unasked else ""
                self.store(f"{where.capitalize()} accepted{self._in(tracks)}.{rest}")

    def nothing(self) -> None:
        """There is nothing in the slice on screen, of all prompts that are shown."""
        tracks, row = self._shown(), self._dock.row()
        if not tracks:
            self._dock.notice.say("There is no mask on screen: run a prompt first.")
        elif self._dock.screen.ready() and self._demand_folder():
            before = [(track, track.rows[row] > 0) for track in tracks]
            for track in tracks:
                track.change(row, np.zeros(track.rows.shape[1:], bool))
                track.say(row, SliceState.EMPTY)
            image = self._dock.chosen_image()
            assert image is not None  # it has masks
            names = "', '".join(track.name for track in tracks)
            sentence = f"{named(row, len(tracks[0].rows)).capitalize()}: no '{names}' here."
            self._unstored[image.unique_id] = _Nothing(image, tracks, row, sentence)
            self._dock.notice.say(sentence, "Undo", partial(self._take_back, before, row))

    def accept_all(self) -> None:
        """Every slice that was on screen; the others are named."""
        image, tracks = self._dock.chosen_image(), self._shown()
        if image is None or not tracks:
            self._dock.notice.say("There is no mask to accept: run a prompt first.")
        elif self._demand_folder():
            self.on_screen()
            seen = self._seen.get(image.unique_id, set())
            unseen = [row for row in range(len(tracks[0].rows)) if row not in seen]
            said = [(track, row) for track in tracks for row in sorted(seen) if track.can_be_accepted(row)]
            for track, row in said:
                track.say(row, SliceState.REVIEWED)
            rest = f" Never on screen, so not accepted: {ranges(unseen)}." if unseen else ""
            self.store(f"{counted(len({row for _, row in said}))} accepted{self._in(tracks)}.{rest}")

    def next_doubtful(self) -> None:
        """Jumps to the slice that nobody has accepted and where the model is least sure; again: to the next."""
        doubts = doubtful(self._shown())
        if not doubts:
            self._dock.notice.say("No slice is left to doubt: all that the model looked at is accepted.")
            return
        one = after(doubts, self._dock.row(), self._doubted)
        self._doubted = one.row
        self._dock.jump(one.row)
        self._dock.notice.say(f"{named(one.row, len(self._shown()[0].rows)).capitalize()}: {one.why}.")

    # --- keeping ------------------------------------------------------------------------------------------------

    def store(self, sentence: str, image: Image | None = None, tracks: Sequence[Track] | None = None) -> None:
        """All that was accepted of an image (the chosen one), as a new revision; on the disk when the sentence is said.

        `tracks`: its masks, where they may have left the viewer.
        """
        image = self._dock.chosen_image() if image is None else image
        if image is None:
            return
        key = image.unique_id
        self._unstored.pop(key, None)
        if self.back.holds(image, partial(self.store, sentence, image, tracks)):
            return
        tracks = [one for one in (tracks_of(self._dock.viewer, image) if tracks is None else tracks) if _spoken_of(one)]
        if not tracks:
            return
        annotation, answer = annotation_of(image, tracks), answer_map(image, tracks)
        folder, case = self.folder(image), image.metadata.get(CASE, "")
        based_on = self.back.based_on

        def add() -> Revision:
            return Dataset.at(folder).add(annotation(), case=case, answer=answer(), based_on=based_on.get(key))

        def kept(revision: Revision) -> None:
            based_on[key], image.metadata[STORE] = revision.number, str(folder)
            self._dock.notice.say(f"{sentence} Kept as revision {revision.number} in {folder}.".strip())
            self._dock.show_results()
            self.kept()

        self.background.do(add, kept)

    def touch(self, image: str) -> None:
        """Something changed in an image's masks (by the id of its layer): they are saved soon."""
        self._unsaved.add(image)
        self.changed()

    def changed(self) -> None:
        """Masks are other ones than before: whoever told something of them says it anew."""
        for heard in self.heard:
            heard()

    def on_screen(self) -> None:
        """Another slice, or the same one after a change: napari tells nobody of an undo."""
        image, row = self._dock.chosen_image(), self._dock.row()
        if image is None:
            return
        if self._dock.screen.shows(image):
            self._seen.setdefault(image.unique_id, set()).add(row)
        for track in self._dock.tracks():
            before = self._visible.get(track.layer.unique_id)
            if before is not None and before[0] < len(track.rows) and before[1] != _checksum(track, before[0]):
                self.touch(track.image_id)
            self._visible[track.layer.unique_id] = (row, _checksum(track, row))

    def autosave(self) -> None:
        """Everything as it is, accepted or not."""
        self.on_screen()
        self._store_rest()
        self.back.offer_again()
        if not self.background.busy:
            self._save_changed()

    def leave(self) -> None:
        """The dock is hidden, and perhaps the window closes: nothing waits any longer."""
        self._unsaved |= {run.image.unique_id for run in self._dock.running.runs}
        self.on_screen()
        self._store_rest()
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
        if running or layer.unique_id in self._unsaved | self._unstored.keys():
            left = [one for one in reversed(self._leaving) if one.image_id == layer.unique_id]
            written = [one for run in running for one in run.tracks]
            self.save(layer, tracks=list(dict.fromkeys([*tracks_of(self._dock.viewer, layer), *left, *written])))

    def _store_rest(self) -> None:
        for key in list(self._unstored):
            self._store_nothing(key)

    def _store_nothing(self, key: str, tracks: Sequence[Track] | None = None) -> None:
        said = self._unstored.pop(key)
        if any(track.state(said.row) is not SliceState.UNSEEN for track in said.tracks):
            self.store(said.sentence, said.image, tracks)
        else:  # Ctrl+Z took it back
            self._dock.notice.take_back(said.sentence)

    def _save_changed(self) -> None:
        for layer in list(self._dock.viewer.layers):
            if isinstance(layer, Image) and layer.unique_id in self._unsaved:
                self.save(layer)

    def save(self, image: Image, then: Callable[[], None] | None = None, tracks: Sequence[Track] | None = None) -> None:
        """Everything of an image as it is, accepted or not; `then` once the very last stroke is on the disk.

        Where nobody waits, what changed meanwhile is saved in its turn: a run changes something all the time.
        `tracks`: its masks, where they may have left the viewer.
        """
        if self.back.holds(image, partial(self.save, image, then, tracks)):
            return
        tracks = tracks_of(self._dock.viewer, image) if tracks is None else tracks
        if not tracks:
            if then is not None:
                then()
            return
        if image.unique_id in self._unstored:
            self._store_nothing(image.unique_id, tracks)
        folder, case = self.folder(image), image.metadata.get(CASE, "")
        self._unsaved.discard(image.unique_id)
        annotation, answer = annotation_of(image, tracks), answer_map(image, tracks)

        def write() -> str:
            try:
                Dataset.at(folder).save_draft(annotation(), case=case, answer=answer())
            except BoltzFormerError as error:
                return str(error)
            return ""

        def written(error: str) -> None:
            if error:
                self._unsaved.add(image.unique_id)
                self._dock.notice.fail(error)
                return
            self.kept()
            if then is None:
                return
            self.on_screen()
            if image.unique_id in self._unsaved and image in self._dock.viewer.layers:
                self.save(image, then)  # painted meanwhile
            else:
                then()

        self.background.do(write, written, failed=partial(self._unsaved.add, image.unique_id))

    def look_for(self, image: Image) -> None:
        """Offers what was kept of this image; from here on its work goes where such work went when it was opened."""
        image.metadata.setdefault(STORE, self._dock.settings.folder)
        self.back.look_for(image, (self.folder(image), autosaves()))

    # ------------------------------------------------------------------------------------------------------------

    def _take_back(self, before: list[tuple[Track, Any]], row: int) -> None:
        for track, mask in before:
            self._unstored.pop(track.image_id, None)
            track.say(row, SliceState.UNSEEN)
            track.change(row, mask)

    def _in(self, shown: Sequence[Track]) -> str:
        """Which masks, where that is not all of them."""
        every, names = self._dock.tracks(), "', '".join(track.name for track in shown)
        return f" in '{names}', {len(shown)} of {len(every)} masks" if len(shown) < len(every) else ""

    def _shown(self) -> list[Track]:
        return [track for track in self._dock.tracks() if track.layer.visible]

    def folder(self, image: Image | None = None) -> Path:
        """Where work is kept (of this image): what is accepted, once a person has said where, and what is not."""
        kept = "" if image is None else image.metadata.get(STORE, "")
        place = kept or self._dock.settings.folder
        return Path(place) if place else autosaves()

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


@dataclass(frozen=True)
class _Nothing:
    """A person's word that there is nothing in a slice."""

    image: Image
    tracks: Sequence[Track]
    row: int
    sentence: str


def autosaves() -> Path:
    """Where work is kept as long as nobody has said where."""
    return home() / "autosave"


def _spoken_of(track: Track) -> bool:
    """Whether a person has said something of one of its slices."""
    return any(track.state(row) is not SliceState.UNSEEN for row in range(len(track.rows)))


def _checksum(track: Track, row: int) -> int:
    return zlib.crc32(np.ascontiguousarray(track.rows[row]))
