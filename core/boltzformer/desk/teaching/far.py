"""`Far`: how far a learning is, in hundredths, though it is known only late how many steps its time allows."""

from __future__ import annotations

import time
from collections.abc import Callable

from boltzformer.masks.lessons import Learning

HALF = 50
"""Hundredths that the time before its steps are counted takes at most."""
FEW = 3
"""From fewer steps nobody can tell their pace."""


class Far:
    """By the clock at first, then by its steps; it never goes back."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`seconds`: as many as it may take."""
        self._seconds, self._clock = max(seconds, 1e-3), clock
        self._began: tuple[int, float] | None = None
        """Its first step, and when that was heard of."""
        self._step: Learning | None = None
        self._counted: tuple[int, int] | None = None
        """The step at which they were known, and how far it was then."""
        self.hundredths = 0

    def hear(self, step: Learning) -> None:
        """The next one."""
        self._step = step
        if step.step and self._began is None:
            self._began = step.step, self._clock()
        if not step.of:
            now = HALF * (1 - step.seconds_left / self._seconds)
        else:
            first, before = self._counted = self._counted or (step.step, self.hundredths)
            now = before + (100 - before) * (step.step - first) / max(step.of - first, 1)
        self.hundredths = max(self.hundredths, min(round(now), 100))

    @property
    def left(self) -> str:
        """', about 7 s left', by the pace of its steps: they take their time, also once that which it was given is
        over. Nothing where nobody can tell, and never that there is none."""
        step = self._step
        if step is None or self._began is None or not step.of or step.step - self._began[0] < FEW:
            return ""
        first, at = self._began
        seconds = round((step.of - step.step) * (self._clock() - at) / (step.step - first))
        return f", about {seconds} s left" if seconds > 0 else ""
