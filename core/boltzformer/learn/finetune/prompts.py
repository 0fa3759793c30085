"""New prompts: which targets of the data the model was never taught, and the text rows that they get to learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from boltzformer.knowledge.card import Card
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig
from boltzformer.model.text import plain_words
from boltzformer.weights.checkpoint import Checkpoint


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
