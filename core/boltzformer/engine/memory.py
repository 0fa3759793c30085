"""Memory: how much a run takes, and what is given up, step by step, where a device has less.

    peak ≈ weights + program + one slice's work + min(cache budget, slices × features) + volume + answers

Only the cache, which is bounded, and the answers (at most one byte per pixel of the model's answer, prompt and slice)
grow with slices and prompts. While a model is loaded its weights lie in memory twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from boltzformer.engine.devices import Place
from boltzformer.model.config import ModelConfig
from boltzformer.types import Adjusted

CACHE_BYTES = 2_000_000_000
"""Default budget for features."""
PROGRAM_BYTES = 350_000_000
"""Of Python and its libraries on a CPU: measured (benchmarks/RESULTS.md)."""
WORK_PER_FEATURES = 6
"""What encoding a slice takes, as a multiple of its features: measured, FocalNet-L at 512²."""
_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


@dataclass(frozen=True)
class Need:
    """Bytes that a run takes, by purpose."""

    weights: int
    program: int
    work: int
    """Of the slice in hand."""
    cache: int
    volume: int
    answers: int

    @property
    def peak(self) -> int:
        """All of it together, or the weights twice while they are loaded."""
        running = self.weights + self.program + self.work + self.cache + self.volume + self.answers
        return max(running, 2 * self.weights + self.program + self.volume)


def need(
    config: ModelConfig, parameters: int, *, volume: int, slices: int, prompts: int, cache_bytes: int = CACHE_BYTES
) -> Need:
    """The formula above, on a CPU in float32; `volume` is the size of its array in bytes."""
    features, side = feature_bytes(config), answer_side(config)
    cache, answers = min(cache_bytes, slices * features), slices * prompts * side * side
    return Need(4 * parameters, PROGRAM_BYTES, WORK_PER_FEATURES * features, cache, volume, answers)


def answer_side(config: ModelConfig) -> int:
    """Side of the model's logits in pixels."""
    fine = -(-config.image_size // 4)
    return fine if config.pigma is None else 2 * fine


def feature_bytes(config: ModelConfig) -> int:
    """Of the features of one slice in float32, as `ImageState.nbytes` counts them."""
    side, decoder = config.image_size, config.decoder
    fine = (-(-side // 4)) ** 2
    tokens = sum((-(-side // stride)) ** 2 for stride in decoder.strides)
    pyramid = 0 if config.pigma is None else 3 * 5 * fine
    return 4 * (decoder.mask_channels * (fine + tokens) + decoder.hidden * tokens + pyramid)


@dataclass(frozen=True)
class Effort:
    """How much is done at once, and where."""

    place: Place
    batch: int
    """Slices that the encoder sees together."""
    together: int
    """Prompts (times samples) that are decoded together."""
    keep: bool = True
    """Whether features are kept for later."""

    def easier(self) -> tuple[Effort, Adjusted] | None:
        """The next thing to give up when the device is full; None when nothing is left."""
        device = self.place.device.type
        full = f"The memory of the device '{device}' was full"
        if self.batch > 1:
            less = replace(self, batch=self.batch // 2)
            return less, Adjusted(f"{less.batch} slices at once instead of {self.batch}", f"{full}.")
        if self.together > 1:
            less = replace(self, together=self.together // 2)
            return less, Adjusted(f"{less.together} prompts at once instead of {self.together}", f"{full}.")
        if self.keep:
            return replace(self, keep=False), Adjusted("No features are kept for later prompts", f"{full}.")
        if device == "cpu":
            return None
        if self.place.dtype == torch.float32 and _has_bfloat16(self.place.device):
            place = replace(self.place, dtype=torch.bfloat16, why=f"{full} in float32.")
            return replace(self, place=place), Adjusted(
                "bfloat16 instead of float32; finished slices are done again", f"{full}, and one run has one precision."
            )
        place = Place(torch.device("cpu"), torch.float32, f"{full}.")
        return Effort(place, 1, 1), Adjusted(
            "The CPU does the work, in float32; finished slices are done again", f"{full}, and one run has one device."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device was full; every library says so in its own way."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def _has_bfloat16(device: torch.device) -> bool:
    return device.type == "mps" or torch.cuda.is_bf16_supported(including_emulation=False)
