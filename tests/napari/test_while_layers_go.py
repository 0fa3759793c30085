"""While a layer goes, nothing of it is drawn: not even because a button appears and the canvas changes its size."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import DIST, answered, canvas, until
from napari.components import ViewerModel
from PIL import Image
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from boltzformer import io
from boltzformer.io.phantom import BRIGHT, phantom
from napari_boltzformer.host.fitting import Fitting
from napari_boltzformer.widget import BoltzFormerDock


@contextmanager
def drawn_meanwhile(viewer: Any) -> Iterator[list[str]]:
    """What is drawn on the canvas between a layer's 'is going' and 'is gone', the listeners of both included."""
    going, drawn = [], []
    draws = canvas(viewer)._vispy_canvas.events.draw

    def goes(event: Any) -> None:
        going.append(event)

    def gone(event: Any) -> None:
        going.clear()

    def draw(event: Any) -> None:
        if going:
            drawn.append(str(viewer.layers))

    viewer.layers.events.removing.connect(goes)
    viewer.layers.events.removed.connect(gone, position="last")
    draws.connect(draw)
    yield drawn
    viewer.layers.events.removing.disconnect(goes)
    viewer.layers.events.removed.disconnect(gone)
    draws.disconnect(draw)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "first.nii.gz", tmp_path / "second.nii.gz"]
    for number, file in enumerate(files, 1):
        io.write_volume(phantom(number, (4, 48, 48)).volume, file)
    return files


def test_nothing_is_drawn_while_images_go_and_the_example_comes_back_a_moment_later(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, pictures: list[Path]
) -> None:
    viewer.open(str(pictures[0]), plugin=DIST)
    until(qtbot, lambda: dock.desk.patients.current is not None and not dock.example.isVisible())
    answered(dock, dock.chosen_image(), BRIGHT, 2)
    with drawn_meanwhile(viewer) as drawn:
        dock.opening.open(pictures[1])
        until(qtbot, lambda: dock.image.currentText() == "second")
        assert not drawn
        viewer.layers.clear()
        assert not drawn
    until(qtbot, dock.example.isVisible)
    assert canvas(viewer).updatesEnabled()


STORY = """
import sys, time
import napari, numpy as np
from qtpy.QtWidgets import QApplication
from boltzformer.io.phantom import phantom
from napari_boltzformer.host.layers import camera_of
viewer = napari.Viewer()
_, dock = viewer.window.add_plugin_dock_widget({name!r})

def wait(until, seconds=60):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        QApplication.processEvents()

drawn = []
viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(lambda event: drawn.append(event))

def frames(more):
    for _ in range(more):  # each asked for by itself: on a busy machine two would be drawn as one
        count = len(drawn)
        camera_of(viewer).zoom *= 1.01
        wait(lambda: len(drawn) > count)

for path in sys.argv[1:]:
    viewer.open(path, plugin={name!r})
    wait(lambda: len(viewer.layers) == 1 and dock.image.currentText() in path)
    frames(2)
viewer.add_labels(np.zeros(viewer.layers[0].data.shape, np.uint8))
for _ in range(4):
    frames(1)
print("fine", flush=True)
"""


@pytest.mark.slow
def test_what_was_put_away_leaves_nothing_behind_that_crashes_a_later_drawing(tmp_path: Path) -> None:
    """In a process of its own: what failed took the whole viewer with it."""
    files = [tmp_path / "first.png", tmp_path / "second.png"]
    for seed, file in enumerate(files):
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (383, 512), np.uint8)).save(file)
    command = [sys.executable, "-c", STORY.format(name=DIST), *map(str, files)]
    told = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=240, check=False)
    assert (told.returncode, told.stdout.splitlines()[-1:]) == (0, ["fine"]), told.stderr[-2000:]


class CanvasBackendDesktop(QWidget):
    """Called as napari calls its own; tells how often it was drawn."""

    drawn = 0

    def paintEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        self.drawn += 1


def test_after_an_image_took_the_screen_the_canvas_is_drawn_once_more_when_all_is_at_rest(qtbot: Any) -> None:
    """Whatever drawing was left out while layers came and went: several in napari's grid were seen to stay blank."""
    window, view = QMainWindow(), CanvasBackendDesktop()
    qtbot.addWidget(window)
    window.setCentralWidget(view)
    fitting = Fitting(window, ViewerModel())
    fitting.watch(window)
    window.show()
    until(qtbot, lambda: view.drawn > 0)
    fitting.hold_still()
    until(qtbot, view.updatesEnabled)
    QApplication.processEvents()
    before = view.drawn
    fitting.follow()
    until(qtbot, lambda: view.drawn > before)
