"""`boltzformer finetune …` (= `boltzformer-finetune`): a dataset or manifest in, a run folder with a model out."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from boltzformer.atomic import for_oneself
from boltzformer.learn.finetune import MODES, Asking, Checked, Event, Finished, Note, Options, Planned, finetune
from boltzformer.speaking import shown
from boltzformer.types import Progress

BEGAN = time.monotonic()
"""--minutes counts from here: what was imported is part of it."""
LONG_S = 1800.0
"""A run on a CPU that is predicted to take longer is asked about, if a person is there."""
EVERY = 5
"""Steps between two lines."""
QUIET_S = 10.0
"""Seconds between two lines while a model is asked; the first picture and the last are always told."""


@for_oneself()
def finetune_command(
    source: Annotated[Path, typer.Argument(help="A manifest (.jsonl), or the folder of an annotation dataset.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run; the model is in it.")],
    model: Annotated[str, typer.Option(help="'default', a registered name, or a .safetensors file.")] = "default",
    mode: Annotated[str, typer.Option(help=f"auto, {', '.join(MODES)}.")] = "auto",
    preset: Annotated[str, typer.Option(help="finetune, paper, biomedparse-v2, or a .toml file.")] = "finetune",
    steps: Annotated[int | None, typer.Option(help="So many steps.")] = None,
    epochs: Annotated[float | None, typer.Option(help="So many times through the pictures.")] = None,
    minutes: Annotated[float | None, typer.Option(help="All of it in about so many minutes.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model on the same machine.")] = 0,
    batch: Annotated[int | None, typer.Option(help="Pictures per step.")] = None,
    micro_batch: Annotated[int, typer.Option(help="Pictures at once; the step stays the same. 0: all.")] = 0,
    rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    rank: Annotated[int, typer.Option(help="Of the corrections of --mode lora.")] = 8,
    replay: Annotated[bool, typer.Option(help="Recall what the model could do before.")] = True,
    anchor: Annotated[bool, typer.Option(help="Draw the weights back to where they began.")] = True,
    cache: Annotated[bool, typer.Option(help="Keep the frozen encoder's work on disk.")] = True,
    split: Annotated[Path | None, typer.Option(help="Split (.json) whose validation_groups are held back.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Only this target; may be given several times.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; fixed for a run.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto or float32.")] = "auto",
    shard_model: Annotated[
        bool, typer.Option("--shard-model", help="Under torchrun, mode full: each process holds a part of the model.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --output.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before a long run.")] = False,
    name: Annotated[str, typer.Option(help="Register the model under this name if it is promoted.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines on standard output.")] = False,
) -> None:
    """Teach a model from accepted masks. What it could do before is kept; a worse model is not promoted."""
    options = Options(
        source=source,
        model=model,
        mode=mode,
        preset=preset,
        steps=steps,
        epochs=epochs,
        minutes=minutes,
        seed=seed,
        batch=batch,
        micro=micro_batch,
        rate=rate,
        rank=rank,
        replay=replay,
        anchor=anchor,
        cache=cache,
        split=split,
        targets=tuple(target or ()),
        threads=threads,
        device=device,
        precision=precision,
        shard_model=shard_model,
    )
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # the step under way is finished, and the best so far is kept
        signal.signal(number, lambda *_: stopped.set())
    say = _Say(as_json)

    def agree(facts: Mapping[str, Any]) -> bool:
        long = facts["device"] == "cpu" and facts["predicted_seconds"] > LONG_S and minutes is None and steps is None
        if not long or yes or as_json or resume or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return True
        return typer.confirm(f"This takes about {facts['predicted_seconds'] / 3600:.1f} hours here. Begin?", err=True)

    for event in finetune(options, output, resume=resume, dry=dry_run, stop=stopped.is_set, agree=agree, began=BEGAN):
        say(event)
        if isinstance(event, Finished) and name and event.facts["promoted"]:
            from boltzformer.weights import promotion

            say(Note(f"promoted as '{promotion.promote(output, name).path.stem}'"))


class _Say:
    """Events as lines: JSON for programs, sentences for people."""

    def __init__(self, as_json: bool) -> None:
        self.as_json, self.first, self.told = as_json, (0, time.monotonic()), 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case Asking():
                self._asking(event)
            case Progress():
                self._progress(event)
            case Note():
                self._line({"event": "note", "text": event.text}, event.text)
            case Planned():
                self._line({"event": "plan", **event.facts}, _plan(event.facts))
            case Checked():
                self._line({"event": "validation", **event.facts}, f"held back: Dice {event.facts['dice']:.3f}")
            case Finished():
                self._line({"event": "finished", **event.facts}, _result(event))

    def _asking(self, event: Asking) -> None:
        now = time.monotonic()
        if event.asked not in (1, event.pictures) and now - self.told < QUIET_S:
            return
        self.told = now
        eta = None if event.eta is None else round(event.eta, 1)
        facts = {"asked": event.asked, "pictures": event.pictures, "judging": event.judging, "eta": eta}
        left = f", {_left(eta)}" if eta else ""
        verb = "judged" if event.judging else "asked"
        self._line({"event": "asking", **facts}, f"{verb} {event.asked} of {event.pictures} pictures{left}")

    def _progress(self, event: Progress) -> None:
        if not self.first[0]:
            self.first = (event.step, time.monotonic())
        if event.step % EVERY and event.step != event.steps:
            return
        done, spent = event.step - self.first[0], time.monotonic() - self.first[1]
        eta = round((event.steps - event.step) * spent / done, 1) if done else None
        losses = {name: float(f"{value:.6g}") for name, value in event.losses.items()}
        if self.as_json:
            self._write({"step": event.step, "steps": event.steps, **losses, "eta": eta})
        else:
            some = ", ".join(f"{key} {losses[key]:.3f}" for key in ("mask", "existence") if key in losses)
            sys.stderr.write(
                f"step {event.step} of {event.steps}: {some}{'' if eta is None else f', {eta:.0f} s left'}\n"
            )

    def _line(self, facts: Mapping[str, Any], text: str) -> None:
        if self.as_json:
            self._write(facts)
        else:
            sys.stderr.write(f"{shown(text, lines=True)}\n")

    def _write(self, facts: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


def in_minutes(seconds: float) -> str:
    """For a person who decides whether to wait."""
    minutes = round(seconds / 60)
    return "less than a minute" if minutes < 1 else "a minute" if minutes == 1 else f"{minutes} minutes"


def _left(seconds: float) -> str:
    return f"{'about ' if round(seconds / 60) else ''}{in_minutes(seconds)} left"


def _plan(facts: Mapping[str, Any]) -> str:
    new = f" New to the model: {', '.join(facts['new_targets'])}." if facts["new_targets"] else ""
    return (
        f"Mode {facts['mode']} ({facts['what learns']}): about {facts['memory_gb']:.1f} GB of memory beside the "
        f"program's own ({facts['free_gb']:.1f} GB are free) and {in_minutes(facts['predicted_seconds'])} on "
        f"{facts['device']}. {facts['pictures']} pictures teach, {facts['held_back_pictures']} are held back.{new} "
        "Research only, not for clinical use."
    )


def _result(event: Finished) -> str:
    facts = event.facts
    verdict = (
        "promoted: better, and no worse elsewhere"
        if facts["promoted"]
        else "not promoted: " + "; ".join(facts["because"])
    )
    share = facts.get("share of what was learnt", 1.0)
    walked = f"; {share:.0%} of what was learnt is kept, for the sake of the other targets" if share < 1 else ""
    return f"{event.model}\n{verdict}{walked}"
