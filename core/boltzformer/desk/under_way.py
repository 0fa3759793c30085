"""`UnderWay`: what the engine is at just now, whether it answers or learns: how far it is, and how it is stopped."""

from __future__ import annotations

from boltzformer.desk.runs.running import Running
from boltzformer.desk.teaching.case import CaseLearning


class UnderWay:
    """Answers go first: they are looked at while they come."""

    def __init__(self, running: Running, learning: CaseLearning) -> None:
        self._running, self._learning = running, learning

    @property
    def busy(self) -> bool:
        """Whether there is anything to stop."""
        return bool(self._running.runs) or self._learning.busy

    @property
    def progress(self) -> tuple[int, int] | None:
        """So many steps are made, of so many; None: there is nothing to count."""
        return self._running.progress or self._learning.progress

    def stop(self) -> None:
        """All of it. What was answered stays; of what was being learnt nothing does."""
        self._learning.stop()
        if self._running.runs:
            self._running.cancel()
