"""What this machine can do: its device, and what a slice costs on it, measured."""

from __future__ import annotations

import os
import platform
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch

from boltzformer.engine.engine import Engine
from boltzformer.image.geometry import Grid
from boltzformer.types import Volume


@dataclass(frozen=True)
class Cost:
    """Of one slice and one prompt."""

    seconds: float
    peak_mb: float | None
    """The whole process at its largest, weights included; None where the system does not tell."""
    weights_mb: float


def measured(engine: Engine) -> Cost:
    """Looks at three slices of noise; the first one warms up and does not count."""
    side = engine.model.config.image_size
    noise = np.random.default_rng(0).integers(0, 255, (3, side, side), dtype=np.uint8)
    volume = Volume(noise, Grid.pixels(noise.shape), name="noise")
    times: list[float] = []
    for _ in engine.segment(volume, "anything", seed=0):
        times.append(time.perf_counter())
    seconds = (times[3] - times[1]) / 2  # started, slice, slice, slice, prediction
    weights = sum(tensor.numel() * tensor.element_size() for tensor in engine.model.state_dict().values())
    return Cost(seconds, _peak_mb(), weights / 1e6)


def device_in_words(engine: Engine) -> str:
    """Which device the model runs on, and why."""
    cpu = f"{os.cpu_count()} cores ({platform.processor() or platform.machine()}), {torch.get_num_threads()} used"
    where = f"{engine.device}, {cpu}" if engine.device == "cpu" else engine.device
    return f"{where}, {engine.precision}. {engine.why}"


def _peak_mb() -> float | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # macOS counts bytes, Linux KiB
