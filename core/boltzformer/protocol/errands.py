"""Errands: what runs as a process of its own, in a folder that tells how far it is. What is asked, what is answered.

Every path is one of the backend's computer, whole from its root. Only a backend of this computer's user opens any.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from boltzformer.protocol.api import Model

VANISHED = "It ended without a word"
"""So begins the last note of one that was killed."""


@dataclass(frozen=True)
class FinetuneRequest:
    """POST /v1/errands/finetune, and /v1/errands/plan for what it would take. None leaves it to the program."""

    source: str
    """The folder of an annotation dataset, or a manifest (.jsonl)."""
    output: str
    """The folder of the run."""
    model: Model = "default"
    mode: str = "auto"
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    seed: int = 0
    batch: int | None = None
    rate: float | None = None
    replay: bool = True
    anchor: bool = True
    targets: list[str] = field(default_factory=list[str])
    threads: int | None = None
    device: str = "auto"

    def arguments(self) -> list[str]:
        """Of `boltzformer`: the same in a terminal."""
        told = ["finetune", self.source, "--output", self.output, "--model", self.model, "--mode", self.mode]
        for name in ("steps", "epochs", "minutes", "seed", "batch", "rate", "threads"):
            value = getattr(self, name)
            if value is not None:
                told += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
        told += [f"--no-{name}" for name in ("replay", "anchor") if not getattr(self, name)]
        told += [part for target in self.targets for part in ("--target", target)]
        return told if self.device == "auto" else [*told, "--device", self.device]


@dataclass(frozen=True)
class EvaluateRequest:
    """POST /v1/errands/evaluate"""

    manifest: str
    output: str
    model: Model = "default"
    seed: int = 0
    device: str = "auto"

    def arguments(self) -> list[str]:
        """Of `boltzformer`: the same in a terminal."""
        own = ["--output", self.output, "--model", self.model, "--seed", str(self.seed), "--device", self.device]
        return ["evaluate", self.manifest, *own]


def command_line(arguments: Sequence[str]) -> str:
    """As a person would type it."""
    return shlex.join(["boltzformer", *arguments])


@dataclass(frozen=True)
class ErrandFolder:
    """POST /v1/errands/state, /stop, /resume"""

    output: str
    after: int = 0
    """Only steps after this one are told."""


@dataclass(frozen=True)
class ErrandState:
    """How far an errand is, read from its folder: also of one that another program began."""

    output: str
    state: Literal["absent", "running", "stopped", "finished", "failed"]
    """Stopped: there is something to go on with, or nothing was begun yet; see `step`."""
    kind: str = ""
    """'finetune' or 'evaluate'."""
    step: int = 0
    steps: int = 0
    """0 as long as they are not decided."""
    asked: int = 0
    pictures: int = 0
    """So many of the pictures that a model is asked about before the first step and after the last; 0 between them."""
    judging: bool = False
    """What was learnt is asked, not its parent."""
    losses: dict[str, float] = field(default_factory=dict[str, float])
    """Of the last step."""
    curve: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    """A row of losses for every step that was asked for, with its number as `step`."""
    checks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """What was measured on what is held back, by `at_step`."""
    eta: float | None = None
    """Seconds."""
    plan: dict[str, Any] = field(default_factory=dict[str, Any])
    """What was said before it began: mode, memory, time."""
    notes: list[str] = field(default_factory=list[str])
    error: str = ""
    """Why it failed, in one sentence."""
    result: dict[str, Any] = field(default_factory=dict[str, Any])
    """The verdict of the gate, or the numbers of an evaluation."""
    before: str = ""
    """The model that a fine-tuning began from, as `segment` takes it."""
    model: str = ""
    """The file that it left, once there is one."""
    command: str = ""
    """The same in a terminal."""


@dataclass(frozen=True)
class FinetunePlan:
    """What a fine-tuning would take here and now."""

    facts: dict[str, Any]
    """Of the mode that would be used; under `modes` memory and time of each."""
    notes: list[str]
    command: str
    """The same in a terminal."""


@dataclass(frozen=True)
class DatasetPath:
    """POST /v1/datasets/holding"""

    path: str


@dataclass(frozen=True)
class Holding:
    """What a dataset or manifest holds for a fine-tuning, and what it lacks."""

    slices: int
    """That somebody has judged; images of a manifest."""
    groups: int
    """Patients; groups of a manifest."""
    empty: int
    """Of the slices: those where every word is 'nothing here'."""
    sentence: str
    enough: bool
    """Whether a new model can be compared with its parent."""
    targets: dict[str, int] = field(default_factory=dict[str, int])
    """Target → slices with a mask of it."""
    prompts: dict[str, str] = field(default_factory=dict[str, str])
    """Target → its usual phrase."""
    lacks: str = ""
    """What has to be accepted before anybody can be held back who tells which model is better; '' where nothing."""


@dataclass(frozen=True)
class PromoteRequest:
    """POST /v1/models/promote"""

    run: str
    """The folder of a fine-tuning."""
    name: str
    anyway: bool = False
    """Although the gate did not let it pass: somebody has looked."""
    note: str = ""


@dataclass(frozen=True)
class Lineage:
    """Which models carried a name, oldest first; the last one does now."""

    name: str
    models: list[dict[str, Any]]
