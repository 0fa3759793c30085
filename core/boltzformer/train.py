"""The one loop: batches in, `Progress` out. It is a generator; stopping is not asking for the next step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor

from boltzformer.losses import gated_loss
from boltzformer.model.boltzformer import BoltzFormer, ImageState
from boltzformer.model.config import ModelConfig
from boltzformer.model.decoder import Noise
from boltzformer.phantom import KINDS, phantom
from boltzformer.slicing import SlicePlan
from boltzformer.types import Progress


@dataclass(frozen=True)
class Batch:
    images: Tensor
    """(B, 3, S, S) in 0…255."""
    texts: tuple[str, ...]
    """P prompts, the same for every image."""
    target: Tensor
    """(B, P, S, S) 0/1."""


def fit(
    model: BoltzFormer, batches: Iterator[Batch], *, steps: int, seed: int, rate: float = 2e-3
) -> Iterator[Progress]:
    """Trains in place: AdamW, short warm-up, cosine. Every number it draws comes from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    model.train()
    for step, batch in zip(range(1, steps + 1), batches, strict=False):
        image, text = model.encode_image(batch.images), model.encode_text(batch.texts)
        answer = model.decode(image, text, _noise(model, image, len(batch.texts), generator))
        assert answer.existence is not None
        loss = gated_loss(answer.logits, answer.existence, None, batch.target, positive_weight=1.0)
        optimizer.zero_grad()
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        shown = (loss.mask.detach() * loss.present).sum() / loss.present.sum().clamp(min=1)
        yield Progress(step, steps, {"mask": float(shown), "existence": float(loss.existence.detach().mean())})
    model.eval()


def _noise(model: BoltzFormer, image: ImageState, prompts: int, generator: torch.Generator) -> Noise:
    return lambda layer: torch.rand(model.decoder.noise_shape(image.tokens, prompts, layer), generator=generator)


def phantom_batches(config: ModelConfig, *, seed: int, size: int = 8) -> Iterator[Batch]:
    """Slices of ever new phantoms, some of them through a lesion, cut exactly as the engine cuts them."""
    rng = np.random.default_rng(seed)
    shape = (24, config.image_size, config.image_size)
    for number in count():
        made = phantom(seed * 10**6 + number, shape, tuple(rng.choice(KINDS, 3)))
        plan, window = SlicePlan.of(made.volume.grid, config.image_size, channels=config.channels), made.volume.window()
        centres = [lesion.centre[2] + int(rng.integers(-2, 3)) for lesion in made.lesions]
        indices = np.array([*centres, *rng.choice(plan.count, size - len(centres), replace=False)])
        images = [plan.network_slice(made.volume.array, window, int(i)) for i in indices]
        target = np.stack([made.labels.mask(k + 1)[indices] for k in range(len(KINDS))], 1)
        yield Batch(torch.from_numpy(np.stack(images)), KINDS, torch.from_numpy(target).float())
