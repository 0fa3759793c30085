"""What all decoders have in common: what they are asked, what they say, and what a training hears of their insides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer.model.attention import Way
from boltzformer.model.config import DecoderConfig
from boltzformer.model.slice_tokens import SliceTokens, Trace, axes_of, rows, sizes_of

Noise = Callable[[int], Tensor]
"""layer → uniform numbers in [0, 1) of `AnyDecoder.noise_shape`; leading 1s allowed. A decoder's only randomness."""

Masks = Sequence[Tensor] | Mapping[int, Tensor]
"""layer → recorded mask (B, P, heads or 1, Q, L), True = blocked, before the rule for empty rows."""

Energies = Sequence[Tensor]
"""Per grid (B or 1, P, 1, L): a user's guidance, see `boltzmann.energy`."""

Watch = Callable[[str, Tensor], None]
"""Is told intermediate tensors, by the name and in the layout that recordings of the released code have."""


def nobody(name: str, value: Tensor) -> None:
    """Watches nothing."""


@dataclass(frozen=True)
class Decoded:
    """What a decoder says about B images and P prompts each. All logits."""

    masks: Tensor
    """(B, P, Q, H, W), edge queries included; or (B, P, 1, H, W), the mean over the mask queries."""
    edges: Tensor | None
    """(B, P, H, W): mean of the edge queries, if there are any."""
    existence: Tensor | None
    """(B, P), if there is a classifier."""
    captions: Tensor | None
    """(B, P, Q, text channels): each query in the space of the text, where published weights know that."""
    trace: Trace


@dataclass(frozen=True)
class Insides:
    """What a training teaches beside the answer."""

    guesses: Tensor
    """(N, B, P, H, W) logits: what the answer would have been after each layer but the last."""
    rows: Tensor
    """(B·P, R, C): what the last layer knows of the prompt's object."""


@dataclass(frozen=True)
class Question:
    """What P prompts ask of B images, a row for each pair, and how it is to be found."""

    images: int
    prompts: int
    words: Tensor
    """(B·P, T, C)."""
    known: Tensor | None
    """(B·P, T), False for padding; None: all of it is text."""
    noise: Noise | None
    masks: Masks | None
    energies: Energies | None
    mean: bool
    trace: bool
    way: Way | None
    watch: Watch

    @property
    def spoken(self) -> Tensor:
        """(B·P, T), True for what is no padding."""
        return self.words.new_ones(self.words.shape[:-1], dtype=torch.bool) if self.known is None else self.known

    @property
    def pairs(self) -> tuple[int, int]:
        """Rows are unfolded into these."""
        return self.images, self.prompts


class AnyDecoder(nn.Module, ABC):
    """Token maps, a semantic map and words in; masks and existence out."""

    config: DecoderConfig

    @abstractmethod
    def prepare(self, maps: Sequence[Tensor], semantic: Tensor, *, dense: bool = False) -> SliceTokens:
        """From the token maps (B, C, h, w), coarse to fine, and the semantic map (B, M, H, W).

        `dense`: only what the readable computation needs.
        """

    def forward(
        self,
        image: SliceTokens,
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        noise: Noise | None = None,
        masks: Masks | None = None,
        energies: Energies | None = None,
        mean: bool = False,
        trace: bool = False,
        way: Way | None = None,
        watch: Watch = nobody,
    ) -> Decoded:
        """What P prompts find in B images.

        text: (P, T, C), or (B, P, T, C) where images have prompts of their own; `text_mask` (…, T) is False for
        padding, which nothing reads (None: all of it is text). `masks` replaces sampling, `energies` lead it. `mean`:
        only the mean of the mask queries is wanted. `way`: None is the cheapest; 'dense' the readable computation;
        tests name others.
        """
        words = text.expand(len(image.semantic), *text.shape[-3:])  # (B, P, T, C)
        known = None if text_mask is None else text_mask.expand(words.shape[:-1]).flatten(0, 1)
        images, prompts = words.shape[:2]
        how = (noise, masks, energies, mean, trace, way, watch)
        return self.find(image, Question(images, prompts, words.flatten(0, 1), known, *how))

    @abstractmethod
    def find(self, image: SliceTokens, asked: Question) -> Decoded:
        """The answers; see `forward`."""

    @property
    @abstractmethod
    def heard(self) -> Sequence[nn.Module]:
        """The modules whose outputs, in their order, `insides` needs."""

    @abstractmethod
    def insides(self, heard: Sequence[Tensor], image: SliceTokens, prompts: int, dtype: torch.dtype) -> Insides:
        """From what those modules said about B images and P prompts each, in this precision."""

    def noise_shape(self, image: SliceTokens, prompts: int, layer: int) -> tuple[int, int, int, int, int]:
        """(B, P, heads or 1, Q, L): the uniform numbers that a layer reads."""
        height, width = image.sizes[layer % len(image.sizes)]
        heads = self.config.heads if self.config.law == "per_head" else 1
        return len(image.semantic), prompts, heads, self.config.queries, height * width


class Unsampled(AnyDecoder):
    """A decoder that draws nothing: each look sees all of its grid, so neither noise nor recorded masks are read."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        if config.input_projections:
            projections = [nn.Conv2d(config.in_channels, config.hidden, 1) for _ in config.strides]
            self.input_proj = nn.ModuleList(projections)

    def prepare(self, maps: Sequence[Tensor], semantic: Tensor, *, dense: bool = False) -> SliceTokens:
        """As every decoder; guesses at token resolution steer nothing here and are not made."""
        if self.config.input_projections:
            maps = [project(grid) for project, grid in zip(self.input_proj, maps, strict=True)]
        sizes = sizes_of(maps)
        axes = tuple(axes_of(semantic, size, self.config.hidden) for size in sizes)
        return SliceTokens(tuple(rows(grid, contiguous=False) for grid in maps), sizes, axes, semantic, ())


def per_prompt(x: Tensor, prompts: int) -> Tensor:
    """(B·P, …) from (B, …)."""
    return x.repeat_interleave(prompts, 0)


def resized_guess(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, P, Q, L) probabilities at token resolution from full-size mask logits (B, P, Q, H, W)."""
    small = F.interpolate(logits.flatten(0, 1), size=size, mode="bilinear", align_corners=False)
    return torch.sigmoid(small.unflatten(0, logits.shape[:2]).flatten(3))
