"""`boltzformer segment | info`: the main job from a terminal."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import boltzformer
from boltzformer import checkpoint
from boltzformer.engine import load
from boltzformer.errors import BoltzFormerError
from boltzformer.io import check_targets, read, slug, suffix_of, write, write_json
from boltzformer.types import LabelMap, Prediction, SliceResult, Started, as_prompts

CommandLineError: Any = typer.BadParameter.__mro__[2]
"""click's ClickException, wherever this version of typer keeps it."""

app = typer.Typer(
    name="boltzformer",
    help="Type what you look for, get a mask. Research only, not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command()
def segment(
    image: Annotated[Path, typer.Argument(help="NIfTI (.nii, .nii.gz) or PNG.")],
    prompt: Annotated[list[str], typer.Option("--prompt", "-p", help="What to look for; may be given several times.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="A folder (made when absent), or a file ending in .nii, .nii.gz, .png."),
    ],
    model: Annotated[str, typer.Option(help="'default' or a .safetensors file.")] = "default",
    seed: Annotated[int, typer.Option(help="The same seed gives the same mask.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One event per line on standard output.")] = False,
) -> None:
    """Find what the prompt names, slice by slice, and write masks on the image's own grid."""
    prompts, volume = as_prompts(prompt), read(image)
    case = output / volume.name
    targets = [case / f"{slug(one.name)}{suffix_of(image)}" for one in prompts]
    if not suffix_of(output):
        check_targets([*targets, case / f"{volume.name}.provenance.json"], overwrite)
    else:
        check_targets([output], overwrite, volume.grid)
    engine = load(model)
    console = Console(stderr=True, quiet=as_json)
    console.print(f"Model '{engine.about.history.name}': {engine.about.history.data}.")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    prediction: Prediction | None = None
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("slices")
        for event in engine.segment(volume, prompts, seed=seed):
            match event:
                case Started(plan, total):
                    bar.update(task, total=total, description=f"{plan.plane} slices")
                    _say(as_json, event="started", plane=plan.plane, slices=total)
                case SliceResult(index, _, existence):
                    bar.advance(task)
                    _say(as_json, event="slice", index=index, existence=[round(float(e), 4) for e in existence])
                case Prediction():
                    prediction = event
    assert prediction is not None
    labels = prediction.labels()
    if suffix_of(output):
        written = write(labels, output, provenance=prediction.provenance, overwrite=overwrite)
    else:
        written = []
        for layer, (target, one) in enumerate(zip(targets, prompts, strict=True)):
            single = LabelMap((labels.layers[layer : layer + 1] > 0).astype("uint8"), labels.grid, {1: one.name})
            written += write(single, target, overwrite=overwrite)
        written.append(write_json(case / f"{volume.name}.provenance.json", prediction.provenance, overwrite=overwrite))
    voxels = {name: int(labels.mask(label).sum()) for label, name in labels.names.items()}
    _say(as_json, event="finished", voxels=voxels, written=[str(path) for path in written])
    for name, count in voxels.items():
        console.print(f"{name}: {count} voxels" if count else f"{name}: nothing was found; the mask is empty.")
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


@app.command()
def info(
    model: Annotated[str, typer.Option(help="'default' or a .safetensors file.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """What runs here: versions, device, model."""
    about = checkpoint.read(checkpoint.resolve(model))
    facts = {
        "boltzformer": boltzformer.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": f"cpu, {os.cpu_count()} cores",
        "model": about.history.name,
        "trained on": about.history.data,
        "parameters": about.parameters,
        "model file": str(about.path),
        "model sha256": about.sha256,
        "notice": "Research only, not for clinical use.",
    }
    print(json.dumps(facts) if as_json else "\n".join(f"{key:14}{value}" for key, value in facts.items()))


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(boltzformer.__version__)
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """The exit code; errors become one sentence on standard error."""
    try:
        app(list(arguments), prog_name="boltzformer", standalone_mode=False)
    except BoltzFormerError as error:
        return _refuse(str(error))
    except CommandLineError as error:
        return _refuse(f"{error.format_message().rstrip('.')}. See: boltzformer --help")
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("boltzformer: stopped; nothing was written.\n")
        return 130
    return 0


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"boltzformer: {sentence}\n")
    return 2


def _say(as_json: bool, **event: object) -> None:
    if as_json:
        print(json.dumps(event), flush=True)
