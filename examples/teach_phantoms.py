"""Teaches a small model 'bright blob' and 'dark blob' on generated phantoms: what the tests and the demonstration use.

    python examples/teach_phantoms.py MODEL.safetensors

makes the file `examples/phantom.safetensors` again (minutes); `--layers 3 --steps 500` takes less than one minute.
So many steps are few for a decoder, so more than its answer is taught, through `watch`: the masks that the queries
would draw in between, and three linear hints that are thrown away after. Without the hints most of the time goes into
finding out that the words matter at all.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer import Grid
from boltzformer.image.slicing import SlicePlan
from boltzformer.io.phantom import KINDS, Phantom, phantom
from boltzformer.model.boltzformer import BoltzFormer, ImageState
from boltzformer.model.config import ModelConfig, tiny
from boltzformer.model.losses import cross_entropy, dice, resize_logits
from boltzformer.weights import checkpoint

DATA = f"{checkpoint.UNTRAINED}, only on generated phantoms"
PIXELS = 10.0
"""Weight of the cross-entropy: a lesion covers less than a hundredth of a slice."""
FORGETS = 0.98
"""The model kept is a running mean over some 50 steps, which is steadier than any one of them."""


@dataclass(frozen=True)
class Batch:
    """Slices of one phantom."""

    images: Tensor
    """(B, 3, S, S) in 0…255."""
    texts: tuple[str, ...]
    """P prompts, the same for every image."""
    target: Tensor
    """(B, P, S, S) 0/1."""


def config(layers: int = 9) -> ModelConfig:
    """`tiny`, with as many looks."""
    made = tiny()
    return replace(made, decoder=replace(made.decoder, layers=layers), text=replace(made.text, layers=1))


def new(layers: int = 9, seed: int = 0) -> BoltzFormer:
    """A model that knows nothing yet; leaves the global random numbers alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BoltzFormer(config(layers))


def batches(config: ModelConfig, *, seed: int, size: int = 8) -> Iterator[Batch]:
    """Slices of ever new phantoms, half of them as they look in their volume, half as images of their own."""
    rng, side = np.random.default_rng(seed), config.image_size
    thin = Grid.from_lps((1, side, side), np.eye(4))
    for number in count():
        made = phantom(seed * 10**6 + number, (20, side, side), tuple(rng.choice(KINDS, 3)))
        flips = rng.integers(0, 2, 3)
        array, labels = (_turned(one, *flips) for one in (made.volume.array, made.labels.layers[0]))
        volume = replace(made.volume, array=array)
        whole, window = SlicePlan.of(volume.grid, side, 0, channels=config.channels), volume.window()
        alone = SlicePlan.of(thin, side, 0, channels=config.channels)
        slices, images = _slices(made, rng, size), []
        for k in slices:
            if rng.random() < 0.5:
                images.append(whole.network_slice(array, window, k))
            else:  # a picture has no slices beside it, and a window of its own
                picture = replace(volume, array=array[k : k + 1], grid=thin)
                images.append(alone.network_slice(picture.array, picture.window(), 0))
        target = np.stack([labels[slices] == 1 + KINDS.index(kind) for kind in KINDS], 1)
        yield Batch(torch.from_numpy(np.stack(images)), KINDS, torch.from_numpy(target).float())


def _turned(array: np.ndarray, up: int, left: int, over: int) -> np.ndarray:
    """Mirrored and transposed in the plane of the slices."""
    array = array[:, :: -1 if up else 1, :: -1 if left else 1]
    return array.swapaxes(1, 2) if over else array


def _slices(made: Phantom, rng: np.random.Generator, size: int) -> list[int]:
    """One through or just beside each lesion, the rest anywhere."""
    depth, through = made.volume.grid.shape[0], []
    for lesion in made.lesions:
        reach = int(lesion.radius) + 1
        through.append(int(np.clip(lesion.centre[2] + rng.integers(-reach, reach + 1), 0, depth - 1)))
    return [*through, *rng.choice(depth, size - len(through), replace=False).tolist()]


