"""Which model looks: loaded beside the viewer, then used from the next run on, and remembered; one from the hub on its
terms."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from boltzformer.client.session import Session
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Timers
from boltzformer.desk.settings import Settings
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError
from boltzformer.protocol import HubOffer, HubState, ModelState


class ModelChoice:
    """By the name that the engine knows it by."""

    def __init__(self, session: Callable[[], Session], work: Work, notice: Notice, settings: Settings) -> None:
        self._session, self._work, self._notice, self._settings = session, work, notice, settings
        self.loaded: list[Callable[[], None]] = []
        """Another model looks from now on."""

    def load(self, name: str, *, again: bool = False) -> None:
        """From the next run on. `again`: the name may stand for another model than before."""
        session = self._session()
        if again or name != session.model:
            self._notice.say("Loading the model…")
            self._work.do(partial(session.load_model, name), partial(self._loaded, session, name))

    def import_file(self, path: Path) -> None:
        """A copy of it gets a name, and is loaded."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", shown_name(str(path))).strip("-._") if path.name == MODEL else ""
        self._work.do(partial(self._session().import_model, path, name), lambda state: self.load(state.name))

    def _loaded(self, session: Session, name: str, state: ModelState) -> None:
        session.model = self._settings.model = name
        self._settings.save()
        self._notice.say(f"The model is loaded: {state.trained_on or 'it does not say what it was taught'}.")
        for heard in self.loaded:
            heard()


MODEL = "model.safetensors"
"""What every run calls what it has learnt."""


def shown_name(name: str) -> str:
    """A file by its stem; that of a run, of which each is called alike, by the folder of the run."""
    path = Path(name)
    if not name.endswith(".safetensors"):
        return name
    return path.parent.name or path.stem if path.name == MODEL else path.stem


def meant(shown: str, known: Sequence[str]) -> str:
    """Which of those is shown so, or was when files of runs were still called by their stems; else the name itself."""
    alike = [one for one in known if shown_name(one) == shown] or [one for one in known if Path(one).stem == shown]
    return alike[0] if alike else shown


TOPIC = "a model's terms"
POLL_MS = 200


class FromHub:
    """Nothing is downloaded before its terms were shown and agreed to; one download at a time."""

    def __init__(
        self,
        session: Callable[[], Session],
        work: Work,
        notice: Notice,
        timers: Timers,
        load: Callable[[str], None],
    ) -> None:
        """`load` chooses the model that is here by then, by its name."""
        self._session, self._work, self._notice, self._load = session, work, notice, load
        self.changed: list[Callable[[], None]] = []
        """What can be shown or pressed is something else now."""
        self.offer: HubOffer | None = None
        """Whose terms are shown."""
        self.downloading = self.stoppable = False
        self.now: HubState | None = None
        """How far the download is, once that is known."""
        self._stopped = threading.Event()
        self._heard: deque[HubState] = deque(maxlen=1)
        self._timer = timers.every(POLL_MS, self._look)

    def forget(self) -> None:
        """Terms of another place are none of this one."""
        self.offer = None
        self._work.drop(TOPIC)
        self._tell()

    def ask(self, what: str) -> None:
        """On whose terms 'owner/repository[:file]' comes."""
        self.forget()
        session = self._session()
        self._notice.say(f"Asking the hub about {what}…")
        self._work.do(lambda: session.offer_model(what), self._offered, topic=TOPIC)

    def get(self) -> None:
        """The user agreed to the terms that are shown."""
        if self.offer is None or self.downloading:
            return
        what, session = self.offer.what, self._session()
        stopped = self._stopped = threading.Event()
        heard: deque[HubState] = deque(maxlen=1)
        self._heard = heard
        self.downloading, self.stoppable, self.now = True, True, None
        self._notice.say(f"Downloading {what}…")
        self._timer.start()
        self._tell()
        self._work.do(lambda: followed(session, what, stopped, heard), self._ended, self._free)

    def stop(self) -> None:
        """At its next block; what has come so far is kept for another time."""
        self._stopped.set()
        self.stoppable = False
        if self.offer is not None:
            self._notice.say(f"Stopping the download of {self.offer.what}…")
        self._tell()

    def leave(self) -> None:
        """Nobody waits any more."""
        self._stopped.set()

    def _offered(self, offer: HubOffer) -> None:
        self.offer = offer
        self._notice.say("")
        self._tell()

    def _look(self) -> None:
        if self._heard:
            self.now = self._heard[0]
            if self.now.converting:  # the download itself is over
                self.stoppable = False
                self._notice.say(f"{self.now.what} is here; it is being checked and converted…")
            self._tell()

    def _ended(self, last: HubState | str) -> None:
        self._free()
        if isinstance(last, HubState) and last.state == "finished":
            self.forget()
            self._load(last.name)
        elif isinstance(last, HubState) and last.state == "stopped":
            self._notice.say(f"Stopped at {last.done / 1e6:.1f} MB; the next download goes on from there.")
        else:
            self._notice.fail(last if isinstance(last, str) else last.error)

    def _free(self) -> None:
        """However it ended, another one may begin."""
        self._timer.stop()
        self.downloading = self.stoppable = False
        self._tell()

    def _tell(self) -> None:
        for heard in self.changed:
            heard()


def followed(session: Session, what: str, stopped: threading.Event, heard: deque[HubState]) -> HubState | str:
    """Until its end, which only the backend knows → how it ended; an error as its sentence."""
    last, asked = HubState(what, "running"), False
    try:
        for last in session.fetch_model(what):
            heard.append(last)
            if stopped.is_set() and not asked:
                session.stop_fetching(what)
                asked = True
    except BoltzFormerError as error:
        return str(error)
    return last


def sentence(offer: HubOffer) -> str:
    """On whose terms, in one sentence; where its owners say nothing, that."""
    size = f"{offer.size / 1e6:.1f} MB" if offer.size else "on this computer already"
    if offer.licence:
        return (
            f"{offer.what} ({size}) comes under the licence '{offer.licence}', as its owners declare at {offer.page}."
        )
    return f"{offer.what} ({size}) declares no licence: ask its owners at {offer.page} whether you may use it."
