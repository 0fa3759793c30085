"""The README's pictures, taken in the real viewer: `make pictures` (needs a screen, or Xvfb).

They show the shipped model, whose hash is kept beside them, on a case that no training reads.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import napari
import numpy as np
import typer
from PIL import Image
from qtpy.QtWidgets import QApplication

from boltzformer import Session
from boltzformer.cli.train_cli import NEVER
from boltzformer.io.phantom import sample
from boltzformer.weights import checkpoint, registry
from napari_boltzformer.widget import BoltzFormerDock

PICTURES = Path(__file__).parents[1] / "docs"
SIZE = 1366, 900
BEAT_MS = 900
"""How long the moving picture shows a look."""


def until(what: Callable[[], bool]) -> None:
    """Lets the viewer work until something is so."""
    while not what():
        QApplication.processEvents()
        time.sleep(0.01)


def settle() -> None:
    """A moment for what is drawn later."""
    end = time.monotonic() + 1
    until(lambda: time.monotonic() > end)


def main() -> None:
    if sample().facts["case_id"] not in NEVER:
        sys.exit("The sample's patient may have taught the model: pictures show a case that it never saw.")
    PICTURES.mkdir(exist_ok=True)
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(*SIZE)
    with Session.local() as session:
        dock = BoltzFormerDock(viewer, session)
        viewer.window.add_dock_widget(dock, name="Segment by text")
        until(lambda: "s per slice" in dock.engine.text())
        dock.example.click()
        until(lambda: dock.chosen_image() is not None)
        dock.all_slices.click()
        until(lambda: bool(dock.running.runs))
        until(lambda: not dock.running.runs)
        settle()
        viewer.screenshot(str(PICTURES / "viewer.png"), canvas_only=False, flash=False)
        dock.looks.click()
        looks = dock.bottom.looks
        until(lambda: looks.sheet.looks is not None and not looks.sheet.waiting)
        settle()
        looks.save_to(PICTURES / "looks.png")
        frames = []
        for _ in range(len(looks.sheet.looks.trace.layers)):
            looks.step(1)
            settle()
            frames.append(Image.fromarray(np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3]))
        small = [frame.resize((480, round(480 * frame.height / frame.width))) for frame in frames]
        small[0].save(
            PICTURES / "looks.gif", save_all=True, append_images=small[1:], duration=BEAT_MS, loop=0, optimize=True
        )
    viewer.close()
    about = {"model": checkpoint.read(registry.resolve("default")).sha256, "case": sample().facts["case_id"]}
    (PICTURES / "pictures.json").write_text(json.dumps(about, indent=1) + "\n")
    for file in sorted(PICTURES.glob("*.*")):
        typer.echo(f"{file.relative_to(PICTURES.parent)} {file.stat().st_size}")


if __name__ == "__main__":
    with TemporaryDirectory() as nothing_yet:  # as a new user sees it, whatever was done on this computer before
        os.environ["BOLTZFORMER_HOME"] = nothing_yet
        main()
