"""`boltzformer score …`: finished masks, whoever made them, by the rules of a yardstick of the field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.yardsticks import biomedparse, cvpr25_interactive, cvpr25_text, rex
from boltzformer.evaluate.yardsticks.scores import Scores

YARDSTICKS: Mapping[str, Callable[[Path, Path], Scores]] = {
    "cvpr25-text": cvpr25_text.score,
    "cvpr25-interactive": cvpr25_interactive.score,
    "rex": rex.score,
    "biomedparse": biomedparse.score,
}
"""How `--as` calls them."""


def score_command(
    truth: Annotated[Path, typer.Argument(help="The folder with the truth, in the yardstick's own layout.")],
    answers: Annotated[Path, typer.Argument(help="The folder with the answers, named like their cases.")],
    yardstick: Annotated[str, typer.Option("--as", help=f"{', '.join(YARDSTICKS)}.")],
    as_json: Annotated[bool, typer.Option("--json", help="All numbers as JSON on standard output.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The official table on standard output.")] = False,
) -> None:
    """Score finished masks as the field does, to the last digit; nothing is written."""
    if as_json and as_csv:
        raise BoltzFormerError("--json and --csv are two forms of one output: give one of them.")
    told(one_of(yardstick)(truth, answers), as_json, as_csv)


def one_of(yardstick: str) -> Callable[[Path, Path], Scores]:
    """The yardstick of that name."""
    if yardstick not in YARDSTICKS:
        raise BoltzFormerError(f"There is no yardstick '{yardstick}': choose one of {', '.join(YARDSTICKS)}.")
    return YARDSTICKS[yardstick]


def told(scores: Scores, as_json: bool, as_csv: bool) -> None:
    """In the form that was asked for."""
    if scores.unanswered:
        count, names = len(scores.unanswered), ", ".join(scores.unanswered[:5])
        names += ", …" if count > 5 else ""
        typer.echo(f"boltzformer: note: not counted, for want of an answer ({count}): {names}", err=True)
    if as_json:
        typer.echo(json.dumps(scores.as_json()))
    elif as_csv:
        typer.echo(scores.as_csv(), nl=False)
    else:
        typer.echo(scores.as_table())
