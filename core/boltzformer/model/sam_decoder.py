"""SAM's mask decoder with words in the place of clicks: tokens and image read each other, the image is scaled up, and
each mask token makes the kernel that draws its mask.

As in "Segment Anything" (2023): two layers, attention between tokens and image at half the width, a last look, two
transposed convolutions, a small network per mask token. What it can't have here: clicks (the prompt's words are tokens
instead) and a choice between masks by predicted quality (one answer per prompt is asked for): the quality token says
whether the object is there at all. Positions are the sine codes that all our decoders share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer.model.config import DecoderConfig
from boltzformer.model.decoder import MaskEmbed
from boltzformer.model.decoding import Decoded, Energies, Insides, Question, Unsampled, per_prompt, resized_guess
from boltzformer.model.layers import Attention, Linear
from boltzformer.model.slice_tokens import Look, SliceTokens, Trace


class SamDecoder(Unsampled):
    """Reads the grid at stride 16 alone, and draws at stride 4."""

    def __init__(self, config: DecoderConfig, trained_side: int | None = None) -> None:
        """`trained_side` makes no difference: what it attends to is never sampled."""
        super().__init__(config)
        c, heads = config.hidden, config.heads
        if config.existence:
            self.object_token = nn.Embedding(1, c)
            self.classifier = MaskEmbed(c, 1)
        self.mask_tokens = nn.Embedding(config.queries, c)
        self.layers = nn.ModuleList([TwoWayLayer(c, heads, config.ffn, first=n == 0) for n in range(config.layers)])
        self.last_look = NarrowAttention(c, heads)
        self.last_norm = nn.LayerNorm(c)
        self.upscaling = self._make_upscaling(config)
        self.hypernetworks = nn.ModuleList([MaskEmbed(c, c // 8) for _ in range(config.queries)])

    def _make_upscaling(self, config: DecoderConfig) -> Upscaling:
        return Upscaling(config.hidden)

    def find(self, image: SliceTokens, asked: Question) -> Decoded:
        """Of guidance it heeds the boxes: outside of them no token looks."""
        (b, p), words, known, energies = asked.pairs, asked.words, asked.spoken, asked.energies
        own = self._own_tokens()
        tokens = torch.cat([own.expand(b * p, -1, -1), words], 1)  # (N, R, C), N = B·P
        readable = torch.cat([known.new_ones(b * p, len(own)), known], 1)[:, None, None]  # (N, 1, 1, R)
        inside = None if energies is None else ~energies[0].isneginf().expand(b, p, 1, -1).flatten(0, 1)[:, None]
        place = self._place(image)  # (L, C)
        x, seen = tokens, per_prompt(image.tokens[0], p)  # (N, L, C)
        passed = []
        for layer in self.layers:
            x, seen = layer(x, seen, tokens, place, readable, inside)
            passed.append(x)
        x = self.last_norm(x + self.last_look(x + tokens, seen + place, seen, inside))
        (height, width), fine = image.sizes[0], tuple(image.semantic.shape[-2:])
        grid = seen.transpose(1, 2).unflatten(2, (height, width))
        fine_map = self.upscaling(grid, image)  # (N, C / 8, H, W)
        kernels = self._kernels(x)  # (N, Q, C / 8)
        if asked.mean:
            kernels = kernels.mean(1, keepdim=True)
        drawn = _drawn(kernels, fine_map).unflatten(0, (b, p))
        if drawn.shape[-2:] != fine:
            raise ValueError(f"Maps of {height} × {width} and {fine}: strides 16 and 4 of sides that 16 divides.")
        existence = self.classifier(x[:, 0])[:, 0].unflatten(0, (b, p)) if self.config.existence else None
        looks = self._looks(image, passed, fine_map, p, energies) if asked.trace else ()
        return Decoded(drawn, None, existence, None, looks)

    @property
    def heard(self) -> Sequence[nn.Module]:
        """The tokens as they leave each layer and the last look, and the map that masks are drawn from."""
        return [*(layer.get_submodule("norms.2") for layer in self.layers), self.last_norm, self.upscaling]

    def insides(self, heard: Sequence[Tensor], image: SliceTokens, prompts: int, dtype: torch.dtype) -> Insides:
        """What the tokens would have drawn after each layer, before their last look."""
        *passed, last, fine_map = (x.to(dtype) for x in heard)
        guesses = [_drawn(self._kernels(x).mean(1, keepdim=True), fine_map)[:, 0] for x in passed]
        return Insides(torch.stack(guesses).unflatten(1, (-1, prompts)), self._of_masks(last))

    def _own_tokens(self) -> Tensor:
        """(1 + Q, C): the object's, where there is one, and one per mask."""
        mine = self.mask_tokens.weight
        return torch.cat([self.object_token.weight, mine]) if self.config.existence else mine

    def _of_masks(self, x: Tensor) -> Tensor:
        """(N, Q, C): of all tokens those that draw."""
        first = int(self.config.existence)
        return x[:, first : first + self.config.queries]

    def _kernels(self, x: Tensor) -> Tensor:
        """(N, Q, C / 8)."""
        every = zip(self.hypernetworks, self._of_masks(x).unbind(1), strict=True)
        return torch.stack([network(token) for network, token in every], 1)

    def _place(self, image: SliceTokens) -> Tensor:
        """(L, C): where each token of the grid lies."""
        along_rows, along_columns = image.axes[0]
        (height, width), half = image.sizes[0], along_rows.shape[1]
        rows, columns = along_rows[:, None].expand(-1, width, half), along_columns.expand(height, -1, half)
        return torch.cat([rows, columns], -1).flatten(0, 1)

    @torch.no_grad()
    def _looks(
        self, image: SliceTokens, passed: list[Tensor], fine_map: Tensor, prompts: int, energies: Energies | None
    ) -> Trace:
        """Before the first look nothing is guessed yet; before each other, what the tokens would have drawn so far."""
        config, size = replace(self.config, kind="queries", strides=(16,)), image.sizes[0]
        energy = None if energies is None else energies[0]
        looks = []
        for number in range(len(passed) + 1):
            if number:
                logits = _drawn(self._kernels(passed[number - 1]), fine_map).unflatten(0, (-1, prompts))
                guess = resized_guess(logits, size)
            else:
                shape = len(image.semantic), prompts, self.config.queries, size[0] * size[1]
                guess = fine_map.new_zeros(shape)
            blocked = None if energy is None else energy.isneginf().expand_as(guess)[:, :, None]
            looks.append(Look(number, size, config, guess, blocked, energy))
        return tuple(looks)


