"""A whole CT with ten prompts, from the command to the files, on all cores: wall and CPU seconds.

The baseline is the same command with one prompt: what nine prompts more cost. Voxels are drawn at random: what is in a
slice does not change what asking about it takes.

Run: python benchmarks/whole_ct.py [--slices 300] [--precision NAME …]; one JSON line each, the load beside.
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
from pathlib import Path

import numpy as np

from boltzformer import Grid, Volume, io

ORGANS = [
    "spleen",
    "right-kidney",
    "left-kidney",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior-vena-cava",
    "pancreas",
]
SIDE = 512


def main() -> None:
    asks = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asks.add_argument("--slices", type=int, default=300)
    asks.add_argument("--model", default="default")
    asks.add_argument("--precision", nargs="*", default=["float32", "bfloat16"])
    given = asks.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "ct.nii.gz"
        rng, shape = np.random.default_rng(0), (given.slices, SIDE, SIDE)
        blocks = rng.integers(-200, 300, (given.slices, SIDE // 16, SIDE // 16), np.int16)
        grid = Grid.pixels(shape)
        io.write_volume(Volume(blocks.repeat(16, 1).repeat(16, 2), grid), scan)
        for precision in given.precision:
            one = None
            for prompts in (1, len(ORGANS)):
                row = asked(scan, given.model, precision, prompts, Path(folder) / f"{precision}-{prompts}")
                row["slices"], row["s_per_slice"] = given.slices, round(row["wall_s"] / given.slices, 4)
                one = one or row
                row["ratio_to_one_prompt"] = round(row["wall_s"] / one["wall_s"], 3)
                print(json.dumps(row), flush=True)


def asked(scan: Path, model: str, precision: str, prompts: int, output: Path) -> dict[str, float | int | str]:
    """The command as a user gives it."""
    command = [sys.executable, "-m", "boltzformer", "segment", str(scan), "-o", str(output), "--device", "cpu"]
    command += ["--model", model, "--precision", precision]
    for organ in ORGANS[:prompts]:
        command += ["-p", f"{organ.replace('-', ' ')} in CT"]
    load, before, began = os.getloadavg()[0], cpu(), time.perf_counter()
    subprocess.run([*command, "--json"], check=True, stdout=subprocess.DEVNULL)
    return {
        "model": model,
        "precision": precision,
        "prompts": prompts,
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(cpu() - before, 1),
        "cores": os.cpu_count() or 1,
        "load": round(load, 1),
    }


def cpu() -> float:
    """Seconds of all commands that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    main()
