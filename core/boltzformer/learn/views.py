"""`Views`: what one step of learning from a case sees of its lessons: windows around the object, then whole slices."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from boltzformer.image.intensity import Window
from boltzformer.image.slicing import SlicePlan
from boltzformer.learn import augment
from boltzformer.learn.augment import Strength
from boltzformer.learn.finetune.sampling import Taught
from boltzformer.learn.train import key
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.types import Lesson, Volume

WHOLE, PARTS = 2, 4
"""Samples of a step that shows whole slices, and of one that shows windows of half the side."""
SMALLEST = 192
"""Side of the network's input from which windows are worth their while."""
ELSEWHERE = 0.25
"""Share of the windows that lie anywhere, so that what looks alike beside the object is learnt as well."""
EMPTY = 0.5
"""How much the outline learns from what does not show the object, beside what does."""
STRENGTH = Strength(rotation=12.0, zoom=1.2, gamma=(0.8, 1.25), noise=0.03, blur=0.1)


class Views:
    """The lessons as the network sees them. A step's samples depend on (seed, step) and on which lessons are known."""

    def __init__(self, volume: Volume, plan: SlicePlan, window: Window, lessons: Sequence[Lesson], prompt: str) -> None:
        self.plan, self.prompt = plan, prompt
        self.lessons = {one.index: one for one in lessons}
        self.images = {
            index: torch.from_numpy(plan.network_slice(volume.array, window, index)) for index in self.lessons
        }
        self.masks = {
            index: torch.from_numpy(plan.to_answer(one.mask.astype(np.float32), plan.size)).clamp(0, 1)
            for index, one in self.lessons.items()
        }
        self._maps: dict[int, tuple[Tensor, ...]] = {}

    def batch(self, seed: int, step: int, known: Collection[int], kept: BoltzFormer | None = None) -> Taught:
        """With `kept`, whole slices as they are, whose encoder maps are made once."""
        rng = np.random.default_rng(key(seed, step, 0, 0))
        size = self.plan.size
        parts = kept is None and size >= SMALLEST and step % 2 == 0
        side = size if not parts else -(-size // 64) * 32
        numbers = self._drawn(rng, sorted(known), PARTS if parts else WHOLE if kept is None else 1)
        images, masks, maps = [], [], []
        for index in numbers:
            if kept is not None:
                image, mask = self.images[index], self.masks[index]
                maps.append(self._encoded(kept, index))
            else:
                matrix = self._look(rng, index, side, parts)
                image = augment.regrade(_sampled(self.images[index], matrix, side), STRENGTH, rng)
                mask = _sampled(self.masks[index][None], matrix, side)[0]
            covered = F.avg_pool2d(mask[None], 2)[0]
            most = float(covered.max())
            images.append(image)
            masks.append(covered / most if 0.05 < most < 0.5 else covered)
        made = torch.stack(masks)[:, None]  # (B, 1, s / 2, s / 2)
        there = made.amax((-2, -1)).ge(0.5).float()  # (B, 1)
        weights = torch.tensor([[self.lessons[index].weight] for index in numbers])
        drawn = weights / weights.mean() * torch.where(there > 0, 1.0, EMPTY)
        return Taught(
            images=torch.stack(images),
            texts=((self.prompt,),) * len(numbers),
            names=((self.prompt,),) * len(numbers),
            masks=made,
            claims=there,
            drawn=drawn,
            positive=torch.ones_like(there),
            places=tuple(range(len(numbers))),
            maps=tuple(torch.cat(level) for level in zip(*maps, strict=True)),
        )

    def _drawn(self, rng: np.random.Generator, known: Sequence[int], count: int) -> list[int]:
        """Those that show the object three times as often as empty ones, however many of either there are."""
        there = [index for index in known if self.lessons[index].mask.any()]
        empty = [index for index in known if not self.lessons[index].mask.any()]
        numbers = []
        for _ in range(count):
            some = empty if empty and rng.random() < 0.25 else there
            weights = np.array([self.lessons[index].weight for index in some])
            numbers.append(some[int(rng.choice(len(some), p=weights / weights.sum()))])
        return numbers

    def _look(self, rng: np.random.Generator, index: int, side: int, part: bool) -> Tensor:
        """(2, 3): from the sample's −1…1 to the slice's."""
        size = self.plan.size
        scale = math.exp(rng.uniform(-1, 1) * math.log(STRENGTH.zoom)) * side / size
        angle = math.radians(rng.uniform(-1, 1) * STRENGTH.rotation)
        centre = rng.uniform(-0.08, 0.08, 2)
        if part:
            spots = self.masks[index].ge(0.5).nonzero()
            if len(spots) and rng.random() >= ELSEWHERE:
                spot = spots[int(rng.integers(len(spots)))].numpy() * 2 / size - 1
                centre = spot + rng.uniform(-0.7, 0.7, 2) * side / size
            else:
                centre = rng.uniform(-1, 1, 2)
            room = 1 - side / size
            centre = np.clip(centre, -room, room)
        a, b = scale * math.cos(angle), scale * math.sin(angle)
        return torch.tensor([[a, -b, centre[1]], [b, a, centre[0]]], dtype=torch.float32)

    def _encoded(self, model: BoltzFormer, index: int) -> tuple[Tensor, ...]:
        if index not in self._maps:
            with torch.no_grad():
                like = next(model.parameters())
                maps = model.encoder_maps(self.images[index][None].to(like.device, like.dtype))
            self._maps[index] = tuple(level.cpu() for level in maps)
        return self._maps[index]


def _sampled(plane: Tensor, matrix: Tensor, side: int) -> Tensor:
    """(C, side, side)."""
    grid = F.affine_grid(matrix[None], [1, 1, side, side], align_corners=False)
    return F.grid_sample(plane[None], grid, mode="bilinear", align_corners=False)[0]
