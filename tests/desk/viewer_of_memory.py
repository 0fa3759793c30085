"""A desk, and somebody at it: for the stories that need no window."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from patience import until

from boltzformer import Session, Volume
from boltzformer.desk.desk import Desk
from boltzformer.desk.memory import MemoryDialogs, MemorySpeaker, MemoryStage, MemoryTimers
from boltzformer.desk.settings import Settings
from boltzformer.desk.words import ViewerWords


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
        self.stage.left = self.desk.image_left

    def open(self, volume: Volume) -> Any:
        image = self.stage.open(volume)
        self.desk.keeper.look_for(image)
        self.desk.chosen()
        return image

    def until(self, what: Callable[[], bool]) -> None:
        """The viewer's clock ticks."""
        until(what, self.timers.tick, lambda: self.speaker.sentence)

    def idle(self) -> None:
        desk = self.desk
        self.until(lambda: not (desk.running.runs or desk.learning.busy or desk.keeper.work.busy or desk.work.busy))
