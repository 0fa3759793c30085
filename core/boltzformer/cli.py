"""`boltzformer segment | info | parity | bench`: the main job from a terminal."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import boltzformer
from boltzformer import checkpoint, io
from boltzformer.engine import Engine, load
from boltzformer.errors import BoltzFormerError
from boltzformer.intensity import Window
from boltzformer.types import LabelMap, Prediction, Prompt, SliceResult, Started, Volume, as_prompts

CommandLineError: Any = typer.BadParameter.__mro__[2]
"""click's ClickException, wherever this version of typer keeps it."""

app = typer.Typer(
    name="boltzformer",
    help="Type what you look for, get a mask. Research only, not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
)
bench = typer.Typer(help="Measure this project's claims on this machine (in a source checkout).", no_args_is_help=True)
app.add_typer(bench, name="bench")

Series = Annotated[str | None, typer.Option(help="Which DICOM series: its number in the list, or its UID.")]
Frame = Annotated[int | None, typer.Option(help="Which time point or channel, from 1.")]
AllowGaps = Annotated[bool, typer.Option("--allow-gaps", help="Read a series although slices are missing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")]


@app.command()
def segment(
    image: Annotated[Path, typer.Argument(help=f"{io.READABLE}: a file, or a folder with a series.")],
    prompt: Annotated[list[str], typer.Option("--prompt", "-p", help="What to look for; may be given several times.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help=f"A folder (made when absent), or a file: {io.WRITABLE}.")
    ],
    model: Annotated[str, typer.Option(help="'default' or a .safetensors file.")] = "default",
    seed: Annotated[int, typer.Option(help="The same seed gives the same mask.")] = 0,
    window: Annotated[
        str, typer.Option(help="auto, soft tissue, lung, brain, bone, percentiles, stored, or WIDTH/LEVEL.")
    ] = "auto",
    axis: Annotated[
        str | None, typer.Option(help="Slice it axial, coronal or sagittal, whatever its grid says.")
    ] = None,
    series: Series = None,
    frame: Frame = None,
    allow_gaps: AllowGaps = False,
    resample: Annotated[
        bool, typer.Option("--resample", help="Straighten the masks of a tilted series, for formats without shear.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find what the prompt names, slice by slice, and write masks on the image's own grid."""
    prompts = as_prompts(prompt)
    volume = io.read(image, series=_number(series), frame=frame, allow_gaps=allow_gaps)
    if axis is not None:
        volume = Volume(**{**vars(volume), "stacking_axis": volume.grid.axis_of(axis)})
    chosen = Window.choose(window, volume.array, volume.modality)
    grid = io.straightened(volume.grid) if resample and volume.grid.sheared else volume.grid
    story = output / volume.name / f"{volume.name}.provenance.json"
    if io.split_name(output)[1]:
        targets = [output]
        io.check_targets(targets, grid, overwrite=overwrite)
    else:
        targets = [story.parent / f"{_slug(one.name)}{_extension(image, volume)}" for one in prompts]
        io.check_targets(targets, grid, overwrite=overwrite)
    engine = load(model)
    console = Console(stderr=True, quiet=as_json)
    console.print(f"Model '{engine.about.history.name}': {engine.about.history.data}.")
    prediction = _watched(engine, volume, prompts, chosen, seed, console, as_json)
    labels = io.resample(prediction.labels(), grid)
    targets[0].parent.mkdir(parents=True, exist_ok=True)
    source = image if volume.modality else None
    if targets == [output]:
        written = io.write(labels, output, source=source, provenance=prediction.provenance, overwrite=overwrite)
    else:
        written = []
        for layer, target, one in zip(labels.layers, targets, prompts, strict=True):
            single = LabelMap((layer[None] > 0).astype("uint8"), labels.grid, {1: one.name})
            written += io.write(single, target, source=source, overwrite=overwrite)
        written.append(io.write_json(story, prediction.provenance, overwrite=overwrite))
    voxels = {name: int(labels.mask(label).sum()) for label, name in labels.names.items()}
    _say(as_json, event="finished", voxels=voxels, written=[str(path) for path in written])
    for name, count in voxels.items():
        console.print(f"{name}: {count} voxels" if count else f"{name}: nothing was found; the mask is empty.")
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


@app.command()
def info(
    images: Annotated[list[Path] | None, typer.Argument(help="Images to describe; without any: this machine.")] = None,
    model: Annotated[str, typer.Option(help="'default' or a .safetensors file.")] = "default",
    series: Series = None,
    frame: Frame = None,
    allow_gaps: AllowGaps = False,
    as_json: AsJson = False,
) -> None:
    """Where an image lies, what it shows, how it will be sliced; or what runs here: versions, device, model."""
    if images:
        how: dict[str, Any] = {"series": _number(series), "frame": frame, "allow_gaps": allow_gaps}
        described = [io.describe(image, **how) for image in images]
        print(json.dumps(described) if as_json else "\n\n".join(io.in_words(facts) for facts in described))
        return
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


@app.command()
def parity(
    folder: Annotated[Path, typer.Argument(help="A folder with recorded tensors (NAME.safetensors and NAME.json).")],
    as_json: AsJson = False,
) -> None:
    """Replay recorded tensors of the reference: does our model give the same numbers? Exit code 1 on any miss."""
    from boltzformer.parity import replay, summarize

    rows = []
    for row in replay(folder):
        rows.append(row)
        if as_json:
            print(json.dumps(asdict(row)), flush=True)
        else:
            error = "-" if row.error is None else f"{row.error:.1e}"
            verdict = "ok" if row.passed else f"MISS {row.note}"
            print(f"{row.file:36} {row.tensor:44} {row.way:6} {error:>8} (≤ {row.tolerance:.1e}) {verdict}", flush=True)
    summary = summarize(rows)
    print(json.dumps(asdict(summary)) if as_json else summary)
    if not summary.passed:
        raise typer.Exit(1)


@bench.command()
def decoder(
    full: Annotated[bool, typer.Option("--full", help="More sizes, batches, threads and rounds.")] = False,
    as_json: AsJson = False,
) -> None:
    """The decoder's speed against a dense transcription of the released one, as ratios."""
    script = Path(boltzformer.__file__).parents[2] / "benchmarks" / "decoder.py"
    spec = importlib.util.spec_from_file_location("boltzformer_bench_decoder", script)
    if not script.is_file() or spec is None or spec.loader is None:
        raise BoltzFormerError("Benchmarks are not installed: run this in a checkout of the source code.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    raise typer.Exit(module.main(full, as_json))


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(boltzformer.__version__)
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """The exit code; errors become one sentence on standard error."""
    warnings.showwarning = _note
    try:
        return app(list(arguments), prog_name="boltzformer", standalone_mode=False) or 0
    except BoltzFormerError as error:
        return _refuse(str(error))
    except CommandLineError as error:
        return _refuse(f"{error.format_message().rstrip('.')}. See: boltzformer --help")
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("boltzformer: stopped.\n")
        return 130


def _watched(
    engine: Engine,
    volume: Volume,
    prompts: tuple[Prompt, ...],
    window: Window,
    seed: int,
    console: Console,
    as_json: bool,
) -> Prediction:
    """Runs to the end under a progress bar, or a line of JSON per event."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("slices")
        for event in engine.segment(volume, prompts, seed=seed, window=window):
            match event:
                case Started(plan, total):
                    bar.update(task, total=total, description=f"{plan.plane} slices")
                    _say(as_json, event="started", plane=plan.plane, slices=total, window=window.kind)
                case SliceResult(index, _, existence):
                    bar.advance(task)
                    _say(as_json, event="slice", index=index, existence=[round(float(e), 4) for e in existence])
                case Prediction():
                    return event
    raise AssertionError("the engine ended without a prediction")


def _extension(image: Path, volume: Volume) -> str:
    """Masks are written in the format of the image; pictures with several slices and unknown kinds as .nii.gz."""
    extension = ".dcm" if image.is_dir() else io.split_name(image)[1]
    if extension in (".png", ".jpg", ".jpeg", ".tif", ".tiff"):
        return ".png" if volume.grid.shape[0] == 1 else ".nii.gz"
    same = {".nhdr": ".nrrd", ".mhd": ".mha", ".ima": ".dcm", "": ".dcm" if volume.modality else ".nii.gz"}
    return same.get(extension, extension)


def _slug(name: str) -> str:
    """A prompt as a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "mask"


def _number(series: str | None) -> int | str | None:
    return int(series) if series is not None and series.isdigit() else series


def _note(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Our own warnings are one line; those of libraries are not for the user."""
    if issubclass(category, io.ImageWarning):
        sys.stderr.write(f"boltzformer: note: {message}\n")


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"boltzformer: {sentence}\n")
    return 2


def _say(as_json: bool, **event: object) -> None:
    if as_json:
        print(json.dumps(event), flush=True)
