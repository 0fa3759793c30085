"""What one step of a fine-tuning sees: half new pictures, half remembered ones, which the package carries with what the
model said of them before; prompts about what is and is not there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boltzformer.engine.engine import Engine
from boltzformer.knowledge.absent import family
from boltzformer.learn import augment
from boltzformer.learn.augment import Look
from boltzformer.learn.corpus import Picture
from boltzformer.learn.finetune.asking import Case, cases_of, replies
from boltzformer.learn.finetune.counting import Asked, Count
from boltzformer.learn.finetune.features import Features
from boltzformer.learn.finetune.lessons import read_pictures
from boltzformer.learn.recipe import Recipe
from boltzformer.learn.train import Batch, key

SIDES = {"left": "right", "right": "left"}
EMPTY_SHARE = 0.25
"""Of the draws for a target that show a picture in which somebody said that it is absent, where there is one."""


@dataclass(frozen=True)
class Ask:
    """One prompt of a sample."""

    target: str
    phrase: str
    claim: float | None = None
    """What existence should say; None: as the mask says."""
    remembered: bool = False


@dataclass(frozen=True)
class Shown:
    """One sample before it is drawn."""

    picture: Picture
    number: int
    """Of the picture among all, for kept features."""
    focus: str
    asked: tuple[Ask, ...]


@dataclass(frozen=True)
class Taught(Batch):
    """A batch whose answers are partly the parent's own."""

    claims: Tensor
    """(B, P): what existence should say."""
    drawn: Tensor
    """(B, P): 1 where the mask teaches."""
    positive: Tensor
    """(B, P): weight of present objects in the loss of existence; 1 for what is remembered."""
    maps: tuple[Tensor, ...] = ()
    """What the frozen encoder made of the images, where that was kept."""


class Pool:
    """The pictures to draw from."""

    def __init__(self, pictures: Sequence[Picture], remembered: Sequence[Remembered], new: Iterable[str]) -> None:
        self.pictures, self.remembered, self.new = tuple(pictures), tuple(remembered), tuple(new)
        self.present: dict[str, dict[str, list[int]]] = {}
        self.empty: dict[str, list[int]] = {}
        for number, picture in enumerate(self.pictures):
            for target, mask in picture.masks.items():
                if bool(mask.any()):
                    self.present.setdefault(target, {}).setdefault(picture.group, []).append(number)
                else:
                    self.empty.setdefault(target, []).append(number)
        self.targets = tuple(sorted(self.present))
        weights = np.sqrt([len(self.present[target]) for target in self.targets])
        self.weights = weights / weights.sum()
        self.families = {
            target: {family(p.modality) for p in self.pictures if target in p.masks} for target in self.targets
        }
        self.phrases = {
            target: tuple(dict.fromkeys(t for p in self.pictures for t in p.prompts.get(target, ())))
            for target in self.targets
        }
        old = [one.picture for one in self.remembered]
        self.elsewhere = [
            (target, texts, family(picture.modality)) for picture in old for target, texts in picture.prompts.items()
        ]
        self.by_target: dict[str, list[int]] = {}
        for number, one in enumerate(self.remembered):
            for target in one.picture.masks:
                self.by_target.setdefault(target, []).append(number)
        self.old_targets = tuple(sorted(self.by_target))

    def choose(self, rng: np.random.Generator, prompts: int) -> Shown:
        """One of the new pictures."""
        target = self.targets[rng.choice(len(self.targets), p=self.weights)]
        if self.empty.get(target) and rng.random() < EMPTY_SHARE:
            number = _pick(rng, self.empty[target])
        else:
            groups = self.present[target]
            number = _pick(rng, groups[_pick(rng, sorted(groups))])
        picture = self.pictures[number]
        others = sorted(set(picture.masks) - {target})
        rng.shuffle(others)
        wanted = [target, *others][: max(1, prompts - 1)]
        wanted += [target] * (max(1, prompts - 1) - len(wanted))
        asked = [Ask(name, phrase(rng, picture.prompts[name])) for name in wanted]
        if prompts > 1:
            asked.append(self._negative(rng, picture, target))
        return Shown(picture, number, target, tuple(asked))

    def _negative(self, rng: np.random.Generator, picture: Picture, target: str) -> Ask:
        """Something that is not there: by a person's word, by the side it is on, or because of the modality."""
        some = [name for name, mask in sorted(picture.masks.items()) if not bool(mask.any())]
        if some and rng.random() < 0.5:
            name = _pick(rng, some)
            return Ask(name, phrase(rng, picture.prompts[name]), 0.0)
        mirrored = swapped(picture.prompts[target][0])
        known = {text for texts in picture.prompts.values() for text in texts}
        if mirrored and mirrored not in known and rng.random() < 0.5:
            return Ask(target, mirrored, 0.0)
        own = family(picture.modality)
        other = [(name, self.phrases[name]) for name in self.targets if own and own not in self.families[name]]
        if own:
            other += [
                (name, texts) for name, texts, kind in self.elsewhere if kind != own and name not in picture.masks
            ]
        if not other:
            return Ask(target, phrase(rng, picture.prompts[target]))
        name, texts = _pick(rng, other)
        return Ask(name, phrase(rng, texts), 0.0)

    def recall(self, rng: np.random.Generator, prompts: int) -> Shown:
        """One of the remembered pictures."""
        target = _pick(rng, self.old_targets)
        number = _pick(rng, self.by_target[target])
        one = self.remembered[number]
        picture = one.picture
        others = sorted(set(picture.masks) - {target})
        rng.shuffle(others)
        wanted = [target, *others][: max(1, prompts - 1)]
        wanted += [target] * (max(1, prompts - 1) - len(wanted))
        asked = [Ask(name, phrase(rng, picture.prompts[name]), one.existence[name], True) for name in wanted]
        own = family(picture.modality)
        new = [name for name in self.new if name not in picture.masks and own not in self.families.get(name, {own})]
        if prompts > 1:
            if new and (not one.others or rng.random() < 0.5):  # what is taught now must not be seen everywhere
                name = _pick(rng, new)
                asked.append(Ask(name, phrase(rng, self.phrases[name]), 0.0))
            elif one.others:
                name, text, claim = _pick(rng, one.others)
                asked.append(Ask(name, text, claim, True))
            else:
                asked.append(asked[0])
        return Shown(picture, len(self.pictures) + number, target, tuple(asked))


