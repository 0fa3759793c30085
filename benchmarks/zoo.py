"""The decoder zoo, side by side: each recipe of `zoo/` with each seed trained, evaluated, and a row written; resumable.

What is finished in FOLDER/rows.jsonl is not done again; a training that was stopped goes on where it was. All recipes
share encoder, text, pixel decoder, loop and budget: equal steps, and with --same-minutes a second run each, of as many
steps as fit into so many minutes by what a step took in the first. Beside the Dice of all, small and large objects
stand what a decoder costs: parameters, operations, seconds per slice. Last come, if asked for, the experts: a U-Net per
target (`experts.py`), whose means are over their targets alone, and so are the pairs. At the end a table: mean over
seeds, and what differs from ours, paired by case, with an interval over patients.

Run: python benchmarks/zoo.py MANIFEST SPLIT FOLDER [--names boltzmann masked full] [--seeds 0 1 2] [--encoder FILE]
    [--same-minutes N] [--minutes N] [--experts unet nnunet [--targets …]] [--cluster [ADDRESS]]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from boltzformer.cli.cluster_cli import demand_cluster
from boltzformer.cli.cluster_each import Workplace, called
from boltzformer.cli.show import Show
from boltzformer.engine.devices import use_cores
from boltzformer.evaluate.metrics import interval, mean, weighted
from boltzformer.evaluate.summary import SMALL
from boltzformer.knowledge.manifest import read_manifest
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig
from boltzformer.model.text import TextState
from boltzformer.weights import checkpoint

OURS = "boltzmann"
RECIPES = Path(str(files("boltzformer") / "learn" / "recipes" / "zoo"))
ABLATIONS = {
    "colder": "base_temperature = 0.5",
    "hotter": "base_temperature = 2.0",
    "fewer-tokens": "sample_ratio = 0.05",
    "more-tokens": "sample_ratio = 0.3",
    "a-draw-per-head": 'law = "per_head"',
    "draws-with-replacement": 'draw = "multinomial"',
    "one-query": "queries = 1",
    "few-queries": "queries = 4",
    "no-text-prior": "text_prior = false",
    "no-pigma": 'pigma = ""',
}
"""Ours with this instead."""
STEPS, MINUTES = "steps", "minutes"
"""What is equal for all: the recipe's steps, or minutes of training."""
WORDS = 12
"""Of the prompt whose cost is told."""
TRIES = 7
"""A slice is timed so often; the median counts."""


@dataclass(frozen=True)
class Run:
    """One training and its evaluation."""

    name: str
    seed: int
    budget: str = STEPS

    @property
    def folder(self) -> str:
        """Below the folder of all runs."""
        return f"{self.name}-{self.seed}" + ("" if self.budget == STEPS else f"-{self.budget}")


def run_of(row: dict[str, Any]) -> Run:
    """Whose row it is."""
    return Run(row["name"], row["seed"], row.get("budget", STEPS))


def names_in(recipes: Path) -> list[str]:
    """Of all recipes of a zoo, ours first."""
    return sorted((path.stem for path in recipes.glob("*.toml")), key=lambda name: (name != OURS, name))


def recipe_of(run: Run, told: argparse.Namespace) -> Path:
    """The recipe with the run's seed and steps, as a file of its own."""
    text = changed(told.recipes, run.name) if run.name in ABLATIONS else _text(told.recipes, run.name)
    assert "seed" not in tomllib.loads(text), "the queue sets the seeds"
    if run.budget == MINUTES:
        took = median(seconds_of(told.folder / Run(run.name, run.seed).folder))
        steps = max(1, round(60 * told.same_minutes / took))
        text = re.sub(r"(?m)^steps = \d+", f"steps = {steps}", text)
    path: Path = told.folder / f"{run.folder}.toml"
    if not path.is_file():  # a run that goes on keeps its steps
        path.write_text(f"seed = {run.seed}\n{text}", "utf-8")
    return path


def changed(recipes: Path, name: str) -> str:
    """Ours with one part changed."""
    text = _text(recipes, OURS).replace('name = "zoo-', f'name = "zoo-{name}, ')
    if name == "no-pigma":
        return text.replace("[config]\n", f"[config]\n{ABLATIONS[name]}\n")
    return f"{text}\n[config.decoder]\n{ABLATIONS[name]}\n"


