"""`Far`: how far a learning is, in hundredths, though it is known only late how many steps its time allows."""

from __future__ import annotations

from boltzformer.masks.lessons import Learning

HALF = 50
"""Hundredths that the time before its steps are counted takes at most."""


class Far:
    """By the clock at first, then by its steps; it never goes back."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: as many as it may take."""
        self._seconds = max(seconds, 1e-3)
        self._counted: tuple[int, int] | None = None
        """The step at which they were known, and how far it was then."""
        self.hundredths = 0

    def hear(self, step: Learning) -> None:
        """The next one."""
        if not step.of:
            now = HALF * (1 - step.seconds_left / self._seconds)
        else:
            first, before = self._counted = self._counted or (step.step, self.hundredths)
            now = before + (100 - before) * (step.step - first) / max(step.of - first, 1)
        self.hundredths = max(self.hundredths, min(round(now), 100))
