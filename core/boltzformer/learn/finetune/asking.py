"""Pictures asked as a user would ask: the probability maps, the claims, and how good the masks are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boltzformer.engine.devices import Place
from boltzformer.engine.engine import Engine
from boltzformer.evaluate.metrics import dice
from boltzformer.image.geometry import Grid
from boltzformer.learn.corpus import Picture
from boltzformer.masks.probability import probabilities
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.types import Prediction, Volume
from boltzformer.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Reply:
    """To one prompt about one picture."""

    chance: NDArray[np.float32]
    """(H, W): probability, before gate and threshold."""
    existence: float

    def mask(self, gate: float) -> NDArray[np.bool_]:
        """(H, W), as a user would get it."""
        return self.chance >= 0.5 if self.existence >= gate else np.zeros(self.chance.shape, bool)


@dataclass(frozen=True)
class Case:
    """One question with a known answer, and the reply to it."""

    target: str
    group: str
    area: float
    """True share of the picture; 0 where nothing is there."""
    existence: float
    raw: float
    """Dice before the gate; 0 where nothing is there."""

    def dice(self, gate: float) -> float:
        """A present object that is gated away counts 0."""
        return self.raw if self.existence >= gate else 0.0


def engine_with(model: BoltzFormer, about: Checkpoint, place: Place) -> Engine:
    """One that uses the weights as they are now; nothing is kept of what they were."""
    return Engine(model, about, Place(place.device, next(model.parameters()).dtype, place.why))


def volume_of(picture: Picture) -> Volume:
    """As the engine wants it; a picture with its neighbours becomes a stack whose middle is asked about."""
    array = picture.pixels.permute(1, 2, 0).cpu().numpy()  # (H, W, C)
    plane = array[..., 0][None] if array.shape[2] == 1 else array[None]
    return Volume(np.ascontiguousarray(plane), Grid.pixels(plane.shape[:3]), picture.modality)


def replies(engine: Engine, picture: Picture, prompts: Sequence[str]) -> dict[str, Reply]:
    """By prompt."""
    *_, last = engine.segment(volume_of(picture), list(dict.fromkeys(prompts)), seed=0, cache_bytes=0)
    assert isinstance(last, Prediction)
    return {
        prompt.text: Reply(probabilities(last, number)[0], float(last.existence[number].max()))
        for number, prompt in enumerate(last.prompts)
    }


def cases_of(picture: Picture, given: dict[str, Reply]) -> Iterator[Case]:
    """What the replies to the usual prompts are worth."""
    for target, mask in picture.masks.items():
        truth, reply = mask.cpu().numpy() > 0, given[picture.prompts[target][0]]
        raw = dice(reply.chance >= 0.5, truth) if truth.any() else 0.0
        yield Case(target, picture.group, float(truth.mean()), reply.existence, raw)


def asked(engine: Engine, pictures: Sequence[Picture]) -> list[Case]:
    """Every target of every picture, by its usual prompt."""
    return [
        case
        for picture in pictures
        for case in cases_of(picture, replies(engine, picture, [texts[0] for texts in picture.prompts.values()]))
    ]


def macro(cases: Sequence[Case], gate: float) -> float | None:
    """Mean over targets of the mean Dice of their present objects."""
    by: dict[str, list[float]] = {}
    for case in cases:
        if case.area > 0:
            by.setdefault(case.target, []).append(case.dice(gate))
    return float(np.mean([np.mean(values) for values in by.values()])) if by else None
