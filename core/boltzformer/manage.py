"""`boltzformer models …` and `cache …`: what is kept between runs, and the cards of models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from boltzformer import card_text, checkpoint, registry
from boltzformer.card import NOTE, Card
from boltzformer.checkpoint import Checkpoint
from boltzformer.errors import BoltzFormerError
from boltzformer.home import FOLDERS, folder, size_of

models = typer.Typer(help="Model files of our own, kept under a name.", no_args_is_help=True)
cache = typer.Typer(help="What is kept only to save time.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")]


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


def kept() -> dict[str, Any]:
    """The folders and their sizes."""
    return {name: {"path": str(folder(name)), "mb": round(size_of(folder(name)) / 1e6, 3)} for name in FOLDERS}


def lines(facts: dict[str, Any]) -> str:
    """Facts for a person, one per line; a model's whole card below them."""
    width = max(map(len, facts)) + 2
    told = Card.of(facts)
    said = [f"{key:{width}}{_plain(value)}" for key, value in facts.items() if key != NOTE]
    return "\n".join(said) + (f"\n\n{card_text.markdown(told, facts['model'], facts['licence'])}" if told else "")


@models.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Every model that `--model` knows by name."""
    known = {"default": checkpoint.resolve("default"), **registry.registered()}
    rows: list[dict[str, Any]] = []
    for name, path in known.items():
        try:
            about = checkpoint.read(path)
            rows.append({"name": name, "trained on": about.history.data, "path": str(path)})
        except BoltzFormerError as error:
            rows.append({"name": name, "error": str(error), "path": str(path)})
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo(f"{row['name']:24}{row.get('trained on') or row.get('error') or ''}  ({row['path']})")


@models.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="A .safetensors file that this program saved.")],
    name: Annotated[str, typer.Option(help="What to call it; the file's name if left out.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of this name.")] = False,
) -> None:
    """Copy a model file into our folder, so that `--model NAME` finds it."""
    about = registry.add(file, name, overwrite=overwrite)
    typer.echo(f"registered '{about.path.stem}' ({about.path})")


@models.command("remove")
def remove_model(name: Annotated[str, typer.Argument(help="As `models list` shows it.")]) -> None:
    """Delete our copy of a registered model."""
    typer.echo(f"removed {registry.remove(name)}")


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
    typer.echo(f"freed {freed / 1e6:.1f} MB in {place}")


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
