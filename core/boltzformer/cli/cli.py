"""`boltzformer …`: every command's options, and the door that turns errors into one sentence and an exit code."""

from __future__ import annotations

import json
import platform
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from errno import EBADF, EIO, ENOSPC, EPIPE
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from boltzformer import io
from boltzformer.cli import manage, proof_cli
from boltzformer.cli.abilities import registered_abilities
from boltzformer.cli.archive import Shard
from boltzformer.cli.bundle_cli import bundle_command
from boltzformer.cli.casework import Casework, engine_of, place_like, run_all
from boltzformer.cli.cluster_cli import OnCluster, archive_on_cluster, with_address
from boltzformer.cli.dataset_cli import dataset
from boltzformer.cli.evaluate_cli import evaluate_command, score_command
from boltzformer.cli.finetune_cli import finetune_command
from boltzformer.cli.mcp_cli import mcp_command
from boltzformer.cli.proof_cli import bench, parity
from boltzformer.cli.request import Request, repeated, series_number
from boltzformer.cli.show import Show
from boltzformer.cli.train_cli import train
from boltzformer.engine.devices import choose
from boltzformer.engine.engine import load
from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.publish import publish_command
from boltzformer.evaluate.review import review_command
from boltzformer.io.cases import FORMATS
from boltzformer.knowledge import suggestions
from boltzformer.learn.finetune.adapters import join_command
from boltzformer.learn.training_run import mean_command
from boltzformer.speaking import lost, say, sentence_about, shown
from boltzformer.version import VERSION
from boltzformer.weights import checkpoint
from boltzformer.weights.promotion import lineage_command, promote_command, rollback_command

NOTICE = "Research only, not for clinical use."
CommandLineError: Any = typer.BadParameter.__mro__[2]
"""click's ClickException, wherever this version of typer keeps it."""

