"""What lies below the canvas belongs to the dock: the slice bar of its masks, and the looks at the slice on screen."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gui import (
    DIST,
    answered,
    canvas,
    click,
    done,
    keep_both,
    layer_of,
    press,
    ready,
    row_text,
    rows_of,
    track_named,
    type_lines,
    until,
)
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget

import boltzformer
from boltzformer import Prediction
from boltzformer.desk.keeping.snapshot import frozen
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.lanes import State
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.host.stage import LIGHT
from napari_boltzformer.widget import BoltzFormerDock


@pytest.fixture(scope="module")
def truth(engine: boltzformer.Engine, small: Phantom) -> Prediction:
    *_, last = engine.segment(small.volume, [BRIGHT, DARK])
    assert isinstance(last, Prediction)
    return last


def opened(viewer: Any, small: Phantom) -> Any:
    data, options, _ = image_layer(small.volume)
    return viewer.add_image(data, **options)


def at(truth: Prediction, number: int, outline: float, gate: float) -> np.ndarray:
    return truth.plan.view.apply(truth.labels(outline, gate).layers[number]) > 0


def test_thresholds_re_apply_without_the_engine_and_leave_what_is_a_persons(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, truth: Prediction
) -> None:
    opened(viewer, small)
    type_lines(qtbot, dock, BRIGHT, DARK)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    review, bright = dock.bottom.review, track_named(dock, BRIGHT)
    assert review.isVisible()
    assert isinstance(review.parent(), QDockWidget)
    for number, name in enumerate((BRIGHT, DARK)):
        assert np.array_equal(rows_of(track_named(dock, name)) > 0, at(truth, number, 0.5, truth.gate))
    found = [row for row in range(16) if rows_of(bright)[row].any()]
    assert [row for row in range(16) if review.bar.state(0, row) is State.FOUND] == found
    assert f"in {len(found)} of 16 slices" in review.totals.text()
    dock.jump(found[0])
    until(qtbot, lambda: "object" in row_text(dock))

    dock.session.close()  # from here on there is nobody to ask
    layer_of(bright).data_setitem((np.array([found[0]] * 4), np.arange(4), np.arange(4)), 1)
    until(qtbot, lambda: "edited" in review.bar.words(found[0]))
    painted = rows_of(bright)[found[0]].copy()
    with qtbot.waitSignal(review.reapplied):
        review.outline.setValue(95)
    strict = at(truth, 0, 0.95, truth.gate)
    assert not np.array_equal(strict, at(truth, 0, 0.5, truth.gate))
    rest = [row for row in range(16) if row != found[0]]
    assert np.array_equal(rows_of(bright)[rest] > 0, strict[rest])
    assert np.array_equal(rows_of(bright)[found[0]], painted)
    assert not bright.proposals  # a threshold is no new answer
    with qtbot.waitSignal(review.reapplied):
        review.gate.setValue(99)
    assert frozen(bright).how_made()["thresholds, as shown"] == {"existence": 0.99, "outline": 0.95}
    with qtbot.waitSignal(review.reapplied):
        click(qtbot, review.reset)
    assert np.array_equal(rows_of(bright)[rest] > 0, at(truth, 0, 0.5, truth.gate)[rest])
    QTest.mouseClick(review.bar, Qt.MouseButton.LeftButton, pos=review.bar.place(0, 9).toPoint())
    assert dock.row() == 9


def test_the_sliders_of_one_image_leave_the_masks_of_another_alone(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    other = replace(small, volume=replace(small.volume, name="other"))
    images, review = [opened(viewer, small), opened(viewer, other)], dock.bottom.review
    keep_both(qtbot, dock)
    tracks = [answered(dock, image, BRIGHT, 2, 3, logit=16) for image in images]  # a probability of 0.73
    assert all(rows_of(track)[2].any() and rows_of(track)[3].any() for track in tracks)
    first, second = (
        next(n for n in range(2) if dock.image.itemData(n).unique_id == image.unique_id) for image in images
    )
    dock.image.setCurrentIndex(first)
    review.outline.setValue(95)
    until(qtbot, lambda: not rows_of(tracks[0]).any())
    dock.image.setCurrentIndex(second)
    until(qtbot, lambda: review.outline.value() == 50 and not dock.desk.overview.reapplying.busy)
    assert rows_of(tracks[1])[2].any()
    assert tracks[1].kept.thresholds == Thresholds(0.5, 0.5)
    dock.image.setCurrentIndex(first)
    until(qtbot, lambda: review.outline.value() == 95 and not dock.desk.overview.reapplying.busy)
    assert not rows_of(tracks[0]).any()
    assert (review.outline.value(), review.thresholds) == (95, Thresholds(0.5, 0.95))


def test_reverting_a_run_brings_back_the_answer_before_it(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small)
    dock.jump(small.lesions[0].centre[2])
    here = dock.row()
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    before, score, review = rows_of(track)[here].copy(), track.scores[here], dock.bottom.review
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    assert len(track.scores) == 16
    with qtbot.waitSignal(review.reapplied):
        review.gate.setValue(1)  # thresholds are no run: they make nothing else revertible
    click(qtbot, dock.revert)
    assert track.scores == {here: score}
    assert np.array_equal(rows_of(track)[here], before)
    assert not np.delete(rows_of(track), here, axis=0).any()
    states = [review.bar.state(0, row) for row in range(16)]
    assert [row for row, state in enumerate(states) if state is not State.UNKNOWN] == [here]


def test_the_looks_open_step_by_keys_and_are_no_image_of_the_users(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    image = opened(viewer, small)
    dock.jump(small.lesions[0].centre[2])
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    press(qtbot, viewer, Qt.Key.Key_Period)
    assert len(viewer.layers) == 2  # closed, they do nothing
    click(qtbot, dock.looks)
    looks = dock.bottom.looks
    until(qtbot, lambda: looks.headline.text().startswith("Look 1 saw "))
    (track,) = dock.tracks()
    viewer.layers.selection.active = layer_of(track)
    canvas(viewer).setFocus()
    press(qtbot, viewer, Qt.Key.Key_Period)
    press(qtbot, viewer, Qt.Key.Key_Period)
    press(qtbot, viewer, Qt.Key.Key_Comma)
    press(qtbot, viewer, Qt.Key.Key_Period)
    assert looks.current == 1
    (light,) = [layer for layer in viewer.layers if LIGHT in layer.metadata]
    assert light.name == "look 2 of 9"
    assert [dock.image.itemData(n).unique_id for n in range(dock.image.count())] == [image.unique_id]
    assert viewer.layers.selection.active.unique_id == layer_of(track).unique_id
    dock.jump(dock.row() - 1)
    until(qtbot, lambda: "has not looked at slice" in looks.headline.text())
    looks.parent().close()
    assert not [layer for layer in viewer.layers if LIGHT in layer.metadata]


def test_the_menu_brings_dock_and_looks(qtbot: Any, viewer: Any) -> None:
    _, looks = viewer.window.add_plugin_dock_widget(DIST, "How it looked")
    (dock,) = [one for one in viewer.window.dock_widgets.values() if isinstance(one, BoltzFormerDock)]
    assert looks is dock.bottom.looks
    outer, main = looks.parent(), looks.window()
    until(qtbot, lambda: looks.isVisible() and main.dockWidgetArea(outer) == Qt.DockWidgetArea.BottomDockWidgetArea)
    assert "Run a prompt first" in looks.headline.text()
    viewer.window.remove_dock_widget(dock.parent())
    until(qtbot, lambda: not looks.isVisible())
    dock.session.close()
    dock.deleteLater()


def test_bar_and_looks_leave_room_on_a_small_screen(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small)
    window = dock.window()
    window.resize(1366, 768)
    ready(qtbot, dock)
    type_lines(qtbot, dock, BRIGHT, DARK)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    click(qtbot, dock.looks)
    until(qtbot, lambda: dock.bottom.looks.isVisible())

    def fits(one: Any) -> bool:
        corner = one.mapTo(window, one.rect().bottomRight())
        return bool(one.isVisible() and corner.x() <= 1366 and corner.y() <= 768)

    until(qtbot, lambda: fits(dock) and fits(dock.bottom.looks))
    assert (window.width(), window.height()) == (1366, 768)
    assert canvas(viewer).height() >= 250


def test_a_tab_in_front_is_no_higher_than_it_was_before_others_came(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    image = opened(viewer, small)
    dock.window().resize(1366, 768)
    answered(dock, image, BRIGHT, 2, 3)
    dock.desk.overview.show_tracks()
    review, looks, bottom = dock.bottom.review, dock.bottom.looks, dock.bottom
    until(qtbot, lambda: review.isVisible() and canvas(viewer).height() > 250)
    outer = review.parent()

    def rests() -> int:
        """The height of the place, once it is the same for a while."""
        seen: list[int] = []

        def same() -> bool:
            seen.append(outer.height())
            return len(seen) > 20 and len(set(seen[-20:])) == 1

        until(qtbot, same)
        return seen[-1]

    def in_front(widget: Any) -> bool:
        return bool(widget.isVisible() and not widget.visibleRegion().isEmpty())

    alone = rests()
    bottom.open_looks()
    until(qtbot, lambda: looks.visible)
    assert rests() > alone + 40
    high = looks.parent().height()
    bottom.show(review, "Slices")
    until(qtbot, lambda: not looks.visible)
    assert abs(rests() - alone) <= 2
    bottom.open_looks()
    until(qtbot, lambda: looks.visible)
    rests()
    assert abs(looks.parent().height() - high) <= 2
    dock.beside.open_table()
    until(qtbot, lambda: in_front(dock.beside.lesions))
    rests()
    outer.parent().resizeDocks([dock.beside.lesions.parent()], [300], Qt.Orientation.Vertical)
    rests()
    made = dock.beside.lesions.parent().height()
    assert made > alone + 40
    bottom.show(review, "Slices")
    until(qtbot, lambda: in_front(review))
    assert abs(rests() - alone) <= 2
    bottom.show(dock.beside.lesions, "Lesion table")  # as high as one has made it
    until(qtbot, lambda: in_front(dock.beside.lesions))
    rests()
    assert abs(dock.beside.lesions.parent().height() - made) <= 2


def test_a_run_goes_on_where_the_user_looks_and_says_when_it_waits(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    data, options, _ = image_layer(phantom(1, (400, 96, 96)).volume)
    viewer.add_image(data, **options)
    type_lines(qtbot, dock, BRIGHT)
    dock.progress.valueChanged.connect(lambda value: value == 2 and dock.jump(300))
    dock.progress.valueChanged.connect(lambda value: value == 60 and click(qtbot, dock.cancel))
    other = BoltzFormerDock(viewer, dock.session)
    qtbot.addWidget(other)
    type_lines(qtbot, other, DARK)
    said: list[str] = []
    click(qtbot, dock.all_slices)
    until(qtbot, lambda: dock.progress.value() >= 1)
    click(qtbot, other.all_slices)

    def waits() -> bool:
        said.append(other.message.text())
        return "Waiting, place 2 in the queue." in said

    until(qtbot, waits)
    done(qtbot, dock)
    assert 300 in track_named(dock, BRIGHT).scores
    click(qtbot, other.cancel)
    done(qtbot, other)
