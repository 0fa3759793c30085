"""The mean of several trainings that came from one model: often better than each (Wortsman et al., ICML 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from boltzformer.errors import CheckpointError
from boltzformer.evaluate.report import sha256_of
from boltzformer.speaking import say
from boltzformer.weights import checkpoint, registry
from boltzformer.weights.checkpoint import Checkpoint


def mean(models: Sequence[Path], output: Path) -> Checkpoint:
    """Every weight the mean of theirs; history and card are the last one's, with the hashes of all."""
    if len(models) < 2:
        raise CheckpointError("A mean needs at least two models: give their files.")
    made, about = registry.load(models[-1])
    state = {name: tensor.double() for name, tensor in made.state_dict().items()}
    for path in models[:-1]:
        other, told = registry.load(path)
        if (told.config, told.tokenizer) != (about.config, about.tokenizer):
            raise CheckpointError(f"{path} is built otherwise than {models[-1]}: give trainings of one model.")
        for name, tensor in other.state_dict().items():
            state[name] += tensor.double()
    made.load_state_dict({name: total / len(models) for name, total in state.items()})
    notes = {**about.history.notes, "mean of": [sha256_of(path) for path in models]}
    return checkpoint.save(output, made, replace(about.history, notes=notes), half=checkpoint.is_half(models[-1]))


def mean_command(
    models: Annotated[list[Path], typer.Argument(help="Files of trainings that began with one model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new file.")],
) -> None:
    """Make one model whose weights are the mean of several."""
    made = mean(models, output)
    say(f"{output} ({made.path.stat().st_size / 1e6:.1f} MB, sha256 {sha256_of(output)[:12]})")
