"""One click: how many missed objects it finds, how many false ones it makes go away.

For each held-back image and target, what the model says without help is compared with the truth. Every object that it
missed is clicked once ("here"), every object that is none is clicked once ("not here"), each in a run of its own. What
is no merit of the energy is measured beside it: lifting the existence gate alone (a click of strength 0), and another
seed without any click. Run: python benchmarks/guidance.py MANIFEST SPLIT [--model FILE] [--strength …] [--width …].
"""

from __future__ import annotations

import sys
from collections import defaultdict
from itertools import product
from typing import Any

import numpy as np
from held_back import (
    Case,
    arguments,
    cases,
    click,
    dice,
    engine_of,
    is_found,
    mask_of,
    objects,
    rows_of,
    share,
    table,
    told_and_kept,
)

import boltzformer
from boltzformer import Guidance
from boltzformer.engine import Engine
from boltzformer.guidance import STRENGTH, WIDTH

MOST = 3
"""Objects of each kind that are clicked per image and target, the largest first."""
GONE = 0.1
"""A false object is gone where less than this share of it is still claimed."""


def main(given: list[str]) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--strength", type=float, nargs="+", default=[STRENGTH])
    parser.add_argument("--width", type=float, nargs="+", default=[WIDTH])
    parser.add_argument("--samples", type=int, default=1)
    told = parser.parse_args(given, None)
    told.script, told.given = __file__, given
    engine = engine_of(told)
    seen: dict[str, list[bool]] = defaultdict(list)
    change: dict[str, list[float]] = defaultdict(list)
    number = 0
    for case in cases(rows_of(told)):
        number += 1
        ask(engine, case, told, seen, change)
        if number % 10 == 0:
            sys.stderr.write(f"{number} images and targets, {len(seen['missed: another seed'])} objects missed\n")
    told_and_kept(told, "One click (guidance)", engine, report(number, told, seen, change))


def ask(engine: Engine, case: Case, told: Any, seen: dict[str, list[bool]], change: dict[str, list[float]]) -> None:
    """One image and target: plain, then once per click and setting."""

    def run(seed: int = 0, guidance: Guidance | None = None) -> Any:
        how: dict[str, Any] = {"model": engine, "samples": told.samples, "guidance": guidance}
        return mask_of(boltzformer.segment(case.volume, case.prompt, seed=seed, **how))

    plain = run()
    true, claimed = objects(case.truth), objects(plain)
    missed = [one for one in true if not is_found(one, plain)]
    false = [one for one in claimed if not (one & case.truth).any()]
    found = [one for one in true if is_found(one, plain)]
    seen["objects: found without a click"] += [False] * len(missed) + [True] * len(found)
    other = run(seed=1) if missed or false else plain
    for one in missed[:MOST]:
        at = (click(one),)
        seen["missed: another seed"].append(is_found(one, other))
        seen["missed: gate lifted alone"].append(is_found(one, run(guidance=Guidance(at, strength=0))))
        for strength, width in product(told.strength, told.width):
            led = run(guidance=Guidance(at, strength=strength, width=width))
            setting = f"λ {strength:g}, width {width:g}"
            seen[f"missed: {setting}"].append(is_found(one, led))
            seen[f"kept after here: {setting}"] += [is_found(old, led) for old in found]
            change[f"here: {setting}"].append(dice(led, case.truth) - dice(plain, case.truth))
    for one in false[:MOST]:
        seen["false: another seed"].append((other & one).sum() < GONE * one.sum())
        for strength, width in product(told.strength, told.width):
            led = run(guidance=Guidance((), (click(one),), strength=strength, width=width))
            setting = f"λ {strength:g}, width {width:g}"
            seen[f"false: {setting}"].append((led & one).sum() < GONE * one.sum())
            seen[f"kept after not here: {setting}"] += [is_found(old, led) for old in found]
            change[f"not here: {setting}"].append(dice(led, case.truth) - dice(plain, case.truth))


def report(number: int, told: Any, seen: dict[str, list[bool]], change: dict[str, list[float]]) -> str:
    def moved(name: str) -> str:
        return f"{np.mean(change[name]):+.3f}" if change[name] else "–"

    lines = []
    for name in ("another seed", "gate lifted alone"):
        lines.append([name, share(seen[f"missed: {name}"]), "", "", share(seen[f"false: {name}"]), "", ""])
    for strength, width in product(told.strength, told.width):
        name = f"λ {strength:g}, width {width:g}"
        here = [share(seen[f"missed: {name}"]), share(seen[f"kept after here: {name}"]), moved(f"here: {name}")]
        away = [share(seen[f"false: {name}"]), share(seen[f"kept after not here: {name}"]), moved(f"not here: {name}")]
        lines.append([f"click, {name}", *here, *away])
    head = ["", "missed, now found", "found ones kept", "Dice", "false, now gone", "found ones kept", "Dice"]
    first = (
        f"{number} held-back images and targets with {len(seen['objects: found without a click'])} objects, of which "
        f"{share(seen['objects: found without a click'])} are found without a click; at most {MOST} missed and {MOST} "
        f"false ones are clicked in each: {len(seen['missed: another seed'])} and {len(seen['false: another seed'])}. "
        "An object is found from an IoU of 0.1, gone below a tenth of its pixels; Dice is the mean change.\n\n"
    )
    return first + table(head, lines)


if __name__ == "__main__":
    main(sys.argv[1:])
