"""What is said of another slice than is on screen is asked there, and that slice comes up."""

from typing import Any

import numpy as np
import pytest
from gui import click, type_lines, until

from boltzformer.io.phantom import BRIGHT, Phantom
from napari_boltzformer.canvas.guide import ACROSS, BOX, POINTS
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.widget import BoltzFormerDock


def test_what_is_said_or_taken_back_in_another_slice_is_asked_there(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    data, options, _ = image_layer(small.volume)
    viewer.add_image(data, **options)
    type_lines(qtbot, dock, BRIGHT)
    monkeypatch.setattr(dock.running, "start", lambda *_, **__: asked.append(dock.row()))

    def told(row: int) -> None:
        until(qtbot, lambda: bool(asked))
        assert (asked, dock.stage.shows(dock.stage.chosen())) == ([row], True)
        asked.clear()

    dock.jump(8)
    dock.guide.point()
    points = viewer.layers[POINTS]
    viewer.dims.order = (1, 0, 2)  # a click there lies in whichever slice it meets
    points.add([[3, 20, 20]])
    told(3)
    dock.jump(8)
    points.add([[8, 30, 30]])
    told(8)
    dock.jump(12)
    click(qtbot, dock.unpoint)
    told(8)
    assert len(points.data) == 1
    dock.guide.box()
    box = viewer.layers[BOX]
    viewer.dims.order = (2, 0, 1)  # through several slices: nobody who looks at one of them would see it
    box.add(np.array([[4, 10, 20], [4, 30, 20], [6, 30, 20], [6, 10, 20]]), shape_type="rectangle")
    until(qtbot, lambda: len(box.data) == 0)
    assert dock.message.text() == ACROSS
    dock.guide.box()
    assert dock.stage.shows(dock.stage.chosen())
    dock.jump(12)
    box.add(np.array([[5, 10, 20], [5, 30, 20], [5, 30, 30], [5, 10, 30]]), shape_type="rectangle")
    told(5)
    dock.jump(12)
    click(qtbot, dock.unpoint)
    told(5)
    assert len(box.data) == 0


def test_what_was_said_of_an_image_is_asked_of_no_other(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, options, _ = image_layer(small.volume)
    viewer.add_image(data, **options)
    type_lines(qtbot, dock, BRIGHT)
    asked: list[int] = []
    monkeypatch.setattr(dock.running, "start", lambda *_, **__: asked.append(dock.row()))
    dock.guide.point()
    viewer.layers[POINTS].add([[3, 20, 20]])
    viewer.add_image(np.asarray(data)[:, ::-1].copy(), name="another", **{"scale": options["scale"]})
    until(qtbot, lambda: dock.stage.chosen().name == "another")
    dock.guide.ask()
    assert not asked
