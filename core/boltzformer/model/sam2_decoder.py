"""SAM 2's mask decoder: SAM's, but the up-scaling adds the image's own finer maps.

Its object score, from a token of its own, is our existence (SAM's quality token has the same place). Of its memory of
other frames there is nothing here.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer.model.config import DecoderConfig
from boltzformer.model.decoding import per_prompt
from boltzformer.model.sam_decoder import SamDecoder, Upscaling
from boltzformer.model.slice_tokens import SliceTokens


class Sam2Decoder(SamDecoder):
    """Attends at stride 16; reads strides 8 and 4 while it scales up."""

    def _make_upscaling(self, config: DecoderConfig) -> Upscaling:
        return SharpUpscaling(config.hidden, config.mask_channels)


class SharpUpscaling(Upscaling):
    """With the map at stride 8 added after the first step, and the one at stride 4 after the second."""

    def __init__(self, channels: int, mask_channels: int) -> None:
        super().__init__(channels)
        self.at_8 = nn.Conv2d(channels, channels // 4, 1)
        self.at_4 = nn.Conv2d(mask_channels, channels // 8, 1)

    def forward(self, grid: Tensor, image: SliceTokens) -> Tensor:
        """(N, C / 8, 4h, 4w) from (N, C, h, w)."""
        prompts = len(grid) // len(image.semantic)
        middle = image.tokens[1].transpose(1, 2).unflatten(2, image.sizes[1])  # (B, C, 2h, 2w)
        x = F.gelu(self.norm(self.first(grid) + per_prompt(self.at_8(middle), prompts)))
        return F.gelu(self.second(x) + per_prompt(self.at_4(image.semantic), prompts))
