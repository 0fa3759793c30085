"""The decoder zoo, side by side: each recipe of `zoo/` with each seed trained, evaluated, and a row written; resumable.

What is finished in FOLDER/rows.jsonl is not done again; a training that was stopped goes on where it was. All recipes
share encoder, text, pixel decoder, loop and budget in steps; the minutes that a run took stand beside it. At the end a
table: mean over seeds, and what differs from ours, paired by case, with an interval over patients.

Run: python benchmarks/zoo.py MANIFEST SPLIT FOLDER [--names boltzmann masked full] [--seeds 0 1 2] [--encoder FILE]
    [--minutes N]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from boltzformer.evaluate.metrics import interval, mean, weighted
from boltzformer.knowledge.manifest import read_manifest
from boltzformer.weights import checkpoint

OURS = "boltzmann"
RECIPES = Path(str(files("boltzformer") / "learn" / "recipes" / "zoo"))


def names_in(recipes: Path) -> list[str]:
    """Of all recipes of a zoo, ours first."""
    return sorted((path.stem for path in recipes.glob("*.toml")), key=lambda name: (name != OURS, name))


def recipe_of(recipes: Path, name: str, seed: int, folder: Path) -> Path:
    """The recipe with another seed, as a file of its own."""
    text = (recipes / f"{name}.toml").read_text("utf-8")
    assert "seed" not in tomllib.loads(text), "the queue sets the seeds"
    path = folder / f"{name}-{seed}.toml"
    path.write_text(f"seed = {seed}\n{text}", "utf-8")
    return path


def command(*words: str) -> None:
    """One of ours, in a process of its own."""
    subprocess.run([sys.executable, "-m", "boltzformer", *words], check=True)


def finished(folder: Path) -> list[dict[str, Any]]:
    """The rows that are there."""
    path = folder / "rows.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def one_run(name: str, seed: int, told: argparse.Namespace) -> dict[str, Any] | None:
    """Train and evaluate; None where the minutes ended before the steps did."""
    run, began = told.folder / f"{name}-{seed}", time.monotonic()
    limit = [] if told.minutes is None else ["--minutes", str(told.minutes)]
    data = ["--data", str(told.manifest), "--split", str(told.split)]
    data += [] if told.encoder is None else ["--encoder", str(told.encoder)]
    command("train", str(recipe_of(told.recipes, name, seed, told.folder)), *data, "--output", str(run), *limit)
    spent = _added(run / "minutes.txt", (time.monotonic() - began) / 60)
    about = checkpoint.read(run / "model.safetensors")
    done, steps = (int(part) for part in about.history.notes["card"]["run"]["steps"].split(" of "))
    if done < steps:
        return None
    began = time.monotonic()
    where = ["--split", str(told.split), "--part", "validation", "--licensed"]
    command("evaluate", str(told.manifest), *where, "--model", str(about.path), "--output", str(run / "results"))
    facts = json.loads((run / "results" / "metrics.json").read_text("utf-8"))
    return {
        "name": name,
        "seed": seed,
        "steps": done,
        "minutes": round(spent, 2),
        "parameters": about.parameters,
        "dice": facts["macro"]["dice"],
        "dice_small": facts["macro"]["dice_small"],
        "auroc_hard": facts["existence"]["auroc_hard"],
        "evaluation_minutes": round((time.monotonic() - began) / 60, 2),
        "load": os.getloadavg()[0],
    }


def _added(path: Path, minutes: float) -> float:
    """What a run has taken so far, over all its parts."""
    spent = minutes + (float(path.read_text("utf-8")) if path.is_file() else 0.0)
    path.write_text(str(spent), encoding="utf-8")
    return spent


def dices(run: Path) -> dict[int, float]:
    """Row of the manifest → Dice, where something is there."""
    lines = (run / "results" / "predictions.jsonl").read_text("utf-8").splitlines()
    return {row["row"]: row["dice"] for line in lines if (row := json.loads(line))["dice"] is not None}


def table(folder: Path, manifest: Path) -> str:
    """Means over seeds; differences to ours, paired by case and seed, with an interval over patients."""
    rows, groups = finished(folder), [row.group for row in read_manifest(manifest)]
    lines = ["| decoder | seeds | Dice | of small objects | Dice less ours (95 %) | minutes | parameters |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = [row for row in rows if row["name"] == name]
        dice, small, spent = (mean([row[key] for row in mine]) for key in ("dice", "dice_small", "minutes"))
        both = [row["seed"] for row in mine if any((one["name"], one["seed"]) == (OURS, row["seed"]) for one in rows)]
        apart = apart_from_ours(folder, name, both, groups) if name != OURS and both else "-"
        parameters = f"{mine[0]['parameters'] / 1e6:.1f} M"
        cells = (name, str(len(mine)), _number(dice), _number(small), apart, _number(spent, 1), parameters)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def apart_from_ours(folder: Path, name: str, seeds: Sequence[int], groups: Sequence[str]) -> str:
    """The mean difference per case; where its interval holds 0, it is not resolved at this scale."""
    pairs = [(dices(folder / f"{name}-{seed}"), dices(folder / f"{OURS}-{seed}")) for seed in seeds]
    cases = sorted(set.intersection(*(set(one) for pair in pairs for one in pair)))
    if not cases:
        return "-"
    differences = [float(np.mean([theirs[row] - ours[row] for theirs, ours in pairs])) for row in cases]
    between = interval([groups[row] for row in cases], lambda weights: weighted(differences, weights), 0)
    if between is None:
        return f"{np.mean(differences):+.3f}"
    low, high = between
    verdict = ", not resolved" if low <= 0 <= high else ""
    return f"{np.mean(differences):+.3f} ({low:+.3f} to {high:+.3f}{verdict})"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Seed by seed, so that every decoder has one finished run before any has two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for place, what in (("manifest", "of images and masks"), ("split", "what is held back"), ("folder", "of all runs")):
        parser.add_argument(place, type=Path, help=what)
    parser.add_argument("--recipes", type=Path, default=RECIPES, help="a folder of others")
    parser.add_argument("--names", nargs="+", help="only these decoders")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--encoder", type=Path, help="ImageNet weights (.pth) of the image encoder that all share")
    parser.add_argument("--minutes", type=float, help="train each run so long, then go to the next; again to go on")
    told = parser.parse_args(arguments)
    told.folder.mkdir(parents=True, exist_ok=True)
    for seed in told.seeds:
        for name in told.names or names_in(told.recipes):
            if any((row["name"], row["seed"]) == (name, seed) for row in finished(told.folder)):
                continue
            row = one_run(name, seed, told)
            if row is not None:
                with (told.folder / "rows.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    print(table(told.folder, told.manifest))


if __name__ == "__main__":
    main()
