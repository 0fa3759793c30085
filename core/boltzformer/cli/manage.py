"""`boltzformer models …` and `cache …`: what is kept between runs, and the cards of models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from boltzformer.errors import BoltzFormerError
from boltzformer.home import FOLDERS, folder, size_of
from boltzformer.knowledge import card_text, suggestions
from boltzformer.knowledge.card import NOTE, Card
from boltzformer.speaking import say
from boltzformer.weights import checkpoint, hub, registry
from boltzformer.weights.checkpoint import Checkpoint
from boltzformer.weights.convert import Origin, Report, convert, read_config
from boltzformer.weights.download import Received
from boltzformer.weights.hub import UNSTATED
from boltzformer.weights.registry import Registered

models = typer.Typer(help="Models, kept under a name: get, import, list, remove.", no_args_is_help=True)
cache = typer.Typer(help="What is kept only to save time.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")]
Licence = Annotated[str, typer.Option(help="The licence that the weights came with, to be kept with them.")]
Skip = Annotated[
    list[str] | None, typer.Option(help="Beginning of names in the file that are not the model's; several times.")
]
Config = Annotated[
    Path | None, typer.Option(help="The model's configuration as JSON, where it has other sizes than published ones.")
]


def card(about: Checkpoint) -> dict[str, Any]:
    """What a model file says about itself."""
    history, told = about.history, Card.of(about.history.notes)
    facts: dict[str, Any] = {
        "model": history.name or about.path.stem,
        "trained on": history.data,
        "licence": history.licence or "not stated",
        "parent": history.parent or "none",
        "parameters": about.parameters,
        "input": f"{about.config.image_size} pixels, {about.config.channels}",
        "encoder": about.config.encoder.kind,
        "existence head": about.config.decoder.existence,
        "metrics": dict(history.metrics),
        "notes": {name: value for name, value in history.notes.items() if name != NOTE},
        **(card_text.facts(told) if told else {}),
        "card": history.notes.get(NOTE, {}),
        "model file": str(about.path),
        "model sha256": about.sha256,
    }
    return {key: value for key, value in facts.items() if value not in ({}, "")}


def asked_for(model: str, words: str, modality: str) -> list[tuple[suggestions.Template, str]]:
    """Phrasings of public data, and those that only this model was taught; beside each how well it knows it, in a few
    words, '' from a model that has no card."""
    told = Card.of(checkpoint.read(registry.resolve(model)).history.notes)
    public = {one.prompt for one in suggestions.templates()}
    own = [] if told is None else [one for one in told.candidates() if public.isdisjoint(one.prompts)]
    more = [suggestions.Template(one.modality, "", one.target, one.prompts[0], one.prompts[1:]) for one in own]
    found = suggestions.search(words, modality, more)
    return [(one, told.knows(one.prompt).mark() if told else "") for one in found]


def kept() -> dict[str, Any]:
    """The folders and their sizes."""
    return {name: {"path": str(folder(name)), "mb": round(size_of(folder(name)) / 1e6, 3)} for name in FOLDERS}


def lines(facts: dict[str, Any]) -> str:
    """Facts for a person, one per line; a model's whole card below them."""
    width = max(map(len, facts)) + 2
    told = Card.of(facts)
    said = [f"{key:{width}}{_plain(key, value)}" for key, value in facts.items() if key != NOTE]
    return "\n".join(said) + (f"\n\n{card_text.markdown(told, facts['model'], facts['licence'])}" if told else "")


