"""The one loop: a corpus and a recipe in, `Progress` out. A generator; stopping is not asking for the next step.

Step n draws its samples, its noise and its augmentation from (seed, n) alone, so a run that goes on from a saved state
does what an uninterrupted one does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from boltzformer.engine.devices import fast_half
from boltzformer.learn import augment
from boltzformer.learn.corpus import Corpus
from boltzformer.learn.recipe import Recipe
from boltzformer.model.boltzformer import Answer, BoltzFormer, ImageState
from boltzformer.model.decoder import Noise
from boltzformer.model.losses import cross_entropy, dice, gated_loss
from boltzformer.model.text import TextState
from boltzformer.types import Progress

LETTER = 8_000_000
"""So many numbers, or a few more, go to the other processes at once."""


@dataclass(frozen=True)
class Batch:
    """What one step sees."""

    images: Tensor
    """(B, 3, S, S) in 0…255."""
    texts: tuple[tuple[str, ...], ...]
    """B × P prompts."""
    names: tuple[tuple[str, ...], ...]
    """B × P targets that they mean."""
    masks: Tensor
    """(B, P, S / 2, S / 2): the share of each place that the target covers."""
    places: tuple[int, ...]
    """Of the samples in the whole batch: the noise goes with them."""


class Trainer:
    """A model that is being taught, the mean of its weights, its optimizer, and how far it is."""

    def __init__(self, model: BoltzFormer, recipe: Recipe, targets: tuple[str, ...], *, world: int = 1) -> None:
        self.model, self.recipe, self.step = model, recipe, 0
        self.world = world
        """Processes that share a batch."""
        self.targets = {target: number for number, target in enumerate(targets)}
        self.dense = nn.Conv2d(model.config.decoder.mask_channels, max(1, len(targets)), 1)
        self.device = next(model.parameters()).device
        self.presence = nn.Linear(model.config.decoder.hidden, 1)
        self.dense.to(self.device)
        self.presence.to(self.device)
        self.half = recipe.precision == "auto" and fast_half(self.device)
        # Without the aids (fine-tuning) nothing that only a training has is learnt, kept or saved.
        aids = nn.ModuleDict({"dense": self.dense, "presence": self.presence} if recipe.loss.dense else {})
        learnt = [*model.named_parameters(), *aids.named_parameters()]
        self.weights = {name: parameter for name, parameter in learnt if parameter.requires_grad}
        self.mean = {name: parameter.detach().clone() for name, parameter in self.weights.items()}
        groups = []
        for decays in (True, False):
            for share in sorted({1.0, recipe.optimizer.encoder}, reverse=True):
                some = [p for n, p in self.weights.items() if _decays(n, p) == decays and self._share(n) == share]
                decay = recipe.optimizer.weight_decay if decays else 0.0
                groups.append({"params": some, "weight_decay": decay, "share": share})
        self.optimizer = torch.optim.AdamW(groups, recipe.optimizer.rate, fused=True)

    def _share(self, name: str) -> float:
        """Of the learning rate."""
        return self.recipe.optimizer.encoder if name.startswith("backbone.") else 1.0

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step."""
        recipe, step = self.recipe, self.step
        rate = rate_at(recipe, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses = self._gradients(batch)
        norm = self._clip()
        if bool(norm.isfinite()):
            self.optimizer.step()
        self.step = step + 1
        self._average()
        return {**losses, "rate": rate, "gradient": float(norm)}

    def _clip(self) -> Tensor:
        """The length of all gradients together, which is cut to what the recipe allows."""
        return nn.utils.clip_grad_norm_(list(self.weights.values()), self.recipe.optimizer.clip)

    def _gradients(self, batch: Batch) -> dict[str, float]:
        """Forward and backward; what the terms of the loss were."""
        with self._quick(), self._watched() as heard:
            answer, image = self._answer(batch)
        losses, share = self._losses(batch, answer, image, heard), 1.0
        if self.world > 1:
            share = len(batch.images) / _shape_at(self.recipe, self.step)[1]
        (losses["total"] * share).backward()
        told = {name: float(value.detach()) * share for name, value in losses.items()}
        return self._shared(told) if self.world > 1 else told

    def _shared(self, told: Mapping[str, float]) -> dict[str, float]:
        """Gradients and losses summed over all processes: as if one had seen the whole batch."""
        add_up(self.weights.values())
        return self._summed(told)

    def _summed(self, told: Mapping[str, float]) -> dict[str, float]:
        """Over all processes."""
        values = torch.tensor([told[name] for name in sorted(told)], dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(values)
        return dict(zip(sorted(told), values.tolist(), strict=True))

    @contextmanager
    def _quick(self) -> Iterator[None]:
        """Half precision where it pays. On a CPU, attention over a few words and queries by plain products: in bfloat16
        the fused kernel takes 28 ms a call over 18 tokens where those take 5."""
        attention = sdpa_kernel(SDPBackend.MATH) if self.half and self.device.type == "cpu" else nullcontext()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half), attention:
            yield

    def _answer(self, batch: Batch) -> tuple[Answer, ImageState]:
        image = self.model.encode_image(batch.images)
        known = sorted({text for texts in batch.texts for text in texts})
        text = self.model.encode_text(known)
        number = {name: row for row, name in enumerate(known)}
        rows = torch.tensor([[number[name] for name in texts] for texts in batch.texts], device=self.device)  # (B, P)
        words = TextState(text.tokens[rows], text.mask[rows])
        return self.model.decode(image, words, self._noise(batch, image)), image

    def _losses(self, batch: Batch, answer: Answer, image: ImageState, heard: list[Tensor]) -> dict[str, Tensor]:
        masks, shape = batch.masks, batch.masks.shape[:2]
        present = masks.amax((-2, -1)).gt(0).float()  # (B, P)
        share = present / present.numel()
        assert answer.existence is not None
        main = gated_loss(
            answer.logits, answer.existence, None, masks.ge(0.5).float(), positive_weight=self.recipe.loss.positive
        )
        semantic = image.tokens.semantic.float()  # (B, M, h, w)
        coarse = nn.functional.avg_pool2d(masks, 2)
        inside = self.model.decoder.insides(heard, image.tokens, shape[1], torch.float32)
        guesses, again = inside.guesses.flatten(0, 1), coarse.repeat(len(inside.guesses), 1, 1, 1)
        deep = ((dice(guesses, again) + cross_entropy(guesses, again)) * share.repeat(len(inside.guesses), 1)).sum()
        rows = torch.tensor([[self.targets[name] for name in names] for names in batch.names], device=self.device)
        every = self.dense(semantic)
        named = every.gather(1, rows[:, :, None, None].expand(-1, -1, *every.shape[-2:]))  # (B, P, h, w)
        dense = ((present * dice(named, coarse) + cross_entropy(named, coarse)) / present.numel()).sum()
        # The existence classifier reads the queries and teaches them nothing, so something else must make them know.
        claimed = self.presence(inside.rows).mean(1).unflatten(0, shape)[..., 0]  # (B, P)
        presence = nn.functional.binary_cross_entropy_with_logits(claimed, present)
        weights = self.recipe.loss
        aids = weights.deep * deep + weights.dense * dense + weights.presence * presence
        return {
            "total": main.total + aids,
            "mask": (main.mask * present).sum() / present.sum().clamp(min=1),
            "existence": main.existence.mean(),
            "deep": deep,
            "dense": dense,
            "presence": presence,
        }

    def _noise(self, batch: Batch, image: ImageState) -> Noise:
        """By the place in the whole batch: the same whatever part of it is computed together."""
        prompts = len(batch.texts[0])

        def noise(layer: int) -> Tensor:
            shape = self.model.decoder.noise_shape(image.tokens, prompts, layer)
            rows = []
            for place in batch.places:
                generator = torch.Generator().manual_seed(key(self.recipe.seed, self.step, place, 1 + layer))
                rows.append(torch.rand(shape[1:], generator=generator))
            return torch.stack(rows).to(self.device)

        return noise

    @contextmanager
    def _watched(self) -> Iterator[list[Tensor]]:
        """What a training hears of the decoder's insides."""
        seen: list[Tensor] = []
        parts = self.model.decoder.heard
        handles = [part.register_forward_hook(lambda _, __, out: seen.append(out)) for part in parts]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def _average(self) -> None:
        done = 1 + self.recipe.within(self.step - 1)[0]
        decay = min(self.recipe.optimizer.average, (1 + done) / (10 + done))
        torch._foreach_lerp_(list(self.mean.values()), [p.detach() for p in self.weights.values()], 1 - decay)

    @property
    def kept(self) -> Mapping[str, Tensor]:
        """What is used and shipped."""
        return self.mean

    @contextmanager
    def averaged(self, weights: Mapping[str, Tensor] | None = None) -> Iterator[BoltzFormer]:
        """The model with what is kept (or with these weights), for as long as one looks."""
        kept = {name: parameter.detach().clone() for name, parameter in self.weights.items()}
        self._put(self.kept if weights is None else weights)
        self.model.eval()
        try:
            yield self.model
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self.weights.items():
            parameter.copy_(values[name])

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Everything that the next step depends on, in parts of one copy of the weights each."""
        moments = {name: self.optimizer.state.get(parameter, {}) for name, parameter in self.weights.items()}
        return {
            "weights": {name: parameter.detach() for name, parameter in self.weights.items()},
            "mean": dict(self.mean),
            **{part: {n: m[part] for n, m in moments.items() if m} for part in ("exp_avg", "exp_avg_sq")},
        }

    def take_over(self, step: int, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Starts with all that another run had learnt at its step, as this one's step 0."""
        self.restore(step, state)
        self.step = 0

    @torch.no_grad()
    def restore(self, step: int, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Goes back to a saved state."""
        self.step = step
        self._put({name: tensor.to(self.device) for name, tensor in state["weights"].items()})
        for name, tensor in state["mean"].items():
            self.mean[name].copy_(tensor)
        updates = 1 + self.recipe.within(step - 1)[0]
        for name, parameter in self.weights.items():
            if name in state["exp_avg"]:
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(float(updates)),
                    **{part: state[part][name].to(self.device, copy=True) for part in ("exp_avg", "exp_avg_sq")},
                }


def fit(trainer: Trainer, corpus: Corpus, *, until: int | None = None, rank: int = 0) -> Iterator[Progress]:
    """Teaches in place, from the step it is at to `until` (None: the recipe's end); yields after every step."""
    steps = trainer.recipe.steps
    while trainer.step < (steps if until is None else min(until, steps)):
        losses = trainer.learn(batch_of(corpus, trainer.recipe, trainer.step, share=(rank, trainer.world)))
        yield Progress(trainer.step, steps, losses)


def batch_of(corpus: Corpus, recipe: Recipe, step: int, *, share: tuple[int, int] = (0, 1)) -> Batch:
    """The samples of one step; `share` is (rank, world): this process's part of them."""
    side, size, final = _shape_at(recipe, step)
    places = tuple(range(size))[share[0] :: share[1]]
    made = [
        _sample(corpus, recipe, np.random.default_rng(key(recipe.seed, step, place, 0)), side, final)
        for place in places
    ]
    images, masks, asked = zip(*made, strict=True)
    return Batch(
        torch.stack(images),
        tuple(tuple(text for _, text in some) for some in asked),
        tuple(tuple(name for name, _ in some) for some in asked),
        torch.stack(masks),
        places,
    )


def _shape_at(recipe: Recipe, step: int) -> tuple[int, int, bool]:
    """Side and number of the images of a step, and whether it is one of the final ones."""
    final = step >= round(recipe.steps * (1 - recipe.final.share))
    return (recipe.final.side, recipe.final.batch, True) if final else (recipe.side, recipe.batch, False)


def _sample(
    corpus: Corpus, recipe: Recipe, rng: np.random.Generator, side: int, whole: bool
) -> tuple[Tensor, Tensor, tuple[tuple[str, str], ...]]:
    strength = recipe.augmentation
    choice = corpus.choose(
        rng,
        present=recipe.present,
        paste=strength.paste,
        plain=recipe.plain,
        typed=recipe.typed,
        vacant=recipe.vacant,
        healthy=recipe.healthy,
    )
    picture = choice.picture
    if strength.spread and rng.random() < strength.spread:
        picture = augment.spread(picture, choice.focus, rng, grow=strength.grow)
    for donor in choice.donors:
        picture = augment.paste(picture, donor, choice.focus, rng, grow=strength.grow)
    look = augment.look_at(picture, choice.focus, side, strength, rng, whole=whole)
    image = augment.regrade(look.of(picture), strength, rng)
    empty = image.new_zeros(side // 2, side // 2)
    masks = [look.mask(picture.masks[name]) if name in picture.masks else empty for name, _ in choice.asked]
    return image, torch.stack(masks), choice.asked


def rate_at(recipe: Recipe, step: int) -> float:
    """The learning rate: up in a line, down along half a cosine."""
    own, (step, steps) = recipe.optimizer, recipe.within(step)
    if step < own.warm_up:
        return own.rate * (step + 1) / own.warm_up
    if own.schedule == "constant":
        return own.rate
    done = (step - own.warm_up) / max(1, steps - own.warm_up)
    return own.rate * 0.5 * (1 + math.cos(math.pi * done))


def add_up(parameters: Iterable[nn.Parameter]) -> None:
    """Every process gets the sum of all their gradients."""
    gradients = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    for some in letters(gradients):
        flat = torch.cat([gradient.flatten() for gradient in some])
        torch.distributed.all_reduce(flat)
        for gradient, summed in zip(some, flat.split([gradient.numel() for gradient in some]), strict=True):
            gradient.copy_(summed.view_as(gradient))


def letters(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """What is sent together: hundreds of small messages take longer than a step."""
    some, size = list[Tensor](), 0
    for gradient in gradients:
        some.append(gradient)
        size += gradient.numel()
        if size >= LETTER:
            yield some
            some, size = [], 0
    if some:
        yield some


def _decays(name: str, parameter: Tensor) -> bool:
    """Weight decay is for matrices and kernels, not for norms, biases and embeddings."""
    return parameter.ndim > 1 and "embed" not in name and "query" not in name


def key(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
