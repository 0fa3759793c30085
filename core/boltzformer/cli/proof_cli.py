"""Commands for who doubts our numbers: `boltzformer parity` and `boltzformer bench`; what this machine can do,
measured."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from boltzformer.engine.engine import Engine
from boltzformer.errors import BoltzFormerError
from boltzformer.image.geometry import Grid
from boltzformer.speaking import say
from boltzformer.types import Volume

bench = typer.Typer(help="Measure this project's claims on this machine (in a source checkout).", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")]


def parity(
    folder: Annotated[Path, typer.Argument(help="A folder with recorded tensors (NAME.safetensors and NAME.json).")],
    as_json: AsJson = False,
) -> None:
    """Replay recorded tensors of the reference: does our model give the same numbers? Exit code 1 on any miss."""
    from boltzformer.weights.parity import replay, summarize

    rows = []
    for row in replay(folder):
        rows.append(row)
        if as_json:
            say(json.dumps(asdict(row)))
        else:
            error = "-" if row.error is None else f"{row.error:.1e}"
            verdict = "ok" if row.passed else f"MISS {row.note}"
            say(f"{row.file:36} {row.tensor:44} {row.way:6} {error:>8} (≤ {row.tolerance:.1e}) {verdict}")
    summary = summarize(rows)
    say(json.dumps(asdict(summary)) if as_json else str(summary))
    if not summary.passed:
        raise typer.Exit(1)


@bench.command()
def decoder(
    full: Annotated[bool, typer.Option("--full", help="More sizes, batches, threads and rounds.")] = False,
    as_json: AsJson = False,
) -> None:
    """The decoder's speed against a dense transcription of the released one, as ratios."""
    raise typer.Exit(_script("decoder").main(full, as_json))


@bench.command("slice")
def whole_slice(
    model: Annotated[
        list[str] | None, typer.Argument(help="default, biomedparse_v2, hiera_s or another preset; all three if none.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Of all variants in turn; medians count.")] = 3,
    as_json: AsJson = False,
) -> None:
    """The first pass of a whole slice, in each precision, against a dense transcription in float32, as ratios."""
    script = _script("slice")
    unknown = [name for name in model or () if name not in script.KNOWN]
    if unknown:
        raise BoltzFormerError(f"There is no model '{unknown[0]}' to measure: choose {', '.join(script.KNOWN)}.")
    raise typer.Exit(script.main(model, as_json, rounds))


def _script(name: str) -> Any:
    """A benchmark of the checkout, as a module."""
    script = Path(str(files("boltzformer"))).parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"boltzformer_bench_{name}", script)
    if not script.is_file() or spec is None or spec.loader is None:
        raise BoltzFormerError("Benchmarks are not installed: run this in a checkout of the source code.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


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
    return f"{where}, {engine.place.in_words}. {engine.why}"


def _peak_mb() -> float | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # macOS counts bytes, Linux KiB
