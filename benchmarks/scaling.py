"""How far an archive scales: a cost model of measured seconds and bytes, held against a simulation of the same cluster.

    python benchmarks/scaling.py --measure        # seconds and bytes of one CT's steps on this machine, then all of it
    python benchmarks/scaling.py                  # from what was measured before (benchmarks/measured/)

The model: a cluster of n models, with readers and writers beside them and one process that gives out the work, does as
many volumes a second as the slowest of these can alone. The simulation lets each volume pass through them one by one,
event by event, with the rules of `cli/cluster_archive.py` (so many images read ahead, so many answers waiting, one
message at a time) and steps drawn from the measured ones (seeded). Prices are those of `PRICES`, to be replaced by your
own. Training: what a step computes, shared by n, and what gradients take to go round; see `Training`.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).parent / "measured"
STEPS = ("reader", "model", "writer")
AHEAD, MODELS_PER_READER = 2, 4  # as in cli/cluster_archive.py
PRICES = {"core": 0.05, "GPU": 3.0}
"""Dollars an hour, stated, not measured."""
STORE = 1e9
"""Bytes a second that a file server gives to all readers and takes from all writers: stated, not measured."""
FASTER = 100
"""How much quicker a GPU would answer than a core: a guess until `benchmarks/gpu.py` has run."""
COUNTS = (1, 10, 100, 1000)
BACKWARD = 2 / 3
"""Of a sample's time, while its gradients come one by one: a guess: a backward pass costs about two forward ones."""
NETWORKS = {"200 Gbit/s": 25e9, "10 Gbit/s": 1.25e9}
"""Bytes a second out of each worker: stated, not measured."""
PAPER = {"batch": 384, "side": 1024}
"""Of `learn/recipes/paper.toml`."""
TEAMS = (2, 8, 32)


@dataclass(frozen=True)
class Work:
    """Of one volume, in seconds of whoever does it."""

    reader: float
    model: float
    writer: float
    driver: float
    """Of the one process that gives out the work."""
    bytes_in: float = 0.0
    bytes_out: float = 0.0


