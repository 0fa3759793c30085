"""What the backend costs beside the engine in process: a whole volume, the first slice, `poll`, start-up.

    python benchmarks/backend.py [--shape 100,512,512] [--rounds 5] [--model default] [--prompts 1] [--slices 0]

Runs take turns and every round has an image of its own, so that no cache helps either side. The backend is niced and
the engine in process is not: on a busy machine that alone makes a difference, so run it on a quiet one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import boltzformer
from boltzformer import Event, Grid, Prediction, Session, SliceResult, Volume

TIMES = "BOLTZFORMER_BENCH_TIMES"
"""Names the file into which the measured backend writes when each event was there."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--shape", default="100,512,512")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--model", default="default")
    options.add_argument("--prompts", type=int, default=1)
    options.add_argument("--slices", type=int, default=0, help="Only so many around the middle; 0 is all.")
    asked = options.parse_args()
    shape = tuple(int(n) for n in asked.shape.split(","))
    middle = shape[0] // 2
    how = {"start": middle}
    if asked.slices:
        how["slices"] = sorted(range(shape[0]), key=lambda index: (abs(index - middle), index))[: asked.slices]
    prompts = [f"structure number {n}" for n in range(asked.prompts)]
    engine = boltzformer.load(asked.model)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[TIMES] = str(Path(folder) / "times")
        starts = [start_up(asked.model) for _ in range(asked.rounds)]
        with Session.local(asked.model, python=str(watched_python(Path(folder)))) as session:
            warm = image(shape, 1000)
            session.segment(warm, prompts, slices=[0]).result()
            boltzformer.segment(warm, prompts, model=engine, slices=[0])
            near, far = [], []
            for turn in range(asked.rounds):
                volume = image(shape, turn)
                first = len(read_times())
                near.append(timed(lambda v=volume: engine.segment(v, prompts, **how)))
                far.append((*timed(lambda v=volume: polled(session, v, prompts, how)), delay(first)))
    report(asked, starts, near, far)


def image(shape: tuple[int, ...], seed: int) -> Volume:
    array = np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)
    return Volume(array, Grid.from_lps(shape, np.diag([0.8, 0.8, 2.5, 1.0])), "CT")


def timed(run: object) -> tuple[float, float]:
    """Seconds to the first slice and to the end."""
    begin = time.perf_counter()
    first = end = 0.0
    for event in run():
        now = time.perf_counter() - begin
        first = now if isinstance(event, SliceResult) and not first else first
        end = now if isinstance(event, Prediction) else end
    assert end, "the run failed"
    return first, end


heard: list[float] = []
"""When `poll` handed out each event of the last job."""


def polled(session: Session, volume: Volume, prompts: list[str], how: dict[str, object]) -> Iterable[Event]:
    """As a viewer does it, but every 0.2 ms instead of every 40, so that the viewer's own timer does not count."""
    job = session.segment(volume, prompts, **how)
    heard.clear()
    while True:
        for event in job.poll():
            heard.append(time.monotonic())
            yield event
            if not isinstance(event, boltzformer.Started | boltzformer.Adjusted | boltzformer.Queued | SliceResult):
                return
        time.sleep(0.0002)


def delay(first: int) -> float:
    """Median seconds from an event's being there to `poll`; both clocks are the system's monotonic one."""
    return statistics.median(b - a for a, b in zip(read_times()[first:], heard, strict=True))


def read_times() -> list[float]:
    file = Path(os.environ[TIMES])
    return [float(line) for line in file.read_text("utf-8").split()] if file.exists() else []


def start_up(model: str) -> tuple[float, float]:
    """Seconds until the backend answers, and until its model is ready."""
    begin = time.perf_counter()
    with Session.local(model) as session:
        session.health()
        answers = time.perf_counter() - begin
        while session.health()["state"] == "starting":
            time.sleep(0.01)
        return answers, time.perf_counter() - begin


def watched_python(folder: Path) -> Path:
    """Starts the backend below instead of the plain one: the same, but it notes when events are there."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" --watched "$3"\n')
    script.chmod(0o700)
    return script


def serve_watched(model: str) -> None:
    from boltzformer.protocol import Means
    from boltzformer.server.events import EventLog
    from boltzformer.server.process import serve_owner

    add = EventLog.add

    def noted(log: EventLog, event: Event) -> None:
        with Path(os.environ[TIMES]).open("a", encoding="utf-8") as file:
            file.write(f"{time.monotonic()}\n")
        add(log, event)

    EventLog.add = noted
    serve_owner(model, Means())


def report(
    asked: argparse.Namespace,
    starts: list[tuple[float, float]],
    near: list[tuple[float, float]],
    far: list[tuple[float, float, float]],
) -> None:
    def middle(values: Iterable[float]) -> float:
        return statistics.median(values)

    first, whole = middle(a for a, _ in near), middle(b for _, b in near)
    first_far, whole_far = middle(a for a, _, _ in far), middle(b for _, b, _ in far)
    print(f"{asked.shape}, model {asked.model}, {asked.prompts} prompt(s), {asked.rounds} rounds, ", end="")
    print(f"load {os.getloadavg()[0]:.1f}\n\n| what | engine, s | session, s | more |\n|---|---|---|---|")
    print(f"| first slice | {first:.3f} | {first_far:.3f} | {first_far - first:+.3f} s (aim +0.3) |")
    allowed = 1.05 * whole + 0.3
    print(f"| whole volume | {whole:.3f} | {whole_far:.3f} | {whole_far / whole - 1:+.1%} (aim ≤ {allowed:.3f} s) |")
    print(f"| event → poll | | {middle(c for _, _, c in far) * 1000:.2f} ms | |")
    print(f"| backend answers | | {middle(a for a, _ in starts):.2f} | |")
    print(f"| model ready | | {middle(b for _, b in starts):.2f} | |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--watched"]:
        serve_watched(sys.argv[2])
    else:
        main()
