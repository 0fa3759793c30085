"""The line about the engine: where it runs, whether it is ready, how long it takes for a slice."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from boltzformer import BoltzFormerError, Session, SliceResult
from boltzformer.client import environment
from boltzformer.phantom import phantom
from boltzformer.protocol import ModelState
from napari_boltzformer.knowledge import Knowledge

SIZE = "about 1.5 GB of disk with torch for CPUs, several times that where pip brings NVIDIA's libraries"
POLL_MS = 250

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock


class EngineLine:
    """Keeps the dock's second line true, and hands over what the model knows."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        self._dock = dock

    def ask(self) -> None:
        """Starts the engine, beside the viewer; where there is none, offers to set it up."""
        if environment.is_missing():
            self._offer()
            return
        self._dock.engine.setText("Engine: this computer, starting…")
        self._dock.background.do(partial(wait_until_ready, self._dock.session), self._show, failed=self._broken)

    def _offer(self) -> None:
        self._dock.engine.setText("Engine: not installed.")
        self._dock.notice.say(
            f"The engine needs torch, which this Python lacks. It can be set up beside the viewer, in "
            f"{environment.folder()}: {SIZE}. The viewer's own Python stays as it is.",
            "Set up the engine",
            self._set_up,
        )

    def _set_up(self) -> None:
        stopped, heard = threading.Event(), deque([""], maxlen=1)
        self._dock.notice.say("The engine is being set up; this takes some minutes.", "Stop", stopped.set)
        self._dock.destroyed.connect(stopped.set)
        timer = QTimer(self._dock)
        timer.timeout.connect(lambda: self._dock.engine.setText(f"Engine: {heard[0][:60] or 'setting up'}…"))
        timer.start(POLL_MS)

        def work() -> bool | BoltzFormerError:
            try:
                return environment.set_up(heard.append, stopped)
            except BoltzFormerError as error:
                return error

        def done(outcome: bool | BoltzFormerError) -> None:
            timer.stop()
            if outcome is True:
                self._dock.notice.say("The engine is set up.")
                self.ask()
                return
            self._offer()
            if isinstance(outcome, BoltzFormerError):
                self._dock.notice.say(str(outcome), "Try again", self._set_up)

        def failed() -> None:
            timer.stop()
            self._broken()

        self._dock.background.do(work, done, failed=failed)

    def _broken(self) -> None:
        self._dock.engine.setText("Engine: it could not be started.")

    def _show(self, health: Mapping[str, Any]) -> None:
        dock = self._dock
        dock.engine.setText(line(health, None))
        if health["state"] == "ready":
            dock.means.show_health(health)
            dock.background.do(dock.session.models, self._hand_over)
            dock.background.do(partial(seconds_per_slice, dock.session), lambda s: dock.engine.setText(line(health, s)))

    def _hand_over(self, states: list[ModelState]) -> None:
        own = next((one for one in states if one.name == self._dock.session.model), None)
        self._dock.prompt.knowledge = Knowledge(asked=True) if own is None else Knowledge.of(own)
        self._dock.models.show_models(states)
        self._dock.show_doubts()


def wait_until_ready(session: Session) -> Mapping[str, Any]:
    """Starts the engine → its health, once it is no longer starting."""
    try:
        while (health := session.health())["state"] == "starting":
            time.sleep(0.1)
    except BoltzFormerError as error:
        return {"state": "failed", "error": str(error)}
    return health


def line(health: Mapping[str, Any], seconds: float | None) -> str:
    """'Engine: this computer, ready (CPU, about 0.5 s per slice). Model: …'."""
    if health["state"] != "ready":
        return f"Engine: {health['error']}"
    device = {"cpu": "CPU", "cuda": "GPU", "mps": "GPU"}.get(health["device"], health["device"])
    speed = "" if seconds is None else f", about {max(seconds, 0.01):.2g} s per slice"
    return f"Engine: this computer, ready ({device}{speed}). Model: {health['model']}, {health['note']}."


def seconds_per_slice(session: Session) -> float | None:
    """Measured on a generated image: the first slice warms up, the second one counts."""
    came: list[float] = []
    for event in session.segment(phantom(1, (2, 64, 64)).volume, "bright blob"):
        if isinstance(event, SliceResult):
            came.append(time.monotonic())
    return came[1] - came[0] if len(came) == 2 else None
