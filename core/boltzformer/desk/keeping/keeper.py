"""`Keeper`: what a person accepts goes into the annotation folder; everything is autosaved, and comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from boltzformer.dataset import Dataset, Revision
from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.accepting import Accepting
from boltzformer.desk.keeping.bringing_back import BringingBack
from boltzformer.desk.keeping.kept_in import KeptIn, autosaves
from boltzformer.desk.keeping.next_doubtful import NextDoubtful
from boltzformer.desk.keeping.nothing_here import KEPT, NothingHere
from boltzformer.desk.keeping.remembering import annotation_of
from boltzformer.desk.keeping.removed import Removed, is_legible
from boltzformer.desk.keeping.said import Said, counts_otherwise
from boltzformer.desk.keeping.scene import Scene, looks_of
from boltzformer.desk.keeping.snapshot import Snapshot
from boltzformer.desk.masks.sizes import Sizes
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.masks.whose import checksum
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Dialogs, Stage, Timers
from boltzformer.desk.runs.running import Running
from boltzformer.desk.settings import Settings
from boltzformer.desk.words import ViewerWords
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError
from boltzformer.types import SliceState

AUTOSAVE_MS = 5000


class Keeper:
    """Holds no voxels: it copies the masks when something is to be kept."""

    def __init__(
        self,
        stage: Stage,
        tracks: Tracks,
        notice: Notice,
        timers: Timers,
        dialogs: Dialogs,
        settings: Settings,
        words: ViewerWords,
        running: Running,
        model: Callable[[], str],
        sizes: Sizes,
    ) -> None:
        """`model`: the name of the one in use."""
        self._stage, self._tracks, self._notice = stage, tracks, notice
        self._settings, self._words, self._running, self._model = settings, words, running, model
        self.place = KeptIn(settings, dialogs, notice, words)
        self._begun: dict[OpenImage, Path] = {}
        """Where work was saved since it was opened, or begun afresh: what was kept there before is set aside first."""
        self.work = Work(timers, "boltzformer-keeper", notice.fail, threads=1)
        self.back = BringingBack(stage, tracks, notice, self.work, dialogs, model, self._copy)
        self.back.afresh.append(self.begins_anew)
        self.back.brought.append(self.touch)
        self.place.moved.append(self._moved)
        self.kept: list[Callable[[], None]] = []
        """Something has reached the disk."""
        self._visible: dict[str, tuple[int, int]] = {}
        self._looked: dict[OpenImage, int] = {}
        """The slice of each that was on screen last, as its slices are looked at: another plane, or 3-D, shows none."""
        self._unsaved: set[OpenImage] = set()
        """Of these something changed since they were saved."""
        self._unstored: dict[OpenImage, Said] = {}
        """What a person said that is stored a moment later, so that it can be taken back."""
        self.empty = NothingHere(stage, tracks, notice, running, self.place.settle, self._unstored)
        self.nothing = self.empty.say
        self._sizes = sizes
        accepting = Accepting(
            *(stage, tracks, notice, running, self.place.settle, self.on_screen),
            lambda told, of: self.store(told, of[0][0].image, of=of),
            sizes.once_shown,
        )
        self.accept, self.accept_all, self.accept_painted = accepting.here, accepting.seen, accepting.painted
        self._owed: dict[OpenImage, Callable[[], None]] = {}
        """Work of images that left the viewer and could not be written: how it is tried again."""
        self._vouched: list[tuple[Track, int]] = []
        """Slices of which it is being told that they are accepted."""
        self._leaving: list[Track] = []
        """Masks that left the viewer just now."""
        self._parting: dict[OpenImage, Scene] = {}
        """How one is worked on that is being put away."""
        self.doubts = NextDoubtful(stage, tracks, notice, words)
        self.next_doubtful = self.doubts.go
        self._removed = Removed()
        self._left = timers.after(0, self._have_left)
        timers.every(AUTOSAVE_MS, self.autosave).start()

    # --- keeping ------------------------------------------------------------------------------------------------

    def store(
        self,
        sentence: str,
        image: OpenImage | None = None,
        tracks: Sequence[Track] | None = None,
        of: Sequence[tuple[Track, int]] = (),
        back: Sequence[tuple[Track, int]] = (),
    ) -> None:
        """All that was accepted of an image (the chosen one), as a new revision; on the disk when the sentence is said.

        `tracks`: its masks, where they may have left the viewer. `of`: slices that the sentence says are accepted.
        `back`: those of which a word that is on the disk was taken back, beside what waits to be stored.
        """
        if (image := image or self._stage.chosen()) is None:
            return
        if (said := self._unstored.pop(image, None)) is not None:
            self.empty.stored(image, said)
            back = [*back, *said.taken_back()]
        if self.back.holds(image, partial(self.store, sentence, image, tracks, of, back)):
            return
        tracks = self._tracks.of(image) if tracks is None else tracks
        spoken = [one for one in tracks if one.is_spoken_of or any(track is one for track, _ in back)]
        if not spoken:
            return
        masks = Snapshot.of(image, spoken, self.scene(image))
        index, each = masks.plan.canonical_index, zip(masks.names, spoken, strict=True)
        rows_back = {name: [index(row) for track, row in back if track is one] for name, one in each}
        folder, case, based_on = self.folder(image), image.case or "", self.back.based_on

        def add() -> Revision:
            told = annotation_of(masks, accepted=True)
            dataset, base = Dataset.at(folder), based_on.get(image)
            added = dataset.add(told, case=case, answer=masks.answers(), based_on=base, taken_back=rows_back)
            based_on[image] = added.number  # what waits in line takes back this one's words
            return added

        def kept(revision: Revision) -> None:
            based_on[image], image.store = max(revision.number, based_on.get(image, 0)), str(folder)
            if image in self._stage.images() and (back or any(one.excluded for one in masks.masks)):
                self.save(image, tracks=tracks)  # the autosave alone knows of them
            if sentence and image in self._stage.images():
                whose = "" if image is self._stage.chosen() else f"'{image.name}': "
                told = f"{whose}{sentence} Kept as revision {revision.number} in {folder}.{self.place.told()}"
                self._notice.say(told, topic=KEPT)
            self._vouched = list(of) if sentence else self._vouched  # what nobody was told leaves the last word
            for track in dict.fromkeys(track for track, _ in of):
                self.changed(track)  # meanwhile, perhaps
            self._tell()

        self.work.do(add, kept)

    def changed(self, track: Track) -> None:
        """A mask is another one: what is being told of it may hold no longer."""
        if any(one is track and one.state(row) is SliceState.UNSEEN for one, row in self._vouched):
            self._vouched = []
            self._notice.take_back(KEPT)

    def touch(self, image: OpenImage) -> None:
        """Something changed in an image's masks: they are saved soon."""
        if image is not self.back.restoring:
            self._unsaved.add(image)
            if self._begun.get(image) != self.back.showing.get(image):  # what was kept is another state now
                self.back.showing.pop(image, None)

    def counts_otherwise(self, track: Track) -> None:
        """Other objects of it are left out: what was accepted of it follows a moment later."""
        self.touch(track.image)
        if (said := counts_otherwise(track)) is not None:
            self._notice.take_back(KEPT)
            self._unstored.setdefault(track.image, said)

    def counts_changed(self, track: Track) -> None:
        """It is another mask: an object that was left out may have been joined to one that was accepted, or parted from
        it. That follows, too, without a word; what only came back is as it was kept."""
        if track.excluded and track.image in self._unsaved and (said := counts_otherwise(track)) is not None:
            self._unstored.setdefault(track.image, replace(said, sentence=""))

    def on_screen(self) -> None:
        """Another slice, or the same one after a change: not every viewer tells of an undo."""
        image = self._stage.chosen()
        if image is None:
            return
        row = self._stage.row(image)
        if self._stage.shows(image):
            image.seen.add(row)
            self._looked[image] = row
            for track in self._tracks.shown():
                if row < track.count and (row in track.touched or track.can_be_accepted(row)):
                    track.seen.add(row)
        for track in self._tracks.chosen():
            before = self._visible.get(track.key)
            if before is not None and before[0] < track.count and before[1] != checksum(track.row(before[0])):
                self.touch(image)
            if row < track.count:
                self._visible[track.key] = (row, checksum(track.row(row)))

    def autosave(self) -> None:
        """Everything as it is, accepted or not."""
        self.on_screen()
        self._store_rest()
        if not self.work.busy:
            for again in self._owed.values():
                again()
            for image in [one for one in self._stage.images() if one in self._unsaved]:
                self.save(image)

    def leave(self) -> None:
        """The viewer is hidden, and perhaps it closes: nothing waits any longer."""
        for run in self._running.runs:
            self.touch(run.image)
        for image in self._stage.images():
            self._sizes.hurry(image)
        self.on_screen()
        self._store_rest()
        for image in [one for one in self._stage.images() if self._is_due(one)]:
            self.save(image, at_once=True)

    def mask_left(self, track: Track, *, removed: bool = False) -> None:
        """A mask left the viewer: an image that leaves in the same breath is saved with it.

        A viewer that closes, and a person who deletes all, takes them out one by one. `removed`: by a person; where the
        image stays, a person's work in it is set aside before the image is saved without.
        """
        self._leaving.append(track)
        if removed:
            self._removed.note(track)
        self._left.start()

    def _have_left(self) -> None:
        for image, gone in self._removed.take(self._stage.images()).items():
            if self._removed.are_worth_it(gone):
                others = self._tracks.of(image)
                if image in self._unsaved and (legible := [one for one in gone if is_legible(one)]):
                    self.save(image, tracks=[*others, *legible])  # the last strokes, as the viewer still knows them
                self._removed.have(image, gone if image in self._unsaved else [*gone, *others])
                self.begins_anew(image)
            self.touch(image)
        self._leaving.clear()

    def image_left(self, image: OpenImage) -> None:
        """An image left the viewer: its work is kept."""
        self._sizes.left(image)
        running = self._running.of(image)
        if running or image in self._unsaved | self._unstored.keys():
            left = [one for one in reversed(self._leaving) if one.image is image]
            written = [one for run in running for one in run.tracks]
            tracks = list(dict.fromkeys([*self._tracks.of(image), *left, *written]))
            self.save(image, tracks=tracks, at_once=True)
        self._parting.pop(image, None)
        self._looked.pop(image, None)
        self._removed.forget(image)
        self._vouched = [one for one in self._vouched if one[0].image is not image]

    def put_by(self, image: OpenImage) -> None:
        """It is about to leave the screen: its work is copied now, and gets onto the disk beside the viewer."""
        self._sizes.hurry(image)
        self._parting = {image: self.scene(image)}
        self._copy(image)

    def _copy(self, image: OpenImage) -> None:
        self.back.held.hold(image, self._tracks.of(image))
        if self._is_due(image):
            self.save(image, tracks=self._tracks.of(image))

    def _is_due(self, image: OpenImage) -> bool:
        """Whether it is to be saved before it goes: it, or no more than the slice that is looked at, is another one."""
        changed = self._running.of(image) or image in self._unsaved | self._unstored.keys()
        return bool(changed or (self._tracks.of(image) and self.scene(image) != self.back.scenes.get(image)))

    def scene(self, image: OpenImage, tracks: Sequence[Track] | None = None) -> Scene:
        """What it is worked on with at this moment; of one that is gone, slice and points as they were when it went, or
        was saved last: a viewer that closes shows another slice, and no points, before the last of it is out."""
        looks = looks_of(self._tracks.of(image) if tracks is None else tracks)
        now = Scene(tuple(image.typed), None, image.thresholds, self._model(), {}, *looks)
        known = self._parting.get(image) or self.back.scenes.get(image)
        if known is not None and image not in self._stage.images():
            return known.left_behind(now)
        before = self._looked.get(image, None if known is None else known.row)
        row = self._stage.row(image) if self._stage.shows(image) else before
        return replace(now, row=row, guides=self._stage.guides(image))

    def save(
        self,
        image: OpenImage,
        then: Callable[[], None] | None = None,
        tracks: Sequence[Track] | None = None,
        *,
        at_once: bool = False,
    ) -> None:
        """Everything of an image as it is, accepted or not; `then` once the very last stroke is on the disk.

        Where nobody waits, what changed meanwhile is saved in its turn: a run changes something all the time.
        `tracks`: its masks, where they may have left the viewer. `at_once`: also while work of an earlier day is still
        looked for, for the viewer may be gone before it is found; what was kept is set aside first, never lost.
        """
        if not at_once and self.back.holds(image, partial(self.save, image, then, tracks)):
            return
        tracks = self._tracks.of(image) if tracks is None else tracks
        if not tracks:
            if then is not None:
                then()
            return
        if image in self._unstored:
            self._store_nothing(image, tracks)
        folder, case = self.folder(image), image.case or ""
        self._unsaved.discard(image)
        scene = self.scene(image, tracks)
        first = folder not in (self._begun.get(image), self.back.showing.get(image))
        if first:
            self._begun[image] = folder
        self.back.scenes[image], self.back.showing[image] = scene, folder
        masks = Snapshot.of(image, tracks, scene)

        def write() -> str:
            try:
                dataset = Dataset.at(folder)
                answer = masks.answers(hidden=True)  # a larger least size of yesterday can be taken back
                dataset.save_draft(annotation_of(masks), case=case, answer=answer, aside=first)
            except BoltzFormerError as error:
                return str(error)
            return ""

        def written(error: str) -> None:
            if error:
                if image in self._stage.images():
                    self.touch(image)
                else:  # nobody can copy it again: what was copied is tried until it is on the disk
                    self._owed[image] = partial(self.work.do, write, written)
                self._notice.fail(error)
                return
            self._owed.pop(image, None)
            self._tell()
            if then is None:
                return
            self.on_screen()
            if image in self._unsaved and image in self._stage.images():
                self.save(image, then)  # painted meanwhile
            else:
                then()

        self.work.do(write, written)

    def look_for(self, image: OpenImage) -> None:
        """Offers what was kept of this image; from here on its work goes where such work went when it was opened."""
        image.store = image.store or self._settings.folder
        for one in self._stage.images():  # opened once more, it comes back as it is, not as it was saved last
            if one is not image and one.is_same_as(image) and self._is_due(one):
                self.save(one)
        before = [] if image.case else map(Path, self._settings.folders)  # elsewhere that name is another's
        self.back.look_for(image, (self.folder(image), autosaves(), *before))

    def folder(self, image: OpenImage | None = None) -> Path:
        """Where work is kept (of this image)."""
        return self.place.folder(image)

    def folders(self, image: OpenImage) -> tuple[Path, ...]:
        """Wherever work on it may lie; where it is kept now is the first."""
        return tuple(dict.fromkeys([self.folder(image), *self.back.folders(image), autosaves()]))

    @property
    def kept_in(self) -> str:
        """Where what is accepted of the image in hand is kept; '': the usual place, of which nobody was told yet."""
        image = self._stage.chosen()
        return ("" if image is None else image.store) or self._settings.folder

    def choose_folder(self) -> None:
        """For what is accepted from now on; an image of which something is accepted stays where that is."""
        free = [one for one in self._stage.images() if one not in self.back.based_on and not one.case]
        self.place.choose(free, self._stage.images())

    def begins_anew(self, image: OpenImage) -> None:
        """What is on screen is not what was saved last: that is set aside before it is saved again."""
        self._begun.pop(image, None)
        self.back.showing.pop(image, None)

    # ------------------------------------------------------------------------------------------------------------

    def _moved(self) -> None:
        for image in self._stage.images():
            if not image.case:  # elsewhere that name is another's
                self.back.look_there(image, self.folder(image))

    def _store_rest(self) -> None:
        for image in list(self._unstored):
            self._store_nothing(image)

    def _store_nothing(self, image: OpenImage, tracks: Sequence[Track] | None = None) -> None:
        said: Said | None = self._unstored[image]
        while said is not None and not said.stands():  # an undo took it back, not what was said before it
            self.empty.passed_over(image, said)
            said = said.earlier
        if said is None:
            del self._unstored[image]
        else:
            self._unstored[image] = said
            of = [] if said.empty or said.again else [(track, said.row) for track in said.tracks]
            self.store(said.sentence, image, tracks, of)

    def _tell(self) -> None:
        for heard in self.kept:
            heard()
