"""`BoltzFormer`: encode_image → encode_text → decode. One forward for training and use."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from boltzformer.model.config import EncoderConfig, FocalConfig, HieraConfig, LiteConfig, ModelConfig
from boltzformer.model.decoder import SliceTokens, Trace, Way
from boltzformer.model.decoders import make_decoder
from boltzformer.model.decoding import AnyDecoder, Energies, Masks, Noise, Watch, nobody
from boltzformer.model.focal import FocalNet
from boltzformer.model.hiera import Hiera
from boltzformer.model.layers import Extrapolation, planes
from boltzformer.model.lite import LiteEncoder
from boltzformer.model.pigma import PigmaV1, PigmaV2, pyramid
from boltzformer.model.pixel_decoder import PixelDecoder, PixelFeatures
from boltzformer.model.plain import PlainEncoder
from boltzformer.model.text import TextEncoder, TextState, Tokenizer


@dataclass(frozen=True)
class ImageState:
    """All that prompts need of a batch of images: computed once, shared by every prompt, never copied for one."""

    tokens: SliceTokens
    pyramid: tuple[Tensor, Tensor] | None
    """The normalised image at the two sizes that up-scaling reads; None without up-scaling."""

    @property
    def nbytes(self) -> int:
        """Memory that it holds, for caches with a budget."""
        tensors = (*self.tokens.tokens, self.tokens.semantic, *self.tokens.semantic_tokens, *(self.pyramid or ()))
        return sum(tensor.nbytes for tensor in tensors)


@dataclass(frozen=True)
class Answer:
    """What the model says about B images and P prompts."""

    logits: Tensor
    """(B, P, h, w)."""
    existence: Tensor | None
    """(B, P) logits; None for models without an existence classifier."""
    edges: Tensor | None
    """(B, P, h, w) logits of the outline; None without edge queries."""
    trace: Trace
    """Where the queries looked, one look per layer; empty unless asked for."""


PIGMA: dict[str, type[PigmaV1 | PigmaV2]] = {"v1": PigmaV1, "v2": PigmaV2}


def make_encoder(
    config: EncoderConfig, trained_side: int | None = None, learned_beta: bool = False
) -> FocalNet | Hiera | LiteEncoder | PlainEncoder:
    """The image encoder that a configuration describes; of ours, only Hiera needs to know how large its images were."""
    if isinstance(config, FocalConfig):
        return FocalNet(config)
    if isinstance(config, LiteConfig):
        return LiteEncoder(config)
    return Hiera(config, trained_side, learned_beta) if isinstance(config, HieraConfig) else PlainEncoder(config)


class BoltzFormer(nn.Module):
    """The whole model. Its parameters carry the published names, so that published weights fit as they are."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer | None = None) -> None:
        super().__init__()
        self.config, self._rounded = config, False
        encoder, decoder = config.encoder, config.decoder
        for name, values in (("pixel_mean", config.pixel_mean), ("pixel_std", config.pixel_std)):
            # On the CPU even when the model is laid out on the meta device: version 1 does not store them.
            buffer = torch.tensor(values, dtype=torch.float32, device="cpu")[None, :, None, None]
            self.register_buffer(name, buffer, persistent=decoder.version == 2)
        side, learned = config.image_size, config.learned_beta
        self.backbone = make_encoder(encoder, side, learned)
        pixels = PixelDecoder(config.pixel_decoder, encoder.channels, encoder.strides, decoder.strides, side, learned)
        predictor = make_decoder(decoder, side)
        predictor.add_module("language_encoder", TextEncoder(config.text, tokenizer))  # where published weights have it
        self.sem_seg_head = nn.ModuleDict({"pixel_decoder": pixels, "predictor": predictor})
        # Published weights keep the up-scaling layers at the top, so they are registered here one by one, and the
        # module that owns them hides in a tuple.
        self._pigma: tuple[PigmaV1 | PigmaV2, ...] = ()
        if config.pigma is not None:
            pigma = PIGMA[config.pigma](decoder.queries, config.pigma_channels)
            self._pigma = (pigma,)
            for name, layer in pigma.named_children():
                self.add_module(name, layer)

    @property
    def decoder(self) -> AnyDecoder:
        """The part that does a prompt's work."""
        return cast(AnyDecoder, self.sem_seg_head["predictor"])

    @property
    def text(self) -> TextEncoder:
        """The part that reads prompts."""
        return cast(TextEncoder, self.decoder.get_submodule("language_encoder"))

    def learn_beta(self) -> None:
        """Gives every self-attention over a grid a β to learn: for fine-tuning on images larger than `image_size`."""
        self.config = replace(self.config, learned_beta=True)
        for module in self.modules():
            if isinstance(module, Extrapolation):
                module.beta = nn.Parameter(self.pixel_mean.new_tensor(float(module.beta)))

    def encode_image(self, images: Tensor) -> ImageState:
        """From images (B, 3, H, W) in 0…255."""
        return self.decode_pixels(self.encoder_maps(images), images)

    def round_first_pass(self) -> None:
        """From now on what all prompts share is made in bfloat16 products, for use and not for training.

        The weights of these products are rounded; what a CPU does in bfloat16 otherwise is autocast's choice, so norms'
        weights and the residual stream of FocalNet keep their bits. Channels come last, as its convolutions like it.
        """
        self._rounded = True
        for part in (self.backbone, self.sem_seg_head["pixel_decoder"]):
            for module in part.modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    for name, weight in module.named_parameters(recurse=False):
                        last = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
                        setattr(module, name, nn.Parameter(weight.detach().to(torch.bfloat16, memory_format=last)))

    def _roughly(self) -> AbstractContextManager[object]:
        return torch.autocast(self.pixel_mean.device.type, torch.bfloat16) if self._rounded else nullcontext()

    def encoder_maps(self, images: Tensor) -> tuple[Tensor, ...]:
        """What the image encoder makes of images (B, 3, H, W) in 0…255, fine to coarse."""
        with self._roughly():
            maps: tuple[Tensor, ...] = self.backbone((images - self.pixel_mean) / self.pixel_std)
        return maps

    def decode_pixels(self, maps: tuple[Tensor, ...], images: Tensor) -> ImageState:
        """The rest of `encode_image`, from its maps and the images themselves."""
        normalised = (images - self.pixel_mean) / self.pixel_std
        with self._roughly():
            features = self.sem_seg_head["pixel_decoder"](maps)
        if self._rounded:  # whatever is drawn is drawn in the images' own precision
            exact = tuple(grid.to(normalised.dtype) for grid in features.maps)
            features = PixelFeatures(exact, planes(features.mask, normalised.dtype))
        sizes = pyramid(normalised, features.mask.shape[-2:]) if self._pigma else None
        return ImageState(self.decoder.prepare(features.maps, features.mask), sizes)

    def encode_text(self, prompts: Sequence[str] | Sequence[Sequence[int]]) -> TextState:
        """From P prompts, each as text or as token ids with start and end."""
        state: TextState = self.text(prompts)
        return state

    def decode(
        self,
        image: ImageState,
        text: TextState,
        noise: Noise | None,
        trace: bool = False,
        *,
        masks: Masks | None = None,
        energies: Energies | None = None,
        way: Way | None = None,
        watch: Watch = nobody,
    ) -> Answer:
        """The answers to P prompts about B images; every image gets the same prompts, or (tokens (B, P, T, C)) its own.

        `noise(layer)` gives the uniform numbers that a layer draws with, (B, P, heads or 1, Q, L); `masks` replaces the
        draws by recorded ones, `energies` are a user's guidance. `way` and `watch` are for comparisons: see
        `AnyDecoder.forward`.
        """
        seen = self.decoder(
            image.tokens,
            text.tokens,
            text.mask,
            noise=noise,
            masks=masks,
            energies=energies,
            mean=not self._pigma,
            trace=trace,
            way=way,
            watch=watch,
        )
        logits = seen.masks
        if image.pyramid is not None:
            logits = self._pigma[0](image.pyramid, logits.flatten(0, 1)).unflatten(0, logits.shape[:2])
        return Answer(logits[:, :, 0], seen.existence, seen.edges, seen.trace)

    def forward(
        self,
        images: Tensor,
        prompts: TextState | Sequence[str] | Sequence[Sequence[int]],
        noise: Noise | None,
        trace: bool = False,
    ) -> Answer:
        """All three steps."""
        text = prompts if isinstance(prompts, TextState) else self.encode_text(prompts)
        return self.decode(self.encode_image(images), text, noise, trace)