@dataclass(frozen=True)
class Cluster:
    """So many processes."""

    models: int
    readers: int
    writers: int

    @classmethod
    def of(cls, models: int, gpu: bool = False) -> Cluster:
        """As the command chooses them."""
        beside = models if gpu else -(-models // MODELS_PER_READER)
        return cls(models, beside, beside)


def limits(work: Work, cluster: Cluster, store: float = STORE) -> dict[str, float]:
    """Volumes a second that each part could do alone."""
    able = {
        "models": cluster.models / work.model,
        "readers": cluster.readers / work.reader,
        "writers": cluster.writers / work.writer,
        "scheduler": 1 / work.driver,
    }
    moved = work.bytes_in + work.bytes_out
    return able | ({"file server": store / moved} if moved else {})


def predicted(work: Work, cluster: Cluster) -> tuple[float, str]:
    """Volumes a second, and what is in the way of more."""
    able = limits(work, cluster)
    slowest = min(able, key=lambda name: able[name])
    return able[slowest], slowest


@dataclass(frozen=True)
class Training:
    """A recipe on workers that each take their part of a batch and sum their gradients (ring all-reduce)."""

    parameters: int
    """That learn, with gradients in fp32."""
    sample: float
    """Seconds, forward and backward, of one worker."""
    batch: int
    """Of all workers together."""

    def bytes_per_step(self, workers: int) -> float:
        """Out of each of them, and into it."""
        return self.parameters * 4 * 2 * (workers - 1) / workers

    def step(self, workers: int, network: float, *, overlap: bool) -> float:
        """Seconds. Sent after the backward pass, as `finetune` does it, or while it runs."""
        own = self.sample * self.batch / workers
        hidden = BACKWARD * own if overlap else 0.0
        return own + max(0.0, self.bytes_per_step(workers) / network - hidden)

    def efficiency(self, workers: int, network: float, *, overlap: bool) -> float:
        """Of so many workers: 1 where they are as many times as quick as one."""
        return self.sample * self.batch / workers / self.step(workers, network, overlap=overlap)


def training(measured: dict[str, Any]) -> dict[str, Any]:
    """The paper's recipe on GPUs that nobody measured, and what two processes did against what the model says."""
    ours, large = measured["default"], measured["hiera_s"]
    two = Training(ours["parameters"], ours["step_s"] / ours["batch"], ours["batch"])
    # Forward was measured, backward is guessed to cost twice as much, and a GPU to be so much quicker.
    sample = large["forward_s"] / (1 - BACKWARD) / FASTER
    paper = Training(large["parameters"], sample, PAPER["batch"])
    rows = [
        {
            "workers": workers,
            "network": name,
            "megabytes_per_step": round(paper.bytes_per_step(workers) / 1e6),
            "seconds_per_step": round(paper.step(workers, network, overlap=False), 2),
            "efficiency": round(paper.efficiency(workers, network, overlap=False), 3),
            "efficiency_overlapped": round(paper.efficiency(workers, network, overlap=True), 3),
        }
        for name, network in NETWORKS.items()
        for workers in TEAMS
    ]
    return {
        "recipe": {**PAPER, "model": "hiera_s", "parameters": paper.parameters, "seconds_per_sample": round(sample, 3)},
        "rows": rows,
        "two_processes": {
            "megabytes_per_step": round(two.bytes_per_step(2) / 1e6, 1),
            "model": round(two.efficiency(2, NETWORKS["10 Gbit/s"], overlap=False), 2),
            "measured": round(ours["step_s"] / 2 / ours["step_of_two_s"], 2),
        },
    }


# --- the same, event by event -----------------------------------------------------------------------------------------


class Simulation:
    """A clock, processes that are free or not, and volumes that wait between them."""

    def __init__(self, work: Work, cluster: Cluster, spread: dict[str, Sequence[float]], volumes: int, seed: int):
        self.work, self.cluster, self.spread = work, cluster, spread
        self.random = random.Random(seed)
        self.todo, self.opened, self.answered, self.done = volumes, 0, 0, list[float]()
        self.free = {"reader": cluster.readers, "model": cluster.models, "writer": cluster.writers}
        self.now = self.driver_free = 0.0
        self.reading = 0
        self.ended: list[tuple[float, int, str]] = []
        self.messages: deque[str] = deque()
        self.number = 0

    def seconds(self, step: str) -> float:
        """As one of the measured volumes took, of its median."""
        return float(getattr(self.work, step) * self.random.choice(self.spread[step]))

    def begin(self, step: str) -> None:
        self.free[step] -= 1
        self.number += 1
        heapq.heappush(self.ended, (self.now + self.seconds(step), self.number, step))

    def give(self) -> None:
        """As `Drive._give`: what is nearest to its end goes first."""
        while self.answered and self.free["writer"]:
            self.answered -= 1
            self.begin("writer")
        while self.opened and self.free["model"] and self.answered < 2 * self.cluster.writers:
            self.opened -= 1
            self.begin("model")
        while self.todo and self.free["reader"] and self.reading + self.opened < AHEAD * self.cluster.models:
            self.todo -= 1
            self.reading += 1
            self.begin("reader")

    def run(self) -> float:
        """Volumes a second between the first tenth and the last, where all are at work."""
        self.give()
        while self.ended:
            at, _, step = heapq.heappop(self.ended)
            # The process that gives out the work hears of one step at a time: a third of a volume's share each.
            self.now = self.driver_free = max(at, self.driver_free) + self.work.driver / len(STEPS)
            self.free[step] += 1
            if step == "reader":
                self.reading -= 1
                self.opened += 1
            elif step == "model":
                self.answered += 1
            else:
                self.done.append(self.now)
            self.give()
        skip = len(self.done) // 10
        return (len(self.done) - 2 * skip - 1) / (self.done[-1 - skip] - self.done[skip])


# --- what was measured ------------------------------------------------------------------------------------------------


def measured_ct(slices: int, threads: int = 1) -> dict[str, Any]:
    """A CT of 512² through the three steps of a plain run, with the model that ships; wall seconds, one thread."""
    import numpy as np
    import torch

    import boltzformer
    from boltzformer import io
    from boltzformer.cli.casework import Casework
    from boltzformer.cli.request import Request
    from boltzformer.cli.show import Show
    from boltzformer.io.cases import Case

    engine = boltzformer.load("default", device="cpu")
    torch.set_num_threads(threads)
    noise = np.random.default_rng(0)
    smooth = np.cumsum(noise.integers(-9, 10, (slices, 512, 512)), axis=2).astype(np.int16)
    volume = boltzformer.Volume(smooth, boltzformer.Grid.from_lps(smooth.shape, np.diag([0.8, 0.8, 2.5, 1.0])), "CT")
    with tempfile.TemporaryDirectory() as folder, Show(True) as show:
        show.event = lambda *_, **__: None  # type: ignore[method-assign]
        image = io.write_volume(volume, Path(folder) / "ct.nii.gz")
        work = Casework(
            Request(("liver in CT",)), Path(folder) / "out", engine.about, engine.place, lambda: engine, show
        )
        times = [time.process_time()]
        opened = work.opened(Case("ct", image))
        times.append(time.process_time())
        assert opened is not None
        answered = work.answered(opened)
        times.append(time.process_time())
        work.kept(opened, answered)
        times.append(time.process_time())
        size_in = image.stat().st_size
        size_out = sum(file.stat().st_size for file in (Path(folder) / "out").rglob("*") if file.is_file())
    spent = dict(zip(STEPS, (b - a for a, b in pairwise(times)), strict=True))
    return {
        "slices": slices,
        "seconds_per_slice": {name: round(value / slices, 6) for name, value in spent.items()},
        "bytes_in_per_slice": size_in // slices,
        "bytes_out_per_slice": size_out // slices,
        "model": engine.about.history.name,
        "load": round(os.getloadavg()[0], 1),
    }


def spread_of(steps: Sequence[dict[str, float]]) -> dict[str, Sequence[float]]:
    """How much longer or shorter than the median each measured volume took; their mean is 1."""
    found = {}
    for name in STEPS:
        values = [one[name] for one in steps]
        mean = statistics.fmean(values)
        found[name] = [value / mean for value in values]
    return found


def table(work: Work, spread: dict[str, Sequence[float]], kind: str) -> list[dict[str, Any]]:
    """Of one kind of worker, at each count."""
    rows = []
    for count in COUNTS:
        cluster = Cluster.of(count, kind == "GPU")
        pace, limit = predicted(work, cluster)
        volumes = max(400, 20 * count)
        # A file server is no process: what it can't deliver makes readers slower.
        here = replace(work, reader=max(work.reader, cluster.readers * (work.bytes_in + work.bytes_out) / STORE))
        found = Simulation(here, cluster, spread, volumes, seed=count).run()
        rows.append(
            {
                "workers": count,
                "kind": kind,
                "volumes_per_hour": round(3600 * pace, 1),
                "limit": limit,
                "simulated_per_hour": round(3600 * found, 1),
                "simulated_over_model": round(found / pace, 3),
                "dollars_per_1000": round(count * PRICES[kind] / (3600 * pace) * 1000, 2),
            }
        )
    return rows


def main(given: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--slices", type=int, default=60, help="of the CT that is measured")
    told = parser.parse_args(given)
    if told.measure:
        MEASURED.mkdir(exist_ok=True)
        found = json.dumps(measured_ct(told.slices), indent=1)
        (MEASURED / "ct.json").write_text(found + "\n", encoding="utf-8")
    names = ("archive", "ct", "training")
    archive, ct, taught = (json.loads((MEASURED / f"{name}.json").read_text("utf-8")) for name in names)
    spread, driver = spread_of(archive["steps"]), archive["driver_s_per_volume"]
    means = {name: statistics.fmean(one[name] for one in archive["steps"]) for name in STEPS}
    # The two-worker run itself: does the model foretell it?
    two, cluster = Work(**means, driver=driver), Cluster.of(2)
    pace, limit = predicted(two, cluster)
    real = 1 / archive["cluster"]["s_per_volume"]
    check = {
        "measured_per_hour": round(3600 * real, 1),
        "model_per_hour": round(3600 * pace, 1),
        "limit": limit,
        "simulated_per_hour": round(3600 * Simulation(two, cluster, spread, 2000, seed=2).run(), 1),
        "measured_over_model": round(real / pace, 3),
    }
    slices = 300
    whole = {name: value * slices for name, value in ct["seconds_per_slice"].items()}
    moved = {name: ct[f"{name}_per_slice"] * slices for name in ("bytes_in", "bytes_out")}
    core = Work(**whole, driver=driver, **moved)
    gpu = replace(core, model=core.model / FASTER)
    document = {
        "ct_of_slices": slices,
        "work": asdict(core),
        "two_workers": check,
        "cores": table(core, spread, "core"),
        "gpus": table(gpu, spread, "GPU"),
        "training": training(taught),
        "stated": {"prices": PRICES, "store_bytes_per_second": STORE, "gpu_over_core": FASTER, "networks": NETWORKS},
    }
    print(json.dumps(document, indent=2))
    return document


if __name__ == "__main__":
    main(sys.argv[1:])
