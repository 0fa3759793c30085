"""Where a model runs and in which precision: by what the user says or the machine has, never by timing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import torch

from boltzformer.errors import BoltzFormerError

DTYPES = {
    **dict.fromkeys(("float32", "fp32"), torch.float32),
    **dict.fromkeys(("bfloat16", "bf16"), torch.bfloat16),
    **dict.fromkeys(("float16", "fp16"), torch.float16),
}


@dataclass(frozen=True)
class Place:
    """A device, the precision of the numbers on it, and why."""

    device: torch.device
    dtype: torch.dtype
    why: str
    """A sentence for the user."""

    @property
    def exact(self) -> bool:
        """Whether the same question gets the same bits, whatever is asked beside it."""
        return self.device.type == "cpu" and self.dtype == torch.float32

    @property
    def precision(self) -> str:
        """'float32', 'bfloat16' or 'float16'."""
        return str(self.dtype).removeprefix("torch.")


def choose(device: str = "auto", dtype: str = "auto") -> Place:
    """CUDA before MPS before CPU; bfloat16 on GPUs that have it, else float32."""
    chosen, why = _device(device)
    if dtype != "auto" and dtype not in DTYPES:
        raise BoltzFormerError(f"There is no precision '{dtype}': choose auto, {', '.join(DTYPES)}.")
    if chosen.type == "cpu" and dtype in ("float16", "fp16"):
        raise BoltzFormerError("A CPU computes badly in float16: choose auto, float32 or bfloat16.")
    if dtype != "auto":
        return Place(chosen, DTYPES[dtype], f"{why} The precision {dtype} was asked for.")
    half = chosen.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return Place(chosen, torch.bfloat16 if half else torch.float32, why)


def use_cores() -> None:
    """The same number of threads everywhere, so that scripts and viewers get the same bits; one core stays free.

    `BOLTZFORMER_THREADS` asks for another number.
    """
    wanted = os.environ.get("BOLTZFORMER_THREADS", "").strip()
    if wanted and not (re.fullmatch(r"[0-9]{1,4}", wanted) and 1 <= int(wanted) <= 1024):
        raise BoltzFormerError(f"BOLTZFORMER_THREADS is '{wanted}': give a whole number from 1, or leave it unset.")
    torch.set_num_threads(int(wanted) if wanted else max(1, (os.cpu_count() or 2) - 1))


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