@models.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Every model that `--model` knows by name."""
    known = {"default": registry.resolve("default"), **registry.registered()}
    rows: list[dict[str, Any]] = []
    for name, path in known.items():
        try:
            about = checkpoint.read(path)
            rows.append({"name": name, "trained on": about.history.data, "path": str(path)})
        except BoltzFormerError as error:
            rows.append({"name": name, "error": str(error), "path": str(path)})
    if as_json:
        say(json.dumps(rows))
        return
    for row in rows:
        say(f"{row['name']:24}{row.get('trained on') or row.get('error') or ''}  ({row['path']})")


@models.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="Published weights (.ckpt, .pt, .safetensors), or a file of our own.")],
    name: Annotated[str, typer.Option(help="What to call it; the file's name if left out.")] = "",
    licence: Licence = "",
    config: Config = None,
    skip: Skip = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of this name.")] = False,
) -> None:
    """Copy a model into our folder, converted if need be, so that `--model NAME` finds it. Needs no network."""
    shape = None if config is None else read_config(config)
    made = registry.add(file, name, overwrite=overwrite, origin=Origin(licence=licence), config=shape, skip=skip or ())
    _tell(made)


@models.command("get")
def get_model(
    what: Annotated[str, typer.Argument(help=f"{', '.join(hub.KNOWN)}, or owner/repository:file on the hub.")],
    name: Annotated[str, typer.Option(help="What to call it; else a name made from where it lies.")] = "",
    skip: Skip = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of this name.")] = False,
) -> None:
    """Download weights, check them, convert them, and register them. An interrupted download goes on."""
    _tell(_watched(registry.get(what, name, overwrite=overwrite, skip=skip or ())))


def convert_file(
    source: Annotated[Path, typer.Argument(help="Published weights: .ckpt, .pt or .safetensors.")],
    target: Annotated[Path, typer.Argument(help="The .safetensors file to write; a card appears beside it.")],
    licence: Licence = "",
    config: Config = None,
    skip: Skip = None,
    init: Annotated[
        bool,
        typer.Option("--init", help="Of X-Decoder or SEEM, take whatever fits as a start for training; list the rest."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of this name.")] = False,
) -> None:
    """Make published weights a model file of our own. Nothing from them is run; every name must be explained."""
    if target.suffix != ".safetensors":
        raise BoltzFormerError(f"{target} does not end in .safetensors: the model is written in that format only.")
    if target.exists() and not overwrite:
        raise BoltzFormerError(f"{target} exists already: choose another name, or give --overwrite.")
    shape = None if config is None else read_config(config)
    report = convert(source, target, origin=Origin(licence=licence), config=shape, skip=skip or (), start=init)
    say(f"{report.in_words() if init else report}\n{_use(report, target)}")


def found(model: str) -> Path:
    """As `checkpoint.resolve`, with a bar while a model from the hub is downloaded."""
    spot = hub.spot_of(model)
    fetch = spot is not None and not Path(model).exists() and model not in hub.KNOWN
    if spot is not None and fetch and spot.name not in registry.registered():
        _tell(_watched(registry.get(model)), err=True)
    return registry.resolve(model)


def _watched(events: Iterator[hub.Offered | Received | hub.Fetched | Registered]) -> Registered:
    """What happens meanwhile, for the person in front of it."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    watched = console.is_terminal
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not watched) as bar:
        task = bar.add_task("downloading", visible=False)
        for event in events:
            match event:
                case hub.Offered():
                    terms = event.licence or "not declared"
                    console.print(
                        f"{event.spot}: {event.size / 1e6:.1f} MB, licence: {terms}, see {event.page}",
                        highlight=False,
                        soft_wrap=True,
                        markup=False,
                    )
                case Received():
                    bar.update(task, completed=event.done, total=event.total, visible=True)
                case hub.Fetched():
                    bar.update(task, description="converting and checking")
                case Registered():
                    return event
    raise AssertionError("the last event is always Registered")


def _tell(made: Registered, *, err: bool = False) -> None:
    report = "" if made.report is None else f"{made.report}\n{_use(made.report, made.name)}\n"
    licence = made.checkpoint.history.licence or UNSTATED
    say(f"{report}licence: {licence}\nregistered '{made.name}' ({made.checkpoint.path})", err=err)


def _use(report: Report, where: str | Path) -> str:
    """What can be done with it."""
    if report.random:
        return f"a start for training, not a model to segment with: give it to training as --init {where}"
    return f"use it with --model {where}"


@models.command("remove")
def remove_model(name: Annotated[str, typer.Argument(help="As `models list` shows it.")]) -> None:
    """Delete our copy of a registered model."""
    say(f"removed {registry.remove(name)}")


@cache.command("clear")
def clear_cache() -> None:
    """Empty the cache folder; models and logs stay."""
    place = folder("cache")
    freed = size_of(place)
    try:
        for inside in place.iterdir() if place.is_dir() else ():
            shutil.rmtree(inside) if inside.is_dir() and not inside.is_symlink() else inside.unlink()
    except OSError as error:
        raise BoltzFormerError(f"{place} can't be emptied ({error.strerror}): check its permissions.") from error
    say(f"freed {freed / 1e6:.1f} MB in {place}")


def _plain(key: str, value: object) -> str:
    """A fact as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return card_text.in_short(value) if key == "metrics" else ", ".join(f"{a} {b}" for a, b in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
