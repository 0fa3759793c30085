"""Noise with an identity: it belongs to (seed, canonical slice, prompt, sample, layer), not to a batch or a run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from boltzformer.model.boltzformer import BoltzFormer, ImageState
from boltzformer.model.decoder import Noise

Draw = tuple[str, int]
"""A prompt's text and the number of the sample."""


def noise_source(seed: int, middle: int, prompt: str, layer: int, sample: int = 0) -> torch.Generator:
    """Always the CPU's generator, so that a GPU draws with the same numbers."""
    identity = f"{seed}\0{middle}\0{prompt}\0{sample}\0{layer}".encode()
    number = int.from_bytes(hashlib.blake2b(identity, digest_size=8).digest()) >> 1
    return torch.Generator().manual_seed(number)


def noise_for(model: BoltzFormer, image: ImageState, draws: Sequence[Draw], middle: int, seed: int) -> Noise:
    """What the decoder asks for, of one slice and the draws that it decodes together."""

    def noise(layer: int) -> Tensor:
        shape = model.decoder.noise_shape(image.tokens, 1, layer)
        rows = [torch.rand(shape, generator=noise_source(seed, middle, text, layer, k)) for text, k in draws]
        return torch.cat(rows, dim=1).to(image.tokens.semantic.device)  # (1, P, heads or 1, Q, L)

    return noise
