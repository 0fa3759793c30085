"""A model as it is passed on: its weights untouched, with the numbers of an evaluation and its card beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from boltzformer.atomic import replacing, write_text
from boltzformer.errors import BoltzFormerError, CheckpointError
from boltzformer.evaluate.report import sha256_of
from boltzformer.knowledge.card import Card
from boltzformer.knowledge.card_text import markdown
from boltzformer.speaking import say
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import Checkpoint, History


def publish(
    model: Path,
    results: Path,
    output: Path,
    *,
    volumes: Path | None = None,
    gate: float | None = None,
    picture: str = "",
    note: str = "",
) -> Checkpoint:
    """Copies a model with the numbers of `results` (metrics.json of `boltzformer evaluate`), and writes OUTPUT.md.

    `volumes`: another metrics.json, of whole volumes, which are told apart from those of pictures. `gate`: the least
    existence for a mask, where it is not the usual one; the evaluations must have been made with it.
    `note` joins what the card says of the split: weights made from all rows carry the numbers of the run that held some
    back, and must say so.
    """
    about = checkpoint.read(model)
    card = Card.of(about.history.notes)
    if card is None:
        raise CheckpointError(f"{model} has no card: give a model that `boltzformer train` made.")
    measured = replace(card, split=f"{card.split} {note}".strip()).measured(
        _facts(results), None if volumes is None else _facts(volumes)
    )
    macro, existence = measured.metrics["macro"], measured.metrics["existence"]
    found = {
        **{name: macro[name] for name in ("dice", "dice_small")},
        **{name: existence[name] for name in ("auroc_easy", "auroc_hard")},
    }
    history = replace(
        about.history,
        metrics={**about.history.metrics, **{name: value for name, value in found.items() if value is not None}},
        notes={
            **about.history.notes,
            **measured.notes(),
            **({} if gate is None else {"existence threshold": gate}),
        },
    )
    _rewrite(model, output, history)
    text = markdown(measured, history.name or output.stem, history.licence, picture)
    write_text(output.with_suffix(".md"), text)
    return checkpoint.read(output)


def publish_command(
    model: Annotated[Path, typer.Argument(help="A .safetensors file that `boltzformer train` made.")],
    results: Annotated[Path, typer.Option(help="Where `boltzformer evaluate` wrote, or its metrics.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new file; its card goes beside it, as .md.")],
    volumes: Annotated[Path | None, typer.Option(help="Another evaluation, of whole volumes, told apart.")] = None,
    gate: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least existence for a mask, if not the usual one.")
    ] = None,
    picture: Annotated[str, typer.Option(help="Name of a picture beside the card that shows failures.")] = "",
    note: Annotated[str, typer.Option(help="A sentence on whose numbers these are, if of another run.")] = "",
) -> None:
    """Put the numbers of an evaluation into a model file and write its card."""
    numbers, whole = (one / "metrics.json" if one is not None and one.is_dir() else one for one in (results, volumes))
    assert numbers is not None
    about = publish(model, numbers, output, volumes=whole, gate=gate, picture=picture, note=note)
    say(f"{output} ({about.path.stat().st_size / 1e6:.1f} MB, sha256 {sha256_of(output)[:12]})")


def _facts(path: Path) -> Mapping[str, Any]:
    try:
        facts = json.loads(path.read_text("utf-8"))
        if not {"macro", "existence", "targets"} <= set(facts):
            raise ValueError("it lacks macro, existence or targets")
    except (OSError, ValueError, TypeError) as error:
        raise BoltzFormerError(
            f"{path} does not hold the numbers of an evaluation ({error}): give what `boltzformer evaluate` wrote."
        ) from error
    return facts


def _rewrite(source: Path, target: Path, history: History) -> None:
    """The same tensors, bit for bit and in the same precision, under another history."""
    with safe_open(source, framework="pt") as file:
        header = dict(file.metadata())
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            save_file(load_file(source), part, metadata={**header, "history": json.dumps(asdict(history))})
    except OSError as error:
        raise CheckpointError(
            f"{target} can't be written ({error}): free some space or choose another folder."
        ) from error
