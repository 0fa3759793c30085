"""`BoltzFormer`: encode the image once, encode the text once, decode each prompt. One forward for training and use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from boltzformer.model.config import ModelConfig
from boltzformer.model.decoder import Decoder, Look, Noise
from boltzformer.model.pigma import Pigma
from boltzformer.model.pixel_decoder import PixelDecoder
from boltzformer.model.plain import PlainEncoder
from boltzformer.model.text import TextEncoder, TextState


@dataclass(frozen=True)
class ImageState:
    """All that the decoder needs of an image; every further prompt re-uses it."""

    image: Tensor
    """(B, 3, S, S), normalised."""
    pyramid: tuple[Tensor, ...]
    """(B, C, h, w), coarse to fine."""
    semantic: Tensor
    """(B, C, h, w) at the finest stride."""


@dataclass(frozen=True)
class Answer:
    """For every image and prompt."""

    logits: Tensor
    """(B, P, h, w)."""
    existence: Tensor
    """(B, P), logits."""
    looks: tuple[Look, ...] = ()
    """Empty unless a trace was asked for."""


class BoltzFormer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = PlainEncoder(config.channels)
        self.pixel_decoder = PixelDecoder(config.channels[1:], config.width, config.heads)
        self.text = TextEncoder(config.width, config.heads, config.text_layers, config.text_length)
        self.decoder = Decoder(config)
        self.pigma = Pigma(config.queries)

    def encode_image(self, images: Tensor) -> ImageState:
        """images (B, 3, S, S) in 0…255."""
        normal = (images - self.config.pixel_mean) / self.config.pixel_std
        pyramid, semantic = self.pixel_decoder(self.encoder(normal)[1:])
        return ImageState(normal, tuple(pyramid), semantic)

    def encode_text(self, texts: Sequence[str]) -> TextState:
        return self.text(texts)

    def decode(self, image: ImageState, text: TextState, noise: Noise, trace: bool = False) -> Answer:
        looks: list[Look] | None = [] if trace else None
        masks, existence = self.decoder(image.pyramid, image.semantic, text, noise, looks)
        return Answer(self.pigma(masks, image.image), existence, tuple(looks or ()))

    def forward(self, images: Tensor, text: TextState, noise: Noise) -> Answer:
        return self.decode(self.encode_image(images), text, noise)
