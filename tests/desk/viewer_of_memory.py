"""A desk, and somebody at it: for the stories that need no window."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boltzformer import Session, Volume
from boltzformer.desk.desk import Desk
from boltzformer.desk.memory import MemoryDialogs, MemorySpeaker, MemoryStage, MemoryTimers
from boltzformer.desk.settings import Settings
from boltzformer.desk.words import ViewerWords

PATIENCE_S = 120
"""The machine may be busy."""


class Viewer:
    """A desk, and somebody at it."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.stage, self.timers, self.speaker = MemoryStage(), MemoryTimers(), MemorySpeaker()
        self.dialogs = MemoryDialogs(folder=folder)
        how = {"seed": 0, "window": None, "model": session.model, "region": None}
        self.desk = Desk(
            *(self.stage, self.timers, self.speaker, self.dialogs, ViewerWords(), Settings.load()),
            session=lambda: session,
            how=lambda _: how,
        )

    def open(self, volume: Volume) -> Any:
        image = self.stage.open(volume)
        self.desk.keeper.look_for(image)
        self.desk.chosen()
        return image

    def until(self, what: Callable[[], bool]) -> None:
        """The viewer's clock ticks."""
        tick = threading.Event()
        for _ in range(PATIENCE_S * 100):
            self.timers.tick()
            if what():
                return
            tick.wait(0.01)
        raise AssertionError(self.speaker.sentence)

    def idle(self) -> None:
        desk = self.desk
        self.until(lambda: not (desk.running.runs or desk.learning.busy or desk.keeper.work.busy or desk.work.busy))
