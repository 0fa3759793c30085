"""An archive of small volumes on Ray, two workers, against the same archive as two plain commands with a share each.

Both do the same work on the same two cores with one thread each, so the ratio is what Ray costs. Told are wall seconds
from the command to its end (with starting up), wall seconds per volume once the first is done, and CPU seconds of all
processes: in all, once the first volume is done, and of Ray's own processes, which work by the clock and not by the
volume, so that a crowded machine makes them look dear. Masks are compared byte by byte at the end.

Run: python benchmarks/archive.py [volumes] [--model MODEL] [--slices N] [--keep]; one JSON document on stdout, the load
beside. `--keep` writes it, with the seconds of each step of each volume, to benchmarks/measured/archive.json, where
`benchmarks/scaling.py` reads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from boltzformer import io
from boltzformer.io.phantom import BRIGHT, phantom

MODEL = Path(__file__).parents[1] / "examples" / "phantom.safetensors"
WORKERS = 2
ROWS = 72
"""And columns, of each slice."""


KEPT = Path(__file__).parent / "measured" / "archive.json"


def main(given: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", type=int, nargs="?", default=200)
    parser.add_argument("--model", default=str(MODEL))
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--keep", action="store_true")
    told = parser.parse_args(given)
    volumes: int = told.volumes
    shape = (told.slices, ROWS, ROWS)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "scans").mkdir()
        for number in range(volumes):
            image = phantom(number, shape, (BRIGHT,)).volume  # no two alike: a model keeps features of what it saw
            io.write_volume(image, root / "scans" / f"case{number:04}.nii.gz")
        before = os.getloadavg()[0]
        plain = watched(
            [command(root, told.model, "plain", "--shard", f"{n}/{WORKERS}") for n in range(1, WORKERS + 1)],
            [root / "plain" / f"status-{n}-of-{WORKERS}.jsonl" for n in range(1, WORKERS + 1)],
        )
        between = os.getloadavg()[0]
        cluster = watched(
            [command(root, told.model, "cluster", "--cluster", "--workers", str(WORKERS))],
            [root / "cluster" / "status.jsonl"],
        )
        after = os.getloadavg()[0]
        same = contents(root / "plain") == contents(root / "cluster")
        steps = [row["spent"] for row in rows(root / "cluster" / "status.jsonl")]
    found = {
        "volumes": volumes,
        "model": Path(told.model).stem,
        "shape": shape,
        "baseline": f"{WORKERS} plain commands, each with a share",
        "plain": plain,
        "cluster": cluster,
        "wall_ratio": round(cluster["wall_s"] / plain["wall_s"], 3),
        "pace_ratio": round(cluster["s_per_volume"] / plain["s_per_volume"], 3),
        "cpu_ratio": round(cluster["cpu_s"] / plain["cpu_s"], 3),
        "cpu_ratio_at_work": round(cluster["cpu_at_work_s"] / plain["cpu_at_work_s"], 3),
        "cpu_ratio_at_work_without_rays_own": round(
            (cluster["cpu_at_work_s"] - cluster["rays_own_at_work_s"]) / plain["cpu_at_work_s"], 3
        ),
        "driver_s_per_volume": cluster["driver_s_per_volume"],
        "step_ms": {name: spread([1000 * one[name] for one in steps]) for name in ("reader", "model", "writer")},
        "same_bytes": same,
        "load": [round(one, 1) for one in (before, between, after)],
        "noisy": max(before, between, after) > (os.cpu_count() or 1) + 0.5,
    }
    print(json.dumps(found, indent=2))
    if told.keep:
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps({**found, "steps": steps}) + "\n", encoding="utf-8")
    if not same or cluster["finished"] != volumes:
        raise SystemExit("The cluster's files differ from those of the plain commands.")
    return found


def command(root: Path, model: str, name: str, *more: str) -> list[str]:
    """With one thread, so that two share the machine."""
    own = ["segment", str(root / "scans"), "-p", BRIGHT, "-o", str(root / name), "--model", model]
    return [sys.executable, "-m", "boltzformer", *own, "--device", "cpu", "--json", *more]


def watched(commands: list[list[str]], ledgers: list[Path]) -> dict[str, Any]:
    """Side by side, to their end."""
    began = time.perf_counter()
    environment = {**os.environ, "BOLTZFORMER_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["RAY_worker_niceness"] = "0"  # Ray's workers step back otherwise, which others on the machine would use
    running = [subprocess.Popen(one, stdout=subprocess.DEVNULL, env=environment) for one in commands]
    spent: dict[int, float] = {}
    own: set[int] = set()
    seen: list[tuple[int, float, float, float]] = []  # volumes done; CPU seconds of all, of Ray's own, of the driver
    while any(one.poll() is None for one in running):
        for one in running:
            for process in family(one.pid):
                spent[process.pid] = cpu(process) or spent.get(process.pid, 0.0)
                (own.add if is_rays_own(process) else own.discard)(process.pid)
        done = sum(len(rows(file)) for file in ledgers if file.is_file())
        of_ray = sum(spent[pid] for pid in own)
        seen.append((done, sum(spent.values()), of_ray, spent.get(running[0].pid, 0.0)))
        time.sleep(0.2)
    wall = time.perf_counter() - began
    ends = [[row["seconds"] for row in rows(file) if row["status"] == "finished"] for file in ledgers]
    first, last = next(one for one in seen if one[0]), seen[-1]
    # of each ledger the time from its first volume to its last; side by side they do so many together
    pace = sum((len(some) - 1) / (some[-1] - some[0]) for some in ends)
    return {
        "wall_s": round(wall, 2),
        "s_per_volume": round(1 / pace, 4),
        "cpu_s": round(last[1], 2),
        "cpu_at_work_s": round(last[1] - first[1], 2),
        "rays_own_at_work_s": round(last[2] - first[2], 2),
        "driver_s_per_volume": round((last[3] - first[3]) / max(1, last[0] - first[0]), 5),
        "finished": sum(map(len, ends)),
    }


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    try:
        own = psutil.Process(pid)
        return [own, *own.children(recursive=True)]
    except psutil.Error:
        return []


def is_rays_own(process: psutil.Process) -> bool:
    """Whether it belongs to Ray itself, and not to a reader, model, writer or command."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "/ray/" in line or line.startswith(("ray::DashboardAgent", "ray::RuntimeEnvAgent", "ray::IDLE"))


def cpu(process: psutil.Process) -> float:
    """Seconds so far; 0 where it has ended."""
    try:
        times = process.cpu_times()
        return float(times.user + times.system)
    except psutil.Error:
        return 0.0


def spread(values: list[float]) -> dict[str, float]:
    """Median, and the tenth and ninetieth percent."""
    cuts = statistics.quantiles(values, n=10)
    return {name: round(one, 2) for name, one in zip(("p10", "p50", "p90"), (cuts[0], cuts[4], cuts[8]), strict=True)}


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.endswith("}")]


def contents(folder: Path) -> dict[str, bytes]:
    """All files of cases."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*")}


if __name__ == "__main__":
    main()
