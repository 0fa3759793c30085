"""A volume through the engine: seconds per slice and where they go, what the cache saves, memory, flipped voxels.

Weights are random where the published ones would be large: shapes decide speed and memory. Every measurement runs in a
process of its own, so that its peak memory is its own; ratios compare runs within one process, in CPU seconds, because
machines are shared. Run: python benchmarks/volume.py [tiny|biomedparse_v2|hiera_s …]; one JSON line per measurement.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

import boltzformer
from boltzformer.engine.engine import Engine
from boltzformer.io.phantom import BRIGHT, DARK, phantom
from boltzformer.model import config as presets
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.text import ByteTokenizer
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History

PROMPTS = [f"structure number {n} in abdominal CT" for n in range(10)]
SIDE = {"tiny": 96}
PHANTOM_MODEL = Path(__file__).parents[1] / "examples" / "phantom.safetensors"


def main(names: list[str]) -> None:
    for name in names or ["tiny", "biomedparse_v2", "hiera_s"]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "random.safetensors"
            child("make", name, str(file))
            child("speed", name, str(file))
            if name != "hiera_s":
                for slices, prompts, budget in ((4, 1, 2e9), (12, 1, 2.5e8), (12, 10, 2e9), (24, 10, 2e9)):
                    child("peak", name, str(file), str(slices), str(prompts), str(int(budget)))
    child("flips")


def child(*arguments: str) -> None:
    subprocess.run([sys.executable, __file__, "--one", *arguments], check=True)


def make(name: str, file: str) -> None:
    torch.manual_seed(0)
    model = BoltzFormer(getattr(presets, name)(), ByteTokenizer())
    checkpoint.save(file, model, History(name, data="nothing: random weights"))


def engine_of(file: str) -> Engine:
    """As `boltzformer.load`, but published shapes get a tokenizer that needs no table: the ids do not matter here."""
    engine = boltzformer.load(file, device="cpu")
    engine.model.text.tokenizer = ByteTokenizer()
    return engine


def volume_of(name: str, slices: int) -> boltzformer.Volume:
    side = SIDE.get(name, 512)
    array = np.random.default_rng(0).integers(-1000, 1000, (slices, side, side)).astype(np.int16)
    return boltzformer.Volume(array, boltzformer.Grid.from_lps(array.shape, np.diag([0.8, 0.8, 2.5, 1.0])), "CT")


def speed(name: str, file: str) -> None:
    engine, volume, spent = engine_of(file), volume_of(name, 4), defaultdict(float)
    started: dict[str, float] = {}
    parts = {
        "encoder": engine.model.backbone,
        "pixel decoder": engine.model.sem_seg_head["pixel_decoder"],
        "decoder": engine.model.decoder,
    }
    for part, module in parts.items():
        module.register_forward_pre_hook(lambda *_, part=part: started.__setitem__(part, time.process_time()))
        module.register_forward_hook(
            lambda *_, part=part: spent.__setitem__(part, spent[part] + time.process_time() - started[part])
        )

    def seconds(prompts: list[str], slices: list[int], *, fresh: bool) -> float:
        if fresh:
            engine.features.clear()
        begun = time.process_time()
        boltzformer.segment(volume, prompts, model=engine, slices=slices)
        return time.process_time() - begun

    seconds(PROMPTS[:1], [0], fresh=True)  # the first call is never typical
    spent.clear()
    wall = time.perf_counter()
    full = seconds(PROMPTS[:1], [0, 1, 2, 3], fresh=True)
    wall = time.perf_counter() - wall
    shares = {part: round(spent[part] / full, 3) for part in parts}
    further = seconds(PROMPTS[1:2], [0, 1, 2, 3], fresh=False)
    eight = seconds(PROMPTS[:8], [1], fresh=True)
    one_by_one = [seconds([prompt], [1], fresh=True) for prompt in PROMPTS[:2]]
    say(
        measured="speed",
        model=name,
        threads=torch.get_num_threads(),
        load=round(os.getloadavg()[0], 1),
        cpu_s_per_slice=round(full / 4, 3),
        wall_s_per_slice=round(wall / 4, 3),
        shares=shares,
        further_prompt_cpu_s_per_slice=round(further / 4, 3),
        full_pass_over_further_prompt=round(full / further, 1),
        eight_runs_over_eight_prompts=round(8 * sum(one_by_one) / len(one_by_one) / eight, 2),
    )


def peak(name: str, file: str, slices: str, prompts: str, budget: str) -> None:
    engine, volume = engine_of(file), volume_of(name, int(slices))
    prediction = boltzformer.segment(volume, PROMPTS[: int(prompts)], model=engine, cache_bytes=int(budget))
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    needed = engine.need(volume, int(prompts), int(budget))
    say(
        measured="peak",
        model=name,
        slices=int(slices),
        prompts=int(prompts),
        cache_budget_mb=int(budget) // 10**6,
        cache_used_mb=engine.features.used // 10**6,
        weights_mb=needed.weights // 10**6,
        peak_mb=highest // 10**6,
        formula_mb=needed.peak // 10**6,
        answer_bytes_per_prompt_and_slice=sum(len(vars(one)["logits"].planes[0]) for one in prediction.slices)
        // int(slices),
    )


def flips() -> None:
    """Share of voxels that another precision or device decides otherwise, on a phantom with the model of phantoms."""
    made = phantom(4242)
    truth = boltzformer.segment(
        made.volume, [BRIGHT, DARK], model=boltzformer.load(PHANTOM_MODEL, device="cpu")
    ).labels()
    gpu = [("cuda", "float32"), ("cuda", "bfloat16")] if torch.cuda.is_available() else []
    for device, dtype in [("cpu", "bfloat16"), *gpu]:
        engine = boltzformer.load(PHANTOM_MODEL, device=device, dtype=dtype)
        other = boltzformer.segment(made.volume, [BRIGHT, DARK], model=engine).labels()
        changed = int((truth.layers != other.layers).sum())
        inside = int((truth.layers > 0).sum())
        say(measured="flips", device=device, dtype=dtype, flipped=changed, of_mask=inside, of_all=truth.layers.size)


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        {"make": make, "speed": speed, "peak": peak, "flips": flips}[sys.argv[2]](*sys.argv[3:])
    else:
        main(sys.argv[1:])
