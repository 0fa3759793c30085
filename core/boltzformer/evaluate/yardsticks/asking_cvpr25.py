"""A model answers the CVPR 2025 challenges: sentences, or a box and clicks that its looks are led by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.engine.engine import Engine
from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.yardsticks.asking import SHOWN, Question, as_objects, masks_of, merged, volume_of
from boltzformer.evaluate.yardsticks.cvpr25 import (
    Asked,
    Labels,
    asked_in,
    has,
    images_in,
    labels_in,
    spacing_in,
    truth_of,
)
from boltzformer.evaluate.yardsticks.cvpr25_interactive import CLICKS, classes, next_click
from boltzformer.image.guidance import Guidance
from boltzformer.io.npz import read_array, read_plain, write_npz
from boltzformer.types import Prediction, Volume

ANYTHING = "object"
"""What is asked for where a case has no text."""
EDGES = ("z_mid_x_min", "z_mid_y_min", "z_min", "z_mid_x_max", "z_mid_y_max", "z_max")
"""Of a box, both ends included."""
REACH = 2.0
"""Voxels by which a box that is widened goes beyond a click: the answer is coarser than the image."""
Place = tuple[float, float, float]
"""x, y, z, as guidance counts."""


def text_questions(data: Path, output: Path, blind: bool) -> list[Question]:
    """Every case of a folder."""
    told = [(path, asked_in(path), spacing_in(path)) for path in images_in(data)]
    return [Question(path.stem, partial(_answer_text, path, asked, spacing, output)) for path, asked, spacing in told]


def _answer_text(
    path: Path, asked: Asked, spacing: tuple[float, float, float], output: Path, engine: Engine, seed: int
) -> None:
    volume = volume_of(read_array(path, "imgs"), spacing, path)
    labels, texts = list(asked.prompts), [several[0] for several in asked.prompts.values()]
    segs = merged(masks_of(engine, volume, texts, seed, SHOWN), texts, labels)
    write_npz(output / path.name, segs=as_objects(segs > 0) if asked.instances else segs)


@dataclass
class Hand:
    """What a user has said of one class so far."""

    label: int
    text: str
    box: tuple[Place, Place] | None = None
    here: list[Place] = field(default_factory=list)
    not_here: list[Place] = field(default_factory=list)
    answer: tuple[int, NDArray[np.bool_]] | None = None
    """To so many clicks: asked again only after another one."""

    @property
    def clicks(self) -> int:
        return len(self.here) + len(self.not_here)


def interactive_questions(data: Path, output: Path, blind: bool) -> list[Question]:
    """Every case: six rounds where there is a truth that clicks can be drawn from, else the one that the file asks."""
    found = []
    for path in images_in(data):
        answer = partial(_answer_clicks, path, hands_in(path), spacing_in(path), output, blind)
        found.append(Question(path.stem, answer))
    return found


def _answer_clicks(
    path: Path,
    hands: list[Hand],
    spacing: tuple[float, float, float],
    output: Path,
    blind: bool,
    engine: Engine,
    seed: int,
) -> None:
    volume = volume_of(read_array(path, "imgs"), spacing, path)
    truth = None if blind else truth_of(path)
    if truth is None:
        write_npz(output / path.name, segs=led(engine, volume, hands, seed))
        return
    gts = labels_in(truth, "gts", volume.grid.shape)
    hands = hands or [Hand(label, ANYTHING) for label in classes(gts)]
    rounds = [led(engine, volume, hands, seed)] if any(hand.box for hand in hands) else []
    for _ in range(CLICKS):
        before = rounds[-1] if rounds else np.zeros(gts.shape, np.uint8)
        for hand in hands:
            click = next_click(gts == hand.label, before == hand.label)
            if click is not None:
                (z, y, x), there = click
                (hand.here if there else hand.not_here).append((x, y, z))
        rounds.append(led(engine, volume, hands, seed))
    write_npz(output / path.name, segs=rounds[-1], all_segs=np.stack(rounds))


def led(engine: Engine, volume: Volume, hands: Sequence[Hand], seed: int) -> Labels:
    """One answer to all that was said; a class of which nothing was said has none. Later classes lie on top."""
    flat: Labels = np.zeros(volume.grid.shape, np.uint8)
    for hand in hands:
        if hand.box is None and not hand.clicks:
            continue
        if hand.answer is None or hand.answer[0] != hand.clicks:
            hand.answer = hand.clicks, _mask(engine, volume, hand, seed)
        flat[hand.answer[1]] = hand.label
    return flat


def _mask(engine: Engine, volume: Volume, hand: Hand, seed: int) -> NDArray[np.bool_]:
    guidance = Guidance(tuple(hand.here), tuple(hand.not_here), _widened(hand))
    slices = list(range(volume.grid.shape[0]))
    if hand.box is not None:  # it says in which slices the object is; only a click says more
        low, high = int(hand.box[0][2]), int(hand.box[1][2])
        clicked = {int(z) for *_, z in hand.here}
        slices = sorted({*range(low, high + 1), *clicked})
    *_, last = engine.segment(volume, [hand.text], seed=seed, window=SHOWN, axis=0, slices=slices, guidance=guidance)
    assert isinstance(last, Prediction)
    return np.asarray(last.labels().mask(1))


def _widened(hand: Hand) -> tuple[Place, Place] | None:
    """The box, which is of the middle slice alone: where the object is clicked beyond it, it reaches there."""
    if hand.box is None:
        return None
    (x0, y0, z0), (x1, y1, z1) = hand.box
    xs, ys = ([place[axis] for place in hand.here] for axis in (0, 1))
    low = min([x0, *(x - REACH for x in xs)]), min([y0, *(y - REACH for y in ys)]), z0
    high = max([x1, *(x + REACH for x in xs)]), max([y1, *(y + REACH for y in ys)]), z1
    return low, high


def hands_in(path: Path) -> list[Hand]:
    """Boxes and clicks of a case, a class each; empty where it has neither."""
    shape = read_array(path, "imgs").shape[:3]
    boxes = read_plain(path, "boxes") if has(path, "boxes") else []
    clicks = read_plain(path, "clicks") if has(path, "clicks") else []
    count = max(len(boxes), len(clicks)) if isinstance(boxes, list) and isinstance(clicks, list) else 0
    texts = asked_in(path).prompts if has(path, "text_prompts") else {}
    labels = sorted(texts) if len(texts) == count else list(range(1, count + 1))
    hands = [Hand(label, texts.get(label, (ANYTHING,))[0]) for label in labels]
    for hand, box in zip(hands, boxes, strict=False):
        hand.box = _box(path, box, shape)
    for hand, told in zip(hands, clicks, strict=False):
        if not isinstance(told, dict):
            raise BoltzFormerError(f"The clicks of {path} are no table of fg and bg: give lists of z, y, x.")
        hand.here += _places(path, told.get("fg", []), shape)
        hand.not_here += _places(path, told.get("bg", []), shape)
    return hands


def _box(path: Path, box: Any, shape: Sequence[int]) -> tuple[Place, Place]:
    lengths = shape[::-1]
    good = isinstance(box, Mapping) and all(isinstance(box.get(edge), int | float) for edge in EDGES)
    x0, y0, z0, x1, y1, z1 = (float(box[edge]) for edge in EDGES) if good else [np.nan] * 6
    ends = ((x0, x1), (y0, y1), (z0, z1))
    if not all(0 <= low <= high < length for (low, high), length in zip(ends, lengths, strict=True)):
        raise BoltzFormerError(f"A box of {path} does not lie in its image: give {', '.join(sorted(EDGES))} in voxels.")
    return (x0, y0, z0), (x1, y1, z1)


def _places(path: Path, told: Any, shape: Sequence[int]) -> list[Place]:
    places: list[Place] = []
    for one in told if isinstance(told, list) else [None]:
        given = list(one) if isinstance(one, list | tuple) else []
        good = len(given) == 3 and all(isinstance(at, int | float) for at in given)
        if not good or not all(0 <= at < length for at, length in zip(given, shape, strict=True)):
            raise BoltzFormerError(f"A click of {path} does not lie in its image: give z, y, x in voxels.")
        z, y, x = map(float, given)
        places.append((x, y, z))
    return places
