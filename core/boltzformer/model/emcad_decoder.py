"""A light convolutional decoder after EMCAD (CVPR 2024), told by the prompt what to look for: at every scale the words'
common vector scales and shifts the channels of the image's map (FiLM).

Coarse to fine: the map so far is scaled up, gates what the image has at this scale, is added to it, and passes channel
attention, spatial attention and a block of depth-wise convolutions of three sizes. Other than there, group norms stand
for batch norms (prompts of one image share a batch), and channels are not shuffled: the full 1×1 convolution that
follows could undo it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer.model.config import DecoderConfig
from boltzformer.model.decoding import Decoded, Insides, Question, Unsampled, per_prompt
from boltzformer.model.lite import Conv
from boltzformer.model.slice_tokens import Look, SliceTokens, Trace

GROUPS = 8
"""Of every group norm."""
KERNELS = (1, 3, 5)
"""Of the depth-wise convolutions side by side."""
WIDER = 2
"""Inside of a block."""


class EmcadDecoder(Unsampled):
    """A stage per token grid, and a last one at stride 4."""

    def __init__(self, config: DecoderConfig, trained_side: int | None = None) -> None:
        """`trained_side` makes no difference to convolutions."""
        super().__init__(config)
        c = config.hidden
        self.sentence = nn.Sequential(nn.Linear(c, c), nn.ReLU(), nn.Linear(c, c), nn.ReLU())
        widths = [c, *(c // 2**n for n in range(len(config.strides)))]  # the finer, the narrower: c, c, c/2, c/4
        given = [*(c for _ in config.strides), config.mask_channels]
        before = [None, *widths[:-1]]
        self.stages = nn.ModuleList(
            [Stage(inner, width, c, coarser) for inner, width, coarser in zip(given, widths, before, strict=True)]
        )
        self.heads = nn.ModuleList([nn.Conv2d(width, config.queries, 1) for width in widths])
        self.summary = nn.Sequential(nn.Linear(2 * sum(widths), c), nn.ReLU())
        if config.existence:
            self.classifier = nn.Linear(c, 1)

    def find(self, image: SliceTokens, asked: Question) -> Decoded:
        """Nothing leads a convolution: guidance shapes the finished answer alone."""
        (b, p), words = asked.pairs, asked.words
        spoken = asked.spoken.to(words.dtype)[..., None]  # (N, T, 1), N = B·P
        sentence = self.sentence((words * spoken).sum(1) / spoken.sum(1).clamp(min=1))  # (N, C)
        x: Tensor | None = None
        guesses, pooled = [], []
        for stage, head, grid in zip(self.stages, self.heads, _maps(image), strict=True):
            x = stage(grid, x, sentence, p)
            guesses.append(head(x))
            pooled += [x.mean((-2, -1)), x.amax((-2, -1))]
        drawn = guesses[-1].mean(1, keepdim=True) if asked.mean else guesses[-1]
        known_of = self.summary(torch.cat(pooled, 1))  # (N, C)
        existence = self.classifier(known_of)[:, 0].unflatten(0, (b, p)) if self.config.existence else None
        looks = self._looks(image, guesses, p) if asked.trace else ()
        return Decoded(drawn.unflatten(0, (b, p)), None, existence, None, looks)

    @property
    def heard(self) -> Sequence[nn.Module]:
        """The masks of each scale, and what is known in the end."""
        return [*self.heads, self.summary]

    def insides(self, heard: Sequence[Tensor], image: SliceTokens, prompts: int, dtype: torch.dtype) -> Insides:
        """The masks of the coarser scales, as EMCAD teaches them."""
        *coarse, _, known_of = (x.to(dtype) for x in heard)
        size = image.semantic.shape[-2:]
        means = (guess.mean(1, keepdim=True) for guess in coarse)
        guesses = [F.interpolate(one, size, mode="bilinear", align_corners=False)[:, 0] for one in means]
        return Insides(torch.stack(guesses).unflatten(1, (-1, prompts)), known_of[:, None])

    @torch.no_grad()
    def _looks(self, image: SliceTokens, guesses: list[Tensor], prompts: int) -> Trace:
        """A look per scale; before the first, nothing is guessed yet."""
        sizes = [*image.sizes, (int(image.semantic.shape[-2]), int(image.semantic.shape[-1]))]
        config = replace(self.config, kind="queries", strides=(*self.config.strides, 4))
        looks = []
        for number, size in enumerate(sizes):
            if number:
                small = F.interpolate(guesses[number - 1], size, mode="bilinear", align_corners=False)
                guess = small.sigmoid().flatten(2).unflatten(0, (-1, prompts))
            else:
                guess = image.semantic.new_zeros(len(image.semantic), prompts, self.config.queries, size[0] * size[1])
            looks.append(Look(number, size, config, guess, None))
        return tuple(looks)


def _maps(image: SliceTokens) -> list[Tensor]:
    """(B, C, h, w) each, coarse to fine, the semantic map last."""
    grids = zip(image.tokens, image.sizes, strict=True)
    return [*(tokens.transpose(1, 2).unflatten(2, size) for tokens, size in grids), image.semantic]


class Stage(nn.Module):
    """One scale."""

    def __init__(self, given: int, width: int, words: int, coarser: int | None) -> None:
        """Channels of the image's map, of this scale, of the sentence, and of the scale before, if there is one."""
        super().__init__()
        self.lateral = nn.Sequential(nn.Conv2d(given, width, 1, bias=False), nn.GroupNorm(GROUPS, width))
        self.modulation = nn.Linear(words, 2 * width)
        if coarser is not None:
            self.enlarging = Enlarging(coarser, width)
            self.gate = Gate(width)
        self.channels = ChannelAttention(width)
        self.places = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.block = ScaleBlock(width)

    def forward(self, grid: Tensor, x: Tensor | None, sentence: Tensor, prompts: int) -> Tensor:
        """(B·P, width, h, w) from the image's map (B, C, h, w), the scale before and the sentences (B·P, words)."""
        scale, shift = self.modulation(sentence)[:, :, None, None].chunk(2, 1)
        seen = per_prompt(self.lateral(grid), prompts) * (1 + scale) + shift
        if x is not None:
            x = self.enlarging(x, (int(grid.shape[-2]), int(grid.shape[-1])))
            seen = x + self.gate(x, seen)
        seen = seen * self.channels(seen)
        both = torch.cat([seen.mean(1, keepdim=True), seen.amax(1, keepdim=True)], 1)
        out: Tensor = self.block(seen * self.places(both).sigmoid())
        return out


