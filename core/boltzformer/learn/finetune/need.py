"""What a fine-tuning takes: memory and time, predicted before it begins from a run of the model without numbers."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from boltzformer.learn.finetune.options import Mode, keeps_features, prepare
from boltzformer.learn.recipe import Recipe
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.text import TextState
from boltzformer.weights.checkpoint import Checkpoint

TRANSIENT = 1.25
"""What a backward pass holds beside what the forward pass saved, as a multiple of that: measured (benchmarks)."""
WORK_BYTES = 190_000_000
"""Of what does not depend on the model: pictures, batches, libraries' work space; measured (benchmarks/training.py)."""
EFFICIENCY = 0.25
"""Share of a matrix product's speed that a whole model reaches."""


@dataclass(frozen=True)
class Predicted:
    """Beside what the program and its libraries take."""

    mode: Mode
    weights: int
    learning: int
    """Gradients, moments, running mean, where it began."""
    activations: int
    """Of one micro-batch."""
    trainable: int
    """Numbers that learn."""
    seconds: float
    """Of one step."""
    shared: int = 1
    """Processes that hold together what learns. Whole it lies on one for as long as it is asked questions."""

    @property
    def memory(self) -> int:
        """Bytes at the peak."""
        held = self.learning if self.shared == 1 else (self.weights + self.learning) // self.shared
        return self.weights + held + self.activations + WORK_BYTES


def predict(
    about: Checkpoint, recipe: Recipe, mode: Mode, *, micro: int, speed: float, rank: int, half: bool, shared: int = 1
) -> Predicted:
    """For a step of this recipe; nothing is computed, and no memory taken."""
    with torch.device("meta"):
        model = BoltzFormer(about.config)
        prepare(model, mode, rank=rank)
    model.to("meta")  # the statistics of the pixels, too
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    still = keeps_features(mode) and recipe.final.share == 0
    sizes = {(recipe.side, min(micro or recipe.batch, recipe.batch))}
    if recipe.final.share:
        sizes.add((recipe.final.side, min(micro or recipe.final.batch, recipe.final.batch)))
    saved, work = 0, 0.0
    if half:  # as autocast computes: nearly everything is kept in 16 bits
        model.to(torch.bfloat16)
    for side, batch in sizes:
        here, flops = _step(model, side, batch, recipe.prompts, still)
        saved = max(saved, here)
        whole = recipe.final.batch if side == recipe.final.side and recipe.final.share else recipe.batch
        share = (
            1.0 if len(sizes) == 1 else (recipe.final.share if side == recipe.final.side else 1 - recipe.final.share)
        )
        work += 3 * flops * whole / batch * share
    weights = sum(p.numel() for p in model.parameters()) * 4
    copies = 5  # gradient, two moments, running mean, where it began
    saved += 2 * trainable if half else 0  # the weights in 16 bits, as autocast keeps them for the backward pass
    seconds = work / (speed * EFFICIENCY)
    return Predicted(mode, weights, 4 * copies * trainable, int(TRANSIENT * saved), trainable, seconds, shared)


def _step(model: BoltzFormer, side: int, batch: int, prompts: int, still: bool) -> tuple[int, int]:
    """(bytes kept for the backward pass, operations forward) of one micro-batch."""
    held: dict[int, int] = {}
    own = {id(parameter.untyped_storage()) for parameter in model.parameters()}
    alive: list[Tensor] = []  # meta tensors take no memory; kept so that no id is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if id(storage) not in own and id(storage) not in held:
            held[id(storage)] = storage.nbytes()
            alive.append(tensor)
        return tensor

    like = next(model.parameters())
    images = like.new_empty(batch, 3, side, side)
    text = model.config.text
    words = like.new_empty(batch, prompts, min(12, text.context), text.projection)
    known = torch.ones(batch, prompts, words.shape[2], dtype=torch.bool, device="meta")
    model.train()
    counter = FlopCounterMode(display=False)
    with saved_tensors_hooks(pack, lambda tensor: tensor), counter:
        if still:
            with torch.no_grad():
                maps = model.encoder_maps(images)
            counter.flop_counts.clear()
            state = model.decode_pixels(maps, images)
        else:
            state = model.encode_image(images)
        uniform = [
            torch.empty(model.decoder.noise_shape(state.tokens, prompts, layer), device="meta")
            for layer in range(model.config.decoder.layers)
        ]
        answer = model.decode(state, TextState(words, known), lambda layer: uniform[layer])
        torch.nn.functional.interpolate(answer.logits, size=(side // 2, side // 2)).sigmoid().square().sum()
    return sum(held.values()), counter.get_total_flops()


def matrix_speed(device: torch.device, half: bool) -> float:
    """Operations per second of one matrix product, measured in a tenth of a second.

    On a CPU in the time that this thread was at work, so that other programs which run just now don't count.
    """
    dtype = torch.bfloat16 if half else torch.float32
    size = 512 if device.type == "cpu" else 4096
    a = torch.ones(size, size, dtype=dtype, device=device)
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    a @ a
    began, done = clock(), 0
    while clock() - began < 0.1:
        a @ a
        done += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
    return 2 * size**3 * done / (clock() - began)


def available(device: torch.device) -> int:
    """Bytes of memory that are free now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            facts = dict(line.split(":", 1) for line in file)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if hasattr(os, "sysconf") else 2**62
