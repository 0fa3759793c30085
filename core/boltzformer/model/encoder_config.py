"""Configurations of what surrounds the decoder (image encoders, pixel decoder, text), and the error that all raise."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from boltzformer.errors import ConfigError


def require(holds: bool, sentence: str) -> None:
    """Refuse with a sentence what does not hold."""
    if not holds:
        raise ConfigError(sentence)


MOST_LAYERS, LARGEST = 128, 2**20
"""Beyond all models there are: a file that asks for more would only keep a computer busy, or fill its memory."""
_LAYERS = ("layers", "depths", "stages", "blocks", "focal_levels")


def require_positive(config: Any, but: tuple[str, ...] = ()) -> None:
    """Sizes and counts must be above zero, other than these fields; and all of them within reason."""
    for f in fields(config):
        value = getattr(config, f.name)
        several = value if isinstance(value, tuple) else (value,)
        numbers = [n for n in several if isinstance(n, int | float) and not isinstance(n, bool)]
        require(f.name in but or all(n > 0 for n in numbers), f"{f.name} = {str(value)[:60]} must be positive.")
        most = MOST_LAYERS if f.name in _LAYERS else LARGEST
        modest = sum(map(abs, numbers)) <= most and len(several) <= MOST_LAYERS
        require(modest, f"{f.name} = {str(value)[:60]} is beyond all models: it may be {most} at most.")


@dataclass(frozen=True)
class FocalConfig:
    """FocalNet: convolutional focal modulation, post-norm with layer scale."""

    kind: Literal["focal"] = "focal"
    width: int = 192
    """Channels at stride 4; each further stage doubles them."""
    depths: tuple[int, ...] = (2, 2, 18, 2)
    focal_levels: tuple[int, ...] = (4, 4, 4, 4)
    focal_windows: tuple[int, ...] = (3, 3, 3, 3)
    """Kernel of the first focal level in each stage; every further level adds 2."""
    mlp_ratio: float = 4.0

    strides: ClassVar[tuple[int, ...]] = (4, 8, 16, 32)
    any_size: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive(self)
        same = len(self.depths) == len(self.focal_levels) == len(self.focal_windows) == len(self.strides)
        require(same, "FocalNet has four stages: give four depths, four focal levels and four focal windows.")
        require(all(w % 2 == 1 for w in self.focal_windows), "Focal windows must be odd, so that they have a centre.")

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the outputs, fine to coarse."""
        return tuple(self.width * 2**stage for stage in range(len(self.depths)))


@dataclass(frozen=True)
class HieraConfig:
    """Hiera (the image encoder of SAM 2) with its feature pyramid."""

    kind: Literal["hiera"] = "hiera"
    width: int = 96
    heads: int = 1
    stages: tuple[int, ...] = (1, 2, 11, 2)
    global_blocks: tuple[int, ...] = (7, 10, 13)
    """Blocks, counted over all stages, that attend over the whole image."""
    windows: tuple[int, ...] = (8, 4, 14, 7)
    background: tuple[int, ...] = (7, 7)
    """Size of the learned position map that is stretched over the image."""
    mlp_ratio: float = 4.0
    neck: int = 256
    """Channels of every output."""

    strides: ClassVar[tuple[int, ...]] = (4, 8, 16, 32)
    any_size: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive(self, but=("global_blocks",))
        require(len(self.stages) == len(self.windows) == 4, "Hiera has four stages: give four depths and windows.")
        clash = sorted(set(self.global_blocks) & set(self.pooling_blocks))
        require(not clash, f"Hiera's block {clash} opens a stage and pools, so it can't attend globally: move it.")
        inside = all(0 <= block < sum(self.stages) for block in self.global_blocks)
        require(inside, f"Hiera has blocks 0…{sum(self.stages) - 1}; global_blocks names others.")
        require(self.width % self.heads == 0, "Hiera's width must be a multiple of its number of heads.")

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """Index of the last block of each stage."""
        return tuple(sum(self.stages[: stage + 1]) - 1 for stage in range(len(self.stages)))

    @property
    def pooling_blocks(self) -> tuple[int, ...]:
        """The first block of stages 2, 3 and 4: twice the width, half the side."""
        return tuple(end + 1 for end in self.stage_ends[:-1])

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the outputs, fine to coarse."""
        return (self.neck,) * len(self.stages)


@dataclass(frozen=True)
class PlainConfig:
    """Residual 3×3 convolutions with group norm: the small encoder of the models that we train ourselves."""

    kind: Literal["plain"] = "plain"
    channels: tuple[int, ...] = (64, 128, 160, 224)
    """Per stage, fine to coarse, at strides 4, 8, 16, …"""
    blocks: tuple[int, ...] = (1, 2, 2, 1)
    groups: int = 8

    any_size: ClassVar[bool] = True
    """Whether it may be taught on images of one size and used on those of another."""

    def __post_init__(self) -> None:
        require_positive(self)
        require(len(self.channels) == len(self.blocks) >= 2, "The plain encoder needs blocks for each of ≥ 2 stages.")
        require(
            all(c % (2 * self.groups) == 0 for c in self.channels),
            f"The plain encoder's channels {self.channels} must be multiples of 2 × groups = {2 * self.groups}.",
        )

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the outputs, fine to coarse."""
        return tuple(4 * 2**stage for stage in range(len(self.channels)))


