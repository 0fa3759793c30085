"""Where a model runs, in which precision, by what the user says or the machine has, never by timing; how much memory a
run takes, and what is given up, step by step, where a device has less."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

import torch

from boltzformer.errors import BoltzFormerError
from boltzformer.io.stream import free_memory
from boltzformer.model.config import ModelConfig
from boltzformer.types import Adjusted

DTYPES = {
    **dict.fromkeys(("float32", "fp32"), torch.float32),
    **dict.fromkeys(("bfloat16", "bf16"), torch.bfloat16),
    **dict.fromkeys(("float16", "fp16"), torch.float16),
}


LARGE = ("focal", "hiera")
"""Kinds of image encoder whose first pass a CPU makes in bfloat16 by itself, where it has the instructions."""


@dataclass(frozen=True)
class Place:
    """A device, the precision of the numbers on it, and why."""

    device: torch.device
    dtype: torch.dtype
    """On a CPU, of image encoder and pixel decoder alone."""
    why: str
    """A sentence for the user."""

    @property
    def exact(self) -> bool:
        """Whether the same question gets the same bits, whatever is asked beside it."""
        return self.device.type == "cpu"

    @property
    def drawing(self) -> torch.dtype:
        """The precision of all that follows image encoder and pixel decoder: on a CPU always float32."""
        return torch.float32 if self.device.type == "cpu" else self.dtype

    @property
    def precision(self) -> str:
        """'float32', 'bfloat16' or 'float16'."""
        return name_of(self.dtype)

    @property
    def in_words(self) -> str:
        """The precision, of what."""
        rest = "" if self.drawing == self.dtype else f" for encoder and pixel decoder, {name_of(self.drawing)} after"
        return f"{self.precision}{rest}"


def name_of(dtype: torch.dtype) -> str:
    """As in provenance: 'float32'."""
    return str(dtype).removeprefix("torch.")


def fast_half(device: torch.device) -> bool:
    """Whether bfloat16 is quick there: by the CPU's flags, never by timing."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def choose(device: str = "auto", dtype: str = "auto", config: ModelConfig | None = None) -> Place:
    """CUDA before MPS before CPU; bfloat16 on GPUs that have it, and on CPUs that are quick at it for large models.

    `config`: the model that is to run there; None asks for no precision of a CPU but what is safe for all.
    """
    chosen, why = _device(device)
    if dtype != "auto" and dtype not in DTYPES:
        raise BoltzFormerError(f"There is no precision '{dtype}': choose auto, {', '.join(DTYPES)}.")
    if chosen.type == "cpu" and dtype in ("float16", "fp16"):
        raise BoltzFormerError("A CPU computes badly in float16: choose auto, float32 or bfloat16.")
    if dtype != "auto":
        return Place(chosen, DTYPES[dtype], f"{why} The precision {dtype} was asked for.")
    if chosen.type == "cpu" and config is not None and config.encoder.kind in LARGE and fast_half(chosen):
        return Place(chosen, torch.bfloat16, f"{why} It has instructions for bfloat16, which large encoders gain by.")
    half = chosen.type == "cuda" and fast_half(chosen)
    return Place(chosen, torch.bfloat16 if half else torch.float32, why)


def use_cores() -> None:
    """The same number of threads everywhere, so that scripts and viewers get the same bits; one core stays free.

    `BOLTZFORMER_THREADS` asks for another number.
    """
    wanted = os.environ.get("BOLTZFORMER_THREADS", "").strip()
    if wanted and not (re.fullmatch(r"[0-9]{1,4}", wanted) and 1 <= int(wanted) <= 1024):
        raise BoltzFormerError(f"BOLTZFORMER_THREADS is '{wanted}': give a whole number from 1, or leave it unset.")
    torch.set_num_threads(int(wanted) if wanted else max(1, (os.cpu_count() or 2) - 1))


def core_to_spare(taken: Need) -> bool:
    """Whether the next slice may be encoded beside the one in hand, where a run takes so much memory: nobody chose a
    number of threads, as many cores are idle as one slice takes, and there is room for the work of one slice more."""
    chosen = any(os.environ.get(name, "").strip() for name in ("BOLTZFORMER_THREADS", "OMP_NUM_THREADS"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = free_memory()
    room = free is None or 2 * taken.work + taken.cache + taken.answers <= free
    return not chosen and 2 * torch.get_num_threads() <= cores and room


def repeatable() -> None:
    """The same bits in every run, where torch can. Memory that is about to be written need not be cleared for it."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _device(name: str) -> tuple[torch.device, str]:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        if cuda:
            return torch.device("cuda"), f"PyTorch sees a CUDA GPU: {torch.cuda.get_device_name()}."
        if mps:
            return torch.device("mps"), "PyTorch sees the GPU of this Mac (MPS)."
        return torch.device("cpu"), "PyTorch sees neither a CUDA GPU nor MPS, so the CPU does the work."
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and re.fullmatch(r"[0-9]{1,4}", number))):
        raise BoltzFormerError(f"There is no device '{name}': choose auto, cpu, cuda, cuda:NUMBER or mps.")
    if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise BoltzFormerError(f"PyTorch sees no {kind.upper()} device on this computer: choose auto or cpu.")
    if number and int(number) >= torch.cuda.device_count():
        raise BoltzFormerError(f"There is no '{name}': this computer has {torch.cuda.device_count()} CUDA GPUs.")
    return torch.device(name), f"The device {name} was asked for."


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
    guessed = tokens if decoder.kind == "queries" else 0
    return 4 * (decoder.mask_channels * (fine + guessed) + decoder.hidden * tokens + pyramid)


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
    ahead: bool = False
    """Whether the next slice is encoded beside the one in hand, on a core that is left over."""

    @property
    def asks(self) -> int:
        """Slices that have to be known before one is worked on."""
        return max(self.batch, 2 if self.ahead else 1)

    def easier(self) -> tuple[Effort, Adjusted] | None:
        """The next thing to give up when the device is full; None when nothing is left."""
        device = self.place.device.type
        full = f"The memory of the device '{device}' was full"
        if self.ahead:
            return replace(self, ahead=False), Adjusted("One slice at a time instead of two", f"{full}.")
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


def gave_up(error: BaseException) -> bool:
    """Whether oneDNN could not begin: where memory was short it may not, and never again in this process. PyTorch's own
    operations can, and say themselves whether there is too little."""
    return "could not create a primitive" in str(error) and bool(torch.backends.mkldnn.enabled)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device was full; every library says so in its own way."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def _has_bfloat16(device: torch.device) -> bool:
    return device.type == "mps" or torch.cuda.is_bf16_supported(including_emulation=False)
