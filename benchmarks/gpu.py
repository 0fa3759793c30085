"""All that a machine with a GPU should tell in one visit of at most eight minutes; each part as one JSON line.

    python benchmarks/gpu.py [--device cuda] [--minutes 8] [--output gpu.json]
    python benchmarks/gpu.py --device cpu --rehearse    # the same script at tiny sizes, as CI runs it

parity     recorded tensors of the reference, computed on the device (with ../shared beside the checkout: all of them)
flips      voxels that the device decides otherwise than the CPU in float32, and the Dice of both masks
slice      encoder, pixel decoder, decoder with 1 and 8 prompts, in milliseconds (events of the device, median of 20),
           and slices per second, against our dense transcription in the same run and the same precision
training   samples per second of each mode, and the memory that was predicted and taken
memory     of a volume through the engine, predicted and taken

Published shapes have random weights: shapes decide speed. What fails is told and stops nothing; what there is no time
left for is told as well.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

import boltzformer
from boltzformer.engine.devices import fast_half
from boltzformer.engine.engine import Engine
from boltzformer.io.phantom import BRIGHT, DARK, phantom
from boltzformer.learn.finetune.need import predict
from boltzformer.learn.finetune.options import MODES, Options, prepare
from boltzformer.learn.finetune.sampling import Pool, batch_of, mini
from boltzformer.learn.finetune.student import Student
from boltzformer.model import config as presets
from boltzformer.model.boltzformer import BoltzFormer, ImageState
from boltzformer.model.pigma import pyramid
from boltzformer.model.text import ByteTokenizer
from boltzformer.weights import registry
from boltzformer.weights.parity import replay, summarize

ROOT = Path(__file__).parents[1]
PHANTOM_MODEL = ROOT / "examples" / "phantom.safetensors"
GOLDENS = (ROOT / "tests" / "goldens", ROOT.parent / "shared" / "parity" / "goldens")
LARGE = ("biomedparse_v2", "hiera_s", "focal_l")
PROMPTS = [f"structure number {n} in abdominal CT" for n in range(8)]
Facts = dict[str, Any]


class Device:
    """Where it runs, and how time and memory are read there."""

    def __init__(self, name: str, rounds: int) -> None:
        self.here, self.rounds = torch.device(name), rounds
        self.cuda = self.here.type == "cuda"
        half = fast_half(self.here) or not self.cuda
        self.floats = (torch.float32, torch.bfloat16) if half else (torch.float32,)

    def milliseconds(self, work: Callable[[], object]) -> float:
        """Median of so many rounds, after two that warm up."""
        times = []
        for number in range(self.rounds + 2):
            if self.cuda:
                began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                began.record()
                work()
                ended.record()
                torch.cuda.synchronize()
                spent = began.elapsed_time(ended)
            else:
                at = time.perf_counter()
                work()
                spent = 1000 * (time.perf_counter() - at)
            if number > 1:
                times.append(spent)
        return statistics.median(times)

    def fresh(self) -> None:
        """Nothing of what was before counts."""
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int | None:
        """Bytes taken at once since `fresh`; None where the device does not tell."""
        return torch.cuda.max_memory_allocated() if self.cuda else None


def machine(device: Device) -> Facts:
    """What it is called."""
    gpu = torch.cuda.get_device_properties(0) if device.cuda else None
    about = {"gpu": gpu.name, "gpu_gb": round(gpu.total_memory / 1e9, 1), "cuda": torch.version.cuda} if gpu else {}
    return {"device": str(device.here), **about, "torch": torch.__version__, "python": platform.python_version()}


# --- parity and flips -------------------------------------------------------------------------------------------------


def parity(device: Device, folder: Path, most: int | None = None) -> Facts:
    """Of all files or so many, without reduced precision inside of products, which cuDNN takes by itself."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        by_file = groupby(replay(folder, str(device.here)), lambda row: row.file)
        rows = [row for _, some in islice(by_file, most) for row in some]
    finally:
        torch.backends.cudnn.allow_tf32 = before
    missed = [
        f"{row.file} {row.tensor} {row.way}: {row.error} > {row.tolerance} {row.note}" for row in rows if not row.passed
    ]
    return {"folder": folder.parent.name, "said": str(summarize(rows)), "missed": missed[:20], "misses": len(missed)}


def flips(device: Device, model: str | Path, shape: tuple[int, int, int]) -> Iterator[Facts]:
    """On a phantom, which the phantom model knows; of another model's masks what there is of them."""
    made, prompts = phantom(4242, shape).volume, [BRIGHT, DARK]
    exact = boltzformer.segment(made, prompts, model=boltzformer.load(model, device="cpu", dtype="float32")).labels()
    for dtype in device.floats:
        name = str(dtype).removeprefix("torch.")
        engine = boltzformer.load(model, device=str(device.here), dtype=name)
        other = boltzformer.segment(made, prompts, model=engine).labels()
        a, b = exact.layers > 0, other.layers > 0
        dice = 2 * int((a & b).sum()) / max(1, int(a.sum() + b.sum()))
        found = {"flipped": int((a != b).sum()), "of_mask": int(a.sum()), "of_all": a.size, "dice": round(dice, 5)}
        yield {"model": Path(str(model)).stem, "precision": name, **found}