def batch_of(
    pool: Pool, recipe: Recipe, step: int, *, share: tuple[int, int] = (0, 1), features: Features | None = None
) -> Taught:
    """The samples of one step; `share` is (rank, world): this process's part of them."""
    place, steps = recipe.within(step)
    final = place >= round(steps * (1 - recipe.final.share))
    side, size = (recipe.final.side, recipe.final.batch) if final else (recipe.side, recipe.batch)
    old = round(size * recipe.replay) if pool.remembered else 0
    places = tuple(range(size))[share[0] :: share[1]]
    made = [_sample(pool, recipe, step, place, side, final, place < old, features) for place in places]
    return Taught(
        images=torch.stack([one.image for one in made]),
        texts=tuple(tuple(ask.phrase for ask in one.asked) for one in made),
        names=tuple(tuple(ask.target for ask in one.asked) for one in made),
        masks=torch.stack([one.masks for one in made]),
        claims=torch.tensor([one.claims for one in made]),
        drawn=torch.tensor([one.drawn for one in made]),
        positive=torch.tensor([[1.0 if a.remembered else recipe.loss.positive for a in one.asked] for one in made]),
        places=places,
        maps=tuple(torch.stack(level) for level in zip(*(one.maps for one in made), strict=True)),
    )


@dataclass(frozen=True)
class _Sample:
    image: Tensor
    """(3, S, S)."""
    masks: Tensor
    """(P, S / 2, S / 2): 0 or 1, or what the parent believed."""
    asked: tuple[Ask, ...]
    claims: list[float]
    drawn: list[float]
    maps: tuple[Tensor, ...]


def _sample(
    pool: Pool, recipe: Recipe, step: int, place: int, side: int, final: bool, old: bool, features: Features | None
) -> _Sample:
    rng = np.random.default_rng(key(recipe.seed, step, place, 0))
    shown = pool.recall(rng, recipe.prompts) if old else pool.choose(rng, recipe.prompts)
    picture, maps = shown.picture, tuple[Tensor, ...]()
    if features is not None:
        view = features.view(shown.number, int(rng.integers(features.versions(shown.number))))
        look, image, maps = view.look, view.image, view.maps
    else:
        look = augment.look_at(picture, shown.focus, side, recipe.augmentation, rng, whole=final)
        image = augment.regrade(look.of(picture), recipe.augmentation, rng)
    nothing = image.new_zeros(image.shape[-1] // 2, image.shape[-1] // 2)
    masks, claims, drawn = [], [], []
    for ask in shown.asked:
        seen = nothing if ask.claim == 0 and not ask.remembered else _covered(look, picture, ask, nothing)
        there = bool(seen.amax() > 0)
        listed = ask.target in picture.masks
        claim = float(there) if ask.claim is None else ask.claim
        # Of a remembered object that this part of the picture does not show, the parent has said nothing.
        claims.append(0.0 if ask.remembered and listed and not there else claim)
        drawn.append(float(there))
        masks.append(seen)
    return _Sample(image, torch.stack(masks), shown.asked, claims, drawn, maps)


def _covered(look: Look, picture: Picture, ask: Ask, nothing: Tensor) -> Tensor:
    """(S / 2, S / 2): the person's mask, or the parent's belief."""
    if ask.target not in picture.masks:
        return nothing
    seen = look.mask(picture.masks[ask.target])
    return seen / 255 if ask.remembered else seen.ge(0.5).to(seen.dtype)


def phrase(rng: np.random.Generator, prompts: Sequence[str]) -> str:
    """The usual phrasing half of the time."""
    return prompts[0] if rng.random() < 0.5 else prompts[int(rng.integers(len(prompts)))]


def swapped(text: str) -> str:
    """'left kidney' → 'right kidney'; '' where no side is named."""
    made = re.sub(r"\b(left|right)\b", lambda found: SIDES[found[0].lower()], text, flags=re.IGNORECASE)
    return made if made != text else ""


def _pick(rng: np.random.Generator, some: Sequence[Any]) -> Any:
    return some[int(rng.integers(len(some)))]


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
    """Some fifty pictures with their true masks, one of every target at least, to learn from again."""
    return _carried("mini")


def check() -> tuple[Picture, ...]:
    """As many others, never to learn from."""
    return _carried("check")


def carried(name: str) -> Path:
    """The manifest of the pictures that the package carries: 'mini' or 'check'."""
    return Path(str(files("boltzformer") / "assets" / name / "manifest.jsonl"))


def _carried(name: str) -> tuple[Picture, ...]:
    return read_pictures(carried(name))


def remember(engine: Engine, pictures: Sequence[Picture], seed: int, count: Count) -> Asked[Reference]:
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
        yield count.one()
    return Reference(tuple(seen), tuple(pictures), tuple(parent))
