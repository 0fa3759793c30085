"""Fine-tuning's speed and memory: samples per second of every mode, the share of data loading, two processes against
one, and predicted against measured memory.

    python benchmarks/training.py [--model default] [--steps 4] [--threads 2] [--together]
    python benchmarks/training.py --memory default:full default:decoder biomedparse_v2:decoder

`biomedparse_v2` is that architecture with random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boltzformer.engine.devices import fast_half
from boltzformer.learn.corpus import token_table
from boltzformer.learn.finetune.features import Features
from boltzformer.learn.finetune.need import predict
from boltzformer.learn.finetune.options import MODES, Mode, Options, keeps_features, prepare
from boltzformer.learn.finetune.sampling import Pool, batch_of, mini
from boltzformer.learn.finetune.student import Student
from boltzformer.learn.recipe import Recipe
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import biomedparse_v2
from boltzformer.model.text import TableTokenizer
from boltzformer.weights import checkpoint, registry
from boltzformer.weights.checkpoint import Checkpoint, History

CPU = torch.device("cpu")


def model_of(name: str) -> tuple[BoltzFormer, Checkpoint]:
    if name != "biomedparse_v2":
        return registry.load(name)
    torch.manual_seed(0)
    config = biomedparse_v2()
    table = token_table({text for p in mini() for texts in p.prompts.values() for text in texts}, 1024)
    model = BoltzFormer(config, TableTokenizer(table))
    parameters = sum(p.numel() for p in model.parameters())
    return model, Checkpoint(Path(name), config, History(name), table, parameters)


def recipe_of(about: Checkpoint, mode: Mode, *, cache: bool, batch: int) -> Recipe:
    made = Options(Path("none"), batch=batch, cache=cache).recipe(about.config, mode, 100)
    return replace(made, final=replace(made.final, share=0.0), replay=0.0)


def speed(name: str, mode: Mode, *, cache: bool, steps: int, batch: int) -> dict[str, Any]:
    model, about = model_of(name)
    recipe = recipe_of(about, mode, cache=cache, batch=batch)
    prepare(model, mode)
    student, pool, features = Student(model, recipe), Pool(mini()[:8], (), ()), None
    with tempfile.TemporaryDirectory() as folder:
        if keeps_features(mode) and cache:
            features = Features(Path(folder), pool.pictures, 8, recipe.side, recipe.augmentation, 0)
            features.keep(model, student.half)
        loading, learning = 0.0, 0.0
        for step in range(steps + 1):
            at = time.perf_counter()
            seen = batch_of(pool, recipe, step, features=features)
            between = time.perf_counter()
            student.learn(seen)
            if step:  # the first is slower than all that follow
                loading, learning = loading + between - at, learning + time.perf_counter() - between
    whole = loading + learning
    return {
        "model": about.history.name or name,
        "mode": mode,
        "cache": features is not None,
        "side": recipe.side,
        "samples_per_second": round(batch * steps / whole, 3),
        "loading_share": round(loading / whole, 3),
        "threads": torch.get_num_threads(),
    }


def memory(name: str, mode: Mode) -> dict[str, Any]:
    """Of two steps at batch 1 (the optimizer's moments are born at the end of the first), beside what importing costs.

    In a process of its own.
    """
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    model, about = model_of(name)
    recipe = replace(recipe_of(about, mode, cache=False, batch=1), side=about.config.image_size)
    found = predict(about, recipe, mode, micro=0, speed=1e12, rank=8, half=fast_half(CPU))
    prepare(model, mode)
    student, pool = Student(model, recipe), Pool(mini()[:4], (), ())
    for step in range(2):
        student.learn(batch_of(pool, recipe, step))
    measured = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - imported
    return {
        "model": name,
        "mode": mode,
        "predicted_mb": round(found.memory / 1e6),
        "measured_mb": round(measured / 1e6),
        "ratio": round(found.memory / measured, 3),
    }


def together(model: str, steps: int, threads: int) -> dict[str, Any]:
    """The whole command in two processes under torchrun against one of as many threads: the same batch for all."""
    data = Path(checkpoint.__file__).parent / "assets" / "mini" / "manifest.jsonl"
    rows = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    chosen = [row for row in rows if row["target"] in ("cell nucleus", "fetal head", "lung nodule", "brain tumor")]
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    half = max(1, threads // 2)
    cases = {"one": ([sys.executable], half), "one, all": ([sys.executable], threads), "two": (launched, half)}
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "manifest.jsonl"
        lines = [json.dumps({**row, **{k: str(data.parent / row[k]) for k in ("image", "mask")}}) for row in chosen]
        manifest.write_text("\n".join(lines) + "\n", "utf-8")
        for name, (start, each) in cases.items():
            run = Path(folder) / name
            own = ["finetune", str(manifest), "--model", model, "--output", str(run), "--steps", str(steps)]
            more = ["--mode", "full", "--threads", str(each), "--device", "cpu", "--json"]
            environment = {**os.environ, "OMP_NUM_THREADS": str(each)}
            subprocess.run([*start, "-m", "boltzformer", *own, *more], check=True, capture_output=True, env=environment)
            told = [json.loads(line)["seconds"] for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
            seconds[name] = float(np.median(told))
    return {
        f"seconds per step, one process of {half}": round(seconds["one"], 3),
        f"seconds per step, one process of {threads}": round(seconds["one, all"], 3),
        f"seconds per step, two processes of {half}": round(seconds["two"], 3),
        "efficiency": round(seconds["one"] / (2 * seconds["two"]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=MODES)
    parser.add_argument("--memory", nargs="*", default=[])
    parser.add_argument("--one", help="internal: MODEL:MODE in this process")
    parser.add_argument("--together", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        name, _, mode = options.one.rpartition(":")
        print(json.dumps(memory(name, mode)))
        return
    for one in options.memory:
        command = [sys.executable, __file__, "--one", one, "--threads", str(options.threads)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)
    if options.memory:
        return
    if options.together:
        print(json.dumps(together(options.model, options.steps, options.threads)))
        return
    for mode in [options.only] if options.only else MODES:
        for cache in (True, False) if keeps_features(mode) else (False,):
            row = speed(options.model, mode, cache=cache, steps=options.steps, batch=options.batch)
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
