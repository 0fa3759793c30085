"""One click: how many missed objects it finds, how many false ones it makes go away.

For each held-back image and target, what the model says without help is compared with the truth. Every object that it
missed is clicked once ("here"), every object that is none is clicked once ("not here"), each in a run of its own. What
is no merit of the energy is measured beside it: lifting the existence gate alone (a click of strength 0), and another
seed without any click. All combinations of --strength, --width, --layers (in which of them the energy counts), --trials
(times as many draws in clicked runs) and --bend (whether the answer itself obeys the click) are tried.

Run: python benchmarks/guidance.py MANIFEST SPLIT [--model FILE] [--limit N] [--strength 1 2 4] [--layers 0:9 3:9] …
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from held_back import (
    Case,
    Mask,
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
from torch import Tensor

import boltzformer
from boltzformer import Guidance
from boltzformer.engine.engine import Engine
from boltzformer.image.guidance import STRENGTH, WIDTH
from boltzformer.model import boltzmann

MOST = 3
"""Objects of each kind that are clicked per image and target, the largest first."""
GONE = 0.1
"""A false object is gone where less than this share of it is still claimed."""


@dataclass(frozen=True)
class Setting:
    """How a click is turned into looks."""

    strength: float
    width: float
    layers: str
    """A:B, the layers in which it counts."""
    trials: float
    bend: bool
    """Whether the answer itself obeys as well."""

    def __str__(self) -> str:
        end = ", the answer bent" if self.bend else ""
        return f"λ {self.strength:g}, width {self.width:g}, layers {self.layers}, {self.trials:g} × the draws{end}"


@dataclass
class Clicks:
    """What clicks of one kind did."""

    hits: list[bool] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)
    """Whether objects that were found before still are."""
    change: list[float] = field(default_factory=list)
    """Of Dice."""

    def columns(self) -> list[str]:
        return [share(self.hits), share(self.kept), f"{np.mean(self.change):+.3f}" if self.change else "–"]


def main(given: list[str]) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--strength", type=float, nargs="+", default=[STRENGTH])
    parser.add_argument("--width", type=float, nargs="+", default=[WIDTH])
    parser.add_argument("--layers", nargs="+", default=["0:99"])
    parser.add_argument("--trials", type=float, nargs="+", default=[1.0])
    parser.add_argument("--bend", type=int, nargs="+", default=[0, 1], choices=[0, 1])
    parser.add_argument("--samples", type=int, default=1)
    told = parser.parse_args(given)
    told.script, told.given = __file__, given
    settings = [
        Setting(*one) for one in product(told.strength, told.width, told.layers, told.trials, map(bool, told.bend))
    ]
    engine = engine_of(told)
    here: dict[str, Clicks] = defaultdict(Clicks)
    away: dict[str, Clicks] = defaultdict(Clicks)
    found: list[bool] = []
    number = 0
    for case in cases(rows_of(told)):
        number += 1
        found += ask(engine, case, told.samples, settings, here, away)
        if number % 10 == 0:
            sys.stderr.write(f"{number} images and targets, {found.count(False)} objects missed\n")
    first = (
        f"{number} held-back images and targets with {len(found)} objects, of which {share(found)} are found without a "
        f"click; at most {MOST} missed and {MOST} false ones are clicked in each: {len(here['another seed'].hits)} and "
        f"{len(away['another seed'].hits)}. An object is found from an IoU of 0.1, gone below a tenth of its pixels; "
        "Dice is the mean change.\n\n"
    )
    head = ["", "missed, now found", "found ones kept", "Dice", "false, now gone", "found ones kept", "Dice"]
    names = ["another seed", "gate lifted alone", *map(str, settings)]
    lines = [[name, *here[name].columns(), *away[name].columns()] for name in names]
    told_and_kept(told, "One click (guidance)", engine, first + table(head, lines))


def ask(
    engine: Engine,
    case: Case,
    samples: int,
    settings: list[Setting],
    here: dict[str, Clicks],
    away: dict[str, Clicks],
) -> list[bool]:
    """One image and target, plain and then once per click and setting; whether each true object was found plainly."""

    def run(seed: int = 0, guidance: Guidance | None = None) -> Mask:
        how: dict[str, Any] = {"model": engine, "samples": samples, "guidance": guidance}
        return mask_of(boltzformer.segment(case.volume, case.prompt, seed=seed, **how))

    def note(clicks: Clicks, hit: bool, mask: Mask) -> None:
        clicks.hits.append(hit)
        clicks.kept += [is_found(one, mask) for one in met]
        clicks.change.append(dice(mask, case.truth) - dice(plain, case.truth))

    plain = run()
    true = objects(case.truth)
    met = [one for one in true if is_found(one, plain)]
    missed = [one for one in true if not is_found(one, plain)]
    false = [one for one in objects(plain) if not (one & case.truth).any()]
    other = run(seed=1) if missed or false else plain
    for one in missed[:MOST]:
        at = (click(one),)
        note(here["another seed"], is_found(one, other), other)
        lifted = run(guidance=Guidance(at, strength=0, bend=False))
        note(here["gate lifted alone"], is_found(one, lifted), lifted)
        for setting in settings:
            with led_as(engine, setting):
                mask = run(guidance=Guidance(at, strength=setting.strength, width=setting.width, bend=setting.bend))
            note(here[str(setting)], is_found(one, mask), mask)
    for one in false[:MOST]:
        at = (click(one),)
        note(away["another seed"], bool((other & one).sum() < GONE * one.sum()), other)
        for setting in settings:
            with led_as(engine, setting):
                mask = run(guidance=Guidance((), at, strength=setting.strength, width=setting.width, bend=setting.bend))
            note(away[str(setting)], bool((mask & one).sum() < GONE * one.sum()), mask)
    return [True] * len(met) + [False] * len(missed)


@contextmanager
def led_as(engine: Engine, setting: Setting) -> Iterator[None]:
    """The sampler with what a setting asks for beyond `Guidance`: experiments, so they live here."""
    law, config = boltzmann.blocked, engine.model.decoder.config
    first, end = map(int, setting.layers.split(":"))

    def blocked(guess: Tensor, layer: int, *rest: Any) -> Tensor | None:
        *others, energy = rest
        return law(guess, layer, *others, energy if first <= layer < end else None)

    boltzmann.blocked = blocked  # type: ignore[assignment]
    engine.model.decoder.config = replace(config, sample_ratio=min(1.0, config.sample_ratio * setting.trials))
    try:
        yield
    finally:
        boltzmann.blocked, engine.model.decoder.config = law, config


if __name__ == "__main__":
    main(sys.argv[1:])
