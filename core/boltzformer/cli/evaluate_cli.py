"""`boltzformer evaluate …`: from a manifest to a folder with predictions, numbers, a table and a contact sheet."""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from boltzformer.cli.score_cli import evaluate_as
from boltzformer.cli.show import Show
from boltzformer.engine.engine import Engine, load
from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate import report
from boltzformer.evaluate.evaluate import Scored, answers_of, check_files, draw_absent, evaluate
from boltzformer.evaluate.sheet import contact_sheet
from boltzformer.evaluate.summary import summary
from boltzformer.evaluate.yardsticks.known import YARDSTICKS
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
    save_masks: Annotated[bool, typer.Option("--save-masks", help="Keep every mask, on its image's grid.")] = False,
    seed: Annotated[int, typer.Option(help="Of the model's draws, the absent prompts and the intervals.")] = 0,
    min_masks: Annotated[int, typer.Option(help="Targets with fewer masks don't count in the means.")] = 5,
    yardstick: Annotated[
        str | None, typer.Option("--as", help=f"Asked and scored as the field does: {', '.join(YARDSTICKS)}.")
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="With --as: answer only, and look at no truth that lies beside a question.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as JSON on standard output.")] = False,
) -> None:
    """Ask for every row of a manifest as a user would, and say how good the answers are."""
    if yardstick is not None:
        _check_alone(split is not None, part is not None, licensed, save_masks)
        _check_options(None, None, seed, min_masks)
        evaluate_as(yardstick, manifest, output, model, device, seed, blind, as_json)
        return
    if blind:
        raise BoltzFormerError("--blind belongs to --as: leave it out, or say which layout the data have.")
    if find_spec("monai") is None:
        raise BoltzFormerError("Borders are measured by MONAI: pip install 'napari-boltzformer[train]', then again.")
    _check_options(split, part, seed, min_masks)
    everything = read_manifest(manifest)
    rows = selected(everything, split, part, licensed)
    check_files(rows)
    report.check_folder(output)
    engine = load(model, device=device)
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
        for one in evaluate(answers, rows, listed, drawn, seed=seed, masks=folder / "masks" if save_masks else None):
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
        raise BoltzFormerError("--split, --part, --licensed and --save-masks belong to manifests: leave them out.")


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
