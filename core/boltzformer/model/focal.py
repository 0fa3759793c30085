"""FocalNet: an image encoder that gathers context with ever larger convolutions instead of attention.

Parameter names are those of the published weights. Inside, tokens are (B, H, W, C), which convolutions read without a
copy as channels-last maps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer.model.encoder_config import FocalConfig


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Zeros at the right and at the bottom, until both sides are multiples."""
    right, bottom = -image.shape[-1] % multiple, -image.shape[-2] % multiple
    return F.pad(image, (0, right, 0, bottom)) if right or bottom else image


class Downsample(nn.Module):
    """A strided convolution and a norm: (B, C, H, W) → tokens (B, ⌈H/s⌉, ⌈W/s⌉, out)."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.stride = stride
        self.proj = nn.Conv2d(channels, out, kernel, stride, padding)
        self.norm = nn.LayerNorm(out)

    def forward(self, image: Tensor) -> Tensor:
        tokens: Tensor = self.norm(self.proj(pad_to_multiple(image, self.stride)).permute(0, 2, 3, 1))
        return tokens


class Modulation(nn.Module):
    """Each token is multiplied by a gated sum of its surroundings at several ranges."""

    def __init__(self, channels: int, levels: int, window: int) -> None:
        super().__init__()
        self.channels, self.levels = channels, levels
        self.f = nn.Linear(channels, 2 * channels + levels + 1)
        self.h = nn.Conv2d(channels, channels, 1)
        self.proj = nn.Linear(channels, channels)
        self.focal_layers = nn.ModuleList()
        for kernel in range(window, window + 2 * levels, 2):
            depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
            self.focal_layers.append(nn.Sequential(depthwise, nn.GELU()))

    def forward(self, tokens: Tensor) -> Tensor:
        query, context, gates = self.f(tokens).split((self.channels, self.channels, self.levels + 1), dim=-1)
        context, gates = context.permute(0, 3, 1, 2), gates.permute(0, 3, 1, 2)  # (B, C, H, W), (B, levels + 1, H, W)
        gathered = torch.zeros_like(context)
        for level, layer in enumerate(self.focal_layers):
            context = layer(context)
            gathered = gathered + context * gates[:, level : level + 1]
        whole = F.gelu(context.mean((2, 3), keepdim=True))
        gathered = (gathered + whole * gates[:, self.levels :]) / (self.levels + 1)
        modulated: Tensor = self.proj(query * self.h(gathered).permute(0, 2, 3, 1))
        return modulated


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


class Block(nn.Module):
    """Modulation and MLP; the norm comes after each, then its learned scale, then the residual."""

    def __init__(self, channels: int, levels: int, window: int, mlp_ratio: float) -> None:
        super().__init__()
        self.modulation = Modulation(channels, levels, window)
        self.norm1 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, int(channels * mlp_ratio))
        self.norm2 = nn.LayerNorm(channels)
        self.gamma_1 = nn.Parameter(torch.full((channels,), 1e-4))
        self.gamma_2 = nn.Parameter(torch.full((channels,), 1e-4))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.gamma_1 * self.norm1(self.modulation(tokens))
        return tokens + self.gamma_2 * self.norm2(self.mlp(tokens))


class Stage(nn.Module):
    """Blocks on one grid, and the way down to the next (none after the last)."""

    def __init__(self, blocks: list[Block], downsample: Downsample | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class FocalNet(nn.Module):
    """Image (B, 3, H, W), already normalised → maps at strides 4, 8, 16, 32."""

    def __init__(self, config: FocalConfig) -> None:
        super().__init__()
        channels = config.channels
        self.patch_embed = Downsample(3, channels[0], kernel=7, stride=4, padding=2)
        self.layers = nn.ModuleList()
        for stage, (width, depth) in enumerate(zip(channels, config.depths, strict=True)):
            levels, window = config.focal_levels[stage], config.focal_windows[stage]
            blocks = [Block(width, levels, window, config.mlp_ratio) for _ in range(depth)]
            last = stage == len(channels) - 1
            down = None if last else Downsample(width, 2 * width, kernel=3, stride=2, padding=1)
            self.layers.append(Stage(blocks, down))
            self.add_module(f"norm{stage}", nn.LayerNorm(width))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Fine to coarse, each (B, C, H, W). The norms belong to the outputs only: the next stage reads raw tokens."""
        tokens, maps = self.patch_embed(image), []
        for stage, layer in enumerate(self.layers):
            tokens = layer(tokens)
            maps.append(self.get_submodule(f"norm{stage}")(tokens).permute(0, 3, 1, 2))
            if stage < len(self.layers) - 1:
                tokens = layer.get_submodule("downsample")(tokens.permute(0, 3, 1, 2))
        return tuple(maps)
