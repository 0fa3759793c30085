"""`boltzformer train`: a recipe, a manifest and a split in, a run folder with a model out."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from boltzformer import __version__, checkpoint, devices
from boltzformer.atomic import for_oneself
from boltzformer.card import Card, split_in_words
from boltzformer.checkpoint import History
from boltzformer.corpus import Corpus
from boltzformer.errors import BoltzFormerError
from boltzformer.manifest import part_of, read_manifest, read_split
from boltzformer.recipe import read_recipe
from boltzformer.training_run import Plan, RunFolder, begin, go_on, hash_of
from boltzformer.types import Progress

NEVER = ("ljubljana_ms:19", "openms_patient19")
"""The patient of the sample case: what is shown as an example has never been trained on."""


@for_oneself()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe that ships ('default') or a .toml file.")],
    data: Annotated[Path, typer.Option(help="Manifest (.jsonl) of images and masks.")],
    output: Annotated[Path, typer.Option(help="Folder of the run; the same command goes on where it stopped.")],
    split: Annotated[
        Path | None, typer.Option(help="Split (.json); its validation groups are not learnt from.")
    ] = None,
    init: Annotated[str | None, typer.Option(help="Model to start from.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes; the same command goes on.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; fixed for a run.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per five steps on standard output.")] = False,
) -> None:
    """Train a model on the rows of a manifest whose licence allows to pass the weights on."""
    made = read_recipe(recipe)
    place = devices.choose(device)
    devices.use_cores()
    if threads is not None:
        torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    every = read_manifest(data)
    usable = tuple(row for row in every if row.licensed and row.mask is not None and row.group not in NEVER)
    rows = part_of(usable, read_split(split), "train") if split else usable
    if not rows:
        raise BoltzFormerError(f"{data} has no row to train on whose licence allows it: see its field commercial_use.")
    start = None if init is None else checkpoint.resolve(init)
    parent = "" if start is None else checkpoint.read(start).sha256
    run = RunFolder(output, Plan(made, hash_of(rows), torch.get_num_threads(), parent))
    sys.stderr.write(f"Reading {len(rows)} rows… Research only, not for clinical use.\n")
    corpus = Corpus(rows, place.device, small=made.small)
    trainer = begin(made, rows, corpus, start, place.device)
    began, stopped = time.monotonic(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # the step under way is finished and saved
        signal.signal(number, lambda *_: stopped.set())
    for progress in go_on(run, trainer, corpus, minutes):
        if progress.step % 5 == 0 or progress.step == progress.steps:
            _say(progress, began, as_json)
        if stopped.is_set():
            break
    run.save(trainer)
    told = {
        "recipe": made.name,
        "steps": f"{trainer.step} of {made.steps}",
        "seed": made.seed,
        "data hash": hash_of(rows),
        "device": place.device.type,
        "threads": torch.get_num_threads(),
        "versions": {"napari-boltzformer": __version__, "torch": torch.__version__},
    }
    card = Card.made(rows, usable, split=split_in_words(rows, usable, split.name if split else ""), run=told)
    history = History(
        made.name,
        parent=parent,
        data=f"{len({row.image for row in rows})} images with {len(card.targets)} kinds of object",
        licence="CC-BY-SA-4.0",
        notes=card.notes(),
    )
    path = run.export(trainer, history)
    if as_json:
        sys.stdout.write(json.dumps({"model": str(path), "at_step": trainer.step}) + "\n")
    else:
        sys.stdout.write(f"{path}: step {trainer.step} of {made.steps}\n")


def _say(progress: Progress, began: float, as_json: bool) -> None:
    losses = {name: round(value, 4) for name, value in progress.losses.items()}
    if as_json:
        sys.stdout.write(json.dumps({"step": progress.step, "steps": progress.steps, **losses}) + "\n")
        sys.stdout.flush()
    else:
        some = ", ".join(f"{name} {losses[name]:.3f}" for name in ("mask", "existence", "deep", "dense"))
        sys.stderr.write(f"step {progress.step} of {progress.steps}: {some} ({time.monotonic() - began:.0f} s)\n")
