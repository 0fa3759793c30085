"""Pixel decoder: a transformer over the coarsest map, then a pyramid down to the features that masks are drawn with."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer.model.config import PixelDecoderConfig
from boltzformer.model.layers import Attention, Extrapolation, sine_positions, tokens_at


class PixelFeatures(NamedTuple):
    """What the decoder looks at."""

    maps: tuple[Tensor, ...]
    """Token maps (B, C, H, W), coarse to fine."""
    mask: Tensor
    """(B, mask_channels, H, W) at the finest stride; its product with a query is that query's mask."""


class NormConv(nn.Conv2d):
    """A convolution without bias, then a group norm."""

    def __init__(self, channels: int, out: int, kernel: int, groups: int) -> None:
        super().__init__(channels, out, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(groups, out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(super().forward(x))
        return out


class EncoderLayer(nn.Module):
    """Self-attention and MLP; the norms come last."""

    def __init__(self, channels: int, heads: int, ffn: int, larger: Extrapolation) -> None:
        super().__init__()
        self.larger = larger
        self.self_attn = Attention(channels, heads)
        self.linear1 = nn.Linear(channels, ffn)
        self.linear2 = nn.Linear(ffn, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, positions: Tensor, size: tuple[int, int]) -> Tensor:
        placed, average = tokens + positions, partial(self.larger, size=size)
        tokens = self.norm1(tokens + self.self_attn(placed, placed, tokens, average=average))
        out: Tensor = self.norm2(tokens + self.linear2(F.relu(self.linear1(tokens))))
        return out


class Encoder(nn.Module):
    """The layers in a row."""

    def __init__(self, config: PixelDecoderConfig, trained_tokens: int | None, learned_beta: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(config.layers):
            larger = Extrapolation(trained_tokens, learned_beta)
            self.layers.append(EncoderLayer(config.channels, config.heads, config.ffn, larger))

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        channels, height, width = image.shape[1:]
        positions = sine_positions(height, width, channels, image.device).to(image.dtype).flatten(1).T  # (H·W, C)
        tokens = image.flatten(2).transpose(1, 2)  # (B, H·W, C)
        for layer in self.layers:
            tokens = layer(tokens, positions, (height, width))
        return tokens.transpose(1, 2).unflatten(2, (height, width))


class PixelDecoder(nn.Module):
    """Encoder maps, fine to coarse → token maps at the wanted strides and mask features at the finest."""

    def __init__(
        self,
        config: PixelDecoderConfig,
        channels: tuple[int, ...],
        encoder_strides: tuple[int, ...],
        strides: tuple[int, ...],
        trained_side: int | None = None,
        learned_beta: bool = False,
    ) -> None:
        """`channels` and `encoder_strides` describe the encoder's maps; `strides` are those of the token maps.

        `trained_side`: of the images it was trained with, in pixels; None: of any size.
        """
        super().__init__()
        self.levels = len(channels)
        self.wanted = tuple(encoder_strides.index(stride) + 1 for stride in strides)
        width = config.channels
        self.input_proj = nn.Conv2d(channels[-1], width, 1)
        self.transformer = nn.ModuleDict(
            {"encoder": Encoder(config, tokens_at(trained_side, encoder_strides[-1]), learned_beta)}
        )
        for level, inner in enumerate(channels, start=1):  # 1 is the finest, as the published names count
            if level < self.levels:
                self.add_module(f"adapter_{level}", NormConv(inner, width, 1, config.groups))
            self.add_module(f"layer_{level}", NormConv(width, width, 3, config.groups))
        self.mask_features = nn.Conv2d(width, config.mask_channels, 3, padding=1)

    def forward(self, maps: tuple[Tensor, ...]) -> PixelFeatures:
        y = self.transformer["encoder"](self.input_proj(maps[-1]))
        y = F.relu(self.get_submodule(f"layer_{self.levels}")(y))
        made = {self.levels: y}
        for level in range(self.levels - 1, 0, -1):
            lateral = self.get_submodule(f"adapter_{level}")(maps[level - 1])
            summed = lateral + F.interpolate(y, size=lateral.shape[-2:], mode="nearest")
            y = F.relu(self.get_submodule(f"layer_{level}")(summed))
            made[level] = y
        return PixelFeatures(tuple(made[level] for level in self.wanted), self.mask_features(y))