def _text(recipes: Path, name: str) -> str:
    return (recipes / f"{name}.toml").read_text("utf-8")


def seconds_of(folder: Path) -> list[float]:
    """What each step of a training took."""
    return [json.loads(line)["seconds"] for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]


def command(*words: str) -> None:
    """One of ours, in a process of its own."""
    subprocess.run([sys.executable, "-m", "boltzformer", *words], check=True)


def finished(folder: Path) -> list[dict[str, Any]]:
    """The rows that are there."""
    path = folder / "rows.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def one_run(run: Run, told: argparse.Namespace) -> dict[str, Any] | None:
    """Train and evaluate; None where the minutes ended before the steps did."""
    folder, began = told.folder / run.folder, time.monotonic()
    limit = [] if told.minutes is None else ["--minutes", str(told.minutes)]
    data = ["--data", str(told.manifest), "--split", str(told.split)]
    data += [] if told.encoder is None else ["--encoder", str(told.encoder)]
    command("train", str(recipe_of(run, told)), *data, "--output", str(folder), *limit)
    spent = _added(folder / "minutes.txt", (time.monotonic() - began) / 60)
    about = checkpoint.read(folder / "model.safetensors")
    done, steps = (int(part) for part in about.history.notes["card"]["run"]["steps"].split(" of "))
    if done < steps:
        return None
    began = time.monotonic()
    where = ["--split", str(told.split), "--part", "validation", "--licensed"]
    command("evaluate", str(told.manifest), *where, "--model", str(about.path), "--output", str(folder / "results"))
    facts = json.loads((folder / "results" / "metrics.json").read_text("utf-8"))
    took = (time.monotonic() - began) / 60
    return {
        "name": run.name,
        "seed": run.seed,
        "budget": run.budget,
        "steps": done,
        "minutes": round(spent, 2),
        "seconds_per_step": round(median(seconds_of(folder)), 3),
        "parameters": about.parameters,
        **{key: facts["macro"][key] for key in ("dice", "dice_small", "dice_large")},
        "auroc_hard": facts["existence"]["auroc_hard"],
        **cost(about.path),
        "evaluation_minutes": round(took, 2),
        "load": os.getloadavg()[0],
    }


def on_cluster(told: argparse.Namespace, names: Sequence[str]) -> None:
    """Each decoder with each seed on a process of its own, by a queue of that run alone; rows come as runs end."""
    demand_cluster(told.cluster)
    data = [*map(str, (told.manifest, told.split, told.folder)), "--recipes", str(told.recipes)]
    data += [] if told.encoder is None else ["--encoder", str(told.encoder)]
    for word in ("same_minutes", "minutes"):
        value = getattr(told, word)
        data += [] if value is None else [f"--{word.replace('_', '-')}", str(value)]
    targets = ["--targets", *told.targets] if told.targets else []
    calls = {}
    for seed in map(str, told.seeds):
        calls |= {f"{name}-{seed}": (*data, "--seeds", seed, "--names", name) for name in names}
        kinds = {f"{kind}-{seed}": ("--experts", kind) for kind in told.experts}
        calls |= {run: (*data, "--seeds", seed, "--names", *kind, *targets) for run, kind in kinds.items()}
    with Show(False) as show:
        show.cases(len(calls))
        for name in called(Workplace(told.cluster, told.workers), Path(__file__), calls, show):
            show.say(f"{name} is done")
            show.case_done()


def experts_run(run: Run, told: argparse.Namespace) -> dict[str, Any]:
    """The row of one kind of expert, by the recipe of ours."""
    folder, recipe = told.folder / run.folder, recipe_of(Run(OURS, run.seed), told)
    asked = ["--kind", run.name, "--recipe", str(recipe), *(["--targets", *told.targets] if told.targets else [])]
    script = str(Path(__file__).with_name("experts.py"))
    subprocess.run([sys.executable, script, str(told.manifest), str(told.split), str(folder), *asked], check=True)
    row: dict[str, Any] = json.loads((folder / "row.json").read_text("utf-8"))
    return {"name": run.name, "seed": run.seed, "budget": run.budget, **row}