class Hints(nn.Module):
    """Questions that are easy to learn and make the rest easy: which prompt, where is what, is it there."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.which = nn.Linear(config.decoder.hidden, len(KINDS))
        self.where = nn.Linear(config.decoder.mask_channels, len(KINDS))
        self.there = nn.Linear(config.decoder.hidden, 1)

    def loss(self, first: Tensor, last: Tensor, semantic: Tensor, target: Tensor) -> Tensor:
        """From the queries' mean before the first and after the last look, (B·P, C), and the map (B, M, h, w)."""
        asked = torch.arange(len(KINDS)).repeat(len(target))
        drawn = self.where(semantic.movedim(1, -1)).movedim(-1, 1)
        present = target.amax((-2, -1))
        said = self.there(last)[:, 0].view_as(present)
        return (
            0.5 * F.cross_entropy(self.which(first), asked)
            + 0.5 * mask_loss(drawn, target)
            + F.binary_cross_entropy_with_logits(said, present)
        )


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Overlap where there is something, pixels everywhere: nothing shall be drawn where there is nothing."""
    present = target.amax((-2, -1))
    target = target.expand_as(logits)
    return (present * dice(logits, target) + PIXELS * cross_entropy(logits, target)).mean()


def loss(model: BoltzFormer, hints: Hints, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """All that is taught; of it, what the masks and the existence of the answer cost."""
    image, text = model.encode_image(batch.images), model.encode_text(batch.texts)
    queries: list[Tensor] = []  # each (Q, B·P, C)

    def watch(name: str, value: Tensor) -> None:
        if name.endswith("after_ffn"):
            queries.append(value)

    def noise(layer: int) -> Tensor:
        return torch.rand(model.decoder.noise_shape(image.tokens, len(batch.texts), layer), generator=generator)

    answer = model.decode(image, text, noise, watch=watch)
    assert answer.existence is not None
    mask = mask_loss(resize_logits(answer.logits, *batch.target.shape[-2:]), batch.target)
    existence = F.binary_cross_entropy_with_logits(answer.existence, batch.target.amax((-2, -1)))
    semantic = image.tokens.semantic
    small = F.adaptive_avg_pool2d(batch.target, semantic.shape[-2:])
    between = mask_loss(_drawn(model, queries[::3], image), small)
    hinted = hints.loss(queries[0].mean(0), queries[-1].mean(0), semantic, small)
    return mask + existence + 0.5 * between + hinted, mask.detach(), existence.detach()


def _drawn(model: BoltzFormer, queries: list[Tensor], image: ImageState) -> Tensor:
    """(N, B, P, h, w): the masks that the queries draw after N of the looks."""
    decoder, semantic = model.decoder, image.tokens.semantic
    embedded = decoder.mask_embed(decoder.decoder_norm(torch.stack(queries))).mean(1)  # (N, B·P, M)
    return torch.einsum("nbpm,bmhw->nbphw", embedded.unflatten(1, (len(semantic), -1)), semantic)


def teach(model: BoltzFormer, *, steps: int, seed: int = 0, rate: float = 4e-3) -> Iterator[dict[str, float]]:
    """Trains in place, on one thread: no slower at this size, and the same numbers on every machine of a kind."""
    generator, threads = torch.Generator().manual_seed(seed), torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hints = Hints(model.config)
    learning = [one for one in [*model.parameters(), *hints.parameters()] if one.requires_grad]
    mean = [one.detach().clone() for one in learning]
    optimizer = torch.optim.AdamW(learning, rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    model.train()
    torch.set_num_threads(1)
    try:
        for step, batch in zip(range(1, steps + 1), batches(model.config, seed=seed + 1), strict=False):
            total, mask, existence = loss(model, hints, batch, generator)
            optimizer.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                torch._foreach_lerp_(mean, learning, 1 - min(FORGETS, step / (step + 10)))
            yield {"mask": float(mask), "existence": float(existence)}
        with torch.no_grad():
            torch._foreach_copy_(learning, mean)
    finally:
        torch.set_num_threads(threads)
        model.eval()


def save(model: BoltzFormer, path: Path, name: str = "tiny phantom model") -> checkpoint.Checkpoint:
    """With the words that every place shows which names the model."""
    return checkpoint.save(path, model, checkpoint.History(name, data=DATA))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--layers", type=int, default=9)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    model = new(asked.layers, asked.seed)
    for _ in track(teach(model, steps=asked.steps, seed=asked.seed), "Teaching", total=asked.steps):
        pass
    save(model, asked.file)


if __name__ == "__main__":
    main()