class Enlarging(nn.Module):
    """To the next finer grid: nearest neighbours, each channel by itself, then all together."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.each = Conv(channels, channels, 3, groups=channels)
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.mix = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        larger = F.interpolate(x, size, mode="nearest")
        out: Tensor = self.mix(F.relu(self.norm(self.each(larger))))
        return out


class Gate(nn.Module):
    """Where the coarser map and the image agree, the image's map passes: grouped 3×3 convolutions of both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        groups, inner = width // 2, width // 2
        self.of_coarse, self.of_image = (
            nn.Sequential(nn.Conv2d(width, inner, 3, padding=1, groups=groups, bias=False), _norm(inner))
            for _ in range(2)
        )
        self.open = nn.Conv2d(inner, 1, 1)

    def forward(self, coarse: Tensor, seen: Tensor) -> Tensor:
        gate: Tensor = self.open(F.relu(self.of_coarse(coarse) + self.of_image(seen)))
        return seen * gate.sigmoid()


class ChannelAttention(nn.Module):
    """Which channels count, from their means and their maxima."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Linear(width, max(4, width // 16)), nn.Linear(max(4, width // 16), width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, 1, 1), from 0 to 1."""
        pooled = torch.stack([x.mean((-2, -1)), x.amax((-2, -1))])
        return self.wide(F.relu(self.narrow(pooled))).sum(0).sigmoid()[:, :, None, None]


class ScaleBlock(nn.Module):
    """Wider, depth-wise convolutions of three sizes side by side, narrower, and what was there added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = WIDER * width
        self.widen = nn.Sequential(nn.Conv2d(width, inner, 1, bias=False), nn.GroupNorm(GROUPS, inner))
        self.each = nn.ModuleList([Conv(inner, inner, kernel, groups=inner) for kernel in KERNELS])
        self.norms = nn.ModuleList([nn.GroupNorm(GROUPS, inner) for _ in KERNELS])
        self.narrow = nn.Sequential(nn.Conv2d(inner, width, 1, bias=False), nn.GroupNorm(GROUPS, width))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu6(self.widen(x))
        sized = [F.relu6(norm(conv(inner))) for conv, norm in zip(self.each, self.norms, strict=True)]
        out: Tensor = x + self.narrow(torch.stack(sized).sum(0))
        return out


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(GROUPS, channels), channels)
