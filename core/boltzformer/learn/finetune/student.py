"""`Student`: the one loop's trainer for fine-tuning. Remembered answers, accumulation, drawn back to where it began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from boltzformer.engine.devices import is_out_of_memory
from boltzformer.learn.finetune.sampling import Taught
from boltzformer.learn.recipe import Recipe
from boltzformer.learn.train import Batch, Trainer
from boltzformer.model.boltzformer import Answer, BoltzFormer, ImageState
from boltzformer.model.losses import cross_entropy, dice, edge_target, resize_logits
from boltzformer.model.text import TextState


def taught_loss(answer: Answer, batch: Taught, kind: str) -> dict[str, Tensor]:
    """The published losses, told by numbers instead of by 0 and 1: see `losses.gated_loss` and `overlap_loss`."""
    target = batch.masks
    logits = resize_logits(answer.logits, target.shape[-2], target.shape[-1])
    target = target.to(logits.dtype)
    drawn, claims = batch.drawn.to(logits.dtype), batch.claims.to(logits.dtype)
    mask = dice(logits, target) + cross_entropy(logits, target)  # (B, P)
    if kind == "overlap":
        return {"total": mask.mean(), "mask": mask.mean()}
    per_item = drawn * mask
    if answer.edges is not None:
        hard = target.ge(0.5)
        outline = edge_target(hard).to(logits.dtype)
        edges = resize_logits(answer.edges, target.shape[-2], target.shape[-1])
        per_item = per_item + drawn * (dice(edges, outline) + cross_entropy(edges, outline))
    told = {"mask": (mask * drawn).sum() / drawn.sum().clamp(min=1)}
    if answer.existence is not None:
        claimed = torch.nn.functional.binary_cross_entropy_with_logits(
            answer.existence.to(logits.dtype), claims, pos_weight=batch.positive.to(logits.dtype), reduction="none"
        )
        per_item = per_item + claimed
        told["existence"] = claimed.mean()
    return {"total": per_item.mean(), **told}


class Student(Trainer):
    """A model that knows something already."""

    patient = True
    """Whether a step that fills the memory is tried again in smaller parts."""

    def __init__(self, model: BoltzFormer, recipe: Recipe, *, micro: int = 0, world: int = 1) -> None:
        super().__init__(model, recipe, (), world=world)
        self.start = {name: parameter.detach().clone() for name, parameter in self.weights.items()}
        self.micro = micro
        """Samples that go through the model together; 0: all of them. The step is the same."""
        self.rounds: dict[str, Tensor] = {}
        """The mean of the rounds that are over."""

    @property
    def kept(self) -> Mapping[str, Tensor]:
        """The mean of the rounds that are over; in the first, the mean of its weights."""
        return self.rounds or self.mean

    def state(self) -> dict[str, dict[str, Tensor]]:
        """With the rounds that are over."""
        return {**super().state(), **({"rounds": self.rounds} if self.rounds else {})}

    def restore(self, step: int, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Goes back to a saved state."""
        super().restore(step, state)
        self.rounds = {name: tensor.to(self.device) for name, tensor in state.get("rounds", {}).items()}

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step, in as many parts as the memory asks for. The first of a round begins at the parent."""
        place, steps = self.recipe.within(self.step)
        if self.recipe.round and place == 0 and self.step:
            self._begin_again()
        while True:
            try:
                losses = super().learn(batch)
                break
            except (MemoryError, RuntimeError) as error:
                size = len(batch.images)
                smaller = (self.micro or size) // 2
                if not is_out_of_memory(error) or smaller < 1 or not self.patient:
                    raise
            self.micro = smaller
        self._draw_back(losses["rate"])
        if self.recipe.round and place == steps - 1:
            self._end_round()
        return losses

    def gather(self) -> None:
        """Called by every process before the first one looks at the weights; here each has all of them."""

    def alone(self) -> Student:
        """What one process can look at, ask and save, without the others."""
        return self

    def forget(self, recipe: Recipe) -> None:
        """As if nothing had been learnt, and by this recipe from now on."""
        self.recipe, self.step, self.rounds = recipe, 0, {}
        self._begin_again()

    @torch.no_grad()
    def _begin_again(self) -> None:
        self._put(self.start)
        self.optimizer.state.clear()
        for name, tensor in self.start.items():
            self.mean[name].copy_(tensor)

    @torch.no_grad()
    def _end_round(self) -> None:
        """What rounds learnt by chance differs between them, what they were taught does not."""
        number = (self.step - 1) // self.recipe.round + 1
        before = self.rounds or self.mean
        self.rounds = {name: before[name].lerp(tensor, 1 / number) for name, tensor in self.mean.items()}

    def _gradients(self, batch: Batch) -> dict[str, float]:
        assert isinstance(batch, Taught)
        told: dict[str, float] = {}
        size = len(batch.images) * self.world
        for part in parts(on_device(batch, self.device), self.micro or len(batch.images)):
            share = len(part.images) / size
            losses = self._terms(part)
            (losses["total"] * share).backward()
            for name, value in losses.items():
                told[name] = told.get(name, 0.0) + float(value.detach()) * share
        if self.world > 1:
            told = self._shared(told)
        return told

    def _terms(self, part: Taught) -> dict[str, Tensor]:
        """Forward, as far as the loss."""
        with self._quick(), self._watched() as heard:
            answer, image = self._answer_to(part)
        losses = taught_loss(answer, part, self.recipe.loss.kind)
        if self.recipe.loss.deep:
            losses["deep"] = self._deep(part, image, heard)
            losses["total"] = losses["total"] + self.recipe.loss.deep * losses["deep"]
        return losses

    def _answer_to(self, batch: Taught) -> tuple[Answer, ImageState]:
        images = batch.images.to(self.device, next(self.model.parameters()).dtype)
        if batch.maps:
            image = self.model.decode_pixels(tuple(level.to(images) for level in batch.maps), images)
        else:
            image = self.model.encode_image(images)
        known = sorted({text for texts in batch.texts for text in texts})
        text = self.model.encode_text(known)
        number = {name: row for row, name in enumerate(known)}
        rows = torch.tensor([[number[name] for name in texts] for texts in batch.texts], device=self.device)  # (B, P)
        words = TextState(text.tokens[rows], text.mask[rows])
        return self.model.decode(image, words, self._noise(batch, image)), image

    def _deep(self, batch: Taught, image: ImageState, heard: list[Tensor]) -> Tensor:
        """The mask loss of the guess after every layer but the last, which is the answer."""
        inside = self.model.decoder.insides(heard, image.tokens, batch.masks.shape[1], batch.masks.dtype)
        guesses, size = inside.guesses.flatten(0, 1), image.tokens.semantic.shape[-2:]
        coarse = torch.nn.functional.adaptive_avg_pool2d(batch.masks, (size[0], size[1]))
        again = coarse.repeat(len(inside.guesses), 1, 1, 1)
        weight = (batch.drawn / batch.drawn.numel()).repeat(len(inside.guesses), 1)
        return ((dice(guesses, again) + cross_entropy(guesses, again)) * weight).sum()

    @torch.no_grad()
    def _draw_back(self, rate: float) -> None:
        """Distance-to-start regularisation, decoupled from the moments as AdamW does it with weight decay."""
        if self.recipe.anchor:
            values = [parameter.detach() for parameter in self.weights.values()]
            torch._foreach_lerp_(values, list(self.start.values()), min(1.0, rate * self.recipe.anchor))


def on_device(batch: Taught, device: torch.device) -> Taught:
    """Where the model is."""
    names = ("images", "masks", "claims", "drawn", "positive")
    moved = {name: getattr(batch, name).to(device) for name in names}
    return replace(batch, **moved, maps=tuple(level.to(device) for level in batch.maps))


def parts(batch: Taught, size: int) -> list[Taught]:
    """The samples in groups of at most so many."""
    if size >= len(batch.images):
        return [batch]
    return [
        replace(
            batch,
            images=batch.images[k : k + size],
            texts=batch.texts[k : k + size],
            names=batch.names[k : k + size],
            masks=batch.masks[k : k + size],
            claims=batch.claims[k : k + size],
            drawn=batch.drawn[k : k + size],
            positive=batch.positive[k : k + size],
            places=batch.places[k : k + size],
            maps=tuple(level[k : k + size] for level in batch.maps),
        )
        for k in range(0, len(batch.images), size)
    ]
