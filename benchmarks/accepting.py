"""How long Accept keeps the viewer's thread: three masks of 300 × 512², all found, one slice accepted, five times.

Run: xvfb-run -a python benchmarks/accepting.py [--times 5]
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from boltzformer import Prompt, Session, SliceResult
from boltzformer.image.slicing import SlicePlan
from napari_boltzformer.widget import BoltzFormerDock

SHAPE = 300, 512, 512


def main() -> None:
    """Prints the longest time without an event loop, from the click to all on the disk."""
    asks = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asks.add_argument("--times", type=int, default=5)
    times = asks.parse_args().times
    viewer = napari.Viewer()
    with TemporaryDirectory() as folder, Session.local() as session:
        dock = BoltzFormerDock(viewer, session)
        dock.settings.folder = str(Path(folder) / "accepted")
        viewer.window.add_dock_widget(dock, name="Segment by text")
        viewer.add_image(np.zeros(SHAPE, np.uint8), name="large")
        image = dock.stage.chosen()
        assert image is not None
        plan = SlicePlan.of(image.volume.grid, 384, image.volume.slice_axis)
        disc = np.hypot(*np.ogrid[-192:192, -192:192]) < 90
        logits = np.where(disc, 64, -64).astype(np.int8)[None, ::4, ::4]
        for name in ("one", "two", "three"):
            track = dock.desk.tracks.new(image, Prompt(name))
            run = track.begin_run(plan, 0.5)
            for index in plan.indices:
                track.answer(plan, SliceResult(index, logits, np.array([0.9], np.float32)), 0, {"seed": 0}, run)
            track.surface.draw()
        dock.desk.overview.show_tracks()
        held = []
        for number in range(times):
            dock.jump(100 + number)
            settle(dock)
            began = time.perf_counter()
            dock.keeper.accept()
            longest = time.perf_counter() - began
            while dock.keeper.work.busy or dock.desk.work.busy:
                began = time.perf_counter()
                QApplication.processEvents()
                longest = max(longest, time.perf_counter() - began)
                time.sleep(0.002)
            held.append(longest)
        load = os.getloadavg()[0]
        print(f"{times} × Accept on 3 masks of {SHAPE}, load {load:.1f}: the thread was held for at most, in ms")
        print(" ".join(f"{1000 * one:.0f}" for one in held), dock.message.text())
    viewer.close()


def settle(dock: BoltzFormerDock) -> None:
    end = time.monotonic() + 1
    while time.monotonic() < end or dock.keeper.work.busy:
        QApplication.processEvents()
        time.sleep(0.005)


if __name__ == "__main__":
    with TemporaryDirectory() as home:
        os.environ["BOLTZFORMER_HOME"] = home
        main()
