"""Does the viewer stay smooth while a volume is being segmented? The same scripted scroll with and without a job.

Alternates five times. Beside it: every stretch in which the main thread did not come back to its event loop for more
than 100 ms, by the function of ours that it was in (none is the aim; what the viewer did by itself is not ours).

Run: xvfb-run -a python benchmarks/viewer.py [--rounds 5] [--steps 60] [--model default]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from boltzformer import Session
from napari_boltzformer.widget import BoltzFormerDock

LONG = 0.1
"""Seconds that the main thread may be away from its event loop."""


class Watch:
    """Looks from another thread at what the main thread is doing while it does not answer."""

    def __init__(self) -> None:
        self.blocked: dict[str, float] = {}
        """Function of ours → the longest time."""
        self._beat, self._ended = time.monotonic(), threading.Event()
        self._main = threading.get_ident()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(10)
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _tick(self) -> None:
        self._beat = time.monotonic()

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            away = time.monotonic() - self._beat
            if away > LONG and (name := ours(sys._current_frames()[self._main])):
                self.blocked[name] = max(away, self.blocked.get(name, 0))


def ours(frame: FrameType | None) -> str:
    """The innermost function of our packages that is under way, or ''."""
    while frame is not None:
        path = frame.f_code.co_filename
        if "napari_boltzformer" in path or f"boltzformer{os.sep}" in path:
            return f"{os.path.basename(path)}: {frame.f_code.co_name}"
        frame = frame.f_back
    return ""


def until(what: Callable[[], bool]) -> None:
    while not what():
        QApplication.processEvents()
        time.sleep(0.005)


def scroll(viewer: napari.Viewer, steps: int) -> list[float]:
    """Seconds that each step takes until it is drawn."""
    taken, count = [], viewer.dims.nsteps[0]
    for step in range(steps):
        began = time.perf_counter()
        viewer.dims.set_current_step(0, (5 + step) % count)
        QApplication.processEvents()
        taken.append(time.perf_counter() - began)
        time.sleep(0.01)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--model", default="default")
    asked = parser.parse_args()
    viewer = napari.Viewer()
    began = time.perf_counter()
    with Session.local(asked.model) as session:
        dock = BoltzFormerDock(viewer, session)
        viewer.window.add_dock_widget(dock, name="Segment by text")
        opened = time.perf_counter() - began
        until(lambda: "s per slice" in dock.engine.text())
        dock.example.click()
        until(lambda: dock.chosen_image() is not None and dock.all_slices.isEnabled())
        ready = time.perf_counter()
        dock.this_slice.click()
        until(lambda: bool(dock.tracks()) and not dock.running.runs)
        first = time.perf_counter() - ready
        scroll(viewer, asked.steps)  # everything was drawn once
        watch, idle, busy = Watch(), [], []
        for _ in range(asked.rounds):
            idle += scroll(viewer, asked.steps)
            dock.all_slices.click()
            until(lambda: bool(dock.running.runs))
            busy += scroll(viewer, asked.steps)
            still = bool(dock.running.runs)
            dock.cancel.click()
            until(lambda: not dock.running.runs)
            if not still:
                print("The job ended before the scroll did: use fewer steps.", file=sys.stderr)
        watch.end()
    viewer.close()
    ms = 1000 * np.array([idle, busy])
    print(f"{asked.rounds} × {asked.steps} steps, model {asked.model}, load {os.getloadavg()[0]:.1f}\n")
    print("| scroll, ms per step | median | 99th percentile |\n|---|---|---|")
    for name, row in zip(("nothing under way", "a volume under way"), ms, strict=True):
        print(f"| {name} | {statistics.median(row):.1f} | {np.percentile(row, 99):.1f} |")
    added = [np.percentile(ms[1], q) - np.percentile(ms[0], q) for q in (50, 99)]
    print(f"| added (aim ≤ 10 and ≤ 30) | {added[0]:+.1f} | {added[1]:+.1f} |\n")
    print(f"Dock opened in {opened:.2f} s; first mask {first:.2f} s after the click on 'This slice'.")
    for name, seconds in sorted(watch.blocked.items(), key=lambda pair: -pair[1]):
        print(f"Main thread held for {1000 * seconds:.0f} ms in {name}")
    print(f"{len(watch.blocked)} functions of ours held it for more than {1000 * LONG:.0f} ms.")


if __name__ == "__main__":
    main()
