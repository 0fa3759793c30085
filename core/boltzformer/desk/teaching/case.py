"""`CaseLearning`: what a person corrected in a few slices of the mask in hand teaches the rest of it. All of it can be
taken back, and no slice of theirs ever changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from numpy.typing import NDArray

from boltzformer.client import Session
from boltzformer.client.job import CaseJob
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.masks.whose import unpacked
from boltzformer.desk.models.knowledge import Knowledge
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Mask, Stage, Timers
from boltzformer.desk.runs.running import Running
from boltzformer.desk.settings import Settings
from boltzformer.desk.teaching.enough import begins, enough, of_another
from boltzformer.desk.teaching.far import Far
from boltzformer.desk.teaching.files import LearntFiles
from boltzformer.desk.teaching.known import OFFERED_FROM, Known
from boltzformer.desk.words import counted
from boltzformer.desk.work import POLL_MS
from boltzformer.errors import BoltzFormerError
from boltzformer.masks.lessons import Adapted, Adapter, Learning, without_specks
from boltzformer.masks.pictures import overlay
from boltzformer.masks.telling import in_doubt, most_telling
from boltzformer.types import Cancelled, Failed, Lesson

PAINTED, TICKED = 2.0, 1.0
"""How much a slice counts that a person painted, and one that they only said is right."""
REST_MS = 300
ALONE = "A single picture has no other slices that could learn from it: fine-tune instead."
FAR, ENDED = "how far learning is", "how learning went"
"""Topics of sentences."""


class CaseLearning:
    """One learning at a time, of one mask; the newest lessons win."""

    def __init__(
        self,
        stage: Stage,
        tracks: Tracks,
        notice: Notice,
        timers: Timers,
        settings: Settings,
        running: Running,
        files: LearntFiles,
        *,
        session: Callable[[], Session],
        knowledge: Callable[[], Knowledge],
    ) -> None:
        """`knowledge`: of the model in use."""
        self.changed: list[Callable[[], None]] = []
        """What is learnt, or can be, is something else."""
        self.advanced: list[Callable[[], None]] = []
        """A step further, or it has ended."""
        self._stage, self._tracks, self._notice = stage, tracks, notice
        self._settings, self._running, self._session, self._model = settings, running, session, knowledge
        self._known: WeakKeyDictionary[Track, Known] = WeakKeyDictionary()
        self._job: CaseJob | None = None
        self._of: Track | None = None
        self._how: Mapping[str, Any] = {}
        self._taught = 0
        """Slices that it learns from just now."""
        self._far: Far | None = None
        self._carried: dict[str, tuple[str, Adapter]] = {}
        """By prompt: the model's name, and what the images before this one taught."""
        self._others: WeakSet[Track] = WeakSet()
        """Masks that changed since a moment ago."""
        self._told_of = ""
        """Key of the mask that was in hand when something was told last."""
        self._files, self._timers = files, timers
        self._timer = timers.every(POLL_MS, self._on_tick)
        self._rested = timers.after(REST_MS, self._on_rest)

    # --- what a person taught -----------------------------------------------------------------------------------

    def lessons(self, track: Track) -> tuple[Lesson, ...]:
        """The slices that are a person's, the newest last; one that holds nothing says that nothing is there."""
        image, known = track.image, self._note(track)
        view = image.plan
        weights = {row: PAINTED if track.edited(row) else TICKED for row in known.order}
        every = [Lesson(view.canonical_index(row), track.mask(row).copy(), one) for row, one in weights.items()]
        return without_specks(every)

    def learnt(self, track: Track | None) -> Adapter | None:
        """What the rest of its slices are asked with now."""
        known = None if track is None else self._known.get(track)
        if known is None or known.learnt is None:
            return None
        return self._of_this_model(known.model, known.learnt.adapter)

    def can_forget(self, track: Track | None) -> bool:
        """Also what belongs to another model than the one in use."""
        return track is not None and track in self._known and self._known[track].learnt is not None

    def adapter_for(self, image: OpenImage, text: str, model: str) -> Adapter | None:
        """What a question about this prompt is asked with, if anything was learnt for it from this model."""
        for track in self._tracks.of(image):
            if track.prompt.text == text:
                known = self._known.get(track)
                if known is not None and known.learnt is not None and known.model == model:
                    return self._of_this_model(model, known.learnt.adapter)
        name, carried = self._carried.get(text, ("", None))
        return self._of_this_model(name, carried) if self._settings.carry and name == model else None

    def another_model(self) -> None:
        """It is known which model looks from now on: where its name stood for another one, that is said once."""
        lost = [track for track in self._tracks.chosen() if self._is_of_another(track)]
        for track in [one for one in lost if self._known[one].model == self._session().model]:
            self._notice.add(f"What '{track.name}' was taught belongs to the model before: learn again.", topic=ENDED)
        if lost:
            self._tell()

    @property
    def offered(self) -> bool:
        """Whether there is more to learn from in the mask in hand than was learnt."""
        track = self._tracks.active()
        if track is None or self._job is not None or track.count == 1:
            return False
        known = self._note(track)
        return len(known.order) >= OFFERED_FROM if self._is_of_another(track) else known.has_more

    @property
    def standing(self) -> str:
        """What can be learnt of the mask in hand, and what was."""
        if self._of is not None:
            return f"Learning from {counted(self._taught)} of '{self._of.name}'; press again to stop."
        track = self._tracks.active()
        if track is None:
            return "Run a prompt, correct two or three slices, and the rest learns from them."
        known, name = self.learnt(track), track.name
        if self._is_of_another(track):
            return of_another(name, self._known[track].model, self._session().model)
        if known is not None:
            more = " There is more to learn from now." if self.offered else ""
            return f"'{name}' answers as {counted(len(known.lessons))} taught it.{more}"
        if track.count == 1:
            return ALONE
        if (have := len(self._note(track).order)) >= OFFERED_FROM:
            return enough(name, self._known[track].order.values())
        carried = self._of_this_model(*self._carried.get(track.prompt.text, ("", None)))
        return begins(name, have, carried if self._settings.carry else None)

    def look(self) -> None:
        """Another mask may be in hand: what is said is about that one."""
        track = self._tracks.active()
        if self._told_of != (told_of := "" if track is None else track.key):
            self._told_of = told_of
            self._tell()

    @property
    def busy(self) -> bool:
        return self._job is not None

    @property
    def progress(self) -> tuple[int, int] | None:
        """Hundredths that are done, of 100; None before it has begun."""
        return None if self._far is None else (self._far.hundredths, 100)

    # --- learning -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Learns from the mask in hand, going on from what was learnt before."""
        image, track = self._stage.chosen(), self._tracks.active()
        if image is None or track is None:
            self._notice.say(
                "There is nothing to learn from: run a prompt, then correct or accept two or three slices."
            )
            return
        if track.count == 1:
            self._notice.say(ALONE)
            return
        lessons = self.lessons(track)
        if not any(one.mask.any() for one in lessons):
            self._notice.say(f"Nothing shows yet how '{track.name}' looks: paint or accept it in two or three slices.")
            return
        known, how = self._note(track), self._running.how(image)
        asked: dict[str, Any] = {name: how[name] for name in ("model", "seed", "window")}
        asked |= {"seconds": self._settings.learning_seconds}
        asked |= {"start": self.adapter_for(image, track.prompt.text, how["model"])}
        try:
            self.stop()
            self._job = self._session().adapt(image.volume, track.prompt, lessons, **asked)
        except BoltzFormerError as error:
            self._notice.fail(str(error))
            return
        self._of, self._how, self._far, known.taught = track, how, None, dict(known.order)
        self._taught = len(lessons)
        self._notice.say(f"Learning from {counted(self._taught)} of '{track.name}'…", topic=FAR)
        self._timer.start()
        self._advance()  # what the bar tells is of an earlier run
        self._tell()

    def stop(self) -> None:
        """What was learnt before stays."""
        if self._job is not None:
            self._job.cancel()
            if self._of is not None and self._of in self._known:
                self._known[self._of].taught = {}
                self._known[self._of].settle()
            self._end("Stopped learning; nothing was changed.")

    def forget(self) -> None:
        """The mask in hand is the model's own again wherever it is nobody's. It learns no more by itself from what has
        been said until now."""
        track = self._tracks.active()
        if self._of is track:
            self.stop()
        known = None if track is None else self._known.get(track)
        if track is None or known is None or known.learnt is None:
            return
        known.learnt, known.taught, known.earlier, image = None, {}, False, track.image
        known.note(track).settle()
        self._files.forget(image, track.prompt.text)
        self._carried.pop(track.prompt.text, None)
        back = [row for row in track.scores if not track.belongs_to_a_person(row)]
        known.before = {}
        why = f"Forgot what '{track.name}' had taught; the model's own answers are back."
        self._notice.say(why, topic=ENDED)
        self._ask_anew(track, None, back, why)
        self._tell()

    def recall(self, image: OpenImage) -> None:
        """Work of another day is back: what was learnt from it comes with it, and nothing of it is news."""
        for track in self._tracks.of(image):
            self._note(track).settle()

        def there(found: Mapping[str, tuple[str, Adapter]]) -> None:
            for track in self._tracks.of(image):
                model, adapter = found.get(track.prompt.text, ("", None))
                known = self._known.setdefault(track, Known())
                if adapter is not None and known.learnt is None:
                    known.bring_back(image.plan, model, adapter)
            self._tell()

        self._files.recall(image, there)

    def left(self, image: OpenImage) -> None:
        """An image is gone; what it taught may go on to the next one. It comes back with all that was learnt of it."""
        for track in [one for one in self._known if one.image is image]:
            known = self._known[track]
            if known.learnt is not None:
                self._carried[track.prompt.text] = (known.model, known.learnt.adapter.carried())
            if self._job is not None and self._of is track:
                self._job.cancel()
                known.taught = {}

    # --- before and now -----------------------------------------------------------------------------------------

    def before(self, track: Track, row: int) -> Mask | None:
        """What the model alone had marked there; None where it was not asked, or where a slice is a person's."""
        known = self._known.get(track)
        if known is None or self.learnt(track) is None or row not in known.before or track.belongs_to_a_person(row):
            return None
        return unpacked(known.before[row], track.shape[1:]) > 0

    def no_before(self, track: Track | None, row: int) -> str:
        """Why there is nothing to show."""
        known = None if track is None else self._known.get(track)
        if track is None or known is None or self.learnt(track) is None or track.belongs_to_a_person(row):
            return "There is no before here: the slice is yours, or nothing was learnt."
        if known.earlier:
            return "What was there before is not known of an earlier day: 'Forget' brings the model's own answers back."
        return "There is no before here: the model had not been asked in this slice."

    def before_picture(self, track: Track, row: int) -> NDArray[np.uint8] | None:
        """(rows, columns, 4): the same in the mask's colour, to lay over the image."""
        mask = self.before(track, row)
        return None if mask is None else overlay(mask, track.colour)

    def most_telling(self, track: Track) -> int | None:
        """The row where a correction would teach most, once something was learnt: `masks.telling.most_telling`."""
        if self.learnt(track) is None:
            return None
        plan, rows = track.image.plan, [row for row in track.kept.rows if not track.belongs_to_a_person(row)]
        doubts = {plan.canonical_index(row): in_doubt(track.kept.logits(row)) for row in rows}
        order = most_telling(doubts, lambda one: track.mask(plan.canonical_index(one)), self.lessons(track), plan)
        return plan.canonical_index(order[0]) if order else None

    # ------------------------------------------------------------------------------------------------------------

    def heard(self, track: Track) -> None:
        """A mask is another one. Whose its slices are is asked once it rests: with many, that takes a while."""
        self._others.add(track)
        self._rested.start()

    def _on_rest(self) -> None:
        if self._timers.under_stroke():
            self._rested.start()
            return
        for other in list(self._others):
            self._note(other)
        self._others.clear()
        if self._settings.learn_as_i_go and not self._running.runs and self.offered:
            track = self._tracks.active()
            if track is not None and self._known[track].has_news:
                self.start()
        self._tell()

    def _note(self, track: Track) -> Known:
        return self._known.setdefault(track, Known()).note(track)

    def _of_this_model(self, named: str, adapter: Adapter | None) -> Adapter | None:
        """`named`: by which name its parent was asked; that may stand for another file by now."""
        model, about = self._session().model, self._model()
        if adapter is None or named != model or (about.name == model and about.sha256 not in ("", adapter.parent)):
            return None
        return adapter

    def _is_of_another(self, track: Track) -> bool:
        """Whether something was learnt, but not by the model in use."""
        return self.can_forget(track) and self.learnt(track) is None

    def _on_tick(self) -> None:
        job, track = self._job, self._of
        if job is None or track is None:
            self._timer.stop()
            return
        if track.image not in self._stage.images():  # told only now, behind what was said of the image that came
            self._notice.take_back(FAR)
            name = f"Learning on '{track.image.name}'"
            self._end(f"{name} was stopped, and nothing there was changed; it can be started again there.", behind=True)
            return
        for event in job.poll():
            match event:
                case Learning():
                    self._far = self._far or Far(event.seconds_left)
                    self._far.hear(event)
                    if event.step:
                        self._notice.say(f"Learning from '{track.name}'{self._far.left}.", topic=FAR)
                    self._advance()
                case Adapted():
                    self._take(track, event)
                case Cancelled():
                    self._end("Stopped learning; nothing was changed.")
                case Failed(error):
                    self._end("")
                    self._notice.fail(error)
        self._tell()

    def _take(self, track: Track, made: Adapted) -> None:
        self._end(made.sentence)
        if not track.surface.alive:
            return
        known = self._known.setdefault(track, Known())
        if self._is_of_another(track):
            known.learnt, known.earlier = None, False
        if not made.better and known.learnt is None:
            return  # the model's own answers stay, and it was said
        if known.learnt is None:
            mine = (row for row in track.scores if not track.belongs_to_a_person(row))
            known.before = {row: np.packbits(track.mask(row)) for row in mine}
        kept = made if made.better else Adapted(made.adapter.as_parent(), made.seconds)
        known.learnt, known.model, image = kept, self._how["model"], track.image
        self._files.keep(image, known.model, kept.adapter)
        lessons = {one.index for one in made.adapter.lessons}
        rows = [row for row in range(track.count) if track.image.plan.canonical_index(row) not in lessons]
        self._ask_anew(track, kept.adapter, [row for row in rows if not track.belongs_to_a_person(row)], made.sentence)

    def _ask_anew(self, track: Track, adapter: Adapter | None, rows: Sequence[int], why: str) -> None:
        """The slices that are nobody's, from the one on screen outwards."""
        if not rows:
            return
        image, here = track.image, self._stage.row(track.image)
        nearest = sorted(rows, key=lambda row: (abs(row - here), row))
        slices = [image.plan.canonical_index(row) for row in nearest]
        how = {**self._running.led(image, [track.prompt.text]), **({} if adapter is None else {"adapter": adapter})}
        try:
            job = self._session().segment(image.volume, [track.prompt], start=slices[0], slices=slices, **how)
        except BoltzFormerError as error:
            self._notice.fail(str(error))
            return
        run = self._running.new(image, [track.prompt], job, how, warnings={}, whole=True)
        run.because = why
        self._running.follow(run)

    def _end(self, sentence: str, *, behind: bool = False) -> None:
        self._job = self._of = self._far = None
        self._timer.stop()
        (self._notice.add if behind else self._notice.say)(sentence, topic=ENDED)
        self._advance()
        self._tell()

    def _advance(self) -> None:
        for heard in self.advanced:
            heard()

    def _tell(self) -> None:
        for heard in self.changed:
            heard()
