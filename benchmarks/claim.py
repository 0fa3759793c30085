"""The paper's central claim at our scale: Boltzmann sampling against thresholded and full attention, three seeds each.

    python benchmarks/claim.py MANIFEST SPLIT FOLDER [--steps 3750] [--minutes 120] [--record]

A queue: every call goes on with the first run that is not finished, for so many minutes at most; a finished run is
evaluated on the validation part, and `--record` appends its row to RESULTS.md. When two laws have runs of the same
seeds, their cases are compared in pairs, small objects (< 1 % of the image) apart. Runs stay in FOLDER, so nothing is
lost when the queue is stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from boltzformer.knowledge.manifest import Row, part_of, read_manifest, read_split
from boltzformer.learn.recipe import Recipe, read_recipe

LAWS: dict[str, dict[str, object]] = {
    "boltzmann": {},
    "threshold 0.5": {"attention": "masked", "mask_threshold": 0.5},
    "full": {"attention": "full"},
}
SEEDS = (0, 1, 2)
SMALL = 0.01
RESULTS = Path(__file__).with_name("RESULTS.md")
DRAWS = 2000


def recipe_of(law: str, seed: int, steps: int) -> Recipe:
    """The shipped recipe, shorter, with another law."""
    base = read_recipe("default")
    return replace(base, name=f"{law}, seed {seed}", seed=seed, steps=steps, config={"decoder": LAWS[law]})


def toml(recipe: Recipe) -> str:
    """Only what differs matters, but a run is frozen with all of it."""
    tables = {name: value for name, value in recipe.to_dict().items() if isinstance(value, dict) and name != "config"}
    plain = {name: value for name, value in recipe.to_dict().items() if not isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in plain.items()]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    lines += ["[config.decoder]", *(f"{key} = {json.dumps(value)}" for key, value in recipe.config["decoder"].items())]
    return "\n".join(lines) + "\n"


def go_on(folder: Path, law: str, seed: int, asked: argparse.Namespace, minutes: float) -> bool:
    """Trains one run for so long; whether it is finished and evaluated."""
    run = folder / f"{law.replace(' ', '-')}-{seed}"
    done = run / "evaluation"
    if (done / "predictions.jsonl").is_file():
        return True
    run.mkdir(parents=True, exist_ok=True)
    recipe = run / "recipe.toml"
    recipe.write_text(toml(recipe_of(law, seed, asked.steps)), "utf-8")
    data = ["--data", str(asked.manifest), "--split", str(asked.split)]
    more = ["--output", str(run / "run"), "--minutes", str(minutes), "--json"]
    said = subprocess.run(
        [sys.executable, "-m", "boltzformer", "train", str(recipe), *data, *more],
        check=True,
        capture_output=True,
        text=True,
    )
    if json.loads(said.stdout.splitlines()[-1])["at_step"] < asked.steps:
        return False
    model = str(run / "run" / "model.safetensors")
    part = ["--split", str(asked.split), "--part", "validation", "--licensed", "--min-masks", "3"]
    command = [sys.executable, "-m", "boltzformer", "evaluate", str(asked.manifest), *part, "--model", model]
    subprocess.run([*command, "--output", str(done)], check=True)
    return True


def dice_of(folder: Path, law: str, seed: int) -> dict[int, float]:
    """Row of the manifest → Dice."""
    file = folder / f"{law.replace(' ', '-')}-{seed}" / "evaluation" / "predictions.jsonl"
    if not file.is_file():
        return {}
    made = (json.loads(line) for line in file.read_text("utf-8").splitlines())
    return {one["row"]: one["dice"] for one in made if one["dice"] is not None}


def compared(folder: Path, other: str, rows: dict[int, Row]) -> list[str]:
    """Mean differences of paired cases, seeds pooled, with 95 % intervals over groups."""
    pairs = [(dice_of(folder, "boltzmann", seed), dice_of(folder, other, seed)) for seed in SEEDS]
    lines = []
    for name, small in (("small", True), ("large", False)):
        by_group: dict[str, list[float]] = {}
        for ours, theirs in pairs:
            for row in ours.keys() & theirs.keys():
                if (float(rows[row].notes["area_fraction"]) < SMALL) == small:
                    by_group.setdefault(rows[row].group, []).append(ours[row] - theirs[row])
        if not by_group:
            continue
        groups, rng = [np.array(some) for some in by_group.values()], np.random.default_rng(0)
        draws = [
            np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]).mean() for _ in range(DRAWS)
        ]
        low, high = np.quantile(draws, (0.025, 0.975))
        verdict = (
            "boltzmann is better" if low > 0 else f"{other} is better" if high < 0 else "not resolved at this scale"
        )
        mean = float(np.concatenate(groups).mean())
        lines.append(f"| boltzmann − {other}, {name} objects | {mean:+.3f} | {low:+.3f} … {high:+.3f} | {verdict} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=3750, help="of 16 samples each")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--record", action="store_true", help="append finished rows to RESULTS.md")
    asked = parser.parse_args()
    validation = part_of(read_manifest(asked.manifest), read_split(asked.split), "validation")
    until = time.monotonic() + 60 * asked.minutes
    for seed in SEEDS:
        for law in LAWS:
            known = bool(dice_of(asked.folder, law, seed))
            left = (until - time.monotonic()) / 60
            if not known and (left <= 0 or not go_on(asked.folder, law, seed, asked, left)):
                return 0
            dice = dice_of(asked.folder, law, seed)
            row = f"| {law} | {seed} | {16 * asked.steps} | {np.mean(list(dice.values())):.3f} | {len(dice)} |"
            print(row)
            if asked.record and not known:
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(row + "\n")
    for other in ("threshold 0.5", "full"):
        for line in compared(asked.folder, other, {row.number: row for row in validation}):
            print(line)
            if asked.record:
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
