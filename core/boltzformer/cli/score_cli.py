"""`boltzformer score …` and `evaluate --as …`: by the rules of a yardstick of the field, finished masks or our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from boltzformer.atomic import write_text
from boltzformer.cli.show import Show
from boltzformer.engine.engine import load
from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.report import check_folder
from boltzformer.evaluate.yardsticks.asking import answered, with_seconds
from boltzformer.evaluate.yardsticks.known import YARDSTICKS, yardstick
from boltzformer.evaluate.yardsticks.scores import Scores


def score_command(
    truth: Annotated[Path, typer.Argument(help="The folder with the truth, in the yardstick's own layout.")],
    answers: Annotated[Path, typer.Argument(help="The folder with the answers, named like their cases.")],
    name: Annotated[str, typer.Option("--as", help=f"{', '.join(YARDSTICKS)}.")],
    as_json: Annotated[bool, typer.Option("--json", help="All numbers as JSON on standard output.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The official table on standard output.")] = False,
) -> None:
    """Score finished masks as the field does, to the last digit; nothing is written."""
    if as_json and as_csv:
        raise BoltzFormerError("--json and --csv are two forms of one output: give one of them.")
    told(yardstick(name).score(truth, answers), as_json, as_csv)


def evaluate_as(
    name: str, data: Path, output: Path, model: str, device: str, seed: int, blind: bool, as_json: bool
) -> None:
    """A model answers all cases of a folder; where the truth is there, they are scored, unless it is to be blind.

    Every answer lies in `output` as soon as it is made, in the yardstick's own form; scores.json and scores.csv follow.
    """
    rules = yardstick(name)
    if not data.exists():
        raise BoltzFormerError(f"There is no folder {data}: give the data in the layout of {name}.")
    questions = rules.questions(data, output, blind)
    check_folder(output)
    engine = load(model, device=device)
    output.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    with Show(as_json) as show:
        show.say(f"{len(questions)} cases, {engine.about.history.name}, {engine.device}.")
        show.cases(len(questions))
        for case, took in answered(questions, engine, seed):
            seconds[case] = took
            show.case_done()
    if blind or not rules.has_truth(data):
        why = "" if blind else "; there is no truth to score them with"
        if not as_json:
            typer.echo(f"{len(questions)} answers in {output}{why}")
        return
    scores = rules.timed(with_seconds(rules.score(data, output), seconds), data)
    facts = {"yardstick": name, "model": engine.about.history.name, "sha256": engine.about.sha256, "seed": seed}
    write_text(output / "scores.json", json.dumps({**facts, **scores.as_json()}, indent=1) + "\n")
    write_text(output / "scores.csv", scores.as_csv())
    told(scores, as_json, False)


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