@dataclass(frozen=True)
class LiteConfig:
    """EfficientNet-Lite, by default Lite0: small, quick on a CPU, and its ImageNet weights are public."""

    kind: Literal["lite"] = "lite"
    stem: int = 32
    widths: tuple[int, ...] = (16, 24, 40, 80, 112, 192, 320)
    """Channels per stage."""
    repeats: tuple[int, ...] = (1, 2, 2, 3, 3, 4, 1)
    """Blocks per stage."""
    expansion: int = 6
    """How much wider a block is inside; the first stage is not."""

    kernels: ClassVar[tuple[int, ...]] = (3, 3, 5, 3, 5, 5, 3)
    steps: ClassVar[tuple[int, ...]] = (1, 2, 2, 2, 1, 2, 1)
    """Stride of each stage's first block."""
    ends: ClassVar[tuple[int, ...]] = (1, 2, 4, 6)
    """Stages whose outputs are the maps."""
    strides: ClassVar[tuple[int, ...]] = (4, 8, 16, 32)
    any_size: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(self)
        same = len(self.widths) == len(self.repeats) == len(self.kernels)
        require(same, f"EfficientNet-Lite has {len(self.kernels)} stages: give as many widths and repeats.")

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the outputs, fine to coarse."""
        return tuple(self.widths[stage] for stage in self.ends)


EncoderConfig = FocalConfig | HieraConfig | LiteConfig | PlainConfig
ENCODERS: dict[str, type[FocalConfig | HieraConfig | LiteConfig | PlainConfig]] = {
    "focal": FocalConfig,
    "hiera": HieraConfig,
    "lite": LiteConfig,
    "plain": PlainConfig,
}


@dataclass(frozen=True)
class PixelDecoderConfig:
    """Transformer on the coarsest map, then a feature pyramid down to the finest."""

    channels: int = 512
    mask_channels: int = 512
    heads: int = 8
    ffn: int = 2048
    layers: int = 6
    groups: int = 32
    """Of every group norm."""

    def __post_init__(self) -> None:
        require_positive(self)
        require(self.channels % self.heads == 0, "The pixel decoder's channels must be a multiple of its heads.")
        require(self.channels % self.groups == 0, "The pixel decoder's channels must be a multiple of its groups.")
        require(self.channels % 4 == 0, "The pixel decoder's channels must be a multiple of 4 (sine positions).")


@dataclass(frozen=True)
class TextConfig:
    """CLIP-style text transformer."""

    tokenizer: Literal["clip", "bytes", "table"] = "clip"
    """CLIP's table, one token per byte, or a table of its own; tables travel in the checkpoint."""
    vocabulary: int = 49408
    context: int = 77
    """Longest prompt in tokens, start and end included; a longer one is cut."""
    width: int = 512
    layers: int = 12
    heads: int = 8
    projection: int = 512
    """Channels of the tokens that leave the encoder."""
    causal: bool = True
    """Released weights read left to right."""
    learnt: tuple[str, ...] = ()
    """One line per phrase for each target that fine-tuning taught; these prompts carry rows of their own."""
    learnt_rows: int = 4
    """Rows per such target."""

    def __post_init__(self) -> None:
        require_positive(self)
        require(self.width % self.heads == 0, "The text width must be a multiple of the text heads.")
        known = ("clip", "bytes", "table")
        require(self.tokenizer in known, f"Unknown tokenizer {self.tokenizer!r}: use one of {', '.join(known)}.")
        enough = self.tokenizer != "bytes" or self.vocabulary >= 258
        require(enough, "The byte tokenizer needs a vocabulary of at least 258: 256 bytes, start and end.")