app = typer.Typer(
    name="boltzformer",
    help="Type what you look for, get a mask. Research only, not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(bench, name="bench")
app.command("parity")(parity)
app.add_typer(manage.models, name="models")
app.add_typer(manage.cache, name="cache")
app.command("train")(train)
app.command("evaluate")(evaluate_command)
app.command("score")(score_command)
app.command("finetune")(finetune_command)
app.command("review")(review_command)
manage.models.command("join")(join_command)
manage.models.command("promote")(promote_command)
manage.models.command("rollback")(rollback_command)
manage.models.command("lineage")(lineage_command)
manage.models.command("publish")(publish_command)
manage.models.command("mean")(mean_command)
app.add_typer(dataset, name="dataset")
app.command("convert")(manage.convert_file)
app.command("mcp")(mcp_command)
app.command("bundle")(bundle_command)

Series = Annotated[str | None, typer.Option(help="Which DICOM series: its number in the list, or its UID.")]
Frame = Annotated[int | None, typer.Option(help="Which time point or channel, from 1.")]
AllowGaps = Annotated[bool, typer.Option("--allow-gaps", help="Read a series although slices are missing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")]
Model = Annotated[
    str,
    typer.Option(
        help="'default', a name from `boltzformer models list`, a .safetensors file, or owner/repository:file."
    ),
]

Precision = Annotated[
    str,
    typer.Option(
        help="auto, float32 or bfloat16; on a CPU of encoder and pixel decoder, what is drawn is float32 there."
    ),
]


@app.command()
def segment(
    images: Annotated[list[Path], typer.Argument(help=f"Files, folders, or lists (.txt, .jsonl): {io.READABLE}.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help=f"A folder (made when absent), or for one image a file: {io.WRITABLE}."),
    ],
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", "-p", help="What to look for; may be given several times.")
    ] = None,
    model: Model = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:NUMBER or mps.")] = "auto",
    precision: Precision = "auto",
    batch_size: Annotated[int | None, typer.Option(help="Slices at once on a GPU; a CPU takes one by one.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same mask.")] = 0,
    window: Annotated[
        str, typer.Option(help="auto, soft tissue, lung, brain, bone, percentiles, stored, or WIDTH/LEVEL.")
    ] = "auto",
    axis: Annotated[
        str | None, typer.Option(help="Slice it axial, coronal or sagittal, whatever its grid says.")
    ] = None,
    slices: Annotated[str | None, typer.Option(help="A:B, 0-based, without B; or one slice.")] = None,
    threshold: Annotated[float, typer.Option(help="Probability from which a voxel belongs to the mask.")] = 0.5,
    existence: Annotated[
        float | None,
        typer.Option(help="Slices less likely than this to hold the object stay empty; else the model's own."),
    ] = None,
    suppress: Annotated[
        bool,
        typer.Option("--suppress", help="Where prompts mark the same object keep the surer one; nested ones stay."),
    ] = False,
    smallest: Annotated[float, typer.Option(help="Drop objects below this many mm³.")] = 0.0,
    largest: Annotated[int | None, typer.Option(help="Keep only so many of the largest objects per prompt.")] = None,
    objects: Annotated[
        bool,
        typer.Option("--objects", help="Of a picture: part objects that touch, and number each one in a picture."),
    ] = False,
    smooth: Annotated[int, typer.Option(help="Average the existence over so many slices (odd).")] = 1,
    samples: Annotated[int, typer.Option(help="So many seeds: their mean, and where they disagree.")] = 1,
    region: Annotated[
        str | None,
        typer.Option(help="Look only at this box, enlarged: corners I,J,K:I,J,K; or 'found', around a first pass."),
    ] = None,
    here: Annotated[
        list[str] | None, typer.Option(help="The object is at voxel I,J,K (0-based; I,J in 2-D); several times.")
    ] = None,
    not_here: Annotated[list[str] | None, typer.Option(help="It is not at voxel I,J,K; several times.")] = None,
    box: Annotated[
        str | None, typer.Option(help="It is in this box, I,J,K:I,J,K: in those slices look nowhere else.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Look at slices of so many pixels, up to twice what the model was trained at.")
    ] = None,
    tiles: Annotated[
        bool | None,
        typer.Option(
            "--tiles/--no-tiles",
            help="A picture much larger than the model's input: in tiles, or shrunk. By itself, microscopy is tiled.",
        ),
    ] = None,
    scout: Annotated[
        int | None,
        typer.Option(help="Such as 4: every 4th slice first, then only where something may be; not the others."),
    ] = None,
    lessons: Annotated[
        Path | None,
        typer.Option(help="A mask on the image's grid, right in --lesson-slices: they teach the model the rest first."),
    ] = None,
    lesson_slices: Annotated[
        str | None, typer.Option(help="0-based, such as 12,30,47; one without a marked voxel: the object is not there.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Of learning from the lessons.")] = 20.0,
    lesson_steps: Annotated[
        int | None, typer.Option(help="So many steps instead of --seconds: the same lessons then give the same mask.")
    ] = None,
    mm: Annotated[bool, typer.Option("--mm", help="All points and corners are LPS millimetres X,Y,Z.")] = False,
    series: Series = None,
    frame: Frame = None,
    allow_gaps: AllowGaps = False,
    resample: Annotated[
        bool,
        typer.Option(
            "--resample", help="Allow masks of a tilted series to be straightened, for programs without shear."
        ),
    ] = False,
    format: Annotated[str | None, typer.Option(help=f"{', '.join(FORMATS)}; else as the image.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write each voxel's probability too, before threshold and gate.")
    ] = False,
    sampling_maps: Annotated[
        bool,
        typer.Option(
            "--sampling-maps", help="Write where the model looked: in each of --slices, else in the slice with most."
        ),
    ] = False,
    lesions: Annotated[bool, typer.Option("--lesions", help="Write a table of all objects, CSV and JSON.")] = False,
    shard: Annotated[
        str | None, typer.Option(help="Only this share of the images, such as 3/8: the others are for other machines.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="On Ray: HOST:PORT or auto for a cluster that runs, local or nothing for this computer."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Models at once on the cluster; else what fits.")] = None,
    reproduce: Annotated[
        Path | None, typer.Option(help="Repeat what this provenance.json tells; all but the places comes from it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that were made differently.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find what the prompts name, slice by slice, and write masks on the images' own grids."""
    if reproduce is None:
        if not prompt:
            raise BoltzFormerError("Missing option '--prompt' / '-p': say what to look for, e.g. -p \"lung nodule\".")
        told = None
        request = Request(
            tuple(prompt),
            seed=seed,
            window=window,
            axis=axis,
            slices=slices,
            threshold=threshold,
            existence=existence,
            suppress=suppress,
            smallest_mm3=smallest,
            largest=largest,
            objects=objects or None,
            smooth=smooth,
            samples=samples,
            region=region,
            size=size,
            here=tuple(here or ()),
            not_here=tuple(not_here or ()),
            box=box,
            tiles=tiles,
            scout=scout,
            mm=mm,
            series=series,
            frame=frame,
            allow_gaps=allow_gaps,
            resample=resample,
            format=format,
            probabilities=probabilities,
            sampling_maps=sampling_maps,
            lesions=lesions,
            lessons=None if lessons is None else str(lessons),
            lesson_slices=lesson_slices,
            seconds=None if lessons is None or lesson_steps is not None else seconds,
            lesson_steps=lesson_steps,
        )
    else:
        told, request = repeated(reproduce, format)
        if prompt:
            raise BoltzFormerError("--reproduce takes the prompts from its file: leave -p out.")
    share = None if shard is None else Shard.parse(shard)
    if batch_size is not None and batch_size < 1:
        raise BoltzFormerError(f"--batch-size {batch_size} is none: give a number from 1.")
    if cluster is not None:
        if told is not None:
            raise BoltzFormerError("--reproduce repeats one image, which needs no cluster: leave --cluster out.")
        how = OnCluster(cluster, workers, share, device, precision, overwrite, batch_size)
        code = archive_on_cluster(request, output, manage.found(model), images, how, as_json=as_json)
        if code:
            raise typer.Exit(code)
        return
    if workers is not None:
        raise BoltzFormerError("--workers are those of a cluster: add --cluster.")
    choose(device, precision)  # what can't be is said before anything is read
    about = checkpoint.read(manage.found(model))
    if told is None or device != "auto" or precision != "auto":
        place = choose(device, precision, about.config)
    else:
        place = place_like(told, about.config)
    with Show(as_json) as show:
        work = Casework(request, output, about, place, engine_of(about, place, show), show, overwrite, batch_size, told)
        code = run_all(work, images, share)
    if show.lost:
        raise BoltzFormerError(show.lost)
    if code:
        raise typer.Exit(code)


@app.command()
def info(
    images: Annotated[list[Path] | None, typer.Argument(help="Images to describe; without any: this machine.")] = None,
    model: Annotated[str | None, typer.Option(help="Show this model's card: 'default', a name, or a file.")] = None,
    series: Series = None,
    frame: Frame = None,
    allow_gaps: AllowGaps = False,
    as_json: AsJson = False,
) -> None:
    """Where an image lies and how it will be sliced; a model's card; or what this machine is and how fast."""
    if images:
        how: dict[str, Any] = {"series": series_number(series), "frame": frame, "allow_gaps": allow_gaps}
        described = [io.describe(image, **how) for image in images]
        say(json.dumps(described) if as_json else "\n\n".join(io.in_words(facts) for facts in described))
        return
    if model is not None:
        about = checkpoint.read(manage.found(model))
        place = choose(config=about.config)
        runs = {"precision here": f"{place.in_words}, on {place.device}. {place.why}"}
        facts = {**manage.card(about), **runs, "notice": NOTICE}
    else:
        engine = load("default")
        cost = proof_cli.measured(engine)
        peak = "" if cost.peak_mb is None else f", {cost.peak_mb:.0f} MB at most for the whole process"
        facts = {
            "boltzformer": VERSION,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "device": proof_cli.device_in_words(engine),
            "per slice": f"{cost.seconds:.3f} s for one prompt (measured just now){peak}",
            **manage.card(engine.about),
            **{f"{name} folder": f"{at['path']} ({at['mb']:.1f} MB)" for name, at in manage.kept().items()},
            "notice": NOTICE,
        }
        if as_json:
            facts |= {"seconds_per_slice": cost.seconds, "peak_mb": cost.peak_mb, "weights_mb": cost.weights_mb}
            facts |= {"folders": manage.kept(), **registered_abilities()}
    say(json.dumps(facts) if as_json else manage.lines(facts))


@app.command()
def prompts(
    words: Annotated[list[str] | None, typer.Argument(help="What to look for, e.g. liver; all if left out.")] = None,
    modality: Annotated[str, typer.Option(help="Only for CT, MR, US, X-ray, …")] = "",
    model: Model = "default",
    as_json: AsJson = False,
) -> None:
    """Search phrasings that segmentation data use, and see which the model was taught. Free text is always allowed."""
    if modality and not suggestions.modality_named(modality):
        known = ", ".join(suggestions.MODALITIES)
        raise BoltzFormerError(f"There is no modality '{modality}': choose one of {known}.")
    found = manage.asked_for(model, " ".join(words or ()), modality)
    if as_json:
        say(json.dumps([asdict(one) | {"model": known} for one, known in found]))
        return
    for one, known in found:
        say(f"{one.prompt:56} {', '.join(filter(None, (one.modality, one.anatomy))):28} {known}".rstrip())


@app.command()
def serve(
    model: Model = "default",
    host: Annotated[str, typer.Option(help="Only this computer itself is served: 127.0.0.1.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    token_file: Annotated[
        Path, typer.Option(help="Address and token are written here, readable for you alone; removed at the end.")
    ] = Path("boltzformer-token.json"),
) -> None:
    """Serve this model to programs of this computer: `Session.connect(**json.load(open(token_file)))`."""
    from boltzformer.server import process  # the web server's libraries, for this command alone

    process.serve(model, host, port, token_file)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        say(VERSION)
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """The exit code; errors become one sentence on standard error."""
    warnings.showwarning = _note
    try:
        code: int = app(with_address(arguments), prog_name="boltzformer", standalone_mode=False) or 0
        sys.stdout.flush()
        return code
    except BoltzFormerError as error:
        return _refuse(str(error))
    except CommandLineError as error:
        said = error.format_message().rstrip(".")  # empty where the help itself was shown instead
        return _refuse(f"{said}. See: boltzformer --help") if said else 2
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("boltzformer: stopped.\n")
        return 130
    except Exception as error:
        # What we open ourselves has a name, and errors of our own about it.
        unheard = isinstance(error, OSError) and error.errno in (ENOSPC, EPIPE, EBADF, EIO) and not error.filename
        return _refuse(lost(error) if unheard else sentence_about(error))  # type: ignore[arg-type]


def _note(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Our own warnings are one line; those of libraries are not for the user."""
    if issubclass(category, io.ImageWarning):
        sys.stderr.write(f"boltzformer: note: {shown(str(message))}\n")


def _refuse(sentence: str) -> int:
    with suppress(OSError):
        sys.stderr.write(f"boltzformer: {shown(sentence)}\n")
    return 2
