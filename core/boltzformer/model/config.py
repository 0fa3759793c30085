"""`ModelConfig`: everything that decides the shape and the law of a model, and the presets.

Frozen, plain values only, so that a config travels as JSON inside its checkpoint. A combination that can't work is
refused when it is made, with a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from boltzformer.errors import ConfigError
from boltzformer.model.encoder_config import (
    ENCODERS,
    EncoderConfig,
    FocalConfig,
    HieraConfig,
    LiteConfig,
    PixelDecoderConfig,
    PlainConfig,
    TextConfig,
    require,
    require_positive,
)

__all__ = [
    "ConfigError",
    "DecoderConfig",
    "EncoderConfig",
    "FocalConfig",
    "HieraConfig",
    "LiteConfig",
    "ModelConfig",
    "PixelDecoderConfig",
    "PlainConfig",
    "TextConfig",
    "biomedparse_v2",
    "default",
    "focal_l",
    "hiera_bp",
    "hiera_s",
    "tiny",
]

GRAY_MEAN, GRAY_STD = 114.49500274658203, 57.630001068115234
"""Mean over the three colours of the ImageNet statistics, as BiomedParse v2 stores them."""


DecoderKind = Literal["queries", "sam", "sam2", "emcad"]
"""Queries that look at image tokens (ours, masked and full attention); or another decoder of the zoo."""


@dataclass(frozen=True)
class DecoderConfig:
    """Queries × text × sampled tokens → masks. Every ablation of the paper's tables 3–8 is one field.

    Another `kind` reads what it knows of: sizes, strides, existence. `queries` is how many masks it draws, whose mean,
    or the up-scaling's reading, is the answer.
    """

    version: Literal[1, 2] = 1
    """Parameter names: 1 = BoltzFormer, 2 = BiomedParse v2 (`query_feat_`, `query_embed_`, existence)."""
    hidden: int = 512
    heads: int = 8
    layers: int = 9
    ffn: int = 2048
    queries: int = 101
    edge_queries: int = 0
    """The last so many queries draw the outline instead of the mask."""
    existence: bool = False
    """Whether a classifier says if the object is in the slice at all."""
    in_channels: int = 512
    """Of the token maps; a 1×1 projection exists where this is not `hidden`."""
    force_input_projection: bool = False
    mask_channels: int = 512
    text_channels: int = 512
    """Of the space that `class_embed` maps queries to; in a whole model the words' own, which is `hidden`."""
    strides: tuple[int, ...] = (32, 16, 8)
    """Of the token grids that the layers visit in turn, coarse to fine."""
    attention: Literal["boltzmann", "masked", "full"] = "boltzmann"
    """Sampled; thresholded without sampling; everything."""
    law: Literal["per_head", "per_query"] = "per_head"
    """Each attention head draws its own tokens (the released code), or a query's heads share one draw (the paper)."""
    draw: Literal["bernoulli", "multinomial"] = "bernoulli"
    """Each token by its own chance (paper, footnote 1), or exactly N draws with replacement."""
    base_temperature: float = 1.0
    sample_ratio: float = 0.1
    """Draws per query as a share of the tokens."""
    mask_threshold: float = 1.1
    """Tokens whose own guess reaches this are always visited; above 1 there are none."""
    text_prior: bool = True
    """Whether queries first read the prompt, before they look at the image."""
    kind: DecoderKind = "queries"

    def __post_init__(self) -> None:
        require_positive(self, but=("edge_queries",))
        require(self.version in (1, 2), f"Decoder version {self.version!r} is unknown: use 1 or 2.")
        require(self.hidden % self.heads == 0, f"hidden = {self.hidden} must be a multiple of heads = {self.heads}.")
        require(self.hidden % 4 == 0, "hidden must be a multiple of 4 (sine positions).")
        require(0 <= self.edge_queries < self.queries, "edge_queries must leave at least one query for the mask.")
        require(self.version == 2 or not self.existence, "Only version 2 has an existence classifier: set version=2.")
        require(self.version == 2 or self.edge_queries == 0, "Only version 2 has edge queries: set version=2.")
        descending = all(a > b for a, b in zip(self.strides, self.strides[1:], strict=False))
        require(bool(self.strides) and descending, f"strides {self.strides} must run from coarse to fine.")
        for name, allowed in (
            ("attention", ("boltzmann", "masked", "full")),
            ("law", ("per_head", "per_query")),
            ("draw", ("bernoulli", "multinomial")),
            ("kind", get_args(DecoderKind)),
        ):
            value = getattr(self, name)
            require(value in allowed, f"{name} = {value!r} is unknown: use one of {', '.join(allowed)}.")
        require(self.sample_ratio <= 1, f"sample_ratio = {self.sample_ratio} must not exceed 1.")
        if self.kind == "queries":
            return
        require(self.attention == "full", f"A decoder of kind '{self.kind}' does not sample: set attention = 'full'.")
        require(self.edge_queries == 0, f"A decoder of kind '{self.kind}' draws no outlines: set edge_queries = 0.")
        if self.kind == "emcad":
            step = 8 * 2 ** (len(self.strides) - 1)  # the finest stage is so much narrower, its norms have 8 groups
            require(self.hidden % step == 0, f"hidden = {self.hidden} must be a multiple of {step} for 'emcad'.")
            return
        step = math.lcm(8, 2 * self.heads)  # attention at half the width; an eighth of it draws
        require(self.hidden % step == 0, f"hidden = {self.hidden} must be a multiple of {step} for '{self.kind}'.")
        given, wanted = self.strides, {"sam": (16,), "sam2": (16, 8)}[self.kind]
        require(given == wanted, f"strides {given} do not fit '{self.kind}', which reads maps at {wanted}.")

    @property
    def input_projections(self) -> bool:
        """Whether the token maps pass a 1×1 convolution first."""
        return self.force_input_projection or self.in_channels != self.hidden


