"""Runs of the Fine-tune dock: where they lie, how their losses fall, what is said about them in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from boltzformer.desk.words import counted
from boltzformer.home import home
from boltzformer.protocol import VANISHED, ErrandState, Holding

RUNS = "runs"
"""In the program's own folder."""


def runs() -> list[Path]:
    """Folders of runs, the newest first."""
    place = home() / RUNS
    found = [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    return sorted(found, key=lambda path: path.name, reverse=True)


def new_run() -> str:
    """A folder that is not there yet."""
    number = 1
    while (home() / RUNS / f"run-{number:03d}").exists():
        number += 1
    return str(home() / RUNS / f"run-{number:03d}")


def stamp(dataset: Path) -> float:
    """Changes whenever something is accepted."""
    with suppress(OSError):
        return (dataset / "index.json").stat().st_mtime
    return 0.0


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
            return "Error: nothing to show yet"
        values = list(self.by_step.values())
        told = f"Error {values[0]:.3g} → {self.mean()[-1]:.3g}"
        return f"{told}   held-back Dice {list(self.dice.values())[-1]:.2f}" if self.dice else told

    def mean(self) -> list[float]:
        """The running mean of the loss."""
        found: list[float] = []
        for value in self.by_step.values():
            found.append(value if not found else SMOOTH * found[-1] + (1 - SMOOTH) * value)
        return found


ERRORS = {"mask": "of the masks", "existence": "of yes or no"}
"""What a loss is about, as people say it: how the object lies, and whether it is there at all."""


def sentence(state: ErrandState) -> str:
    """'Step 12 of 40: error of the masks 0.53, of yes or no 0.21, about 2 min left'; before and after, how many
    pictures were asked."""
    if state.state != "running":
        told = {"finished": "Finished", "stopped": "Stopped", "absent": "There is no run here"}[state.state]
        step = f" at step {state.step} of {state.steps}; the best so far is kept" if state.model else ""
        if state.state == "finished":
            return f"Finished after {state.step} steps."
        return " ".join([f"{told}{step}.", *[note for note in state.notes[-1:] if note.startswith(VANISHED)]])
    first = bool(state.pictures) and not state.judging
    if first and state.asked < state.pictures:
        return f"Asking the model what it can do already: {_asked(state)}{_too_long(state)}"
    if first and not state.step:
        return "Training: the first step is under way…"
    if not state.step:
        return "Asking the model what it can do already…" if state.plan else "Reading what was accepted…"
    if state.judging:
        return f"Step {state.step} of {state.steps}. Now it is compared with its parent: {_asked(state)}"
    some = ", ".join(f"{name} {state.losses[one]:.2f}" for one, name in ERRORS.items() if one in state.losses)
    left = "" if first or state.eta is None else f", about {spoken_time(state.eta)} left"
    return f"Step {state.step} of {state.steps}{some and f': error {some}'}{left}" + (
        ". Now it is compared with its parent…" if state.step == state.steps else ""
    )


ASKED_FIRST = (
    "Before the first step the model is asked what it can do already, and at the end what was learnt: where that takes "
    "longer than the minutes chosen, few steps are made, and it ends later"
)


def _too_long(state: ErrandState) -> str:
    """As soon as it is known that asking takes longer than the minutes that were chosen; judging what was learnt takes
    as long again at the least."""
    minutes = state.plan.get("planned_steps", 0) is None  # else steps were
    chosen, still = float(state.plan.get("predicted_seconds") or 0), state.pictures - state.asked
    if not (minutes and state.eta and still) or 2 * state.eta * state.pictures / still <= chosen:
        return ""
    return f". With judging at the end that is more than the {spoken_time(chosen)} chosen: few steps are made"


def _asked(state: ErrandState) -> str:
    """'12 of 96 pictures, about 2 min left'."""
    left = f", about {spoken_time(state.eta)} left" if state.eta else ""
    return f"{state.asked} of {counted(state.pictures, 'picture')}{left}"


def spoken_time(seconds: float) -> str:
    """'12 min', '40 s'."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, seconds):.0f} s"


def verdict(state: ErrandState, holding: Holding | None = None) -> str:
    """What the gate says; `holding`: what there is to learn from now."""
    told = state.result
    if not told:
        return ""
    if told.get("promoted"):
        return "Passed: better on held-back slices, and no worse elsewhere."
    because = list(told.get("because", ()))
    if any(UNJUDGED in reason for reason in because):
        lacks = "slices of more patients with the object" if holding is None else holding.lacks
        again = "It could not be judged: nobody who was held back showed the object. Now one does: fine-tune again."
        return f"Cannot be judged: accept {lacks}." if lacks else again
    return f"Not better for sure: {'; '.join(because)}."


UNJUDGED = "no validation mask"
"""What the gate says where nothing was held back."""
