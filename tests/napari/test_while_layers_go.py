"""While a layer goes, nothing of it is drawn: not even because a button appears and the canvas changes its size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gui import DIST, answered, canvas, until

from boltzformer import io
from boltzformer.io.phantom import BRIGHT, phantom
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
