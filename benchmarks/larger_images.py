"""Small objects in larger images: the network's own size, twice that size with and without BA-SAM, and a region.

Of the held-back images and targets whose objects cover at most a hundredth of the image. 'Region, found' looks again,
enlarged, around what a first pass found; 'region, told' around the true objects with as much again on every side, which
a user would have to draw. Run: python benchmarks/larger_images.py MANIFEST SPLIT [--model FILE] [--beta …].
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from typing import Any

import numpy as np
from held_back import (
    Case,
    Mask,
    arguments,
    cases,
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
from boltzformer import Region
from boltzformer.engine.engine import Engine
from boltzformer.model.layers import BETA, Extrapolation

SMALL = 0.01
"""Largest share of the image that the objects of a row may cover."""


def main(given: list[str]) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--beta", type=float, nargs="+", default=[BETA])
    parser.add_argument("--times", type=float, default=2.0, help="how many times larger than the model was trained at")
    told = parser.parse_args(given)
    told.script, told.given = __file__, given
    engine = engine_of(told)
    score: dict[str, list[float]] = defaultdict(list)
    hits: dict[str, list[bool]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    number = 0
    for case in cases(rows_of(told, SMALL)):
        number += 1
        true = objects(case.truth)
        for name, mask, took in answers(engine, case, told):
            score[name].append(dice(mask, case.truth))
            hits[name] += [is_found(one, mask) for one in true]
            seconds[name].append(took)
        if number % 10 == 0:
            sys.stderr.write(f"{number} images and targets\n")
    lines = []
    for name, values in score.items():
        away = np.array(values) - np.array(score["1×"])
        error = away.std() / max(1, number) ** 0.5
        lines.append(
            [
                name,
                f"{np.mean(values):.3f}",
                f"{away.mean():+.3f} ± {error:.3f}",
                share(hits[name]),
                f"{np.mean(seconds[name]):.2f}",
            ]
        )
    head = ["", "Dice", "against 1× (± standard error)", "objects found", "s per image"]
    first = f"{number} held-back images and targets of at most {SMALL:.0%} of the image; trained at "
    first += f"{engine.about.config.image_size}.\n\n"
    told_and_kept(told, "Small objects in larger images (BA-SAM, regions)", engine, first + table(head, lines))


def answers(engine: Engine, case: Case, told: Any) -> list[tuple[str, Mask, float]]:
    """Every way's name, mask and seconds."""
    side = engine.about.config.image_size
    stride = engine.about.config.encoder.strides[-1]
    twice = round(told.times * side / stride) * stride
    made: list[tuple[str, Mask, float]] = []

    def ask(name: str, before: float = 0.0, **how: Any) -> Mask:
        start = time.perf_counter()
        # Nothing is kept: the cache can't know that the network is changed here.
        mask = mask_of(boltzformer.segment(case.volume, case.prompt, model=engine, cache_bytes=0, **how))
        made.append((name, mask, before + time.perf_counter() - start))
        return mask

    first = ask("1×")
    with_beta(engine, None)
    ask(f"{told.times:g}×, plain", size=twice)
    for beta in told.beta:
        with_beta(engine, beta)
        ask(f"{told.times:g}×, BA-SAM, β {beta:g}", size=twice)
    with_beta(engine, BETA)
    if first.any():
        ask("region, found", made[0][2], region=Region.around(case.volume.grid, first[None]))
    else:
        made.append(("region, found", first, made[0][2]))
    extent = max(int(np.ptp(axis)) + 1 for axis in case.truth.nonzero())
    ask("region, told", region=Region.around(case.volume.grid, case.truth[None], extent))
    return made


def with_beta(engine: Engine, beta: float | None) -> None:
    """The model with another β, if it has none of its own; without any correction for None."""
    fresh = type(engine.model)(engine.about.config)
    for ours, plain in zip(engine.model.modules(), fresh.modules(), strict=True):
        if isinstance(ours, Extrapolation) and isinstance(plain, Extrapolation):
            ours.trained = None if beta is None else plain.trained
            if not engine.about.config.learned_beta:
                ours.beta = BETA if beta is None else beta
    decoder = engine.model.decoder
    decoder.trained = [None] * len(decoder.trained) if beta is None else fresh.decoder.trained


if __name__ == "__main__":
    main(sys.argv[1:])
