"""The sliders of sizes: dragged, they hide small objects at once, say how many, and belong to the image."""

from typing import Any

import numpy as np
from gui import answered, layer_of, row_text, rows_of, until
from qtpy.QtCore import Qt

from boltzformer import Grid, Volume
from boltzformer.io.phantom import BRIGHT, Phantom
from napari_boltzformer.bottom.size_filter import ALL
from napari_boltzformer.widget import BoltzFormerDock


def test_small_objects_vanish_as_the_slider_moves_and_come_back(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    image = viewer.add_image(np.zeros((3, 32, 40), np.uint8), scale=(2, 1, 1))
    track = answered(dock, image, BRIGHT, 0, 1, 2)
    rows_of(track)[...] = 0
    rows_of(track)[1, 2, 3] = rows_of(track)[1, 10:20, 10:20] = 1
    track.whose.written.update({row: np.packbits(rows_of(track)[row]) for row in range(3)})
    dock.desk.overview.show_tracks()
    sizes = dock.bottom.sizes
    assert sizes.smallest_words.text() == "hide objects under … mm³"
    sizes.smallest.setFocus()
    judged: list[str] = []
    dock.desk.sizes.changed.append(lambda track: judged.append(track.key))
    for press in range(1, 20):
        qtbot.keyClick(sizes.smallest, Qt.Key.Key_Right)
        until(qtbot, lambda press=press: len(judged) >= press and not dock.desk.sizes.busy)
        if "(1 hidden)" in sizes.smallest_words.text():
            break
    assert sizes.smallest_words.text() == "hide objects under 3 mm³ (1 hidden)"
    assert not rows_of(track)[1, 2, 3]
    assert rows_of(track)[1, 12, 12]
    until(qtbot, lambda: "1 object, 0.2 mL" in row_text(dock))
    layer_of(track).undo()
    assert not rows_of(track)[1, 2, 3]  # hiding is no step of undo
    dock.bottom.review.reset.click()
    until(qtbot, lambda: bool(rows_of(track)[1, 2, 3]))
    assert sizes.largest.value() == ALL
    sizes.largest.setValue(1)
    until(qtbot, lambda: not rows_of(track)[1, 2, 3])
    assert sizes.largest_words.text() == "keep the largest"
    other = viewer.add_image(np.zeros((3, 32, 40), np.uint8), name="other", scale=(2, 1, 1))
    dock.image.setCurrentIndex(dock.image.findText("other"))
    answered(dock, other, BRIGHT, 0)
    dock.desk.chosen()
    until(qtbot, lambda: sizes.largest_words.text() == "keep all")


def test_units_are_the_images_own_and_nothing_is_labelled_where_nothing_was_found(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    sizes = dock.bottom.sizes
    dock.desk.patients.open(small.volume)  # without any mask
    until(qtbot, lambda: sizes.smallest_words.text() == "hide objects under … mm³")
    assert sizes.apart.isHidden()
    dock.desk.patients.open(Volume(np.zeros((1, 30, 40), np.uint8), Grid.pixels((1, 30, 40)), name="picture"))
    until(qtbot, lambda: sizes.smallest_words.text() == "hide objects under … px")
    assert sizes.apart.isHidden()
    answered(dock, dock.chosen_image(), BRIGHT, 0)
    dock.desk.overview.show_tracks()
    assert not sizes.apart.isHidden()
