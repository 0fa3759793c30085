"""The slice bar: every state has its look, a click jumps, a drag moves the gate; thresholds never ask the model."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qtpy.QtCore import QObject, QPoint, Qt
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest

from boltzformer import Engine, Grid, Prediction, SlicePlan, SliceResult
from boltzformer.desk.masks.answers import Answers
from boltzformer.desk.masks.kept import Mark, Thresholds
from boltzformer.desk.masks.lanes import Bar, Lane, State
from boltzformer.desk.masks.thresholds import Reapplying
from boltzformer.desk.scale import Scale
from boltzformer.desk.words import neighbours
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from napari_boltzformer.bottom.slice_bar import GOOD, GROUND, NOW, SliceBar, SliceReview
from napari_boltzformer.host.dialogs import QtTimers
from napari_boltzformer.host.layers import empty_labels, image_layer

ORANGE, BLUE = QColor("#E69F00"), QColor("#56B4E9")
PROMPTS = (BRIGHT, DARK)
ML = Scale(3.0, (1.0, 1.0), flat=False)


@pytest.fixture(scope="module")
def prediction(engine: Engine, small: Phantom) -> Prediction:
    *_, last = engine.segment(small.volume, PROMPTS)
    assert isinstance(last, Prediction)
    return last


def kept(prediction: Prediction, number: int, rows: range | None = None) -> Answers:
    answers = Answers(prediction.gate)
    for result in prediction.slices:
        if rows is None or prediction.plan.canonical_index(result.index) in rows:
            answers.mask(answers.keep(prediction.plan, result, number))
    return answers


def one_slice(score: float, logits: np.ndarray) -> tuple[SlicePlan, SliceResult]:
    plan = SlicePlan.of(Grid.pixels((1, *logits.shape)), logits.shape[0])
    return plan, SliceResult(0, logits[None].astype(np.int8), np.array([score], np.float32))


# --- answers, without a window ----------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(gates=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)), outline=st.floats(0.01, 0.99))
def test_kept_answers_give_the_masks_that_the_prediction_gives(
    prediction: Prediction, gates: tuple[float, float], outline: float
) -> None:
    view = prediction.plan.view
    for number in range(2):
        answers = kept(prediction, number)
        before = {row: answers.mask(row) for row in answers.rows}
        for gate in gates:
            answers.thresholds = Thresholds(gate, outline)
            truth = view.apply(prediction.labels(outline, gate).layers[number]) > 0
            for row in answers.rows:
                if answers.stale(row):
                    before[row] = answers.mask(row)
                assert np.array_equal(before[row], truth[row])  # also where nothing had to be done again


def test_totals_say_how_far_it_is_and_never_that_nothing_is_there() -> None:
    answers = Answers(0.5)
    assert answers.total(300, ML, {}) == "not looked yet, 0 of 300 slices"
    found, nothing = np.full((20, 20), 127), np.full((20, 20), -128)
    answers.mask(answers.keep(*one_slice(0.83, found), 0))
    assert answers.total(300, ML, {}) == "1.2 mL so far, 1 of 300 slices"
    assert answers.total(300, ML, {0: 400, 7: 400}) == "2.4 mL in 2 of 300 slices, looked in 1"  # filled by a person
    assert answers.total(1, ML, {}) == "1.2 mL"
    assert answers.total(1, Scale(), {}) == "400 px"
    assert answers.total(1, ML, {0: 800}) == "2.4 mL"  # what a person painted counts as it is
    answers.thresholds = Thresholds(0.9, 0.5)
    answers.mask(0)
    assert answers.total(1, ML, {}) == "looked at this picture, best score 0.83, below 0.90"
    assert answers.total(2, ML, {}) == "looked in 1 of 2 slices so far, best score 0.83 (slice 0), below 0.90"
    answers.thresholds = Thresholds(0.831, 0.5)
    answers.keep(*one_slice(0.8304, found), 0)
    answers.mask(0)
    assert "best score 0.8304, below 0.8310" in answers.total(1, ML, {})  # not rounded until it fits
    answers.thresholds = Thresholds(0.5, 0.5)
    answers.mask(answers.keep(*one_slice(0.83, nothing), 0))
    unsure = "looked at this picture, best score 0.83, but it cannot tell where: lead it by a point or a box"
    assert answers.total(1, ML, {}) == unsure
    answers.thresholds = Thresholds(0.5, 0.95)
    answers.mask(answers.keep(*one_slice(0.83, np.full((20, 20), 16)), 0))  # a probability of 0.73
    lower = "score 0.83, nothing outlined: lower 'outline' to 0.73"
    assert answers.total(1, ML, {}).endswith(lower)
    answers.thresholds = Thresholds(0.5, 0.5)
    answers.mask(answers.keep(*one_slice(0.83, np.full((20, 20), -16)), 0))
    assert answers.total(1, ML, {}).endswith("nothing outlined: lower 'outline' to 0.26")
    answers.thresholds = Thresholds(0.5, 0.26)
    assert answers.mask(0).any()  # that is enough
    answers.forget(0)
    assert answers.total(1, ML, {}) == "not looked yet"


# --- the bar ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bar(qtbot: Any) -> SliceBar:
    widget = SliceBar(Bar())
    qtbot.addWidget(widget)
    widget.resize(120 + 640, widget.height())
    widget.model.set_lanes([lane("bright blob", ORANGE), lane("dark blob", BLUE)], 64)
    widget.show()
    return widget


def test_a_bar_without_masks_frames_no_slice(bar: SliceBar) -> None:
    def white() -> int:
        picture = bar.grab().toImage()
        return sum(picture.pixelColor(x, 1) == NOW for x in range(picture.width()))

    assert white()
    bar.model.set_lanes([], 1)
    assert not white()


def test_the_name_of_a_prompt_is_read_over_the_ticks_of_what_is_accepted(bar: SliceBar) -> None:
    def coloured() -> int:
        picture = bar.grab().toImage()
        pixels = (picture.pixelColor(x, y) for x, y in product(range(120, 200), range(11, 24)))  # of the first name
        return sum(one.red() > 120 and one.blue() < 90 for one in pixels)

    before = coloured()
    bar.model.lanes[0].accepted = frozenset(range(64))
    bar.model.draw()
    assert coloured() == before > 0


def test_a_tick_is_seen_where_the_name_of_its_prompt_stands(bar: SliceBar) -> None:
    bar.model.lanes[0].accepted = frozenset({0, 3})
    bar.model.draw()
    picture = bar.grab().toImage()
    for left in (120, 150):  # of columns of ten pixels
        pixels = [picture.pixelColor(x, y) for x, y in product(range(left, left + 10), range(11, 24))]
        assert sum(like(one, GOOD) for one in pixels) >= 3


def lane(name: str, colour: QColor) -> Lane:
    return Lane(name, colour.name(), Answers())


def say(bar: SliceBar, number: int, row: int, mark: Mark) -> None:
    """The model has looked, and this is what is known of it."""
    answers = bar.model.lanes[number].answers
    if mark.hidden:
        plan = SlicePlan.of(Grid.pixels((bar.model.count, 8, 8)), 8)
        answers.keep(plan, SliceResult(row, np.full((1, 8, 8), 127, np.int8), np.array([mark.score], np.float32)), 0)
    else:
        answers.recall(row, mark.score, np.arange(64) < mark.voxels)
    assert answers.mark(row) == Mark(pytest.approx(mark.score), mark.voxels, mark.hidden)
    bar.model.draw(row)


def edit(bar: SliceBar, number: int, rows: set[int], held: dict[int, int]) -> None:
    bar.model.lanes[number].edited, bar.model.lanes[number].painted = rows, held
    bar.model.draw()


def at(bar: SliceBar, lane: int, row: int, score: float = 0.5) -> QPoint:
    return bar.place(lane, row, score).toPoint()


def shows(bar: SliceBar, lane: int, row: int, score: float, colour: QColor) -> bool:
    return like(bar.grab().toImage().pixelColor(at(bar, lane, row, score)), colour)


def like(one: QColor, other: QColor) -> bool:
    """A screen may have few colours."""
    return all(abs(a - b) <= 8 for a, b in zip(one.getRgb(), other.getRgb(), strict=True))


def test_every_state_looks_its_own_way(bar: SliceBar) -> None:
    bar.model.set_row(63)
    bar.model.set_gate(0.95)
    for row, mark in enumerate((Mark(0.1, 0), Mark(0.9, 12), Mark(0.9, 0, hidden=True))):
        say(bar, 0, row + 10, mark)
    states = [bar.state(0, row) for row in (9, 10, 11, 12)]
    assert states == [State.UNKNOWN, State.NOTHING, State.FOUND, State.HIDDEN]
    bar.model.lanes[0].painted[9] = 5  # by a person alone, where nobody looked
    assert bar.state(0, 9) is State.FOUND
    del bar.model.lanes[0].painted[9]
    assert shows(bar, 0, 10, 0.5, GROUND)
    assert not shows(bar, 0, 10, 0.04, GROUND)  # a thin line
    assert shows(bar, 0, 11, 0.8, ORANGE)
    assert shows(bar, 0, 11, 0.2, ORANGE)
    assert shows(bar, 0, 12, 0.5, GROUND)  # hollow…
    drawn = bar.grab().toImage()
    assert any(like(drawn.pixelColor(at(bar, 0, 12) + QPoint(dx, 0)), ORANGE) for dx in range(-6, 7))  # …but outlined
    near = [drawn.pixelColor(at(bar, 0, 9) + QPoint(dx, dy)) for dx in range(-3, 4) for dy in range(-3, 4)]
    assert 0 < sum(like(one, GROUND) for one in near) < len(near)  # hatched
    say(bar, 1, 20, Mark(0.9, 12))
    say(bar, 1, 22, Mark(0.3, 12))
    assert shows(bar, 1, 20, 0.6, BLUE)
    assert shows(bar, 1, 22, 0.6, GROUND)  # height = score


def test_signs_stand_above_and_below_and_neighbours_share_one(bar: SliceBar) -> None:
    plain = bar.grab().toImage()
    edit(bar, 0, {20}, {20: 3})
    bar.model.lanes[1].accepted = frozenset({20, 21, 22})
    bar.model.set_failed({40: "The memory was full."})
    signed = bar.grab().toImage()
    own = at(bar, 1, 0, 1.0).y()  # of the second lane: its ticks stand above it, below the first one's
    changed = {
        (round((x - 125) // 10), y < 11)
        for x in range(120, 760)
        for y in (*range(11), *range(own - 11, own))
        if plain.pixel(x, y) != signed.pixel(x, y)
    }
    assert {row for row, above in changed if above} <= {19, 20, 39, 40}
    assert {row for row, above in changed if not above} <= {19, 20, 21, 22}
    assert {above for _, above in changed} == {True, False}
    assert neighbours([3, 1, 2, 7]) == [(1, 3), (7, 7)]
    say(bar, 0, 20, Mark(0.42, 3))
    assert bar.words(20).splitlines()[2] == "dark blob: not looked yet, accepted"  # in this one alone
    bar.model.set_accepted([20])
    assert bar.words(20) == ("Slice 20, accepted\nbright blob: found, score 0.42, edited\ndark blob: not looked yet")
    assert bar.words(40).startswith("Slice 40\ncould not be done: The memory was full.\n")
    say(bar, 0, 30, Mark(0.9, 12))
    say(bar, 0, 31, Mark(0.1, 0))
    edit(bar, 0, {30, 31}, {30: 0, 31: 7, 32: 0})
    words = [bar.words(row).splitlines()[1] for row in (30, 31, 32)]
    painted = "bright blob: painted by you, score 0.10"
    assert words == ["bright blob: nothing, by you", painted, "bright blob: nothing, by you"]
    assert [bar.state(0, row) for row in (30, 31, 32)] == [State.NOTHING, State.FOUND, State.NOTHING]
    bar.model.set_lanes([lane("bright blob", ORANGE)], 1)
    assert bar.words(0).startswith("This picture")


def test_a_click_jumps_a_drag_up_or_down_moves_the_gate_one_along_goes_through_the_slices(
    qtbot: Any, bar: SliceBar
) -> None:
    jumps: list[int] = []
    gates: list[float] = []
    bar.jumped.connect(jumps.append)
    bar.gate_dragged.connect(gates.append)
    QTest.mouseClick(bar, Qt.MouseButton.LeftButton, pos=at(bar, 0, 33))
    assert (jumps, gates) == ([33], [])
    drag(bar, at(bar, 1, 33, 0.5), at(bar, 1, 33, 0.8))
    assert jumps == [33]
    assert gates[-1] == pytest.approx(0.8, abs=0.03)
    drag(bar, at(bar, 1, 33, 0.5), at(bar, 0, 33, 9.0))
    assert gates[-1] == 0.99
    drag(bar, at(bar, 0, 33), at(bar, 0, 36))
    assert jumps[-1] == 36
    assert set(jumps[1:]) <= {34, 35, 36}
    QTest.mouseClick(bar, Qt.MouseButton.LeftButton, pos=QPoint(5, 20))  # on the names
    assert jumps[-1] == 0


def drag(widget: Any, start: QPoint, end: QPoint) -> None:
    QTest.mousePress(widget, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 9):
        QTest.mouseMove(widget, start + (end - start) * step / 8)
        QTest.qWait(1)
    QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, pos=end)


def test_two_thousand_slices_are_drawn_and_the_first_and_last_can_be_reached(bar: SliceBar) -> None:
    bar.model.set_lanes([lane("one", ORANGE)], 2000)
    for row in range(2000):
        say(bar, 0, row, Mark(0.9, 5 * (row == 1000)))
    drawn, there = bar.grab().toImage(), at(bar, 0, 1000, 0.7)
    assert any(
        like(drawn.pixelColor(there + QPoint(dx, 0)), ORANGE) for dx in (-1, 0, 1)
    )  # one found slice among many is not lost
    jumps: list[int] = []
    bar.jumped.connect(jumps.append)
    QTest.mouseClick(bar, Qt.MouseButton.LeftButton, pos=QPoint(bar.width() - 1, 20))
    QTest.mouseClick(bar, Qt.MouseButton.LeftButton, pos=QPoint(120, 20))
    assert jumps[0] >= 1995
    assert jumps[1] == 0


# --- in the viewer ----------------------------------------------------------------------------------------------------


def test_thresholds_re_apply_to_the_layers_the_slice_on_screen_first_and_never_to_edited_slices(
    qtbot: Any, make_napari_viewer_proxy: Callable[..., Any], small: Phantom, prediction: Prediction
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    data, options, _ = image_layer(small.volume)
    image = viewer.add_image(data, **options)
    layers, lanes = [], []
    for number, name in enumerate(PROMPTS):
        voxels, how = empty_labels(image, name)
        layers.append(viewer.add_labels(voxels, **how))
        lanes.append(lane(name, (ORANGE, BLUE)[number]))
    edited: dict[tuple[int, int], np.ndarray] = {}
    drawn: list[int] = []

    def write(lane: int, row: int, mask: np.ndarray) -> int | None:
        if (lane, row) in edited:
            return int(edited[lane, row].sum())
        layers[lane].data[row] = mask
        return None

    bar, qtbot_parent = Bar(), QObject()
    reapplying = Reapplying(bar, QtTimers(qtbot_parent), write, lambda: drawn.append(1))
    review = SliceReview(reapplying)
    viewer.window.add_dock_widget(review, name="Slices", area="bottom")
    review.jumped.connect(lambda row: viewer.dims.set_current_step(0, row))
    viewer.dims.events.current_step.connect(lambda: reapplying.set_row(viewer.dims.current_step[0]))
    plan, count = prediction.plan, prediction.plan.count
    here = small.lesions[0].centre[2]
    viewer.dims.set_current_step(0, here)
    reapplying.set_run(lanes, count, row=here, gate=prediction.gate, scale=Scale(2.5, (1.0, 1.0), flat=False))
    for done, result in enumerate(prediction.slices, 1):
        for number, one in enumerate(lanes):
            row = one.answers.keep(plan, result, number)
            write(number, row, one.answers.mask(row))
        reapplying.slice_finished(row)
        if done == 3:
            assert ", 3 of 16 slices" in review.totals.text() or "3 of 16 slices so far" in review.totals.text()
    same_as(layers, prediction, review.thresholds)
    scores = prediction.existence
    assert any(review.bar.state(0, row) is State.FOUND for row in range(count))

    # A click in the bar shows that slice.
    QTest.mouseClick(review.bar, Qt.MouseButton.LeftButton, pos=review.bar.place(0, 2).toPoint())
    assert viewer.dims.current_step[0] == 2
    viewer.dims.set_current_step(0, here)

    # A person's slice stays, whatever the thresholds say.
    painted = next(row for row in range(count) if row != here and review.bar.state(0, row) is State.FOUND)
    layers[0].data[painted] = 0
    layers[0].data[painted, 5, 5:8] = 1
    edited[0, painted] = layers[0].data[painted].copy()
    reapplying.set_edited(0, {painted: 3}, {painted})

    # Up with the outline: the slice on screen has it at once, the others when the viewer is idle.
    before = [layer.data.copy() for layer in layers]
    drawn.clear()
    with qtbot.waitSignal(review.reapplied, timeout=10_000):
        review.outline.setValue(95)
        assert drawn
        assert np.array_equal(layers[0].data[here] > 0, prediction.labels(0.95).layers[0][here] > 0)
        assert not np.array_equal(layers[0].data[here], before[0][here])
        others = [row for row in range(count) if row != here]
        assert np.array_equal(layers[0].data[others], before[0][others])
    same_as(layers, prediction, Thresholds(prediction.gate, 0.95), skip=(0, painted))
    assert np.array_equal(layers[0].data[painted], edited[0, painted])
    assert review.outline_words.text() == "outline from 0.95"

    # The gate above all scores, by keys: bars are hollow, the sentence says what was best; then back.
    with qtbot.waitSignal(review.reapplied, timeout=10_000):
        review.outline.setValue(50)
    with qtbot.waitSignal(review.thresholds_changed) as told:
        QTest.keyClick(review.gate, Qt.Key.Key_End)
    assert told.args == [Thresholds(0.99, 0.5)]
    qtbot.waitUntil(lambda: not reapplying.busy)
    same_as(layers, prediction, Thresholds(0.99, 0.5), skip=(0, painted))
    assert review.gate_words.text() == "score from 0.99"
    low = [row for row in range(count) if 0.5 < scores[0][plan.canonical_index(row)] < 0.99 and row != painted]
    assert all(review.bar.state(0, row) in (State.HIDDEN, State.NOTHING) for row in low)
    drag(review.bar, review.bar.place(0, 4, 0.9).toPoint(), review.bar.place(0, 4, 0.2).toPoint())
    assert review.thresholds.existence == pytest.approx(0.2, abs=0.04)
    with qtbot.waitSignal(review.reapplied, timeout=10_000):
        QTest.mouseClick(review.reset, Qt.MouseButton.LeftButton)
    assert review.thresholds == Thresholds(prediction.gate, 0.5)
    same_as(layers, prediction, review.thresholds, skip=(0, painted))
    assert np.array_equal(layers[0].data[painted], edited[0, painted])
    assert "disease" not in review.totals.text()
    assert "not found" not in review.totals.text()


def same_as(layers: list[Any], prediction: Prediction, at: Thresholds, skip: tuple[int, int] = (-1, -1)) -> None:
    """The layers hold what the engine's own function gives for these thresholds."""
    truth = prediction.labels(at.outline, at.existence).layers
    for number, layer in enumerate(layers):
        shown = prediction.plan.view.apply(truth[number]) > 0
        rows = [row for row in range(len(shown)) if (number, row) != skip]
        assert np.array_equal(layer.data[rows] > 0, shown[rows])
