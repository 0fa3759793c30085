"""The line about the engine: where it runs, whether it is ready, how long it takes for a slice; and its setting up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from boltzformer.client import environment
from boltzformer.client.session import Session
from boltzformer.desk.models.choice import shown_name
from boltzformer.desk.models.knowledge import Knowledge
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Timers
from boltzformer.desk.settings import Settings
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError
from boltzformer.io.phantom import phantom
from boltzformer.protocol import ModelState
from boltzformer.types import SliceResult

SIZE = "about 1.5 GB of disk with torch for CPUs, several times that where pip brings NVIDIA's libraries"
POLL_MS = 250
STARTING = "Engine: starting…"
LAST_RUN = " in the last run"


class EngineLine:
    """Starts the engine and says how it is; hands over what the model knows."""

    def __init__(
        self,
        session: Callable[[], Session],
        work: Work,
        notice: Notice,
        timers: Timers,
        *,
        missing: Callable[[], bool] = environment.is_missing,
        base: Callable[[], str] = lambda: "",
    ) -> None:
        """`missing`: whether there is no Python with the engine. `base`: as `environment.set_up` takes it."""
        self._session, self._work, self._notice = session, work, notice
        self._missing, self._base = missing, base
        self.said: list[Callable[[str, str], None]] = []
        """The line and what more there is to say, whenever they are others."""
        self.ready: list[Callable[[Mapping[str, Any]], None]] = []
        """Its health, once it can be asked."""
        self.models: list[Callable[[list[ModelState]], None]] = []
        """Those that can be chosen; `knowledge` is of the chosen one by then."""
        self.knowledge = Knowledge()
        self._health: Mapping[str, Any] | None = None
        """Of an engine that is ready."""
        self._shown = ""
        """The model of which the line speaks."""
        self._learnt = False
        """Whether a run has told how long a slice takes."""
        self._stopped = threading.Event()
        self._heard: deque[str] = deque([""], maxlen=1)
        self._setting_up = timers.every(POLL_MS, self._tell_set_up)

    def ask(self) -> None:
        """Starts the engine, beside the viewer; where there is none, offers to set it up."""
        if self._missing():
            self._offer()
            return
        self._health, self._learnt = None, False
        self._say(STARTING)
        self._work.do(partial(wait_until_ready, self._session()), self._show)

    def paced(self, seconds: float, model: str) -> None:
        """A run took so long for a slice: that is told in the place of what was measured on a tiny image."""
        if self._health is not None and model == self._shown == self._session().model:
            self._learnt = True
            self._say(line(self._health, shown_name(model), seconds), details(self._health, seconds, LAST_RUN))

    def leave(self) -> None:
        """Nobody waits any more: an engine that is being set up is given up."""
        self._stopped.set()

    # --- setting up ----------------------------------------------------------------------------------------------

    def _offer(self) -> None:
        self._say("Engine: not installed.")
        self._notice.say(
            f"The engine needs torch, which this Python lacks. It can be set up beside the viewer, in "
            f"{environment.folder()}: {SIZE}. The viewer's own Python stays as it is.",
            "Set up the engine",
            self._set_up,
        )

    def _set_up(self) -> None:
        stopped, heard = self._stopped, self._heard = threading.Event(), deque([""], maxlen=1)
        base = self._base()
        self._notice.say("The engine is being set up; this takes some minutes.", "Stop", stopped.set)
        self._setting_up.start()

        def work() -> bool | BoltzFormerError:
            try:
                return environment.set_up(heard.append, stopped, base)
            except BoltzFormerError as error:
                return error  # told where it can be tried again

        self._work.do(work, self._is_set_up, self._not_set_up)

    def _tell_set_up(self) -> None:
        self._say(f"Engine: {self._heard[0][:60] or 'setting up'}…")

    def _is_set_up(self, outcome: bool | BoltzFormerError) -> None:
        self._setting_up.stop()
        if outcome is True:
            self._notice.say("The engine is set up.")
            self.ask()
            return
        self._offer()
        if isinstance(outcome, BoltzFormerError):
            self._notice.say(str(outcome), "Try again", self._set_up)

    def _not_set_up(self) -> None:
        """Whatever it was, it has been said."""
        self._setting_up.stop()
        self._say("Engine: not installed.")

    # --- asking --------------------------------------------------------------------------------------------------

    def _show(self, health: Mapping[str, Any]) -> None:
        model = shown_name(self._session().model)
        self._say(line(health, model, None), details(health, None))
        if health["state"] == "ready":
            for heard in self.ready:
                heard(health)
            session = self._session()
            self._health, self._shown = health, session.model
            self._work.do(session.models, self._hand_over)

            def measured(seconds: float | None) -> None:
                if self._health is health and not self._learnt:
                    self._say(line(health, model, seconds), details(health, seconds))

            self._work.do(partial(seconds_per_slice, session), measured)

    def _hand_over(self, states: list[ModelState]) -> None:
        own = next((one for one in states if one.name == self._session().model), None)
        self.knowledge = Knowledge(asked=True) if own is None else Knowledge.of(own)
        for heard in self.models:
            heard(states)

    def _say(self, text: str, more: str = "") -> None:
        for heard in self.said:
            heard(text, more or text)


def wait_until_ready(session: Session) -> Mapping[str, Any]:
    """Starts the engine → its health, once it is no longer starting."""
    try:
        while (health := session.health())["state"] == "starting":
            time.sleep(0.1)
    except BoltzFormerError as error:
        return {"state": "failed", "error": str(error)}
    return health


def line(health: Mapping[str, Any], model: str, seconds: float | None) -> str:
    """'default · ready · 0.5 s per slice': the model in use, whether it can be asked, how long that takes."""
    if health["state"] != "ready":
        return f"Engine: {health['error']}"
    return f"{model} · ready{_speed(seconds, ' · ')}"


def details(health: Mapping[str, Any], seconds: float | None, where: str = "") -> str:
    """'Engine: this computer, ready (CPU, 0.5 s per slice). Model: …'."""
    if health["state"] != "ready":
        return str(health["error"])
    device = {"cpu": "CPU", "cuda": "GPU", "mps": "GPU"}.get(health["device"], health["device"])
    began = f"Model: {health['model']}, {health['note']}"
    return f"Engine: this computer, ready ({device}{_speed(seconds, ', ')}{where}). {began}."


def _speed(seconds: float | None, before: str) -> str:
    return "" if seconds is None else f"{before}{max(seconds, 0.01):.2g} s per slice"


def seconds_per_slice(session: Session) -> float | None:
    """Measured on a generated image: the first slice warms up, the second one counts."""
    came: list[float] = []
    for event in session.segment(phantom(1, (2, 64, 64)).volume, "bright blob"):
        if isinstance(event, SliceResult):
            came.append(time.monotonic())
    return came[1] - came[0] if len(came) == 2 else None


def means_of(settings: Settings) -> dict[str, Any]:
    """What the engine may use, as `Session.local` and `Session.use` take it."""
    return {
        "device": settings.device,
        "threads": settings.threads or None,
        "cache_bytes": round(settings.cache_gb * 1e9),
    }
