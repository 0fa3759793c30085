"""PiGMA: the pixels of the image itself sharpen the answer while it is scaled up (paper, section 3.2.3).

Both published variants; the result is the mean of what the convolutions say and of the queries' plain mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, without antialiasing."""
    return F.interpolate(image, size=(height, width), mode="bilinear", align_corners=False)


def with_image(image: Tensor, masks: Tensor) -> Tensor:
    """(B·P, 3 + C, h, w) from one image (B, 3, h, w) and the maps (B·P, C, h, w) of its P prompts."""
    return torch.cat([image.repeat_interleave(len(masks) // len(image), dim=0), masks], dim=1)


def pyramid(image: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What is needed of the normalised image (B, 3, H, W), whatever the prompt: as large as the masks, and twice that.

    Masks are at stride 4. The released version 1 has 256² and 512² here, for its images of 1024².
    """
    height, width = size
    return resize(image, height, width), resize(image, 2 * height, 2 * width)


class PigmaV1(nn.Module):
    """BoltzFormer: two linear steps, from stride 4 to stride 2."""

    def __init__(self, queries: int, channels: int) -> None:
        super().__init__()
        self.output_deconv = nn.ConvTranspose2d(3 + queries, channels, 4, 2, 1)
        self.output_conv = nn.Conv2d(3 + channels, 1, 1)

    def forward(self, pyramid: tuple[Tensor, Tensor], masks: Tensor) -> Tensor:
        """(B·P, 1, 2h, 2w) from the logits (B·P, Q, h, w) of all queries."""
        small, large = pyramid
        drawn = self.output_conv(with_image(large, self.output_deconv(with_image(small, masks))))
        return (drawn + resize(masks.mean(1, keepdim=True), *large.shape[-2:])) / 2


class PigmaV2(nn.Module):
    """BiomedParse v2: non-linear, from stride 4 to stride 2 of any image whose sides are multiples of 4."""

    def __init__(self, queries: int, channels: int) -> None:
        super().__init__()
        self.output_deconv = nn.ConvTranspose2d(3 + queries, channels, 4, 2, 1)
        self.layer_norm = nn.GroupNorm(1, channels)
        self.output_conv = nn.Conv2d(3 + channels, channels, 1)
        self.output_conv2 = nn.Conv2d(channels, 1, 1)

    def forward(self, pyramid: tuple[Tensor, Tensor], masks: Tensor) -> Tensor:
        """(B·P, 1, H/2, W/2) from the logits (B·P, Q, H/4, W/4) of all queries."""
        small, large = pyramid
        inner = F.gelu(self.layer_norm(self.output_deconv(with_image(small, masks))))
        drawn = self.output_conv2(F.gelu(self.output_conv(with_image(large, inner))))
        return (drawn + resize(masks.mean(1, keepdim=True), *large.shape[-2:])) / 2
