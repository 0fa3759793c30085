"""`Losses`: the loss of a training as it falls, and what was measured on held-back slices, whoever draws it."""

from __future__ import annotations

from collections.abc import Mapping

SMOOTH = 0.9
"""Of the running mean: what was before counts so much at every step."""


class Losses:
    """Fed step by step."""

    def __init__(self) -> None:
        self.by_step: dict[int, float] = {}
        self.dice: dict[int, float] = {}
        self.steps = 0

    def clear(self) -> None:
        """Another run."""
        self.by_step, self.dice, self.steps = {}, {}, 0

    def add(self, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """One step; told twice, the last word counts."""
        self.steps = max(steps, step)
        if "total" in losses:
            self.by_step[step] = losses["total"]

    def measured(self, dice: Mapping[int, float]) -> None:
        """Dice on what is held back, by step."""
        self.dice = dict(dice)

    def title(self) -> str:
        """What the lines say, in words."""
        if not self.by_step:
            return "Loss: nothing to show yet"
        values = list(self.by_step.values())
        told = f"Loss {values[0]:.3g} → {self.mean()[-1]:.3g}"
        return f"{told}   held-back Dice {list(self.dice.values())[-1]:.2f}" if self.dice else told

    def mean(self) -> list[float]:
        """The running mean of the loss."""
        found: list[float] = []
        for value in self.by_step.values():
            found.append(value if not found else SMOOTH * found[-1] + (1 - SMOOTH) * value)
        return found
