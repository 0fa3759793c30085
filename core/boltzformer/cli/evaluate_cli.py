"""`boltzformer evaluate …`: from a manifest to a folder with predictions, numbers, a table and a contact sheet; `score
…` and `evaluate --as …`: by the rules of a yardstick of the field."""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from boltzformer.atomic import write_text
from boltzformer.cli.cluster_cli import demand_cluster
from boltzformer.cli.cluster_each import Workplace, evaluated
from boltzformer.cli.show import Show
from boltzformer.engine.engine import Engine, load
from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate import report
from boltzformer.evaluate.evaluate import Scored, answers_of, check_files, draw_absent, evaluate
from boltzformer.evaluate.report import check_folder, contact_sheet
from boltzformer.evaluate.summary import summary
from boltzformer.evaluate.yardsticks.asking import answered, with_seconds
from boltzformer.evaluate.yardsticks.registry import YARDSTICKS, yardstick
from boltzformer.evaluate.yardsticks.scores import Scores
from boltzformer.knowledge.absent import Listed
from boltzformer.knowledge.card import Card
from boltzformer.knowledge.manifest import Row, part_of, read_manifest, read_split
from boltzformer.speaking import say


def evaluate_command(
    manifest: Annotated[
        Path, typer.Argument(help="A .jsonl with a line per image and mask; with --as, data in that layout.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, made when absent.")],
    split: Annotated[
        Path | None, typer.Option(help="The groups held back for validation (.json); needs --part.")
    ] = None,
    part: Annotated[str | None, typer.Option(help="train or validation: only this side of the split.")] = None,
    licensed: Annotated[
        bool, typer.Option("--licensed", help="Only rows whose licence allows weights to be passed on.")
    ] = False,
    model: Annotated[str, typer.Option(help="'default', a registered name, or a .safetensors file.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:NUMBER or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16 (on a CPU, of the first pass).")] = "auto",
    save_masks: Annotated[bool, typer.Option("--save-masks", help="Keep every mask, on its image's grid.")] = False,
    seed: Annotated[int, typer.Option(help="Of the model's draws, the absent prompts and the intervals.")] = 0,
    min_masks: Annotated[int, typer.Option(help="Targets with fewer masks don't count in the means.")] = 5,
    yardstick: Annotated[
        str | None, typer.Option("--as", help=f"Asked and scored as the field does: {', '.join(YARDSTICKS)}.")
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="With --as: answer only, and look at no truth that lies beside a question.")
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(help="On Ray: HOST:PORT or auto for a cluster that runs, local or nothing for this computer."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Models at once on the cluster; else what fits.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as JSON on standard output.")] = False,
) -> None:
    """Ask for every row of a manifest as a user would, and say how good the answers are."""
    if workers is not None and cluster is None:
        raise BoltzFormerError("--workers are those of a cluster: add --cluster.")
    if yardstick is not None:
        _check_alone(split is not None, part is not None, licensed, save_masks, cluster is not None)
        _check_options(None, None, seed, min_masks)
        evaluate_as(yardstick, manifest, output, model, device, precision, seed, blind, as_json)
        return
    if blind:
        raise BoltzFormerError("--blind belongs to --as: leave it out, or say which layout the data have.")
    if find_spec("monai") is None:
        raise BoltzFormerError("Borders are measured by MONAI: pip install 'napari-boltzformer[train]', then again.")
    _check_options(split, part, seed, min_masks)
    if cluster is not None:
        demand_cluster(cluster)
    everything = read_manifest(manifest)
    rows = selected(everything, split, part, licensed)
    check_files(rows)
    report.check_folder(output)
    engine = load(model, device=device, dtype=precision)
    card = Card.of(engine.about.history.notes)
    known = card.candidates() if card else ()
    listed = Listed.of(everything, known)
    drawn = [] if any(row.mask is None for row in rows) else draw_absent(rows, listed, known, seed)
    answers = answers_of(engine, seed)
    with Show(as_json) as show, report.staged(output) as folder:
        show.say(
            f"{len(rows)} rows and {len(drawn)} drawn absent prompts, {engine.about.history.name}, {engine.device}."
        )
        scored: list[Scored] = []
        show.cases(len(rows))
        masks = folder / "masks" if save_masks else None
        if cluster is None:
            found = evaluate(answers, rows, listed, drawn, seed=seed, masks=masks)
        else:
            where = Workplace(cluster, workers)
            found = evaluated(where, engine, device, precision, rows, listed, drawn, seed=seed, masks=masks, show=show)
        for one in found:
            scored.append(one)
            if one.absent is None and one.usual:
                show.case_done()
        facts = {
            "model": _model_facts(engine),
            "data": {
                "manifest": str(manifest),
                "sha256": report.sha256_of(manifest),
                "part": part,
                "licensed": licensed,
                "rows": len(rows),
                "seed": seed,
            },
            **summary(scored, card.taught if card else None, min_masks=min_masks, seed=seed),
        }
        report.write_all(folder, facts, scored, manifest.parent)
        contact_sheet(folder / "contact.png", scored, answers)
    if as_json:
        say(json.dumps(facts))
    else:
        say(report.table(facts))
        say(f"\nEvery row, all numbers and the contact sheet: {output}")


def selected(rows: tuple[Row, ...], split: Path | None, part: str | None, licensed: bool) -> tuple[Row, ...]:
    """The rows to evaluate."""
    chosen = rows if split is None else part_of(rows, read_split(split), "train" if part == "train" else "validation")
    chosen = tuple(row for row in chosen if row.licensed or not licensed)
    if not chosen:
        raise BoltzFormerError("No row of the manifest is left: check --split, --part and --licensed.")
    return chosen


def _check_alone(*given: bool) -> None:
    if any(given):
        raise BoltzFormerError(
            "--split, --part, --licensed, --save-masks and --cluster belong to manifests: leave them out."
        )


def _check_options(split: Path | None, part: str | None, seed: int, min_masks: int) -> None:
    if part not in (None, "train", "validation"):
        raise BoltzFormerError(f"There is no part '{part}': give --part train or --part validation.")
    if (split is None) != (part is None):
        raise BoltzFormerError("--split and --part belong together: give both, or neither for the whole manifest.")
    for name, value, least in (("--seed", seed, 0), ("--min-masks", min_masks, 1)):
        if value < least:
            raise BoltzFormerError(f"{name} {value} is too small: give at least {least}.")


def _model_facts(engine: Engine) -> dict[str, Any]:
    about = engine.about
    return {
        "name": about.history.name,
        "sha256": about.sha256,
        "parameters": about.parameters,
        "device": engine.device,
        "precision": engine.precision,
        "versions": {name: version(name) for name in ("torch", "monai", "numpy")},
    }


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
    name: str,
    data: Path,
    output: Path,
    model: str,
    device: str,
    precision: str,
    seed: int,
    blind: bool,
    as_json: bool,
) -> None:
    """A model answers all cases of a folder; where the truth is there, they are scored, unless it is to be blind.

    Every answer lies in `output` as soon as it is made, in the yardstick's own form; scores.json and scores.csv follow.
    """
    rules = yardstick(name)
    if not data.exists():
        raise BoltzFormerError(f"There is no folder {data}: give the data in the layout of {name}.")
    questions = rules.questions(data, output, blind)
    check_folder(output)
    engine = load(model, device=device, dtype=precision)
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
