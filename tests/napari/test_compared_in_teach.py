"""What the old and the new model find on a slice stands on the canvas as long as Teach is open, and no longer."""

from pathlib import Path
from typing import Any

import numpy as np
from gui import DIST, until

from boltzformer.desk.teaching.outcome import Compared, question_of
from boltzformer.io.phantom import BRIGHT
from napari_boltzformer.dock.form import KEEP, TEACH
from napari_boltzformer.teaching.pair import pair_of
from napari_boltzformer.widget import BoltzFormerDock


def test_what_both_models_find_is_drawn_only_where_it_was_asked(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path
) -> None:
    (layer,) = viewer.open(str(small_file), plugin=DIST)
    until(qtbot, lambda: dock.stage.chosen() is not None)
    dock.show_act(TEACH)
    until(qtbot, lambda: dock.beside.teach is not None and dock.beside.teach.isVisible())
    teach, image = dock.beside.teach, dock.stage.chosen()
    assert teach is not None
    plane = np.ones(layer.data.shape[1:], np.uint8)
    answer = Compared(question_of(image, 2, BRIGHT, 0, None), plane, plane)
    teach.outcome._question = answer.question  # both are being asked
    dock.show_act(KEEP)
    until(qtbot, lambda: not teach.isVisible())
    teach.outcome._tell(answer.question, answer)
    assert not pair_of(viewer)
    assert not teach.compared.text()
    dock.show_act(TEACH)
    until(qtbot, teach.isVisible)
    teach.outcome._question = answer.question
    teach.hide()  # covered for a moment
    teach.outcome._tell(answer.question, answer)
    assert not pair_of(viewer)
    teach.show()
    until(qtbot, lambda: len(pair_of(viewer)) == 2)
    assert teach.compared.text()
    dock.beside.rest()
    assert not pair_of(viewer)
    assert not teach.compared.text()
