"""The first pass of one whole slice: encoder, pixel decoder and one prompt, against our dense fp32 transcription.

The baseline is the same weights in fp32 with `way="dense"` in the decoder, whose work is the released model's by
counter (`benchmarks/decoder.py`). Before anything is timed, the features of each precision are held against fp32's.
Rounds alternate between all variants in one process, one thread; ratios are of medians of CPU seconds, with the load
beside. Random weights but for the shipped model: shapes decide speed. `main` prints one JSON document, a table goes to
stderr.
"""

from __future__ import annotations

import copy
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boltzformer.engine.devices import choose, fast_half
from boltzformer.model import config as presets
from boltzformer.model.boltzformer import BoltzFormer, ImageState
from boltzformer.model.decoder import Way
from boltzformer.model.pigma import pyramid
from boltzformer.model.text import ByteTokenizer
from boltzformer.weights import registry

PROMPT = "liver in abdominal CT"
MODELS = ("default", "biomedparse_v2", "hiera_s")
KNOWN = (*MODELS, "focal_l", "hiera_bp", "tiny")
FLOATS = (torch.float32, torch.bfloat16)
WORST = 0.1
"""Features that differ by more than this share of their norm are no rounding: nothing is timed then."""


def model_of(name: str) -> BoltzFormer:
    """The shipped model, or a published shape with random weights."""
    if name == "default":
        return registry.load(name)[0]
    torch.manual_seed(0)
    return BoltzFormer(getattr(presets, name)(), ByteTokenizer()).eval()


class Bench:
    """One model in both precisions, an image, a prompt and the noise."""

    def __init__(self, model: BoltzFormer) -> None:
        self.models = {torch.float32: model, torch.bfloat16: copy.deepcopy(model)}
        self.models[torch.bfloat16].round_first_pass()
        side = model.config.image_size
        self.image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 255
        self.text = model.encode_text([PROMPT])

    def seen(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """All that prompts read of the image."""
        tokens = self.models[dtype].encode_image(self.image).tokens
        return (*tokens.tokens, tokens.semantic)

    def error(self, dtype: torch.dtype) -> float:
        """Of the worst of these maps: the norm of its difference to fp32, as a share of its norm."""
        pairs = zip(self.seen(dtype), self.seen(torch.float32), strict=True)
        return max(float((made.float() - wanted).norm() / wanted.norm()) for made, wanted in pairs)

    def run(self, dtype: torch.dtype, dense: bool) -> list[float]:
        """CPU seconds at the start and after encoder, pixel decoder and decoder."""
        model, times = self.models[dtype], [time.process_time()]
        maps = model.encoder_maps(self.image)
        times.append(time.process_time())
        if dense:  # token maps at full width, nothing prepared for the fast ways
            features = model.sem_seg_head["pixel_decoder"](maps)
            times.append(time.process_time())
            normal, size = (self.image - model.pixel_mean) / model.pixel_std, features.mask.shape[-2:]
            sizes = None if model.config.pigma is None else pyramid(normal, size)  # up-scaling is the same in all
            image = ImageState(model.decoder.prepare(features.maps, features.mask, dense=True), sizes)
        else:
            image = model.decode_pixels(maps, self.image)
            times.append(time.process_time())
        way: Way | None = "dense" if dense else None
        generator = torch.Generator().manual_seed(1)
        noise = lambda layer: torch.rand(model.decoder.noise_shape(image.tokens, 1, layer), generator=generator)  # noqa: E731
        model.decode(image, self.text, noise, way=way)
        times.append(time.process_time())
        return times


def measure(name: str, model: BoltzFormer, rounds: int) -> Iterator[dict[str, Any]]:
    """A row per precision."""
    bench, default = Bench(model), choose("cpu", config=model.config).dtype
    errors = {dtype: bench.error(dtype) for dtype in FLOATS}
    for dtype, error in errors.items():
        if not error < WORST:
            raise SystemExit(f"{name}: the features in {dtype} differ from those in float32 by {error:.1e}.")
    variants = [(torch.float32, True), *((dtype, False) for dtype in FLOATS)]
    load, times = os.getloadavg()[0], {variant: list[list[float]]() for variant in variants}
    for number in range(rounds + 1):
        for variant in variants:
            found = bench.run(*variant)
            if number:  # the first round warms up
                times[variant].append([b - a for a, b in pairwise(found)])
    load = max(load, os.getloadavg()[0])
    parts = {one: [statistics.median(part) for part in zip(*found, strict=True)] for one, found in times.items()}
    whole = {one: statistics.median(map(sum, found)) for one, found in times.items()}
    spread = {one: max(map(sum, found)) / min(map(sum, found)) for one, found in times.items()}
    dense = variants[0]
    for dtype, _ in variants[1:]:
        ours = (dtype, False)
        yield {
            "model": name,
            "side": model.config.image_size,
            "precision": str(dtype).removeprefix("torch."),
            "default": dtype == default,
            "ratio_cpu": round(whole[dense] / whole[ours], 2),
            "cpu_s": round(whole[ours], 3),
            "dense_cpu_s": round(whole[dense], 3),
            "parts_s": _named(parts[ours]),
            "dense_parts_s": _named(parts[dense]),
            "feature_error": round(errors[dtype], 5),
            "threads": torch.get_num_threads(),
            "rounds": rounds,
            "load": round(load, 2),
            "noisy": load > (os.cpu_count() or 1) or max(spread[dense], spread[ours]) > 1.25,
        }


def _named(parts: list[float]) -> dict[str, float]:
    """What stays of a slice for later prompts is prepared in "pixel decoder", or in "decoder" where that is dense."""
    return dict(zip(("encoder", "pixel decoder", "decoder"), (round(part, 3) for part in parts), strict=True))


def processor() -> str:
    """What the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def main(names: list[str] | None = None, as_json: bool = False, rounds: int = 3) -> int:
    """Measures these models (all: none given) and prints one JSON document."""
    threads, rows = torch.get_num_threads(), list[dict[str, Any]]()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for name in names or MODELS:
                for row in measure(name, model_of(name), rounds):
                    rows.append(row)
                    print(_line(row), file=sys.stderr, flush=True)
                gc.collect()
    finally:
        torch.set_num_threads(threads)
    document = {
        "rows": rows,
        "baseline": "our dense transcription of the released decoder and the same first pass, float32",
        "cpu": processor(),
        "fast_bfloat16": fast_half(torch.device("cpu")),
        "torch": torch.__version__,
        "cpus": os.cpu_count(),
    }
    print(json.dumps(document, indent=None if as_json else 2))
    return 0


def _line(row: dict[str, Any]) -> str:
    parts = " + ".join(f"{value}" for value in row["parts_s"].values())
    return (
        f"{row['model']:<15}{row['side']}² {row['precision']:<9}{row['ratio_cpu']:>6}× cpu  {row['cpu_s']:>7} s "
        f"({parts}) of {row['dense_cpu_s']}  load {row['load']}{'  noisy' if row['noisy'] else ''}"
    )


if __name__ == "__main__":
    given = [name for name in sys.argv[1:] if name != "--json"]
    sys.exit(main(given or None, as_json="--json" in sys.argv))