# --- one slice --------------------------------------------------------------------------------------------------------


def model_of(name: str) -> BoltzFormer:
    """The shipped one, or a shape with random weights."""
    if name == "default":
        return registry.load(name)[0]
    torch.manual_seed(0)
    return BoltzFormer(getattr(presets, name)(), ByteTokenizer()).eval()


def placed(model: BoltzFormer, device: Device, dtype: torch.dtype) -> BoltzFormer:
    """As the engine does it: wholly on a GPU, on a CPU what all prompts share."""
    model.to(device.here, dtype if device.cuda else torch.float32)
    if dtype == torch.bfloat16 and not device.cuda:
        model.round_first_pass()
    return model


@torch.inference_mode()
def one_slice(name: str, device: Device, dtype: torch.dtype, batches: tuple[int, ...]) -> Iterator[Facts]:
    """Ours and the dense transcription, in the same precision; then several slices at once."""
    model = placed(model_of(name), device, dtype)
    side, draws = model.config.image_size, device.here
    own = next(model.decoder.parameters()).dtype
    texts = {count: model.encode_text(PROMPTS[:count]) for count in (1, 8)}

    def images(count: int) -> torch.Tensor:
        return (torch.rand(count, 3, side, side, device=draws) * 255).to(own)

    def noise_of(state: ImageState, prompts: int) -> Callable[[int], torch.Tensor]:
        return lambda layer: torch.rand(model.decoder.noise_shape(state.tokens, prompts, layer), device=draws)

    def dense_state(maps: tuple[torch.Tensor, ...], seen: torch.Tensor) -> ImageState:
        with model._roughly():
            features = model.sem_seg_head["pixel_decoder"](maps)
        exact = tuple(grid.to(own) for grid in features.maps)
        normal = (seen - model.pixel_mean) / model.pixel_std
        sizes = None if model.config.pigma is None else pyramid(normal, features.mask.shape[-2:])
        return ImageState(model.decoder.prepare(exact, features.mask.to(own), dense=True), sizes)

    seen = images(1)
    maps = model.encoder_maps(seen)
    ours, dense = model.decode_pixels(maps, seen), dense_state(maps, seen)
    found: Facts = {
        "model": name,
        "side": side,
        "precision": str(dtype).removeprefix("torch."),
        "encoder_ms": device.milliseconds(lambda: model.encoder_maps(seen)),
        "pixel_decoder_ms": device.milliseconds(lambda: model.decode_pixels(maps, seen)),
    }
    for count, text in texts.items():
        found[f"decoder_{count}_ms"] = device.milliseconds(
            lambda text=text, count=count: model.decode(ours, text, noise_of(ours, count))
        )
        found[f"dense_decoder_{count}_ms"] = device.milliseconds(
            lambda text=text, count=count: model.decode(dense, text, noise_of(dense, count), way="dense")
        )
    found["dense_pixel_decoder_ms"] = device.milliseconds(lambda: dense_state(maps, seen))
    for count in (1, 8):
        whole = found["encoder_ms"] + found["pixel_decoder_ms"] + found[f"decoder_{count}_ms"]
        theirs = found["encoder_ms"] + found["dense_pixel_decoder_ms"] + found[f"dense_decoder_{count}_ms"]
        found[f"ratio_{count}"] = theirs / whole
    yield {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()}
    for batch in batches:
        device.fresh()
        several = images(batch)

        def whole(several: torch.Tensor = several) -> None:
            state = model.encode_image(several)
            model.decode(state, texts[1], noise_of(state, 1))

        spent = device.milliseconds(whole)
        peak = device.peak()
        yield {
            **{key: found[key] for key in ("model", "side", "precision")},
            **{"batch": batch, "slices_per_second": round(1000 * batch / spent, 2)},
            "peak_mb": None if peak is None else peak // 10**6,
        }


# --- training and memory ----------------------------------------------------------------------------------------------


