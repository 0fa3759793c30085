"""`Desk`: all that a viewer shares with every other, put together; what happens in one part is told to the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from boltzformer.client import Session
from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.bringing_back import about
from boltzformer.desk.keeping.case_list import CaseList
from boltzformer.desk.keeping.export import Exporting
from boltzformer.desk.keeping.keeper import Keeper
from boltzformer.desk.keeping.lesions import Lesion, lesions_of, to_measure
from boltzformer.desk.keeping.one_patient import OnePatient
from boltzformer.desk.keeping.places import Places
from boltzformer.desk.keeping.said import Accepts
from boltzformer.desk.masks.beginning import Lost, begin, mask_for, told
from boltzformer.desk.masks.by_hand import Voxel, delete, fill, picked
from boltzformer.desk.masks.one_label import OneLabel
from boltzformer.desk.masks.overview import Overview, sentence
from boltzformer.desk.masks.parting import Parting
from boltzformer.desk.masks.pointing import Pointing
from boltzformer.desk.masks.sizes import Sizes
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.masks.undone import tell_undone, unaccepted
from boltzformer.desk.models.choice import shown_name
from boltzformer.desk.models.knowledge import Knowledge
from boltzformer.desk.notice import CLICK, NO_PROMPT, STEP, Notice
from boltzformer.desk.ports import Dialogs, Mask, Rows, Speaker, Stage, Timers
from boltzformer.desk.runs.follow import Following
from boltzformer.desk.runs.run import Run
from boltzformer.desk.runs.running import How, Running
from boltzformer.desk.runs.sureness import Counting, ask_seeds
from boltzformer.desk.settings import Settings
from boltzformer.desk.teaching.case import CaseLearning
from boltzformer.desk.teaching.files import LearntFiles
from boltzformer.desk.trouble import Log, ask_and_report
from boltzformer.desk.under_way import UnderWay
from boltzformer.desk.words import ViewerWords
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError

MEASURING, PARTING = "lesions", "objects that touch"


class Desk:
    """It lives on the viewer's main thread. A viewer calls what its user does, and listens to what is another now."""

    def __init__(
        self,
        stage: Stage,
        timers: Timers,
        speaker: Speaker,
        dialogs: Dialogs,
        words: ViewerWords,
        settings: Settings,
        *,
        session: Callable[[], Session],
        how: How,
        maps: Callable[[], bool] = lambda: False,
        pointing: Callable[[OpenImage], Pointing] = lambda _: Pointing(),
    ) -> None:
        """`how`: what a question says beside its prompts. `maps`: whether exports hold probabilities, too.
        `pointing`: the points and the box that can be seen on an image; every run heeds them."""
        self.stage, self.timers, self.dialogs, self.words, self.settings = stage, timers, dialogs, words, settings
        self.session = session
        self.log, self.notice = Log(), Notice(speaker)
        self.work = Work(timers, "boltzformer-desk", self.notice.fail)
        self._knowledge, self.tracks = Knowledge(), Tracks(stage)
        self.overview = Overview(stage, self.tracks, timers)
        self.one_label = OneLabel(stage, self.tracks, settings)
        self.overview.apart = self.one_label.usual
        self.running = Running(
            *(stage, self.tracks, self.notice, timers, settings, words),
            session=session,
            knowledge=lambda: self.knowledge,
            how=how,
            pointing=pointing,
        )
        self.sizes = Sizes(stage, self.tracks, self.work, timers)
        self.following = Following(self.running, stage, self.tracks, self.notice, words, session)
        self.counting = Counting(self.tracks, self.work, timers)
        self.parting = Parting(self.work, self.notice, words, self._take_in_hand)
        kept = stage, self.tracks, self.notice, timers, dialogs, settings, words, self.running
        self.keeper = Keeper(*kept, lambda: shown_name(session().model), self.sizes)
        self.places = Places(stage, settings)
        parts = stage, self.tracks, self.notice, self.keeper.work, dialogs, words, maps
        self.exporting = Exporting(*parts, self.places)
        taught = stage, self.tracks, self.notice, timers, settings, self.running
        learnt = LearntFiles(self.keeper.work, self.keeper.folders)
        self.learning = CaseLearning(*taught, learnt, session=session, knowledge=lambda: self.knowledge)
        self.under_way = UnderWay(self.running, self.learning)
        self.patients = OnePatient(stage, self.tracks, self.notice, self.running, self.keeper)
        shared = self.running, self.keeper, self.patients
        self.cases = CaseList(stage, self.notice, self.work, dialogs, settings, *shared)
        self.changed: list[Callable[[], None]] = []
        """Results, their numbers, or what can be done now may be others."""
        self.masks_changed: list[Callable[[Track], None]] = []
        """This mask has other voxels or states than before, whoever changed it."""
        self._connect()

    @property
    def knowledge(self) -> Knowledge:
        """Of the model in use."""
        return self._knowledge

    @knowledge.setter
    def knowledge(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self.overview.expect(knowledge.gate)
        self.keeper.back.tell_again()
        self.learning.another_model()

    # --- what a user does ---------------------------------------------------------------------------------------

    def sure(self) -> None:
        """How sure is it? Four seeds, without changing a mask."""
        ask_seeds(self.running, self.stage, self.tracks, self.notice, self.session)

    def follow(self) -> None:
        """The selected mask through the neighbours of the slice on screen; one step of undo."""
        self.following.start()

    def revert(self) -> None:
        """Takes the last run on the chosen image back."""
        self.running.revert()
        self.overview.show_tracks()
        for track in self.tracks.chosen():
            self._is_another(track)
        self.counting.now()

    def fill_between(self) -> None:
        """In the selected mask, around the slice on screen; one step of undo."""
        track = self.tracks.active()
        if track is None:
            self.notice.say("There is no mask to fill: run a prompt, paint on two slices, then fill between them.")
            return
        try:
            said = fill(track, self.stage.row(track.image), self.words)
        except BoltzFormerError as error:
            self.notice.say(str(error))
            return
        self.notice.say(said, topic=STEP)
        self._take_in_hand(track)

    def delete_object(self, track: Track, voxel: Voxel, *, only: bool) -> None:
        """The object there, or all others; beside the viewer, for a large volume takes a second."""

        def found(answer: tuple[dict[int, Mask], int]) -> None:
            if track.surface.alive:
                gone, others = answer
                self.notice.say(delete(track, gone, others, self.words, only=only), topic=STEP)
                self._take_in_hand(track)

        mask = track.surface.copy() > 0
        self.work.do(partial(picked, mask, voxel, only), found)

    def leave_out(self, track: Track, *voxels: Sequence[int], out: bool) -> None:
        """The object there, of exports and of every number; or it counts again. `voxels`: of one object."""
        (track.excluded.leave if out else track.excluded.take_in)(voxels)
        self.keeper.counts_otherwise(track)
        self.counting.due(track)
        self.counting.now()

    def split_object(self, track: Track, voxel: Voxel) -> None:
        """The object of a picture there in two, through that pixel; one step of undo."""
        self.parting.split(track, voxel)

    def join_objects(self, track: Track, voxel: Voxel) -> None:
        """The two objects of a picture beside it become one, or the one there and another; one step of undo."""
        self.parting.join(track, voxel)

    def _take_in_hand(self, track: Track) -> None:
        """A person changed it: what undo takes back is that of the selected mask."""
        if track.image is self.stage.chosen():
            self.stage.activate(track.surface)
        self._change()

    def begin_from(self, image: OpenImage, rows: NDArray[np.bool_], name: str, text: str, lost: Lost = (0, 0)) -> bool:
        """A mask that somebody made already, (slices, rows, columns), as a person's own work, in place of what the
        prompt had; False where it is empty. `name`: where it comes from; `lost`: to keep labels apart."""
        if not rows.any():
            self.notice.say(f"The {self.words.layer} '{name}' is empty, so there is nothing to begin from.")
            return False
        track, new = mask_for(self.tracks, image, text, self.knowledge.gate)
        begin(track, rows, name, new=new)
        self._is_another(track)
        self.overview.show_tracks()
        self.notice.say(told(name, text, rows, lost, self.words, new=new), topic=STEP)
        self._take_in_hand(track)
        return True

    def take(self, row: int) -> None:
        """The answers that are offered for a slice on screen, in all masks that are shown; a step of undo each."""
        offered = self._offered(row)
        then = unaccepted(offered, row, self.notice, len(self.tracks.chosen()), partial(self._took, offered))
        for track in offered:
            self.sizes.take(track, row, then)

    def _took(self, tracks: Sequence[Track]) -> None:
        for track in tracks:
            self.keeper.empty.taken_over(track)
        self.running.retell()  # what stayed as it was is another one now
        self._change()

    def drop(self, row: int) -> None:
        """As if they had never been asked."""
        for track in self._offered(row):
            track.drop(row)
            self.sizes.later(track)
        self._change()

    def measure(self, then: Callable[[list[Lesion]], None]) -> None:
        """All objects of all masks of the chosen image."""
        image, tracks = self.stage.chosen(), self.tracks.chosen()
        if image is None or not tracks:
            self.work.drop(MEASURING)
            return then([])
        self.work.do(partial(lesions_of, *to_measure(image, tracks)), then, partial(then, []), topic=MEASURING)

    def report(self) -> None:
        """What went wrong last, as a file to pass on."""
        ask_and_report(self.dialogs, self.notice, self.log, self.settings)

    def row_of(self, track: Track) -> str:
        """What a list of masks says of one. What stands beside the prompts already is not said again."""
        asked, text = track.image.typed, track.prompt.text
        warned = text in asked and track.warning == self.knowledge.warning(text)
        return sentence(track, self.stage.row(track.image), self.counting.objects.get(track.key), warned=warned)

    @property
    def accepts(self) -> Accepts:
        """Which masks 'Accept' would take now."""
        image = self.stage.chosen()
        return Accepts() if image is None else Accepts.of(self.tracks.of(image), self.stage.row(image))

    # --- what a viewer tells ------------------------------------------------------------------------------------

    def scrolled(self) -> None:
        """Another slice is on screen."""
        if (image := self.stage.chosen()) is not None:
            self.running.focus(image, self.stage.row(image))
        self.keeper.on_screen()
        self.overview.look()

    def typed(self, texts: Sequence[str]) -> None:
        """These prompts stand in the box now."""
        if (image := self.stage.chosen()) is not None:
            image.stands_in_box(texts)
        if texts:
            self.notice.take_back(NO_PROMPT)

    def past_click(self) -> None:
        """A user does something else now: what a click met, or did not, is no news any more."""
        self.parting.forget()
        self.notice.take_back(CLICK)

    def chosen(self) -> None:
        """Another image than before is chosen, or the same one among other masks."""
        self.overview.look_again()
        self.running.switched()
        self.running.masks_left()
        self.keeper.empty.look()
        self.keeper.back.tell_again()
        self.cases.look()
        self.counting.now()
        self._change()

    def image_left(self, image: OpenImage) -> None:
        """An image is out of the viewer."""
        self.following.leave(image)
        for run in self.running.of(image):
            run.job.cancel()
        self.notice.withdraw(about(image))
        self.learning.left(image)
        self.keeper.image_left(image)

    def leave(self) -> None:
        """The viewer closes: threads end, what was accepted gets onto the disk."""
        self.log.leave()
        self.work.close(wait=False)
        self.keeper.work.close(wait=True)

    # ------------------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        running, keeper = self.running, self.keeper
        self.tracks.made.append(self._adopt)
        running.adapter_for = self.learning.adapter_for
        self.keeper.doubts.telling = self.learning.most_telling
        self.masks_changed.extend([self.learning.heard, keeper.counts_changed])
        self.learning.changed.append(self._change)
        self.overview.moved.append(self.learning.look)
        running.began.append(lambda run: self.overview.show_tracks())
        running.answered.append(self._answered)
        running.broke_off.append(lambda run, row, why: self.overview.slice_failed(run.image, row, why))
        running.ended.append(self._ended)
        running.moved.append(self._change)
        self.overview.changed.append(self._is_another)
        self.overview.reapplying.done.extend([self.sizes.now, self.running.retell])
        self.sizes.parting.append(self._tell_parting)
        self.sizes.changed.extend([self._is_sifted, self.running.retell])
        self.following.followed.append(lambda track: self._change())
        self.patients.leaving.append(self.following.leave)
        self.patients.wanted.append(lambda _: keeper.back.tell_again())
        self.counting.counted.extend([self._change, self.overview.reapplying.tell])
        keeper.kept.append(self._change)
        keeper.back.restored.append(self._restored)
        keeper.back.afresh.extend([lambda image: self._restored(image, ()), lambda _: self.running.masks_left()])
        chosen = self.overview.reapplying.chosen
        chosen.extend([self._kept_thresholds, lambda _: self.past_click(), lambda _: self.notice.take_back(STEP)])
        self.overview.turned.append(self.past_click)

    def _adopt(self, track: Track) -> None:
        track.changed = partial(self._by_hand, track)
        track.surface.listen(partial(self._on_step, track))

    def _on_step(self, track: Track, rows: Rows, undone: bool) -> None:
        if undone:
            self.keeper.empty.undone(track, track.sums.before)
            tell_undone(track, self.notice, self.stage.row(track.image))
            self.running.retell()

    def _by_hand(self, track: Track) -> None:
        """A person painted, or said something of a slice."""
        self.past_click()
        self.keeper.empty.edited(track)
        self.keeper.changed(track)
        self.keeper.on_screen()
        self.overview.painted(track)
        self._is_another(track)

    def _is_another(self, track: Track) -> None:
        """It is to be saved, and its objects counted once it rests."""
        self.keeper.touch(track.image)
        self.counting.later(track)
        self.sizes.later(track)
        for heard in self.masks_changed:
            heard(track)

    def _is_sifted(self, track: Track) -> None:
        """Other objects of it are shown, for their size."""
        self.keeper.touch(track.image)
        self.counting.later(track)
        self.overview.resized(track)
        for heard in self.masks_changed:
            heard(track)

    def _tell_parting(self, begun: bool) -> None:
        if begun:
            self.notice.add("Parting what touches…", topic=PARTING)
        else:
            self.notice.take_back(PARTING)

    def _answered(self, run: Run, row: int) -> None:
        self.keeper.touch(run.image)  # what is found is saved, also before the end
        self.overview.slice_finished(run.image, row)
        for track in run.tracks:
            self.sizes.meanwhile(track)
            self.counting.answered(track)
        if run.image is self.stage.chosen() and row == self.stage.row(run.image):
            self.keeper.on_screen()

    def _ended(self, run: Run) -> None:
        self.keeper.touch(run.image)
        for track in run.tracks:
            self.counting.due(track)
            for heard in self.masks_changed:
                heard(track)
        self.sizes.now()
        self.counting.now()

    def _restored(self, image: OpenImage, prompts: Sequence[str]) -> None:
        self.learning.recall(image)
        self.overview.show_tracks()
        for track in self.tracks.of(image):
            self.counting.later(track)
            for heard in self.masks_changed:
                heard(track)
        self.counting.now()
        self._change()

    def _kept_thresholds(self, _: object) -> None:
        image = self.stage.chosen()
        if image is not None:
            self.keeper.touch(image)
        self.one_label.remember(self.overview.reapplying)

    def _offered(self, row: int) -> list[Track]:
        return [track for track in self.tracks.shown() if row in track.proposals]

    def _change(self) -> None:
        for heard in self.changed:
            heard()
