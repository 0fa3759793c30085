"""Before and after a fine-tuning are compared on the image that a person has in hand, and on no other that is open."""

from typing import Any

import numpy as np
from gui import answered, done, keep_both, layer_of, until
from napari.components import ViewerModel

from boltzformer import Session
from boltzformer.desk.teaching.outcome import Question
from boltzformer.io.phantom import BRIGHT, phantom
from boltzformer.protocol import ErrandState
from napari_boltzformer.dock.form import TEACH
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.host.mask import MASK, NapariMask, key_of
from napari_boltzformer.host.stage import FOR, LIGHT
from napari_boltzformer.teaching.panel import FinetunePanel
from napari_boltzformer.widget import BoltzFormerDock


def asked(panel: FinetunePanel) -> Question:
    """What pressing Compare asks both models."""
    questions: list[Question] = []
    panel.watching.state = ErrandState("", "finished")
    panel.outcome.ask_both = lambda question, before, after: questions.append(question)  # type: ignore[method-assign]
    panel.prompt.setEditText(BRIGHT)
    panel.compare.setEnabled(True)
    panel.compare.click()
    (question,) = questions
    return question


def test_of_two_images_side_by_side_the_one_in_hand_is_compared_with_its_own_mask(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    for number, count in enumerate((12, 5), 1):
        dock.desk.patients.open(phantom(number, (count, 32, 32)).volume)
    keep_both(qtbot, dock)
    until(qtbot, lambda: not dock.images.entering)
    dock.image.setCurrentIndex(1 - dock.image.currentIndex())  # the one that came back, and lies above the other
    dock.jump(1)
    track = answered(dock, dock.chosen_image(), BRIGHT, 1)
    layer_of(track).paint((1, 20, 20), 0)
    viewer.layers.selection.active = layer_of(track)
    dock.show_act(TEACH)
    assert dock.beside.teach is not None
    question = asked(dock.beside.teach)
    assert question.image is dock.stage.chosen()
    assert question.row == 1
    assert question.mine is not None
    assert np.array_equal(question.mine, track.mask(1))
    done(qtbot, dock)


def test_in_a_dock_of_its_own_the_image_is_that_of_the_layer_that_is_selected(qtbot: Any) -> None:
    viewer: Any = ViewerModel()
    panel = FinetunePanel(viewer, Session.local())
    qtbot.addWidget(panel)
    images = []
    for number in (1, 2):
        data, options, _ = image_layer(phantom(number, (4, 32, 32)).volume)
        images.append(viewer.add_image(data, **options))
    mask, points = viewer.add_labels(np.zeros((4, 32, 32), np.uint8)), viewer.add_points(ndim=3)
    light = viewer.add_image(np.zeros((4, 32, 32)), metadata={LIGHT: True})
    mask.metadata[MASK] = NapariMask(viewer, mask, key_of(images[1]), "#ffffff")
    points.metadata[FOR] = key_of(images[1])
    for selected, image in ((images[1], 1), (mask, 1), (points, 1), (images[0], 0), (light, 0)):
        viewer.layers.selection.active = selected
        assert asked(panel).image.key == key_of(images[image])
    panel.rest()
    panel.work.close(wait=True)
