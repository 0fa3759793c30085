"""Hiera with its feature pyramid: the image encoder of SAM 2. Attention in windows, queries pooled between stages.

Parameter names are those of the published weights; tokens are (B, H, W, C).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer.model.encoder_config import HieraConfig
from boltzformer.model.layers import Extrapolation, tokens_at

EPS = 1e-6
"""Of every layer norm in here."""


def pool(tokens: Tensor) -> Tensor:
    """2×2 maximum over (B, H, W, C)."""
    return F.max_pool2d(tokens.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def to_windows(tokens: Tensor, side: int) -> Tensor:
    """(B, H, W, C) → (B · windows, side, side, C). Zeros fill the last row and column of windows and are attended."""
    batch, height, width, channels = tokens.shape
    tokens = F.pad(tokens, (0, 0, 0, -width % side, 0, -height % side))
    rows, columns = tokens.shape[1] // side, tokens.shape[2] // side
    tokens = tokens.reshape(batch, rows, side, columns, side, channels).transpose(2, 3)
    return tokens.reshape(batch * rows * columns, side, side, channels)


def from_windows(windows: Tensor, side: int, height: int, width: int) -> Tensor:
    """Back to (B, height, width, C), without the filling."""
    rows, columns, channels = -(-height // side), -(-width // side), windows.shape[-1]
    tokens = windows.reshape(-1, rows, columns, side, side, channels).transpose(2, 3)
    return tokens.reshape(-1, rows * side, columns * side, channels)[:, :height, :width]


class WindowAttention(nn.Module):
    """Attention over all tokens of each map that it gets; `pooled` takes one query from four."""

    def __init__(self, channels: int, out: int, heads: int, pooled: bool, larger: Extrapolation | None) -> None:
        """`larger`: what to do with more tokens than in training; windows always have the same number."""
        super().__init__()
        self.heads, self.pooled, self.larger = heads, pooled, larger
        self.qkv = nn.Linear(channels, 3 * out)
        self.proj = nn.Linear(out, out)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(tokens).chunk(3, dim=-1)  # (B, H, W, out) each
        q = pool(q) if self.pooled else q
        height, width = q.shape[1:3]
        q, k, v = (x.flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        average = F.scaled_dot_product_attention if self.larger is None else partial(self.larger, size=(height, width))
        seen = average(q, k, v)  # (B, heads, H·W, out / heads)
        joined: Tensor = self.proj(seen.transpose(1, 2).flatten(2).unflatten(1, (height, width)))  # (B, H, W, out)
        return joined


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(channels, hidden), nn.Linear(hidden, channels)])

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.layers[1](F.gelu(self.layers[0](tokens)))
        return out


class Block(nn.Module):
    """Attention and MLP, norm first. The first block of a stage widens the tokens and halves the grid."""

    def __init__(
        self,
        channels: int,
        out: int,
        heads: int,
        window: int,
        pooled: bool,
        mlp_ratio: float,
        larger: Extrapolation | None,
    ) -> None:
        super().__init__()
        self.window, self.pooled = window, pooled
        self.norm1 = nn.LayerNorm(channels, EPS)
        self.attn = WindowAttention(channels, out, heads, pooled, larger)
        self.norm2 = nn.LayerNorm(out, EPS)
        self.mlp = Mlp(out, int(out * mlp_ratio))
        self.proj = nn.Linear(channels, out) if channels != out else None

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        shortcut = tokens if self.proj is None else self.proj(normed)
        if self.pooled:
            shortcut = pool(shortcut)
        if self.window:
            seen = self.attn(to_windows(normed, self.window))
            side = self.window // 2 if self.pooled else self.window
            seen = from_windows(seen, side, *shortcut.shape[1:3])
        else:
            seen = self.attn(normed)
        tokens = shortcut + seen
        return tokens + self.mlp(self.norm2(tokens))


class PatchEmbed(nn.Module):
    """Image → tokens at stride 4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, 7, 4, 3)

    def forward(self, image: Tensor) -> Tensor:
        tokens: Tensor = self.proj(image).permute(0, 2, 3, 1)
        return tokens


class Trunk(nn.Module):
    """The transformer itself: maps at the end of each stage, fine to coarse."""

    def __init__(self, config: HieraConfig, trained_side: int | None, learned_beta: bool) -> None:
        super().__init__()
        self.stage_ends = config.stage_ends
        self.patch_embed = PatchEmbed(config.width)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.width, *config.background))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, config.width, config.windows[0], config.windows[0]))
        self.blocks = nn.ModuleList()
        channels, heads, stage = config.width, config.heads, 0
        for index in range(sum(config.stages)):
            pooled = index in config.pooling_blocks
            # A stage's first block still cuts windows as the stage before it: only its answer is on the new grid.
            window = 0 if index in config.global_blocks else config.windows[stage]
            if pooled:
                heads, stage = heads * 2, stage + 1
            out = channels * 2 if pooled else channels
            larger = None if window else Extrapolation(tokens_at(trained_side, config.strides[stage]), learned_beta)
            self.blocks.append(Block(channels, out, heads, window, pooled, config.mlp_ratio, larger))
            channels = out

    def positions(self, height: int, width: int) -> Tensor:
        """(1, height, width, C): a stretched background plus a tile that repeats in every window."""
        background = F.interpolate(self.pos_embed, size=(height, width), mode="bicubic")
        side = self.pos_embed_window.shape[-1]
        tiled = self.pos_embed_window.tile(1, 1, height // side, width // side)
        return (background + tiled).permute(0, 2, 3, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        tokens, maps = self.patch_embed(image), []
        tokens = tokens + self.positions(*tokens.shape[1:3])
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in self.stage_ends:
                maps.append(tokens.permute(0, 3, 1, 2))
        return tuple(maps)


class NeckConv(nn.Module):
    """One 1×1 convolution (a module of its own, because the published names have it so)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 1)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.conv(image)
        return out


class Neck(nn.Module):
    """Brings all maps to the same channels; only the coarsest but one also receives the one below it."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        widths = [config.width * 2**stage for stage in reversed(range(len(config.stages)))]  # coarse to fine
        self.convs = nn.ModuleList([NeckConv(width, config.neck) for width in widths])

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        out = [conv(x) for conv, x in zip(self.convs, reversed(maps), strict=True)]  # coarse to fine
        out[1] = out[1] + F.interpolate(out[0], scale_factor=2.0, mode="nearest")
        return tuple(reversed(out))


class Hiera(nn.Module):
    """Image (B, 3, H, W), sides multiples of 32, already normalised → maps at strides 4, 8, 16, 32."""

    def __init__(self, config: HieraConfig, trained_side: int | None = None, learned_beta: bool = False) -> None:
        """`trained_side`: of the images it was trained with, in pixels; None: of any size."""
        super().__init__()
        self.trunk = Trunk(config, trained_side, learned_beta)
        self.neck = Neck(config)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Fine to coarse, each (B, neck, H, W)."""
        maps: tuple[Tensor, ...] = self.neck(self.trunk(image))
        return maps
