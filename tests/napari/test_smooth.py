"""What must not hold up the viewer: bars that paint at once, and answers that nobody waits for any more."""

from typing import Any

import numpy as np
from gui import click, done, layer_of, row_text, rows_of, type_lines, until

from boltzformer.io.phantom import BRIGHT, Phantom
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.host.notice import Progress
from napari_boltzformer.widget import BoltzFormerDock


def test_a_bar_that_moves_is_not_painted_before_the_window_is_idle(qtbot: Any) -> None:
    painted: list[int] = []

    class Watched(Progress):
        def paintEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
            painted.append(self.value())
            super().paintEvent(event)

    bar = Watched()
    qtbot.addWidget(bar)
    with qtbot.waitExposed(bar):
        bar.show()
    until(qtbot, lambda: bool(painted))
    painted.clear()
    bar.setRange(0, 8)
    for value in range(1, 9):
        bar.setValue(value)
    assert painted == []
    until(qtbot, lambda: bool(painted))
    assert set(painted) == {8}


def test_a_count_of_objects_that_a_stroke_has_overtaken_is_never_shown(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    viewer.add_image(data, **options)
    type_lines(qtbot, dock, BRIGHT)
    dock.jump(small.lesions[0].centre[2])
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    key = track.key
    layer_of(track).brush_size = 1
    layer_of(track).paint((dock.row(), 2, 3), 1)
    assert key not in dock.desk.counting.objects  # the one that was under way is dropped
    until(qtbot, lambda: key in dock.desk.counting.objects)
    before = dock.desk.counting.objects[key].objects
    layer_of(track).paint((dock.row(), 2, 30), 1)
    assert key not in dock.desk.counting.objects
    until(qtbot, lambda: key in dock.desk.counting.objects)
    assert dock.desk.counting.objects[key].objects == before + 1
    until(qtbot, lambda: f"{before + 1} objects" in row_text(dock))
    assert np.count_nonzero(rows_of(track)[dock.row(), 2, :40]) == 2
