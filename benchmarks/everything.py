"""`make bench`: the benchmarks that need no data, one after the other; every figure a ratio in one run against a named
baseline, the load beside it. Where the work is known by counter, the floor too: the seconds that this machine's own
matrix products would take for the same FLOPs, measured in the same minute, and the share of that speed which is
reached.

    python benchmarks/everything.py [--quick] [--only NAME …] [--output dist/bench]

Writes bench.json, bench.svg and bench.png, and prints a table for RESULTS.md. A script that fails is told and stops no
other.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from plots import Bar, draw
from torch.utils.flop_counter import FlopCounterMode

from boltzformer.model import config as presets
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.weights import registry

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Figure:
    """One ratio."""

    subject: str
    what: str
    baseline: str
    ratio: float
    """Above 1: we take less."""
    load: float
    floor_s: float | None = None
    """What the same FLOPs would take as plain matrix products."""
    share: float | None = None
    """Of the floor's speed."""


@dataclass(frozen=True)
class Script:
    """A benchmark, how it is run, and where its ratios are."""

    name: str
    arguments: tuple[str, ...]
    quick: tuple[str, ...]
    figures: Callable[[str], Iterator[Figure]]


def decoder(said: str) -> Iterator[Figure]:
    """By law and prompt, at each size."""
    for row in json.loads(said)["rows"]:
        prompt = ("further" if row["cached"] else "first") + (", mean mask" if row["mean"] else "")
        what = f"m = {row['m']}, {row['side']}², {row['law'].replace('_', ' ')}, {prompt} prompt"
        yield Figure("decoder", what, "dense transcription, fp32", row["ratio_cpu"], row["load"])


def whole_slice(said: str) -> Iterator[Figure]:
    """With the floor of its encoder and pixel decoder, which are nearly all of it."""
    speed = {name: best_speed(getattr(torch, name)) for name in ("float32", "bfloat16")}
    for row in json.loads(said)["rows"]:
        floor = flops_of(row["model"]) / speed[row["precision"]]
        what = f"{row['model']}, {row['side']}², {row['precision']}"
        share = round(floor / (row["parts_s"]["encoder"] + row["parts_s"]["pixel decoder"]), 3)
        yield Figure(
            "first pass", what, "dense transcription, fp32", row["ratio_cpu"], row["load"], round(floor, 4), share
        )


def volume(said: str) -> Iterator[Figure]:
    """What the cache saves."""
    for row in map(json.loads, said.splitlines()):
        if row["measured"] == "speed":
            for key, what, baseline in (
                ("full_pass_over_further_prompt", "a further prompt on kept slices", "a full pass"),
                ("eight_runs_over_eight_prompts", "eight prompts in one run", "eight runs"),
            ):
                yield Figure("volume", f"{row['model']}: {what}", baseline, row[key], row["load"])


def images(said: str) -> Iterator[Figure]:
    """Lines of words."""
    for what, ratio in re.findall(r"^(.+?)\s+[\d.]+ MB/s .*ratio ([\d.]+)$", said, re.M):
        yield Figure("images", what.strip(), "SimpleITK", float(ratio), round(os.getloadavg()[0], 1))


def archive(said: str) -> Iterator[Figure]:
    """What Ray costs."""
    told = json.loads(said)
    for key, what in (
        ("cpu_ratio", "CPU seconds, with starting"),
        ("pace_ratio", "wall seconds a volume, once at work"),
    ):
        ratio = round(1 / told[key], 3)
        yield Figure("archive on Ray", f"{told['volumes']} volumes, {what}", told["baseline"], ratio, max(told["load"]))


SCRIPTS = (
    Script("decoder", (), (), decoder),
    Script("slice", (), ("default",), whole_slice),
    Script("volume", (), ("tiny",), volume),
    Script("io", (), (), images),
    Script("archive", ("200",), ("12",), archive),
)
QUICK = ("slice", "volume", "archive")
"""Those that take a few minutes at most."""


def best_speed(dtype: torch.dtype, side: int = 1024) -> float:
    """FLOPs a second of one thread, the best of several products in each library: the floor is what nobody beats."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        a, b = (torch.rand(side, side, dtype=dtype) for _ in range(2))
        pixels, kernel = torch.rand(1, side, 32, 32, dtype=dtype), torch.rand(side, side, 1, 1, dtype=dtype)
        last = [one.to(memory_format=torch.channels_last) for one in (pixels, kernel)]
        ways = (lambda: a @ b, lambda: torch.nn.functional.conv2d(*last))  # MKL, and oneDNN: which wins is the CPU's
        times = []
        with torch.inference_mode():
            for way in ways * 8:
                began = time.process_time()
                way()
                times.append(time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    return 2 * side**3 / min(times)


def flops_of(name: str) -> float:
    """Of one slice with one prompt, by counter and without computing; of its decoder, what it prepares."""
    config = registry.load(name)[0].config if name == "default" else getattr(presets, name)()
    with torch.device("meta"):
        model = BoltzFormer(config).eval()
        model.to("meta")
        image = torch.zeros(1, 3, config.image_size, config.image_size)
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            model.encode_image(image)
    return float(counter.get_total_flops())


def run(script: Script, quick: bool) -> list[Figure]:
    """Its figures; whatever it says besides goes to standard error."""
    arguments = [*(script.quick if quick else script.arguments)]
    command = [sys.executable, str(HERE / f"{script.name}.py"), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=7200)
    return list(script.figures(done.stdout))


def main(given: list[str] | None = None) -> int:
    """The number of scripts that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", choices=[script.name for script in SCRIPTS])
    parser.add_argument("--output", type=Path, default=HERE.parent / "dist" / "bench")
    told = parser.parse_args(given)
    chosen = [one for one in SCRIPTS if one.name in (told.only or (QUICK if told.quick else [s.name for s in SCRIPTS]))]
    figures, failed = list[Figure](), 0
    for script in chosen:
        print(f"{script.name} …", file=sys.stderr, flush=True)
        try:
            figures += run(script, told.quick)
        except (subprocess.SubprocessError, ValueError, KeyError) as error:
            failed += 1
            print(f"{script.name} failed: {error}", file=sys.stderr)
    told.output.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "figures": [asdict(one) for one in figures],
        "torch": torch.__version__,
        "cpus": os.cpu_count(),
        "when": time.strftime("%Y-%m-%d"),
    }
    (told.output / "bench.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    if figures:
        bars = [Bar(f"{one.subject}: {one.what}", one.ratio, f"of {one.baseline}", one.share) for one in figures]
        draw(bars, told.output / "bench", "Times as quick as the baseline in the same run")
    print("| subject | what | baseline | ratio | share of the floor | load |\n|---|---|---|---|---|---|")
    for one in figures:
        share = "" if one.share is None else f"{100 * one.share:.0f} %"
        print(f"| {one.subject} | {one.what} | {one.baseline} | {one.ratio:.2f} | {share} | {one.load:.1f} |")
    return failed


if __name__ == "__main__":
    sys.exit(main())
