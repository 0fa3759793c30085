"""Which slices are worth a person's next minutes: where seeds disagree most, each unlike the ones before it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.dataset import Dataset
from boltzformer.engine.engine import Engine, load
from boltzformer.errors import BoltzFormerError
from boltzformer.image.geometry import Array
from boltzformer.knowledge.card import Card
from boltzformer.speaking import say
from boltzformer.types import Prediction, SliceState, Volume

SAMPLES = 4
"""Seeds per slice."""
LOOK_S, EDIT_S = 8.0, 40.0
"""Seconds for looking at a slice, and for correcting an object of a tenth of it: what a gain is divided by."""
LIKENESS = 0.7
"""How much a slice that looks exactly like one that was chosen already is worth less."""
FACE = 16
"""Side of the small picture that likeness is judged by."""


@dataclass(frozen=True)
class Doubt:
    """One slice that nobody has judged."""

    case: str
    index: int
    """Along the slice axis of the stored array."""
    prompt: str
    disagreement: float
    """0…1: doubtful area as a share of the claimed or doubtful one, and doubt about existence."""
    minutes: float
    """That a person will need for it, as estimated."""
    value: float
    """Expected gain per minute; less for what looks like a slice before it in the list."""


@dataclass(frozen=True)
class Unseen:
    """A volume, the prompts for it, and the slices that nobody has judged."""

    name: str
    volume: Volume
    prompts: tuple[str, ...]
    slices: tuple[int, ...]


def unseen(source: Path, prompts: Sequence[str], engine: Engine) -> Iterator[Unseen]:
    """Of an annotation dataset: what was not judged; of a folder or image: everything."""
    if (source / "dataset.json").is_file():
        for case in Dataset(source).cases():
            texts = tuple(prompts) or tuple(case.texts(label)[0] for label in case.states)
            judged = {
                index
                for states in case.states.values()
                for index, state in enumerate(states)
                if state is not SliceState.UNSEEN
            }
            free = tuple(index for index in range(case.grid.shape[case.axis]) if index not in judged)
            if free and texts:
                yield Unseen(case.id, case.volume, texts, free)
        return
    texts = tuple(prompts)
    if not texts:
        card = Card.of(engine.about.history.notes)
        names = ", ".join(sorted(card.taught)) if card else "none that its card tells of"
        raise BoltzFormerError(f"Say what to look for with --prompt; this model was taught: {names}.")
    paths = sorted(path for path in source.iterdir() if path.is_file()) if source.is_dir() else [source]
    for path in paths:
        try:
            volume = io.read(path)
        except BoltzFormerError:
            if not source.is_dir():
                raise
            continue  # a folder may hold other things
        yield Unseen(str(path), volume, texts, tuple(range(volume.array.shape[volume.slice_axis])))


def doubts(engine: Engine, some: Iterable[Unseen], *, seed: int = 0, limit: int = 20) -> list[Doubt]:
    """The most valuable slices first."""
    found: list[tuple[Doubt, NDArray[np.float32]]] = []
    for one in some:
        *_, last = engine.segment(one.volume, list(one.prompts), seed=seed, samples=SAMPLES, slices=list(one.slices))
        assert isinstance(last, Prediction)
        for result in last.slices:
            face = face_of(one.volume.array, one.volume.slice_axis, result.index)
            spread = np.zeros_like(result.logits, np.uint8) if result.spread is None else result.spread
            for number, prompt in enumerate(last.prompts):
                doubt = _doubt(
                    one.name, result.index, prompt.text, spread[number], result.plane(number), result.existence[number]
                )
                found.append((doubt, face))
    return ranked(found, limit)


def _doubt(case: str, index: int, prompt: str, spread: Array, logits: Array, existence: float) -> Doubt:
    doubtful, claimed = float((spread / 255).mean()), float((logits > 0).mean())
    uncertain = 1 - abs(2 * float(existence) - 1)
    area = doubtful / (claimed + doubtful) if claimed + doubtful > 0 else 0.0
    disagreement = 0.5 * area * float(existence) + 0.5 * uncertain
    minutes = (LOOK_S + EDIT_S * min(1.0, 10 * claimed) * disagreement) / 60
    return Doubt(case, index, prompt, round(disagreement, 4), round(minutes, 3), disagreement / minutes)


def ranked(found: Sequence[tuple[Doubt, NDArray[np.float32]]], limit: int) -> list[Doubt]:
    """Greedily: the best one, then the best of what does not look like it, and so on."""
    left, chosen = list(found), list[Doubt]()
    values = [doubt.value for doubt, _ in left]
    while left and len(chosen) < limit:
        best = max(range(len(left)), key=lambda k: (values[k], -k))
        doubt, face = left.pop(best)
        value = values.pop(best)
        chosen.append(Doubt(**{**asdict(doubt), "value": round(value, 4)}))
        for k, (other, theirs) in enumerate(left):
            if other.prompt == doubt.prompt:
                likeness = max(0.0, float((face * theirs).sum()))
                values[k] = min(values[k], left[k][0].value * (1 - LIKENESS * likeness))
    return chosen


def face_of(array: Array, axis: int, index: int) -> NDArray[np.float32]:
    """A small, normalised picture of a slice: the product of two is their correlation."""
    plane = np.take(array, index, axis).astype(np.float32)
    plane = plane.mean(-1) if plane.ndim == 3 else plane
    rows, columns = (np.linspace(0, length - 1, FACE).astype(int) for length in plane.shape)
    small = plane[rows][:, columns]
    small = small - small.mean()
    made: NDArray[np.float32] = small / max(1e-6, float(np.linalg.norm(small)))
    return made


def review_command(
    source: Annotated[Path, typer.Argument(help="An annotation dataset, a folder of images, or an image.")],
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", "-p", help="What to look for; a dataset knows its own.")
    ] = None,
    model: Annotated[str, typer.Option(help="'default', a registered name, or a .safetensors file.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:NUMBER or mps.")] = "auto",
    limit: Annotated[int, typer.Option(help="So many slices.")] = 20,
    seed: Annotated[int, typer.Option(help="The first of the seeds that are compared.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per slice on standard output.")] = False,
) -> None:
    """Rank slices that nobody has judged by what a minute of correcting them is worth."""
    if not source.exists():
        raise BoltzFormerError(f"{source} is not there: give a dataset, a folder of images, or an image.")
    if limit < 1 or seed < 0:
        raise BoltzFormerError("--limit must be at least 1 and --seed at least 0.")
    engine = load(model, device=device)
    told = 0
    for one in doubts(engine, unseen(source, tuple(prompt or ()), engine), seed=seed, limit=limit):
        told += 1
        if as_json:
            say(json.dumps(asdict(one)))
        else:
            say(f"{one.value:6.2f}  slice {one.index:4}  {one.prompt}  {one.case}")
    if not told:
        say(f"{source} has no slice that nobody has judged: there is nothing to review.", err=True)