class TwoWayLayer(nn.Module):
    """Tokens read each other, then the image; each by itself; then the image reads the tokens."""

    def __init__(self, channels: int, heads: int, ffn: int, first: bool) -> None:
        """`first`: tokens are still their own positions, so nothing is added, and nothing kept beside."""
        super().__init__()
        self.first = first
        self.among_tokens = Attention(channels, heads)
        self.to_image = NarrowAttention(channels, heads)
        self.linear1, self.linear2 = Linear(channels, ffn), Linear(ffn, channels)
        self.to_tokens = NarrowAttention(channels, heads)
        self.norms = nn.ModuleList([nn.LayerNorm(channels) for _ in range(4)])

    def forward(
        self, x: Tensor, seen: Tensor, tokens: Tensor, place: Tensor, readable: Tensor, inside: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Tokens (N, R, C) and image (N, L, C); `tokens` as they began are the tokens' positions."""
        if self.first:
            x = self.among_tokens(x, x, x, readable)
        else:
            placed = x + tokens
            x = x + self.among_tokens(placed, placed, x, readable)
        x = self.norms[0](x)
        there = seen + place
        x = self.norms[1](x + self.to_image(x + tokens, there, seen, inside))
        x = self.norms[2](x + self.linear2(F.relu(self.linear1(x))))
        seen = self.norms[3](seen + self.to_tokens(there, x + tokens, x, readable))
        return x, seen


class NarrowAttention(nn.Module):
    """Attention at half the width."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, inner = heads, channels // 2
        self.query, self.key, self.value = (Linear(channels, inner) for _ in range(3))
        self.out = Linear(inner, channels)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, attend: Tensor | None) -> Tensor:
        """(N, R, C) from (N, R, C) and (N, L, C); `attend` (N, 1, 1, L) is True where one may look."""
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=attend)
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out


class Upscaling(nn.Module):
    """Two transposed convolutions: four times the side, an eighth of the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.ConvTranspose2d(channels, channels // 4, 2, 2)
        self.norm = ChannelNorm(channels // 4)
        self.second = nn.ConvTranspose2d(channels // 4, channels // 8, 2, 2)

    def forward(self, grid: Tensor, image: SliceTokens) -> Tensor:
        """(N, C / 8, 4h, 4w) from (N, C, h, w); the image's finer maps are for those who read them."""
        return F.gelu(self.second(F.gelu(self.norm(self.first(grid)))))


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of a map."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _drawn(kernels: Tensor, fine_map: Tensor) -> Tensor:
    """(N, Q, H, W) logits from kernels (N, Q, M) and a map (N, M, H, W)."""
    return (kernels @ fine_map.flatten(2)).unflatten(2, tuple(fine_map.shape[-2:]))
