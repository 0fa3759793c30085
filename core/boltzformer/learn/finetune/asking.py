"""What a fine-tuning asks and teaches: pictures asked as a user would, and which targets of the data the model was
never taught."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from boltzformer.engine.devices import Place
from boltzformer.engine.engine import Engine
from boltzformer.evaluate.metrics import dice
from boltzformer.image.geometry import Grid
from boltzformer.knowledge.card import Card
from boltzformer.learn.corpus import Picture
from boltzformer.learn.finetune.counting import Asked, Count, all_of
from boltzformer.masks.postprocess import probabilities
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig
from boltzformer.model.text import plain_words
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
    *_, last = engine.segment(
        volume_of(picture), list(dict.fromkeys(prompts)), seed=0, cache_bytes=0, tiles=False
    )  # whole, as it learns
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
    return all_of(asked_one_by_one(engine, pictures, Count(len(pictures))))


def asked_one_by_one(engine: Engine, pictures: Sequence[Picture], count: Count) -> Asked[list[Case]]:
    """The same, told picture by picture."""
    cases: list[Case] = []
    for picture in pictures:
        cases.extend(cases_of(picture, replies(engine, picture, [texts[0] for texts in picture.prompts.values()])))
        yield count.one()
    return cases


def macro(cases: Sequence[Case], gate: float) -> float | None:
    """Mean over targets of the mean Dice of their present objects."""
    by: dict[str, list[float]] = {}
    for case in cases:
        if case.area > 0:
            by.setdefault(case.target, []).append(case.dice(gate))
    return float(np.mean([np.mean(values) for values in by.values()])) if by else None


def new_targets(about: Checkpoint, targets: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Those that the card does not say were taught; without a card all of them count as new."""
    card = Card.of(about.history.notes)
    return tuple(name for name in targets if card is None or name not in card.taught)


def phrases_of(target: str, prompts: Sequence[str], known: Iterable[str]) -> str:
    """The line of `TextConfig.learnt`: phrases that may stand inside longer prompts, or only by themselves.

    `known` are the prompts of other targets: none of them may change its meaning.
    """
    taken = [f" {plain_words(text)} " for text in known]
    phrases = dict.fromkeys(filter(None, (plain_words(text) for text in (target, *prompts))))
    open_ones = [phrase for phrase in phrases if not any(f" {phrase} " in other for other in taken)]
    rest = [f"={phrase}" for phrase in phrases if phrase not in open_ones and f" {phrase} " not in taken]
    return "\n".join([*open_ones, *rest])


def with_learnt(model: BoltzFormer, about: Checkpoint, lines: Mapping[str, str], seed: int) -> BoltzFormer:
    """The same model with rows for these targets; rows of an earlier fine-tuning stay, and go on learning.

    They begin as what the text encoder says of the usual prompt, each a little different, so that no two targets begin
    alike.
    """
    config, before = about.config, about.config.text.learnt
    fresh = [line for line in lines.values() if line and line not in before]
    if not fresh:
        return model
    text = replace(config.text, learnt=(*before, *fresh))
    grown = BoltzFormer(replace(config, text=text), model.text.tokenizer)
    state = model.state_dict()
    name = next(key for key in grown.state_dict() if key.endswith("learnt_rows"))
    generator = torch.Generator().manual_seed(seed)
    rows = [] if name not in state else [state[name]]
    with torch.no_grad():
        for line in fresh:
            words = model.encode_text([line.split("\n")[0].lstrip("=")])
            said = words.tokens[0]  # (T, C)
            noise = torch.randn(text.learnt_rows, said.shape[1], generator=generator)
            rows.append((said.mean(0) + 0.5 * said.std() * noise)[None])
    grown.load_state_dict({**state, name: torch.cat(rows)}, strict=True)
    return grown.eval()


def learnt_parameter(model: BoltzFormer) -> nn.Parameter | None:
    """The rows of all targets that fine-tuning taught."""
    return model.text.learnt_rows if model.config.text.learnt else None


def same_but_learnt(one: ModelConfig, other: ModelConfig) -> bool:
    """Whether two configurations differ in nothing but learnt prompts."""
    bare = [replace(config, text=replace(config.text, learnt=())) for config in (one, other)]
    return bare[0] == bare[1]
