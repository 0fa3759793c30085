"""A large picture, tile by tile: each is asked like a region of its own, and the answers become one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from boltzformer.engine.run import Run
from boltzformer.image.geometry import Array
from boltzformer.image.slicing import LOGIT_STEP, SlicePlan, to_int8
from boltzformer.image.tiling import Tiling
from boltzformer.types import Adjusted, SliceResult, TileDone

LOWEST = np.iinfo(np.int8).min * LOGIT_STEP
"""Of a logit that travels."""
Attempt = Callable[[Run, int], SliceResult | Adjusted]
"""Asks about one slice of a run, as its plan sees it."""


def asked_in_tiles(
    run: Run, tiling: Tiling, index: int, gate: float, attempt: Attempt
) -> Iterator[Adjusted | TileDone | SliceResult]:
    """An event for every tile, last the answer about the picture. The noise of a tile is that of a look at its region
    alone, so it has the same bits whatever was asked before it."""
    done: dict[int, SliceResult] = {}
    left = deque(range(len(tiling)))
    while left:
        part = replace(run, plan=tiling.tiles[left[0]], waiting=deque([index]), encoded={}, done={})
        result = attempt(part, index)
        if isinstance(result, Adjusted):
            if part.effort.place != run.effort.place:  # one run, one precision: what is done is done again
                done, left = {}, deque(range(len(tiling)))
            run.effort = part.effort
            yield result
            continue
        done[left.popleft()] = result
        yield TileDone(len(done), len(tiling))
    yield together(tiling, done, index, gate)


def together(tiling: Tiling, results: Mapping[int, SliceResult], index: int, gate: float) -> SliceResult:
    """Logits, outlines and spread of the whole picture at its own size; the existence is the surest tile's.

    Each tile has an existence of its own, so none of its pixels is surer than that: where the existence just passes the
    checkpoint's gate, pixels just pass one half, and a lower threshold for the outline shows what a tile held back.
    """
    first = next(iter(results.values()))
    prompts = range(len(first.existence))
    every = [results[number] for number in sorted(results)]
    lifted = [one.lifted for one in every if one.lifted is not None]
    capped = [partial(_capped, prompt=prompt, gate=gate) for prompt in prompts]
    edges = None
    if first.edges is not None:
        edges = np.stack([_joined(tiling, results, partial(_outline, prompt=prompt)) for prompt in prompts])
    return SliceResult(
        index,
        np.stack([_joined(tiling, results, plane) for plane in capped]),
        np.max([one.existence for one in every], axis=0),
        None if first.spread is None else np.stack([_spread(tiling, results, prompt) for prompt in prompts]),
        edges,
        np.any(lifted, axis=0) if lifted else None,
    )


def _joined(
    tiling: Tiling, results: Mapping[int, SliceResult], plane: Callable[[SliceResult, SlicePlan], Array]
) -> NDArray[np.int8]:
    planes = {number: plane(one, tiling.tiles[number]) for number, one in results.items()}
    return to_int8(tiling.together(planes, LOWEST))


def _capped(one: SliceResult, tile: SlicePlan, prompt: int, gate: float) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = tile.expand(one.plane(prompt))[tile.crop]
    if one.lifted is not None and one.lifted[prompt]:
        return logits
    cap = np.float32(_logit(float(one.existence[prompt])) - _logit(gate))
    return np.clip(logits, LOWEST, max(cap, np.float32(LOWEST)))


def _outline(one: SliceResult, tile: SlicePlan, prompt: int) -> NDArray[np.float32]:
    assert one.edges is not None
    return tile.expand(one.edges[prompt])[tile.crop]


def _spread(tiling: Tiling, results: Mapping[int, SliceResult], prompt: int) -> NDArray[np.uint8]:
    planes = {}
    for number, one in results.items():
        assert one.spread is not None
        levels = (one.spread[prompt] // 2).astype(np.int8)  # 127 is the largest there is
        planes[number] = tiling.tiles[number].expand(levels)[tiling.tiles[number].crop] * (2 / LOGIT_STEP)
    return np.clip(np.rint(tiling.together(planes, 0.0)), 0, 255).astype(np.uint8)


def _logit(probability: float) -> float:
    held = min(max(probability, 1e-6), 1 - 1e-6)
    return float(np.log(held / (1 - held)))
