"""`boltzformer train`: a recipe, a manifest and a split in, a run folder with a model out."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer

from boltzformer.atomic import for_oneself
from boltzformer.engine import devices
from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.report import sha256_of
from boltzformer.knowledge.card import Card, split_in_words
from boltzformer.knowledge.manifest import part_of, read_manifest, read_split
from boltzformer.learn.corpus import Corpus
from boltzformer.learn.finetune.together import Together
from boltzformer.learn.recipe import read_recipe
from boltzformer.learn.training_run import MODEL, Plan, RunFolder, begin, go_on, hash_of, hash_of_run, take_over
from boltzformer.learn.volume_pictures import described, hash_of_volumes, pictures_of_volumes
from boltzformer.types import Progress
from boltzformer.version import VERSION
from boltzformer.weights import checkpoint, registry
from boltzformer.weights.checkpoint import History

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
    volumes: Annotated[
        Path | None,
        typer.Option(help="Folder of labelled volumes (.json beside .nii.gz), whose slices are learnt from."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Model to start from (its image encoder may be another one), or the folder of a run to take over."
        ),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(help="ImageNet weights (.pth) of EfficientNet-Lite, where the recipe's encoder is lite."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes; the same command goes on.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; fixed for a run.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per five steps on standard output.")] = False,
) -> None:
    """Train a model on the rows of a manifest whose licence allows to pass the weights on.

    Under `torchrun --nproc-per-node 2 -m boltzformer train …` two processes share every batch.
    """
    made, team = read_recipe(recipe), Together.of_environment()
    place = devices.choose(device)
    devices.use_cores()
    if threads is not None:
        torch.set_num_threads(threads)
    devices.repeatable()
    every = read_manifest(data)
    usable = tuple(row for row in every if row.licensed and row.mask is not None and row.group not in NEVER)
    rows = part_of(usable, read_split(split), "train") if split else usable
    if not rows:
        raise BoltzFormerError(f"{data} has no row to train on whose licence allows it: see its field commercial_use.")
    before = Path(init) if init is not None and Path(init).is_dir() else None
    start = None if init is None else registry.resolve(init if before is None else before / MODEL)
    parent = "" if start is None else hash_of_run(before) if before else checkpoint.read(start).sha256
    eyes, shown = "" if encoder is None else sha256_of(encoder), hash_of(rows)
    if volumes is not None:
        shown = f"{shown} {hash_of_volumes(volumes)}"
    plan = Plan(made, shown, torch.get_num_threads(), parent, eyes, team.world)
    if team.leads:
        RunFolder(output, plan)
        sys.stderr.write(f"Reading {len(rows)} rows… Research only, not for clinical use.\n")
    team.wait()
    run = RunFolder(output, plan)
    slices = () if volumes is None else pictures_of_volumes(volumes)
    corpus = Corpus(rows, place.device, small=made.small, volumes=slices)
    trainer = begin(made, rows, corpus, start, place.device, encoder, team.world)
    if before is not None:
        take_over(trainer, before)
    began, stopped = time.monotonic(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # the step under way is finished and saved
        signal.signal(number, lambda *_: stopped.set())
    run.resume(trainer, leads=team.leads)
    team.wait()
    with _no_denormals():
        for progress in go_on(run, trainer, corpus, rank=team.rank):
            if team.leads and (progress.step % 5 == 0 or progress.step == progress.steps):
                _say(progress, began, as_json)
            late = minutes is not None and time.monotonic() - began > 60 * minutes
            if team.any(late or stopped.is_set()):
                break
    if not team.leads:
        return
    run.save(trainer)
    told = {
        "recipe": made.name,
        "steps": f"{trainer.step} of {made.steps}",
        "seed": made.seed,
        "data hash": shown,
        **({"volumes": len(described(volumes))} if volumes is not None else {}),
        **({"image encoder began as": f"{encoder.name} (sha256 {eyes[:12]})"} if encoder is not None else {}),
        "device": place.device.type,
        "threads": torch.get_num_threads(),
        "versions": {"napari-boltzformer": VERSION, "torch": torch.__version__},
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


@contextmanager
def _no_denormals() -> Iterator[None]:
    """Gradients so small that they change nothing are zero: they are slow to compute with. Not so for whoever comes
    after us in this process."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _say(progress: Progress, began: float, as_json: bool) -> None:
    losses = {name: round(value, 4) for name, value in progress.losses.items()}
    if as_json:
        sys.stdout.write(json.dumps({"step": progress.step, "steps": progress.steps, **losses}) + "\n")
        sys.stdout.flush()
    else:
        some = ", ".join(f"{name} {losses[name]:.3f}" for name in ("mask", "existence", "deep", "dense"))
        sys.stderr.write(f"step {progress.step} of {progress.steps}: {some} ({time.monotonic() - began:.0f} s)\n")
