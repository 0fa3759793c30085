"""Not forgetting: real images that the package carries, with what the model said of them before it learnt on.

`mini` is what a fine-tuning recalls; the shipped model knows it by heart. So what was forgotten is measured on `check`,
images of patients that nothing ever learns from: on the first, a loss looks two to four times as large as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from boltzformer.engine.engine import Engine
from boltzformer.learn.corpus import Picture
from boltzformer.learn.finetune.asking import Case, cases_of, replies
from boltzformer.learn.finetune.lessons import read_pictures

FAINT = 26
"""Of 255: below, a teacher's mask is taken as empty."""
ABSENT_EACH = 2
"""So many prompts about other things are put to the teacher for each picture."""


@dataclass(frozen=True)
class Remembered:
    """A picture as the parent sees it."""

    picture: Picture
    """Its masks are the parent's probabilities, 0…255."""
    existence: Mapping[str, float]
    """Target → the parent's claim that it is there."""
    others: tuple[tuple[str, str, float], ...]
    """(target, phrase, the parent's claim) of what is not listed for it."""


@dataclass(frozen=True)
class Reference:
    """All of them, and how well the parent does there."""

    seen: tuple[Remembered, ...]
    truth: tuple[Picture, ...]
    parent: tuple[Case, ...]


def mini() -> tuple[Picture, ...]:
    """48 pictures with their true masks, to learn from again."""
    return _carried("mini")


def check() -> tuple[Picture, ...]:
    """48 others, never to learn from."""
    return _carried("check")


def _carried(name: str) -> tuple[Picture, ...]:
    return read_pictures(Path(str(files("boltzformer") / "assets" / name / "manifest.jsonl")))


def remember(engine: Engine, pictures: Sequence[Picture], seed: int) -> Reference:
    """Puts everything to the parent once; its own masks are what a fine-tuning is reminded of."""
    everything = {target: texts for picture in pictures for target, texts in picture.prompts.items()}
    seen, parent = [], list[Case]()
    for number, picture in enumerate(pictures):
        rng = np.random.default_rng((seed, number))
        missing = [name for name in sorted(everything) if name not in picture.masks]
        picked = [missing[k] for k in rng.permutation(len(missing))[:ABSENT_EACH]]
        asked = [(name, everything[name][0]) for name in picked]
        given = replies(engine, picture, [*(texts[0] for texts in picture.prompts.values()), *(t for _, t in asked)])
        parent.extend(cases_of(picture, given))
        masks, existence = {}, {}
        for target, texts in picture.prompts.items():
            reply = given[texts[0]]
            plane = torch.from_numpy((reply.chance * 255).round().astype(np.uint8))
            masks[target] = plane.masked_fill(plane < FAINT, 0)
            existence[target] = reply.existence
        others = tuple((name, text, given[text].existence) for name, text in asked)
        seen.append(Remembered(replace(picture, masks=masks), existence, others))
    return Reference(tuple(seen), tuple(pictures), tuple(parent))
