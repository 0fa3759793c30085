"""What must not hold up the viewer: bars that paint at once, and answers that nobody waits for any more."""

import threading
from typing import Any

import numpy as np
from gui import click, done, type_lines, until
from qtpy.QtCore import QObject

from boltzformer.io.phantom import BRIGHT, Phantom
from napari_boltzformer.background import Background
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.host.progress import Progress
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


def test_only_the_last_answer_to_a_question_is_told(qtbot: Any) -> None:
    owner, go, told = QObject(), threading.Event(), []
    background = Background(owner, "boltzformer-test", lambda *sentence: told.append(sentence))
    background.do(lambda: go.wait(60) and "first", told.append, topic="count")
    background.do(lambda: "second", told.append, topic="count")
    background.do(lambda: "other", told.append)
    until(qtbot, lambda: len(told) == 2)
    go.set()
    assert sorted(told) == ["other", "second"]
    background.do(lambda: "third", told.append, topic="count")
    background.drop("count")
    background.do(lambda: "last", told.append)
    until(qtbot, lambda: told[-1] == "last")
    assert "first" not in told
    assert "third" not in told
    background.pool.shutdown()


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
    key = track.layer.unique_id
    track.layer.brush_size = 1
    track.layer.paint((dock.row(), 2, 3), 1)
    assert key not in dock.running.objects  # the one that was under way is dropped
    until(qtbot, lambda: key in dock.running.objects)
    before = dock.running.objects[key]
    track.layer.paint((dock.row(), 2, 30), 1)
    assert key not in dock.running.objects
    until(qtbot, lambda: dock.running.objects.get(key) == before + 1)
    assert f"{before + 1} objects" in dock.results.item(0).text()
    assert np.count_nonzero(track.rows[dock.row(), 2, :40]) == 2
