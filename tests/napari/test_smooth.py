"""What must not hold up the viewer: bars that paint at once, and answers that nobody waits for any more."""

import threading
import tracemalloc
from typing import Any

import numpy as np
from gui import click, done, type_lines, until
from napari.layers import Image, Labels
from qtpy.QtCore import QObject

from boltzformer import Prompt, io
from boltzformer.phantom import BRIGHT, Phantom
from napari_boltzformer.background import Background
from napari_boltzformer.layers import image_layer
from napari_boltzformer.masks import Track
from napari_boltzformer.progress import Progress
from napari_boltzformer.remembering import annotation_of
from napari_boltzformer.stored_masks import answer_map
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


def test_what_is_kept_of_large_masks_is_not_copied_on_the_viewers_thread() -> None:
    shape = (40, 512, 512)
    image, disc = Image(np.zeros(shape, np.uint8)), np.hypot(*np.ogrid[-256:256, -256:256]) < 90
    tracks = [Track(Labels(np.zeros(shape, np.uint8)), image, Prompt(name), "#000000") for name in "abc"]
    for track in tracks:
        track.begin_run(None, 0.5)  # type: ignore[arg-type]  # the plan is not looked at here
        for row in range(len(track.rows)):
            track.put(row, disc)
    tracks[1].layer.brush_size = 9
    tracks[1].layer.paint((7, 8, 8), 2)
    tracks[2].layer.paint((8, 256, 256), 0)
    tracemalloc.start()
    annotation, answer = annotation_of(image, tracks), answer_map(image, tracks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < sum(track.rows.nbytes for track in tracks) / 20
    then = [track.rows > 0 for track in tracks]
    tracks[0].change(3, ~disc)  # what happens meanwhile is not kept
    for value, was in enumerate(then, 1):
        assert np.array_equal(annotation().labels.mask(value), was)
        assert np.array_equal(answer().mask(value), np.broadcast_to(disc, shape))
    assert annotation().provenance["slices edited"] == {"a": [], "b": [7], "c": [8]}


def test_of_two_answers_at_once_one_that_can_not_be_shown_does_not_cost_the_other(qtbot: Any) -> None:
    owner, told = QObject(), []
    background = Background(owner, "boltzformer-test", lambda *sentence: told.append(sentence[0]))
    background.do(lambda: 0, lambda zero: told.append(1 / zero))
    background.do(lambda: "shown", told.append)
    background.pool.shutdown(wait=True)  # so both are looked at in one go
    until(qtbot, lambda: len(told) == 2)
    assert told == ["That failed (ZeroDivisionError: division by zero).", "shown"]
    assert not background.busy


def test_whoever_asked_hears_either_the_answer_or_that_there_is_none(qtbot: Any) -> None:
    owner, told = QObject(), []
    background = Background(owner, "boltzformer-test", lambda *sentence: None)
    for work in (lambda: 1 / 0, lambda: io.read("/nowhere.nii"), lambda: 1 / 1):
        background.do(work, told.append, failed=lambda: told.append("failed"))
    background.do(lambda: 1, lambda _: 1 / 0, failed=lambda: told.append("both"))
    until(qtbot, lambda: not background.busy)
    assert sorted(map(str, told)) == ["1.0", "failed", "failed"]
    background.pool.shutdown()