def training(name: str, mode: str, device: Device, batch: int, steps: int) -> Facts:
    """Without what is kept of the encoder, so that all of the model works in every step."""
    if name == "default":
        model, about = registry.load(name)
    else:
        model, about = registry.load(PHANTOM_MODEL)
    recipe = Options(Path("none"), batch=batch, cache=False).recipe(about.config, mode, 100)
    recipe = replace(recipe, final=replace(recipe.final, share=0.0), replay=0.0)
    told = predict(about, recipe, mode, micro=0, speed=1e12, rank=8, half=fast_half(device.here))
    device.fresh()
    prepare(model, mode)
    student, pool, spent = Student(model.to(device.here), recipe), Pool(mini()[:8], (), ()), 0.0
    for step in range(steps + 1):
        taught = batch_of(pool, recipe, step)
        at = time.perf_counter()
        student.learn(taught)
        if device.cuda:
            torch.cuda.synchronize()
        spent += (time.perf_counter() - at) if step else 0.0
    peak = device.peak()
    return {
        **{"model": name, "mode": mode, "side": recipe.side, "batch": batch},
        "samples_per_second": round(batch * steps / spent, 2),
        "predicted_mb": told.memory // 10**6,
        "measured_mb": None if peak is None else peak // 10**6,
    }


def memory(name: str, device: Device, slices: int) -> Facts:
    """Of a CT with one prompt; the program itself, which the formula counts, lies in the computer's memory."""
    model = model_of(name)
    side, parameters = model.config.image_size, sum(one.numel() for one in model.parameters())
    about = replace(registry.load(PHANTOM_MODEL)[1], config=model.config, parameters=parameters)
    device.fresh()
    engine = Engine(model, about, boltzformer.engine.devices.choose(str(device.here)))
    array = np.random.default_rng(0).integers(-1000, 1000, (slices, side, side)).astype(np.int16)
    volume = boltzformer.Volume(array, boltzformer.Grid.from_lps(array.shape, np.diag([0.8, 0.8, 2.5, 1.0])), "CT")
    engine.model.text.tokenizer = ByteTokenizer()
    began = time.perf_counter()
    boltzformer.segment(volume, PROMPTS[:1], model=engine)
    seconds, need, peak = time.perf_counter() - began, engine.need(volume), device.peak()
    return {
        **{"model": name, "slices": slices, "slices_per_second": round(slices / seconds, 2)},
        "predicted_mb": (need.weights + need.work + need.cache) // 10**6,
        "measured_mb": None if peak is None else peak // 10**6,
    }


# --- all of it --------------------------------------------------------------------------------------------------------


def parts(device: Device, rehearse: bool) -> Iterator[tuple[str, Callable[[], Facts | Iterator[Facts]]]]:
    """What matters most comes first, in case time runs out."""
    large, batches = (("tiny",), (1, 2)) if rehearse else (("default", *LARGE), (1, 4, 8))
    shape = (6, 40, 40) if rehearse else (64, 96, 96)
    for folder in GOLDENS[:1] if rehearse else GOLDENS:
        if folder.is_dir():
            yield "parity", lambda folder=folder: parity(device, folder, 2 if rehearse else None)
    for model in (PHANTOM_MODEL,) if rehearse else (PHANTOM_MODEL, "default"):
        yield "flips", lambda model=model: flips(device, model, shape)
    for name in large:
        for dtype in reversed(device.floats):
            yield "slice", lambda name=name, dtype=dtype: one_slice(name, device, dtype, batches)
    for name in large[:1]:
        yield "memory", lambda name=name: memory(name, device, 2 if rehearse else 64)
    for mode in MODES[-1:] if rehearse else MODES:
        yield (
            "training",
            lambda mode=mode: training(large[0], mode, device, 2 if rehearse else 8, 1 if rehearse else 10),
        )
    for name in large[1:]:
        yield "memory", lambda name=name: memory(name, device, 16)


def main(given: list[str] | None = None) -> int:
    """The number of parts that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--output", type=Path)
    told = parser.parse_args(given)
    if told.device.startswith("cuda") and not torch.cuda.is_available():
        print("There is no CUDA GPU here: rehearse with --device cpu --rehearse.", file=sys.stderr)
        return 2
    device, rows, failed = Device(told.device, 2 if told.rehearse else 20), list[Facts](), 0
    end = time.monotonic() + 60 * told.minutes

    def say(part: str, facts: Facts) -> None:
        rows.append({"part": part, **facts, "load": round(os.getloadavg()[0], 1)})
        print(json.dumps(rows[-1]), flush=True)
        if told.output is not None:  # at once: what was measured stays, however the visit ends
            told.output.write_text(json.dumps(rows, indent=1), encoding="utf-8")

    say("machine", machine(device))
    for part, work in parts(device, told.rehearse):
        if time.monotonic() > end:
            say(part, {"left_out": "no time was left"})
            continue
        try:
            found = work()
            for facts in [found] if isinstance(found, dict) else found:
                say(part, facts)
        except Exception as error:
            failed += 1
            say(part, {"failed": f"{type(error).__name__}: {str(error)[:300]}"})
        device.fresh()
    return failed


if __name__ == "__main__":
    sys.exit(main())
