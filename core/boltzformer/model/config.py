"""`ModelConfig`: every number of a model, its meaning under the field."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from boltzformer.errors import CheckpointError


@dataclass(frozen=True)
class ModelConfig:
    """A BoltzFormer of our own: plain encoder, existence score, no edge queries."""

    image_size: int = 96
    """Side of the square network input in pixels."""
    channels: tuple[int, ...] = (24, 32, 48, 64)
    """Width of the encoder at strides 2, 4, 8, 16."""
    width: int = 48
    """Channels of pixel decoder, text and queries."""
    heads: int = 4
    layers: int = 9
    """Decoder layers; each is one look at the image."""
    queries: int = 12
    """Size of the ensemble whose mask logits are averaged."""
    text_layers: int = 2
    text_length: int = 128
    """Longest prompt in bytes; what is longer is cut."""
    strides: tuple[int, ...] = (16, 8, 4)
    """Token grids that the layers look at in turn, coarse first."""
    sample_ratio: float = 0.1
    """Share of the tokens that a query draws in each layer."""
    base_temperature: float = 1.0
    """τ₀ of the Boltzmann distribution; layer ℓ has τ₀ / (1 + ℓ)."""
    pixel_mean: float = 80.0
    pixel_std: float = 60.0

    def __post_init__(self) -> None:
        if self.image_size % 16:
            raise CheckpointError(f"image_size is {self.image_size}; make it a multiple of 16, the coarsest stride.")
        if self.width % (4 * self.heads):
            raise CheckpointError(f"width {self.width} can't be split over {self.heads} heads; make it a multiple.")

    def grid(self, layer: int) -> int:
        """Side of the token grid that this layer looks at."""
        return self.image_size // self.strides[layer % len(self.strides)]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> ModelConfig:
        unknown = sorted(set(values) - {field.name for field in fields(ModelConfig)})
        if unknown:
            raise CheckpointError(
                f"The model file's configuration has unknown fields {unknown}: it needs a newer version."
            )
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return ModelConfig(**known)


def tiny() -> ModelConfig:
    """A few hundred thousand parameters, for tests and the thread's demonstration."""
    return ModelConfig()
