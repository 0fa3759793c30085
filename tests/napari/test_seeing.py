"""The chosen window holds for whatever is asked, and a large image does not keep the viewer busy with it."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import DIST, answered, type_lines, until
from phantom_model import PHANTOM_MODEL

from boltzformer import Prompt, Session, Window
from boltzformer.phantom import BRIGHT, Phantom
from napari_boltzformer.comparing import Question, ask_both
from napari_boltzformer.finetune_panel import FinetunePanel
from napari_boltzformer.masks import new_track
from napari_boltzformer.widget import BoltzFormerDock

LOST = "The connection to the engine is lost"


@pytest.fixture
def dock(qtbot: Any, viewer: Any) -> BoltzFormerDock:
    """Of an engine elsewhere, which is not there."""
    widget = BoltzFormerDock(viewer, Session.connect("http://127.0.0.1:9", "token", "default"))
    viewer.window.add_dock_widget(widget, name="Segment by text")
    return widget


def keys_of(layer: Any) -> set[str]:
    return {str(key) for key in layer.keymap}


def test_a_window_is_made_beside_the_viewer_before_the_slice_is_asked(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path
) -> None:
    (image,) = viewer.open(str(small_file), plugin=DIST)
    type_lines(qtbot, dock, BRIGHT)
    until(qtbot, lambda: not dock.background.busy)
    free = threading.Event()
    for _ in range(2):
        dock.background.pool.submit(free.wait, 60)
    dock.seeing.choice.setCurrentText("percentiles")
    assert dock.running.start(only_this=True) is None  # there is nobody to make the window yet
    assert dock.seeing.chosen(image) == "percentiles"
    assert dock.message.text().startswith("Choosing the window 'percentiles'")
    free.set()
    until(qtbot, lambda: LOST in dock.message.text())  # so it was asked
    window = dock.seeing.chosen(image)
    assert isinstance(window, Window)
    assert window == Window.choose("percentiles", np.asarray(image.data))


def test_before_and_after_are_asked_through_the_window_that_is_chosen(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path
) -> None:
    (image,) = viewer.open(str(small_file), plugin=DIST)
    panel = FinetunePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Fine-tune")
    panel.prompt.addItem(BRIGHT)
    panel.prompt.setCurrentText(BRIGHT)
    viewer.layers.selection.active = image
    assert panel.outcome.question().window is None
    dock.seeing.choice.setCurrentText("lung")
    assert panel.outcome.question().window == "lung"  # made where both are asked
    image.contrast_limits = (1000, 1001)
    dock.seeing.mine.click()
    assert panel.outcome.question().window == Window(1000, 1001, "the viewer's contrast")


def test_both_models_see_the_image_through_the_window_of_the_question(small: Phantom) -> None:
    row = int(np.argmax((small.labels.layers[0] == 1).sum(axis=(1, 2))))
    with Session.local(PHANTOM_MODEL) as session:
        model = str(PHANTOM_MODEL)
        found = ask_both(session, Question(small.volume, row, BRIGHT, 0), model, model)
        blind = Window(9000, 9001, "nothing to see")
        missed = ask_both(session, Question(small.volume, row, BRIGHT, 0, blind), model, model)
        named = ask_both(session, Question(small.volume, row, BRIGHT, 0, "percentiles"), model, model)
    assert found.after.any()
    assert not np.array_equal(missed.after, found.after)
    assert named.after.any()
    assert isinstance(named.question.window, Window)


def test_the_keys_of_a_proposal_leave_the_layers_that_had_them_and_no_others(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    images = [viewer.add_image(np.zeros((3, 24, 32), np.uint8)) for _ in range(2)]
    dock.image.setCurrentIndex(0)
    dock.jump(1)
    track = new_track(viewer, images[0], Prompt("theirs"))
    track.layer.paint((1, 5, 5), 1)
    asked = answered(dock, images[0], BRIGHT)
    asked.layer.paint((1, 5, 5), 1)
    asked.put(1, np.ones((24, 32), bool))
    pressed: list[str] = []
    images[1].bind_key("Enter", lambda _: pressed.append("by the user"))
    dock.show_results()
    assert "Enter" in keys_of(images[0])
    dock.image.setCurrentIndex(1)
    dock.show_results()
    assert "Enter" not in keys_of(images[0])
    assert "Enter" not in keys_of(asked.layer)
    assert "Enter" in keys_of(images[1])
