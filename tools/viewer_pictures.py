"""The pictures of README and documents, taken in the real viewer: `make pictures` (needs a screen, or Xvfb).

They show the shipped model and the window, whose hashes are kept beside them, on a case that no training reads.
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
from shown import code_shown

from boltzformer import Session
from boltzformer.cli.train_cli import NEVER
from boltzformer.io.phantom import sample
from boltzformer.masks import pictures
from boltzformer.weights import checkpoint, registry
from napari_boltzformer.bottom.place import SLICES
from napari_boltzformer.dock.form import CORRECT, KEEP, TEACH
from napari_boltzformer.widget import BoltzFormerDock

PICTURES = Path(__file__).parents[1] / "docs"
SIZE = 1366, 900
CORRECTED = -6, 6, 12
"""From the slice on screen to those that are corrected."""
BEAT_MS = 900
"""How long the moving picture shows a look."""
READ_MS, STORY_WIDTH = 2200, 900
"""The story stands so long at each of its pictures, which are so wide."""
ASKED, LOOKED, FOUND, CORRECTED_NOW, LEARNT, ACCEPTED = (
    "1. Type what you look for",
    "2. See where the model looks",
    "3. All slices are answered; what was found stands below the picture",
    "4. Correct a few slices, here three",
    "5. It learns from them, and asks again",
    "6. Accept",
)


def until(what: Callable[[], bool]) -> None:
    """Lets the viewer work until something is so."""
    while not what():
        QApplication.processEvents()
        time.sleep(0.01)


def settle() -> None:
    """A moment for what is drawn later."""
    end = time.monotonic() + 1
    until(lambda: time.monotonic() > end)


class Story:
    """The whole window, act by act, as one moving picture."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._frames: list[Image.Image] = []

    def tell(self, what: str) -> None:
        """As it is now."""
        settle()
        window = np.asarray(self._viewer.screenshot(canvas_only=False, flash=False))[..., :3]
        self._frames.append(Image.fromarray(pictures.captioned(window, what, width=STORY_WIDTH)))

    def save(self, path: Path) -> None:
        few = [frame.quantize(64, dither=Image.Dither.NONE) for frame in self._frames]
        few[0].save(path, save_all=True, append_images=few[1:], duration=READ_MS, loop=0, optimize=True)


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
        story = Story(viewer)
        story.tell(ASKED)
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
        frames, layers = [], len(looks.sheet.looks.trace.layers)
        for layer in range(layers):
            looks.step(1)
            if layer in (0, layers // 2, layers - 1):
                story.tell(LOOKED)
            settle()
            frames.append(Image.fromarray(np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3]))
        small = [frame.resize((480, round(480 * frame.height / frame.width))) for frame in frames]
        small[0].save(
            PICTURES / "looks.gif", save_all=True, append_images=small[1:], duration=BEAT_MS, loop=0, optimize=True
        )
        teach(viewer, dock, story)
        story.save(PICTURES / "story.gif")
    viewer.close()
    model, case = checkpoint.read(registry.resolve("default")).sha256, sample().facts["case_id"]
    about = {"model": model, "code": code_shown(), "case": case}
    (PICTURES / "pictures.json").write_text(json.dumps(about, indent=1) + "\n")
    for file in sorted(PICTURES.glob("*.*")):
        typer.echo(f"{file.relative_to(PICTURES.parent)} {file.stat().st_size}")


def teach(viewer: napari.Viewer, dock: BoltzFormerDock, story: Story) -> None:
    """Three slices are corrected as the expert did, and teach the one on screen: before, after, the whole window."""
    case, (track,) = sample(), dock.tracks()
    plan, there = track.image.plan, dock.row()
    truth = plan.view.apply(case.truth.mask(1))
    viewer.layers.selection.active = None
    dock.bottom.looks.let_go()
    dock.bottom.show(dock.bottom.review, SLICES)

    def seen() -> pictures.Picture:
        settle()
        return np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3]

    before = seen()
    story.tell(FOUND)
    for away in CORRECTED:
        track.change(there + away, truth[there + away])
    dock.stage.go(track.image, there + CORRECTED[1])
    dock.show_act(CORRECT)
    story.tell(CORRECTED_NOW)
    dock.stage.go(track.image, there)
    dock.show_act(TEACH)
    until(lambda: dock.desk.learning.offered)
    dock.learn.learn.click()
    until(lambda: dock.desk.learning.learnt(track) is not None)
    until(lambda: not dock.running.runs)
    after = seen()
    viewer.screenshot(str(PICTURES / "teach.png"), canvas_only=False, flash=False)
    learnt = dock.message.text().split(":")[0]
    story.tell(LEARNT)
    dock.show_act(KEEP)
    dock.accept.click()
    story.tell(ACCEPTED)
    tiles = [
        pictures.captioned(before, "The model alone", width=480),
        pictures.captioned(after, learnt, width=480),
    ]
    Image.fromarray(pictures.beside(*tiles)).save(PICTURES / "learnt.png")


if __name__ == "__main__":
    with TemporaryDirectory() as nothing_yet:  # as a new user sees it, whatever was done on this computer before
        os.environ["BOLTZFORMER_HOME"] = nothing_yet
        main()