@dataclass(frozen=True)
class ModelConfig:
    """A whole model."""

    encoder: EncoderConfig = field(default_factory=FocalConfig)
    pixel_decoder: PixelDecoderConfig = field(default_factory=PixelDecoderConfig)
    text: TextConfig = field(default_factory=TextConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    pigma: Literal["v1", "v2"] | None = None
    """Up-scaling of the answer with the image at hand: v1 is linear (BoltzFormer), v2 is not."""
    pigma_channels: int = 16
    image_size: int = 1024
    """Side of the square image that the network is made for."""
    channels: Literal["neighbours", "repeat", "rgb"] = "repeat"
    """What a gray slice becomes: (slice, before, after), or three times itself; 'rgb' models expect colour."""
    resampler: Literal["bicubic", "antialiased"] = "antialiased"
    """How a slice reaches `image_size`."""
    learned_beta: bool = False
    """Whether every self-attention over a grid learns a β of its own for images larger than `image_size` (BA-SAM)."""
    pixel_mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, ...] = (58.395, 57.12, 57.375)

    def __post_init__(self) -> None:
        require_positive(self, but=("pixel_mean",))
        encoder, pixels, decoder = self.encoder, self.pixel_decoder, self.decoder
        require(
            decoder.in_channels == pixels.channels,
            f"The decoder reads maps of {decoder.in_channels} channels, the pixel decoder makes {pixels.channels}.",
        )
        require(
            decoder.mask_channels == pixels.mask_channels,
            f"The decoder has {decoder.mask_channels} mask_channels, the pixel decoder {pixels.mask_channels}.",
        )
        require(
            decoder.text_channels == decoder.hidden,
            f"Queries and text attend jointly: text_channels = {decoder.text_channels} must be "
            f"hidden = {decoder.hidden}.",
        )
        require(
            self.text.projection == decoder.text_channels,
            f"The text encoder gives {self.text.projection} channels, the decoder expects {decoder.text_channels}.",
        )
        missing = [stride for stride in decoder.strides if stride not in encoder.strides]
        require(not missing, f"The encoder has maps at strides {encoder.strides}, so none at {missing}.")
        require(self.pigma in (None, "v1", "v2"), f"pigma = {self.pigma!r} is unknown: use 'v1', 'v2' or None.")
        require(
            self.pigma is None or decoder.edge_queries == 0,
            "The up-scaling head reads all queries as masks: set edge_queries = 0, or pigma = None.",
        )
        require(
            self.pigma != "v2" or self.image_size % 4 == 0,
            f"The v2 up-scaling head needs a side that is a multiple of 4, not {self.image_size}.",
        )
        exact = not decoder.kind.startswith("sam") or self.image_size % decoder.strides[0] == 0
        require(exact, f"'{decoder.kind}' needs a side that is a multiple of 16, not {self.image_size}.")
        require(self.image_size <= 16384, f"image_size = {self.image_size} is beyond all models: at most 16384.")
        coarsest = encoder.strides[-1]
        require(
            encoder.kind != "hiera" or self.image_size % coarsest == 0,
            f"Hiera needs a side that is a multiple of {coarsest}, not {self.image_size}.",
        )
        require(len(self.pixel_mean) == len(self.pixel_std) == 3, "pixel_mean and pixel_std have three values each.")
        require(
            self.channels in ("neighbours", "repeat", "rgb"),
            f"channels = {self.channels!r} is unknown: use 'neighbours', 'repeat' or 'rgb'.",
        )
        require(
            self.resampler in ("bicubic", "antialiased"),
            f"resampler = {self.resampler!r} is unknown: use 'bicubic' or 'antialiased'.",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> ModelConfig:
        """From `to_dict` (also after a trip through JSON); an unknown name or a wrong kind of value is refused."""
        require(isinstance(data, Mapping), "The configuration of the model must be a table of names.")
        known = {name: value for name, value in data.items() if name not in _PARTS and name != "encoder"}
        parts: dict[str, Any] = {
            name: _build(part, data[name], f"{name}.") for name, part in _PARTS.items() if name in data
        }
        if "encoder" in data:
            kind = data["encoder"].get("kind") if isinstance(data["encoder"], Mapping) else None
            require(kind in ENCODERS, f"The encoder kind {kind!r} is unknown: use one of {', '.join(ENCODERS)}.")
            parts["encoder"] = _build(ENCODERS[str(kind)], data["encoder"], "encoder.")
        made: ModelConfig = _build(ModelConfig, {**known, **parts}, "")
        return made


_PARTS: dict[str, type[Any]] = {"pixel_decoder": PixelDecoderConfig, "text": TextConfig, "decoder": DecoderConfig}


def _build(kind: type[Any], data: Any, where: str) -> Any:
    """A config dataclass from plain values."""
    require(isinstance(data, Mapping), f"The configuration of {where.rstrip('.')} must be a table of names.")
    pattern = kind()
    unknown = [f"{where}{name}" for name in data if name not in {f.name for f in fields(kind)}]
    require(
        not unknown,
        f"The configuration names {', '.join(unknown)}, which this version does not know: update napari-boltzformer.",
    )
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    for name, value in values.items():
        wanted = type(getattr(pattern, name))
        fits = isinstance(value, wanted) or (wanted is float and type(value) is int) or name in ("encoder", "pigma")
        fits = fits and not (wanted is int and isinstance(value, bool))
        require(fits, f"The configuration's {where}{name} is {value!r}, but should be of type {wanted.__name__}.")
    return kind(**values)


def focal_l() -> ModelConfig:
    """BoltzFormer with FocalNet-L, as published with the paper."""
    return ModelConfig(pigma="v1", pigma_channels=10)


def hiera_s() -> ModelConfig:
    """BoltzFormer with Hiera-S."""
    return replace(focal_l(), encoder=HieraConfig())


def hiera_bp() -> ModelConfig:
    """BoltzFormer with Hiera-B+."""
    encoder = HieraConfig(
        width=112, heads=2, stages=(2, 3, 16, 3), global_blocks=(12, 16, 20), windows=(8, 4, 14, 7), background=(14, 14)
    )
    return replace(focal_l(), encoder=encoder)


def biomedparse_v2() -> ModelConfig:
    """The model whose weights are public as `biomedparse_v2.ckpt`."""
    return ModelConfig(
        decoder=DecoderConfig(version=2, queries=16, edge_queries=4, existence=True),
        image_size=512,
        channels="neighbours",
        resampler="bicubic",
        pixel_mean=(GRAY_MEAN,) * 3,
        pixel_std=(GRAY_STD,) * 3,
    )


def _ours(
    hidden: int,
    heads: int,
    ffn: int,
    strides: tuple[int, ...],
    encoder: PlainConfig,
    text: TextConfig,
    side: int,
    channels: Literal["neighbours", "repeat", "rgb"],
) -> ModelConfig:
    """Our own family: the paper's law (one draw per query), existence, size-relative up-scaling, nine layers."""
    return ModelConfig(
        encoder=encoder,
        pixel_decoder=PixelDecoderConfig(hidden, hidden, heads, ffn, layers=2, groups=8),
        text=text,
        decoder=DecoderConfig(
            version=2,
            hidden=hidden,
            heads=heads,
            layers=9,
            ffn=ffn,
            queries=12,
            existence=True,
            in_channels=hidden,
            mask_channels=hidden,
            text_channels=hidden,
            strides=strides,
            law="per_query",
        ),
        pigma="v2",
        pigma_channels=8,
        image_size=side,
        channels=channels,
        pixel_mean=(GRAY_MEAN,) * 3,
        pixel_std=(GRAY_STD,) * 3,
    )


def tiny() -> ModelConfig:
    """For tests: a few hundred thousand parameters, milliseconds per slice."""
    encoder = PlainConfig(channels=(16, 32, 48, 48), blocks=(1, 1, 1, 1))
    text = TextConfig("bytes", vocabulary=258, context=128, width=32, layers=2, heads=4, projection=32)
    return _ours(32, 4, 64, (16, 8, 4), encoder, text, 96, "neighbours")


def default() -> ModelConfig:
    """The shipped model: plain convolutions, 2-D, colour where there is colour."""
    text = TextConfig("table", vocabulary=1024, context=64, width=128, layers=2, heads=4, projection=128)
    return _ours(128, 4, 128, (32, 16, 8), PlainConfig(), text, 384, "rgb")  # 384: best on validation (RESULTS.md)