def _added(path: Path, minutes: float) -> float:
    """What a run has taken so far, over all its parts."""
    spent = minutes + (float(path.read_text("utf-8")) if path.is_file() else 0.0)
    path.write_text(str(spent), encoding="utf-8")
    return spent


# --- what a decoder costs ---------------------------------------------------------------------------------------------


def cost(path: Path) -> dict[str, Any]:
    """Of one slice at the size of use with one prompt, whose words are known: parameters, operations, seconds."""
    use_cores()
    model, about = checkpoint.load(path)
    mine = model.decoder.named_parameters()
    decoding = sum(one.numel() for name, one in mine if not name.startswith("language_encoder."))
    seconds = timed(model, about.config)
    return {"decoder_parameters": decoding, **operations(about.config), **seconds, "threads": torch.get_num_threads()}


def operations(config: ModelConfig) -> dict[str, int]:
    """Multiply-adds count twice. Every token that may be looked at counts, also for ours, which skips what is not
    drawn; up-scaling belongs to the decoder's."""
    with torch.device("meta"):
        model = BoltzFormer(config).eval().requires_grad_(False)
    model.to("meta")  # the statistics of the pixels, too
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        shown = asked(model, config, "meta", lambda shape: torch.empty(shape, device="meta"))
        next(shown)
        image = counter.get_total_flops()
        next(shown)
    return {"flops": counter.get_total_flops(), "flops_decoder": counter.get_total_flops() - image}


def timed(model: BoltzFormer, config: ModelConfig) -> dict[str, float]:
    """Medians, on the CPU."""
    spent: list[tuple[float, float]] = []
    source = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for _ in range(1 + TRIES):  # the first warms up
            shown = asked(model, config, "cpu", lambda shape: torch.rand(shape, generator=source))
            began = time.perf_counter()
            next(shown)
            between = time.perf_counter()
            next(shown)
            spent.append((time.perf_counter() - began, time.perf_counter() - between))
    whole, decoder = (median(some) for some in zip(*spent[1:], strict=True))
    return {"seconds_per_slice": round(whole, 4), "seconds_decoder": round(decoder, 4)}


def asked(
    model: BoltzFormer, config: ModelConfig, device: str, numbers: Callable[[tuple[int, ...]], Tensor]
) -> Iterator[None]:
    """Stops after the image and after the prompt."""
    side = config.image_size
    state = model.encode_image(255 * numbers((1, 3, side, side)))
    yield
    known = torch.ones(1, WORDS, dtype=torch.bool, device=device)
    words = TextState(numbers((1, WORDS, config.text.projection)), known)
    model.decode(state, words, lambda layer: numbers(model.decoder.noise_shape(state.tokens, 1, layer)))
    yield


# --- side by side -----------------------------------------------------------------------------------------------------


def dices(run: Path, *, small: bool | None = None) -> dict[int, float]:
    """Row of the manifest → Dice, where something is there: of all objects, of small ones, or of large ones."""
    lines = (run / "results" / "predictions.jsonl").read_text("utf-8").splitlines()
    rows = [row for line in lines if (row := json.loads(line))["dice"] is not None]
    sized = [row for row in rows if small is None or ("area" in row and (row["area"] < SMALL) == small)]
    return {row["row"]: row["dice"] for row in sized}


