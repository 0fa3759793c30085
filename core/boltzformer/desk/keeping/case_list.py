"""`CaseList`: the images of a folder and how far each is; one is opened after the other, and what is open is saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary

from boltzformer.desk.discreet import trace_of
from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.cases import Listed, Standing, cases_in, in_turn, is_dataset, standing, tried
from boltzformer.desk.keeping.frames import chosen_of, which_of
from boltzformer.desk.keeping.keeper import Keeper
from boltzformer.desk.keeping.kept_in import autosaves
from boltzformer.desk.keeping.one_patient import OnePatient
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Dialogs, Stage
from boltzformer.desk.runs.running import Running
from boltzformer.desk.settings import Settings
from boltzformer.desk.words import counted
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError, SeveralFrames
from boltzformer.types import Volume

OPENED, OPENING = "the case that is open", "opening a case"
"""Topics of a sentence, and of what is done beside the viewer."""
WAITING = "a case that opens when a run has ended"
"""Topic of an offer."""


class CaseList:
    """Reads beside the viewer, one image at a time; what is open is saved before another takes its place."""

    def __init__(
        self,
        stage: Stage,
        notice: Notice,
        work: Work,
        dialogs: Dialogs,
        settings: Settings,
        running: Running,
        keeper: Keeper,
        patients: OnePatient,
    ) -> None:
        self.cases: list[Listed] = []
        self.standings: dict[Listed, Standing] = {}
        self.current: Listed | None = None
        self.where = "Choose a folder of images, or of an annotation dataset."
        self.listed: list[Callable[[], None]] = []
        """There are other cases, or another one is open."""
        self.told: list[Callable[[Listed], None]] = []
        """How far a case is."""
        self._stage, self._notice, self._work, self._settings = stage, notice, work, settings
        self._dialogs = dialogs
        self._running, self._keeper, self._patients = running, keeper, patients
        self._image: OpenImage | None = None
        self._before: Listed | None = None
        """The case that was open before the current one."""
        self._came: WeakKeyDictionary[OpenImage, Listed | None] = WeakKeyDictionary()
        """Images that were on screen, with the case that each is, if any."""
        self._wants_next = False
        self._stale: set[Listed] = set()
        self._looking: Listed | None = None
        self._waits: Callable[[], None] | None = None
        """Opens what was read, once the answer that was asked for last is there."""
        self._on_screen: Listed | None = None
        keeper.kept.append(self.look_again)
        patients.arrived.append(self._arrived)
        running.moved.append(self._go_on)

    @property
    def on_screen(self) -> Listed | None:
        """The case that is looked at; None where that is an image of another place, or there is none."""
        image = self._stage.chosen()
        return None if image is None else self._came.get(image)

    # --- the list ------------------------------------------------------------------------------------------------

    def resume(self) -> bool:
        """The folder of last time, where none is listed yet and it is still there."""
        folder = Path(self._settings.listed_in)
        if self.cases or not self._settings.listed_in or not folder.is_dir():
            return False
        self._list(folder, self._show)
        return True

    def show_folder(self, folder: Path) -> None:
        """Returns at once; the list comes, then how far each case is."""
        self._list(folder, self._chosen)

    def _list(self, folder: Path, then: Callable[[Path, list[Listed]], None]) -> None:
        self.where, self._wants_next = f"Looking in {folder}…", False
        self._tell()
        self._work.do(partial(cases_in, folder), partial(then, folder), topic="cases of a folder")

    def look(self) -> None:
        """Another image may be chosen, or none."""
        if self._on_screen != self.on_screen:
            self._tell()

    def look_again(self) -> None:
        """Something was saved: the open case may stand otherwise."""
        if self.current is not None:
            self._stale.add(self.current)
            if self._looking is None:  # else it has its turn: a look that is begun again and again never ends
                self._look()

    def _chosen(self, folder: Path, cases: list[Listed]) -> None:
        if is_dataset(folder):  # work on its cases is kept there
            self._keeper.place.use(folder, self._stage.images())
        if cases:
            self._settings.listed_in = str(folder)
        self._settings.save()
        self._show(folder, cases)

    def _show(self, folder: Path, cases: list[Listed]) -> None:
        self.cases, self.standings, self._stale = cases, {}, set(cases)
        self._wants_next, self._looking = self._wants_next and bool(cases), None
        self.where = f"{folder}: {counted(len(cases), 'case')}"
        image = self._stage.chosen()
        if image is not None and (one := which(cases, image)) is not None:  # it goes on from there
            self.current, self._image, self._came[image] = one, image, one
        self._tell()
        self._look()

    def _look(self) -> None:
        """At one case after the other, those first that would be next."""
        due = [one for one in in_turn(self.cases, self.current) if one in self._stale]
        if due:
            one = due[0]
            elsewhere = [] if one.case else map(Path, self._settings.folders)  # there that name is another's
            stores = one.path if one.case else self._keeper.folder(), autosaves(), *elsewhere
            self._looking = one
            self._stale.discard(one)  # what is saved from now on, it may not see
            work = partial(standing, one, stores, self.standings.get(one), chosen_of(self._settings, one.path))
            self._work.do(work, partial(self._stands, one), topic="standing of a case")
        elif self._wants_next:
            self._try_next()

    def _stands(self, one: Listed, told: Standing) -> None:
        self._looking = None
        before = self.standings.get(one)
        self._show_standing(one, before if before is not None and before.error and told == Standing() else told)
        if self._wants_next:
            self._try_next()
        self._look()

    def _show_standing(self, one: Listed, told: Standing) -> None:
        self.standings[one] = told
        for heard in self.told:
            heard(one)

    # --- opening -------------------------------------------------------------------------------------------------

    def open_next(self) -> None:
        """The next unfinished one, as soon as it is known which that is."""
        if not self.cases and not self.resume():
            self._notice.say("There is no list of cases yet: choose a folder of images first.")
            return
        self._wants_next = True
        self._notice.say("Looking for the next case…")
        if self._running.runs:
            self._offer_to_stay("The next case opens as soon as it is known which that is.")
        if self.cases:
            self._try_next()

    def _try_next(self) -> None:
        broken = ", ".join(one.name for one in self.cases if one in self.standings and self.standings[one].error)
        for one in in_turn(self.cases, self.current):
            if one in self._stale or one == self._looking:
                return  # it is being looked at
            if not self.standings[one].finished:
                self._wants_next = False
                self._call_off()
                if one == self.current:
                    rest = f" Can't be read: {broken}." if broken else ""
                    self._notice.say(f"This is the only case that is left.{rest}")
                else:
                    self.open(one, onwards=True)
                return
        self._wants_next = False
        self._call_off()
        rest = f" that can be read is accepted. Can't be read: {broken}." if broken else " is accepted."
        pictures = {told.slices == 1 for told in self.standings.values() if not told.error} == {True}
        self._notice.say(f"{'Every case' if pictures else 'Every slice of every case'}{rest}")

    def open(self, one: Listed, *, onwards: bool = False) -> None:
        """Reads it, saves the case that is open, and only then puts one in the place of the other.

        A run through many slices ends with it, as when the viewer opens a file; a question about one slice, whose
        answer comes in a moment, is waited for. `onwards`: where it can't be read, the next one. Of a file of several
        time points or channels it is asked which one, also where one of them is open.
        """
        self._wants_next = False
        self._call_off()
        there = next((image for image in self._stage.images() if self._came.get(image) == one), None)
        if there is not None and (onwards or not chosen_of(self._settings, one.path)):
            self._go_to(one, there)
            return
        self._notice.say(f"Reading {one.name}…")
        if self._running.soon_over:
            now = "Open it now", self._running.stop
            self._offer_to_stay(f"{one.name} opens as soon as the answer is there.", now)
        elif self._running.runs:
            self._offer_to_stay(f"{one.name} opens as soon as it is read.")
        self._work.do(partial(tried, one), partial(self._read, one, onwards), topic=OPENING)

    def _go_to(self, one: Listed, there: OpenImage) -> None:
        """It is on screen, perhaps beside another."""
        self._patients.go_to(there)
        self._is_open(one, there)

    def _offer_to_stay(self, sentence: str, *answers: tuple[str, Callable[[], None]]) -> None:
        """In a line of its own: the run says how far it is with every slice."""
        self._notice.offer(WAITING, sentence, *answers, ("Stay here", self._stay), aside=self._stay)

    def _stay(self) -> None:
        """What was to be opened is not."""
        self._call_off()
        self._wants_next = False
        self._tell()

    def _call_off(self) -> None:
        self._waits = None
        self._work.drop(OPENING)
        self._notice.withdraw(WAITING)

    def _go_on(self) -> None:
        if self._waits is not None and not self._running.runs:
            self._waits()

    def _read(self, one: Listed, onwards: bool, volume: Volume | Exception, *, stopped: bool = False) -> None:
        if self._running.runs and not isinstance(volume, Exception):
            if not self._running.soon_over:
                self._running.stop()
                stopped = True
            self._waits = partial(self._read, one, onwards, volume, stopped=stopped)
            return
        self._call_off()
        if isinstance(volume, SeveralFrames):
            self._ask_which(one, volume.frames)
            return
        if isinstance(volume, Exception):
            told = Standing(error=str(volume) or type(volume).__name__)
            self._stale.discard(one)
            self._show_standing(one, told)
            self._tell()
            if onwards:
                self.open_next()
            else:
                self._notice.fail(told.error, trace_of(volume))
            return
        its = [image for image in self._stage.images() if self._came.get(image) == one]
        if same := [image for image in its if image.volume.name == volume.name]:  # the time point that is open already
            self._go_to(one, same[0])
            return
        before = self._image if self._image in self._stage.images() else None
        if before is None:
            self._swap(one, volume, stopped)
        else:
            self._keeper.save(before, partial(self._swap, one, volume, stopped))

    def _ask_which(self, one: Listed, frames: int) -> None:
        """Of several time points or channels; who wants none stays at the case that is open."""
        self._notice.say("")
        frame = which_of(self._dialogs, self._settings, one.path, frames)
        if frame is None:
            self._tell()
            return
        self._notice.say(f"Reading {one.name}…")
        self._work.do(partial(tried, one, frame), partial(self._read, one, False), topic=OPENING)

    def _swap(self, one: Listed, volume: Volume, stopped: bool) -> None:
        before = self.current
        image = self._patients.open(volume, case=one.case, store=str(one.path) if one.case else "")
        self._before = before
        self._is_open(one, image, " The run was stopped; what it had finished is kept." if stopped else "")

    def _is_open(self, one: Listed, image: OpenImage, rest: str = "", *, told: bool = True) -> None:
        self.current, self._image, self._came[image] = one, image, one
        self._tell()
        if told:
            self._notice.say(f"{one.name} is open.{rest}", topic=OPENED)
        self.look_again()

    def _arrived(self, image: OpenImage) -> None:
        """One that had been put away is on screen again, or was opened by another way than the list: the case of the
        list is that one."""
        again = image in self._came
        one = self._came[image] = self._came.get(image) or which(self.cases, image)
        left = self.current
        if one == left or not (again or one):
            return
        if left is not None:
            self._stale.add(left)  # its work was kept when it went
        if one is not None:
            self._before = None if again else left
            self._is_open(one, image, told=again)
        elif self._image not in self._stage.images():
            self.current, self._before = self._before, None
            self._notice.take_back(OPENED)
            self._tell()
            self._look()

    def _tell(self) -> None:
        self._on_screen = self.on_screen
        for heard in self.listed:
            heard()


def which(cases: Sequence[Listed], image: OpenImage) -> Listed | None:
    """The case that an image is, however it was opened; None where none is, or nobody can tell which one of a folder of
    several series."""
    try:
        source = Path(image.volume.source).absolute() if image.volume.source else None
    except BoltzFormerError:  # running says why
        return None
    found = [one for one in cases if not one.case and lies_at(one, source)] if source is not None else []
    return found[0] if len(found) == 1 else None


def lies_at(one: Listed, source: Path) -> bool:
    """Whether it is this file, or the series that this file is one of."""
    return one.path.absolute() == (source.parent if one.series else source)