def table(folder: Path, manifest: Path, budget: str = STEPS) -> str:
    """Means over seeds; differences to ours, paired by case and seed, with an interval over patients."""
    rows = [row for row in finished(folder) if run_of(row).budget == budget]
    groups = [row.group for row in read_manifest(manifest)]
    heads = ["decoder", "seeds", "Dice", "small", "large", "less ours (95 %)", "small", "large", "steps", "minutes"]
    heads += ["M parameters", "of the decoder", "GFLOP", "of the decoder", "s per slice", "of the decoder"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = [row for row in rows if row["name"] == name]
        both = [row["seed"] for row in mine if any((one["name"], one["seed"]) == (OURS, row["seed"]) for one in rows)]
        apart = ["-"] * 3
        if name != OURS and both:
            pairs = [tuple(folder / Run(one, seed, budget).folder for one in (name, OURS)) for seed in both]
            apart = [apart_from_ours(pairs, groups, small=small) for small in (None, True, False)]
        cells = [name, str(len(mine))]
        cells += [_mean(mine, key) for key in ("dice", "dice_small", "dice_large")]
        cells += [*apart, _mean(mine, "steps", digits=0), _mean(mine, "minutes", digits=1)]
        cells += [_mean(mine, key, 1e6, 1) for key in ("parameters", "decoder_parameters")]
        cells += [_mean(mine, key, 1e9, 1) for key in ("flops", "flops_decoder")]
        cells += [_mean(mine, key) for key in ("seconds_per_slice", "seconds_decoder")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def apart_from_ours(pairs: Sequence[tuple[Path, ...]], groups: Sequence[str], small: bool | None = None) -> str:
    """The mean difference per case, of runs (theirs, ours); where its interval holds 0, it is not resolved."""
    scores = [tuple(dices(run, small=small) for run in pair) for pair in pairs]
    cases = sorted(set.intersection(*(set(one) for pair in scores for one in pair)))
    if not cases:
        return "-"
    differences = [float(np.mean([theirs[row] - ours[row] for theirs, ours in scores])) for row in cases]
    between = interval([groups[row] for row in cases], lambda weights: weighted(differences, weights), 0)
    if between is None:
        return f"{np.mean(differences):+.3f}"
    low, high = between
    verdict = ", not resolved" if low <= 0 <= high else ""
    return f"{np.mean(differences):+.3f} ({low:+.3f} to {high:+.3f}{verdict})"


def _mean(rows: Sequence[dict[str, Any]], key: str, unit: float = 1.0, digits: int = 3) -> str:
    value = mean([row.get(key) for row in rows])
    return "-" if value is None else f"{value / unit:.{digits}f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Seed by seed, so that every decoder has one finished run before any has two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for place, what in (("manifest", "of images and masks"), ("split", "what is held back"), ("folder", "of all runs")):
        parser.add_argument(place, type=Path, help=what)
    parser.add_argument("--recipes", type=Path, default=RECIPES, help="a folder of others")
    parser.add_argument("--names", nargs="*", help="only these decoders")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--encoder", type=Path, help="ImageNet weights (.pth) of the image encoder that all share")
    parser.add_argument("--same-minutes", type=float, help="also train each for so many minutes, as long as any other")
    parser.add_argument("--ablations", action="store_true", help="then ours with one part changed")
    parser.add_argument("--experts", nargs="+", choices=("unet", "nnunet"), default=[], help="a U-Net per target")
    parser.add_argument("--targets", nargs="+", help="of the experts; else all")
    parser.add_argument("--minutes", type=float, help="train each run so long, then go to the next; again to go on")
    parser.add_argument("--cluster", nargs="?", const="local", help="on Ray: HOST:PORT, auto, or this computer")
    parser.add_argument("--workers", type=int, help="runs at once on the cluster; else what fits")
    given = list(sys.argv[1:] if arguments is None else arguments)
    told = parser.parse_args(given)
    told.folder.mkdir(parents=True, exist_ok=True)
    budgets = [STEPS] if told.same_minutes is None else [STEPS, MINUTES]
    names = names_in(told.recipes) if told.names is None else told.names
    names = [*names, *(ABLATIONS if told.ablations else ())]
    if told.cluster is not None:
        on_cluster(told, names)
    runs = [Run(name, seed, budget) for seed in told.seeds for budget in budgets for name in names]
    for run in [*runs, *(Run(kind, seed) for seed in told.seeds for kind in told.experts)]:
        done = [run_of(row) for row in finished(told.folder)]
        if run in done or (run.budget == MINUTES and Run(run.name, run.seed) not in done):
            continue
        row = experts_run(run, told) if run.name in told.experts else one_run(run, told)
        if row is not None:
            with (told.folder / "rows.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    for budget in budgets:
        print(f"Equal {budget}:\n\n{table(told.folder, told.manifest, budget)}\n")


if __name__ == "__main__":
    main()
